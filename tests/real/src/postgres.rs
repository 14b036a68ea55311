//! PostgreSQL: one server in a folder of its own, its superuser without a password on loopback.
//!
//! Must stay true: it writes to the disk before it answers (fsync is on), so what it has acknowledged outlives a kill.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use loa_harness::ports::free_port;
use loa_harness::{Fault, fault, wait_for};

use crate::server::{Folder, Server, run};

/// How long it may take to start; after a kill it first repeats what its journal says.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Where Debian keeps the programs, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
const SUPERUSER: &str = "postgres";
/// The data's folder, within the server's.
const DATA: &str = "data";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: Option<PathBuf>,
    port: u16,
}

impl Postgres {
    /// On a free port, without databases of ours.
    pub async fn start() -> Result<Self, Fault> {
        let (folder, port, programs) = (Folder::new()?, free_port()?, newest_of_debian());
        let mut initdb = program(programs.as_deref(), "initdb");
        initdb.arg("--pgdata").arg(folder.path().join(DATA)).args(["--username", SUPERUSER, "--auth", "trust"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C.UTF-8"]).current_dir(folder.path());
        run(initdb)?;
        let server = Server::start("postgres", folder, command(programs.as_deref(), port))?;
        let mut postgres = Self { server, programs, port };
        postgres.ready().await?;
        Ok(postgres)
    }

    /// Makes an empty database; the URL that opens it.
    pub fn database(&self, name: &str) -> Result<String, Fault> {
        self.databases(&[name])?;
        Ok(self.url(name))
    }

    /// Makes empty databases.
    pub fn databases(&self, names: &[impl AsRef<str>]) -> Result<(), Fault> {
        let mut psql = self.client("psql", &["--quiet", "--dbname", SUPERUSER]);
        psql.args(names.iter().map(|name| format!("--command=create database {}", name.as_ref())));
        run(psql)
    }

    /// The URL of a database, whether it is there or not.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@{}/{database}", self.addr())
    }

    /// One statement of the superuser.
    pub fn ask(&self, database: &str, statement: &str) -> Result<(), Fault> {
        run(self.client("psql", &["--quiet", "--dbname", database, "--command", statement]))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What one statement answers, as text: columns parted by `|`, a row a line.
    pub fn answer(&self, database: &str, statement: &str) -> Result<String, Fault> {
        let mut command = self.client("psql", &["-At", "--dbname", database, "--command", statement]);
        let done = command.output()?;
        if done.status.success() {
            Ok(String::from_utf8(done.stdout)?.trim().to_owned())
        } else {
            Err(fault(format!("psql failed: {}", String::from_utf8_lossy(&done.stderr))))
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// kill -9 of the server; the processes of its connections notice and end by themselves.
    pub fn kill(&mut self) -> Result<(), Fault> {
        self.server.kill()
    }

    /// Stops it in good order: connections are ended, what they had not committed is undone.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        self.server.stop("INT").await
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) -> Result<(), Fault> {
        self.server.freeze()
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), Fault> {
        self.server.thaw()
    }

    /// Starts it again on the same port, with what was there. After a kill it refuses to start while one of the old processes
    /// lives, so it is told again until it does.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        wait_for("postgres is started again", READY_LIMIT, async || {
            self.server.start_again(command(self.programs.as_deref(), self.port))?;
            Ok(self.ready().await.ok())
        })
        .await
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let (programs, port) = (self.programs.clone(), self.port);
        let asked = async || run(client(programs.as_deref(), port, "pg_isready", &[])).is_ok();
        self.server.ready(READY_LIMIT, asked).await
    }

    fn client(&self, name: &str, words: &[&str]) -> Command {
        client(self.programs.as_deref(), self.port, name, words)
    }
}

/// The server.
fn command(programs: Option<&Path>, port: u16) -> Command {
    let mut command = program(programs, "postgres");
    command.args(["-D", DATA, "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    // What it shares between its processes lies in its folder, where a kill leaves nothing behind.
    command.args(["-c", "unix_socket_directories=", "-c", "dynamic_shared_memory_type=mmap"]);
    command.args(["-c", "fsync=on", "-c", "max_connections=500"]);
    command
}

/// A program that talks to the server.
fn client(programs: Option<&Path>, port: u16, name: &str, words: &[&str]) -> Command {
    let mut command = program(programs, name);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--username", SUPERUSER]).args(words);
    command
}

fn program(programs: Option<&Path>, name: &str) -> Command {
    Command::new(programs.map_or_else(|| PathBuf::from(name), |folder| folder.join(name)))
}

/// The programs of the newest version that Debian has installed; elsewhere they are on the path.
fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?.filter_map(Result::ok);
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let programs = version.path().join("bin");
        programs.join("initdb").exists().then_some((number, programs))
    });
    numbered.max().map(|(_, programs)| programs)
}
