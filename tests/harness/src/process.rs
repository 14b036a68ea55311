//! The real binary as a child process: killed, stopped, frozen, started again on the same data.
//!
//! The binary stands beside the tests: `target/<profile>/loa`, built by `make test` before the tests run (cargo does not
//! build the binary of another package by itself).
//!
//! Must stay true: a child never outlives its owner; everything it prints is kept in files, one per start.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use loa::keys::Keys;
use loa::place::Addresses;
use loa_runtime::Role;
use loa_runtime::config::{Config, DEFAULT, DEV, Layers};
use tokio::process::{Child, Command};

use crate::users::Users;
use crate::wait::wait_for;
use crate::{Fault, fault, http};

/// How long a start may take before a test gives up; the promise of 3 s is a test of its own.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a command may take.
const TOOL_LIMIT: Duration = Duration::from_secs(120);
/// How long a stop may take; the product's own limit is 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// Keys of the configuration that name log, stores, buckets, objects and the shared folder.
const PARTS: [&str; 5] = ["log.", "store.", "redis.", "objects.", "audience.snapshots"];

/// The binary beside this program.
pub fn binary() -> Result<PathBuf, Fault> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("loa")).find(|path| path.is_file());
    found.ok_or_else(|| fault("no binary `loa` beside the tests: run `make test`, or `cargo build -p loa` first"))
}

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The data folder.
    pub data: PathBuf,
    /// Where its output is kept.
    pub output: PathBuf,
    /// Keys of the configuration and their values.
    pub settings: Vec<(String, String)>,
    /// Arguments behind `loa dev` or `loa run`.
    pub arguments: Vec<String>,
    /// What `loa run` is told to run; none = every role, by `loa dev`.
    pub roles: Vec<Role>,
    /// The CA by which it is known, if it speaks TLS.
    pub ca: Option<PathBuf>,
    /// Its disk will be filled: see [`Process::fill_disk`].
    pub fills_disk: bool,
}

/// A running `loa`.
pub struct Process {
    start: Start,
    child: Option<Child>,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its users.
    pub users: Users,
    starts: u32,
}

impl Process {
    /// Starts it and waits until it is ready.
    pub async fn start(start: Start) -> Result<Self, Fault> {
        std::fs::create_dir_all(&start.output)?;
        let (child, addresses, users) = launch(&start, 0).await?;
        Ok(Self { start, child: Some(child), addresses, users, starts: 1 })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.addresses.pid
    }

    /// Its name among those that share stores.
    pub fn node(&self) -> &str {
        let named = self.start.settings.iter().rev().find(|(key, _)| key == "node.name");
        named.map_or("loa-1", |(_, name)| name.trim_matches('"'))
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        &self.start.data
    }

    /// Its configuration, by which others find its log and stores.
    pub fn config(&self) -> Result<Config, Fault> {
        config(&self.start.data, &self.start.settings)
    }

    /// kill -9; returns when it is gone.
    pub async fn kill(&mut self) -> Result<(), Fault> {
        if let Some(mut child) = self.child.take() {
            child.start_kill()?;
            child.wait().await?;
        }
        Ok(())
    }

    /// Starts again on the same data; ports are new.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        self.kill().await?;
        let (child, addresses, users) = launch(&self.start, self.starts).await?;
        (self.child, self.addresses, self.users) = (Some(child), addresses, users);
        self.starts += 1;
        Ok(())
    }

    /// Whether it has ended without being told to.
    pub fn has_ended(&mut self) -> Result<bool, Fault> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None => Ok(false),
        }
    }

    /// What it is started with, but in another folder and with these keys set anew.
    pub fn moved(&self, data: PathBuf, settings: &[(String, String)]) -> Start {
        let mut start = Start { data, ..self.start.clone() };
        start.settings.extend_from_slice(settings);
        start
    }

    /// Goes on as another start says; the old process must be gone.
    pub async fn start_as(&mut self, start: Start) -> Result<(), Fault> {
        self.start = start;
        self.start_again().await
    }

    /// Starts a command of the binary on this process's folder and parts; it is killed with its owner, and what it says is
    /// kept with what the process has printed.
    pub fn beside(&self, arguments: &[&str]) -> Result<Child, Fault> {
        let name = arguments.first().ok_or_else(|| fault("no command"))?;
        let file = |kind: &str| std::fs::File::create(self.start.output.join(format!("{name}.{kind}")));
        let mut command = bare(&of_parts(&self.start))?;
        command.args(arguments).stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?);
        Ok(command.kill_on_drop(true).spawn()?)
    }

    /// Stops in good order, which must end well, and starts again.
    pub async fn stop_and_start(&mut self) -> Result<(), Fault> {
        let ended = self.stop().await?;
        if !ended.success() {
            return Err(fault(format!("a stop settles what is in flight, and loa ended with {ended}")));
        }
        self.start_again().await
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> Result<ExitStatus, Fault> {
        self.signal("TERM")?;
        let mut child = self.child.take().ok_or_else(|| fault("not running"))?;
        let ended = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
        Ok(ended.map_err(|_| fault(format!("did not stop within {STOP_LIMIT:?}")))??)
    }

    /// SIGSTOP: nothing in it moves any more.
    pub fn freeze(&self) -> Result<(), Fault> {
        self.signal("STOP")
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), Fault> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<(), Fault> {
        signal(name, &[self.running()?])
    }

    fn running(&self) -> Result<u32, Fault> {
        self.child.as_ref().and_then(Child::id).ok_or_else(|| fault("not running"))
    }

    /// From now on it cannot write to any file, as on a full disk. The kernel's limit on the size of files does it, which
    /// needs no disk of its own and no rights; only of a process that was started for it.
    pub fn fill_disk(&self) -> Result<(), Fault> {
        self.limit_files("0")
    }

    /// There is room again.
    pub fn free_disk(&self) -> Result<(), Fault> {
        self.limit_files("unlimited")
    }

    fn limit_files(&self, size: &str) -> Result<(), Fault> {
        if !self.start.fills_disk {
            return Err(fault("the process was not started to have its disk filled"));
        }
        let (pid, limit) = (self.running()?.to_string(), format!("--fsize={size}:"));
        let done = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status()?;
        if done.success() { Ok(()) } else { Err(fault("prlimit failed")) }
    }

    /// Everything that all starts have printed.
    pub fn printed(&self) -> Result<String, Fault> {
        let mut text = String::new();
        for entry in std::fs::read_dir(&self.start.output)? {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(entry?.path())?));
        }
        Ok(text)
    }

    /// Runs a command of the binary on its parts.
    pub async fn tool(&self, arguments: &[&str]) -> Result<(), Fault> {
        tool(&self.start, arguments).await
    }

    /// /metrics as it stands.
    pub async fn metrics(&self) -> Result<String, Fault> {
        Ok(http::get(self.addresses.probes, "/metrics").await?.1)
    }
}

/// Sends a signal to processes.
pub fn signal(name: &str, pids: &[u32]) -> Result<(), Fault> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let sent = std::process::Command::new("sh")
        .args(["-c", "kill \"$@\"", "kill", &format!("-{name}")])
        .args(&pids)
        .status()?;
    if sent.success() { Ok(()) } else { Err(fault(format!("kill -{name} failed"))) }
}

/// What a Loa of `loa dev` with these settings goes by.
pub fn config(data: &Path, settings: &[(String, String)]) -> Result<Config, Fault> {
    let mut layers = Layers::default();
    layers.add_toml("loa.default.toml", DEFAULT, true)?;
    layers.add_toml("loa.dev.toml", DEV, true)?;
    layers.add_variables([(variable("node.data"), data.display().to_string())]);
    layers.add_variables(settings.iter().map(|(key, value)| (variable(key), value.clone())));
    Ok(Config::check(&layers)?)
}

/// Runs a command of the binary to its end with what a start says of its parts; what it said is in the fault.
pub async fn tool(start: &Start, arguments: &[&str]) -> Result<(), Fault> {
    let mut command = bare(&of_parts(start))?;
    let done = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let done =
        tokio::time::timeout(TOOL_LIMIT, done).await.map_err(|_| fault(format!("loa {arguments:?} hangs")))??;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() {
        Ok(())
    } else {
        Err(fault(format!("loa {arguments:?} ended with {}: {said}", done.status)))
    }
}

/// A start with what it says of its parts alone.
fn of_parts(start: &Start) -> Start {
    let names_part = |(key, _): &&(String, String)| PARTS.iter().any(|part| key.starts_with(part));
    Start { settings: start.settings.iter().filter(names_part).cloned().collect(), ..start.clone() }
}

/// The binary with the settings of a start and no others.
fn bare(start: &Start) -> Result<Command, Fault> {
    let mut command = if start.fills_disk {
        // The kernel's signal about the limit would end the process; a full disk sends none.
        let mut deaf = Command::new("env");
        deaf.arg("--ignore-signal=XFSZ").arg(binary()?);
        deaf
    } else {
        Command::new(binary()?)
    };
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOA_")) {
        command.env_remove(name);
    }
    let variables = start.settings.iter().map(|(key, value)| (variable(key), value));
    command.envs(variables).arg("--data").arg(&start.data);
    Ok(command)
}

async fn launch(start: &Start, number: u32) -> Result<(Child, Addresses, Users), Fault> {
    let file = |kind: &str| {
        let file = std::fs::File::create(start.output.join(format!("{number}.{kind}")))?;
        if start.fills_disk { through_a_pipe(file) } else { Ok(Stdio::from(file)) }
    };
    let mut command = bare(start)?;
    match start.roles.as_slice() {
        [] => command.args(["dev", "--port-base", "-1"]),
        roles => {
            command.args(["run", "--roles"]).arg(roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(","))
        }
    };
    command.args(&start.arguments);
    command.stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?).kill_on_drop(true);
    let mut child = command.spawn()?;
    let pid = child.id();
    let ready = wait_for("loa is ready", START_LIMIT, async || {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(Err(format!("loa ended with {status}"))));
        }
        let Some(addresses) = Addresses::read(&start.data).filter(|known| Some(known.pid) == pid) else {
            return Ok(None);
        };
        let (status, body) = http::get(addresses.probes, "/ready").await?;
        if status == 200 { Ok(Some(Ok(addresses))) } else { Err(fault(body)) }
    });
    match ready.await.and_then(|ready| ready.map_err(fault)) {
        Ok(addresses) => {
            let keys = Keys::read(&start.data).map_err(fault)?;
            let users = Users::of(addresses.grpc, &keys, start.ca.as_ref())?;
            Ok((child, addresses, users))
        }
        Err(error) => {
            let said = std::fs::read_to_string(start.output.join(format!("{number}.err"))).unwrap_or_default();
            let tail: Vec<_> = said.lines().rev().take(20).collect();
            Err(fault(format!("{error}; it said:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))))
        }
    }
}

/// Into a file that somebody else writes; who writes it ends with who is read.
fn through_a_pipe(file: std::fs::File) -> std::io::Result<Stdio> {
    let mut writer = std::process::Command::new("cat").stdin(Stdio::piped()).stdout(file).spawn()?;
    let into = writer.stdin.take().ok_or_else(|| std::io::Error::other("no pipe"))?;
    std::thread::spawn(move || writer.wait());
    Ok(Stdio::from(into))
}

/// `sms.account.sim-a.rate` → `LOA__SMS__ACCOUNT__SIM-A__RATE`
pub fn variable(key: &str) -> String {
    format!("LOA__{}", key.replace('.', "__").to_uppercase())
}
