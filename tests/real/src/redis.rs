//! Redis: one server without persistence, so a restart has lost everything, as a cache may.
//!
//! Must stay true: it listens on loopback alone and forgets all at its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use loa_harness::ports::free_port;
use loa_harness::{Fault, fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{Folder, Server};

const READY_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 1 << 16;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    port: u16,
}

impl Redis {
    /// On a free port, empty.
    pub async fn start() -> Result<Self, Fault> {
        let (folder, port) = (Folder::new()?, free_port()?);
        let server = Server::start("redis", folder, command(port))?;
        let mut redis = Self { server, port };
        redis.ready().await?;
        Ok(redis)
    }

    /// How clients reach it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<(), Fault> {
        self.server.kill()
    }

    /// Stops it in good order.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        self.server.stop("TERM").await
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) -> Result<(), Fault> {
        self.server.freeze()
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), Fault> {
        self.server.thaw()
    }

    /// Starts it again on the same port, empty.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        self.server.start_again(command(self.port))?;
        self.ready().await
    }

    /// One command in words, such as `FLUSHALL`; the raw answer.
    pub async fn ask(&self, command: &str) -> Result<String, Fault> {
        let mut stream = TcpStream::connect(self.addr()).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let octets = stream.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer[..octets]).into_owned();
        if answer.starts_with('-') { Err(fault(format!("{command}: {answer}"))) } else { Ok(answer) }
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let addr = self.addr();
        self.server.ready(READY_LIMIT, async || TcpStream::connect(addr).await.is_ok()).await
    }
}

fn command(port: u16) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
}
