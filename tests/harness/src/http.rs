//! One GET over a socket: enough for /metrics, /ready and the console's pages.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Fault, fault};

const LIMIT: Duration = Duration::from_secs(10);

/// Status and body.
pub async fn get(address: SocketAddr, path: &str) -> Result<(u16, String), Fault> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer =
        tokio::time::timeout(LIMIT, exchange).await.map_err(|_| fault(format!("no answer to GET {path}")))??;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| fault("an answer without an end of headers"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(|| fault("an answer without a status"))?, body.to_owned()))
}
