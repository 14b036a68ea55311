//! A message centre of somebody else's that keeps a sink log, as Loa's own simulator does.
//!
//! Must stay true: the log and what was acknowledged outlive a kill, and a sink that is started again goes on with them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use loa_harness::Fault;
use loa_harness::ports::free_port;
use loa_sim::log::{LogLine, lines};
use tokio::net::TcpStream;

use crate::server::{Folder, Server};
use crate::tail::Tail;

const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running message centre.
#[derive(Debug)]
pub struct Sink {
    server: Server,
    launch: Launch,
    port: u16,
    accepted: Tail,
}

/// The command that listens on a port and writes the log and the ids of acknowledged receipts.
pub(crate) type Launch = fn(port: u16, log: &Path, acknowledged: &Path) -> Result<Command, Fault>;

impl Sink {
    pub(crate) async fn start(name: &'static str, launch: Launch) -> Result<Self, Fault> {
        let (folder, port) = (Folder::new()?, free_port()?);
        let command = launch(port, &log(folder.path()), &acknowledged(folder.path()))?;
        let accepted = Tail::new(log(folder.path()), |_| true);
        let mut sink = Self { server: Server::start(name, folder, command)?, launch, port, accepted };
        sink.ready().await?;
        Ok(sink)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Every part that it accepted.
    pub fn lines(&self) -> Result<Vec<LogLine>, Fault> {
        Ok(lines(&log(self.folder()))?.collect::<Result<_, _>>()?)
    }

    /// How many parts that is, up to now.
    pub fn accepted(&self) -> Result<u64, Fault> {
        self.accepted.count()
    }

    /// How many receipts were acknowledged.
    pub fn acknowledged(&self) -> Result<usize, Fault> {
        Ok(std::fs::read_to_string(acknowledged(self.folder()))?.lines().count())
    }

    /// Receipts do not leave until they are released; of node-smpp alone. Who has just been told needs a moment, so it is
    /// to be told before messages come.
    pub fn hold_receipts(&self) -> Result<(), Fault> {
        Ok(std::fs::write(held(self.folder()), "")?)
    }

    /// What was held leaves at once.
    pub fn release_receipts(&self) -> Result<(), Fault> {
        Ok(std::fs::remove_file(held(self.folder()))?)
    }

    /// By how many seconds the dates in receipts are ahead of the machine's; of node-smpp alone, and a moment later.
    pub fn turn_clock(&self, ahead_s: i64) -> Result<(), Fault> {
        let (new, path) = (self.folder().join("clock-ahead.new"), ahead(self.folder()));
        std::fs::write(&new, ahead_s.to_string())?;
        Ok(std::fs::rename(new, path)?)
    }

    /// kill -9. Receipts that were not acknowledged are lost with it.
    pub fn kill(&mut self) -> Result<(), Fault> {
        self.server.kill()
    }

    /// Starts it again on the same port, with the same log.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        let command = (self.launch)(self.port, &log(self.folder()), &acknowledged(self.folder()))?;
        self.server.start_again(command)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let addr = self.addr();
        self.server.ready(READY_LIMIT, async || TcpStream::connect(addr).await.is_ok()).await
    }

    fn folder(&self) -> &Path {
        self.server.folder().path()
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("sink.log")
}

/// While it is there, receipts are held.
pub(crate) fn held(folder: &Path) -> PathBuf {
    folder.join("receipts-held")
}

/// How far the clock is turned.
pub(crate) fn ahead(folder: &Path) -> PathBuf {
    folder.join("clock-ahead")
}

fn acknowledged(folder: &Path) -> PathBuf {
    folder.join("acknowledged")
}
