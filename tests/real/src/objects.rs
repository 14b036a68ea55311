//! A store of objects that speaks S3: s3rver (JavaScript), with one bucket.
//!
//! Must stay true: it listens on loopback alone and keeps its objects in a folder that goes with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use loa_harness::Fault;
use loa_harness::ports::free_port;
use tokio::net::TcpStream;

use crate::server::{Folder, Server, installed};

const READY_LIMIT: Duration = Duration::from_secs(20);
const BUCKET: &str = "loa";
/// The user and the key that s3rver knows.
const USER: &str = "S3RVER";

/// A running store.
#[derive(Debug)]
pub struct Objects {
    server: Server,
    port: u16,
}

impl Objects {
    /// On a free port, with an empty bucket.
    pub async fn start() -> Result<Self, Fault> {
        let (folder, port) = (Folder::new()?, free_port()?);
        let command = command(&folder, port)?;
        let mut objects = Self { server: Server::start("s3rver", folder, command)?, port };
        objects.ready().await?;
        Ok(objects)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<(), Fault> {
        self.server.kill()
    }

    /// Starts it again on the same port, with what it kept.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        let command = command(self.server.folder(), self.port)?;
        self.server.start_again(command)?;
        self.ready().await
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The keys of a configuration that keeps its objects there, under a prefix.
    pub fn settings(&self, prefix: &str) -> Vec<(String, String)> {
        let url = format!("http://{}", self.addr());
        let keys =
            [("url", url.as_str()), ("bucket", BUCKET), ("prefix", prefix), ("access_key", USER), ("secret_key", USER)];
        keys.into_iter().map(|(key, value)| (format!("objects.{key}"), format!("{value:?}"))).collect()
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let addr = self.addr();
        self.server.ready(READY_LIMIT, async || TcpStream::connect(addr).await.is_ok()).await
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

fn command(folder: &Folder, port: u16) -> Result<Command, Fault> {
    let mut command = Command::new("node");
    command.arg(installed("node")?.join("node_modules/s3rver/bin/s3rver.js"));
    command.args(["--address", "127.0.0.1", "--port", &port.to_string(), "--configure-bucket", BUCKET, "--silent"]);
    command.arg("--directory").arg(folder.path().join("objects"));
    Ok(command)
}
