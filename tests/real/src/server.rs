//! One server of somebody else's as a child process.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loa_harness::process::signal;
use loa_harness::{Fault, fault, wait_for};
use tempfile::TempDir;

/// The user and group that Debian calls `nobody` and `nogroup`; PostgreSQL refuses to run as root, and nothing here needs it.
const NOBODY: u32 = 65_534;
/// Lines of a server's output that a fault shows.
const SHOWN_LINES: usize = 20;
/// How long a server may take to stop in good order.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A running server and its folder.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    folder: Folder,
}

/// A folder that belongs to the user the servers run as; it goes with the last who holds it.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// A new, empty one.
    pub fn new() -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        give(folder.path())?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a file that the server may read.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        let path = self.path().join(name);
        std::fs::write(&path, text)?;
        give(&path)?;
        Ok(path)
    }
}

impl Server {
    /// Starts a command as the unprivileged user, its output kept in the folder.
    pub fn start(name: &'static str, folder: Folder, mut command: Command) -> Result<Self, Fault> {
        let child = launch(name, &folder, &mut command)?;
        Ok(Self { name, child, folder })
    }

    /// Starts the command on the same folder, after a kill or a stop.
    pub fn start_again(&mut self, mut command: Command) -> Result<(), Fault> {
        self.kill()?;
        self.child = launch(self.name, &self.folder, &mut command)?;
        Ok(())
    }

    /// Waits until the question is answered with yes; a server that has ended is a fault at once.
    pub async fn ready(&mut self, limit: Duration, mut ask: impl AsyncFnMut() -> bool) -> Result<(), Fault> {
        let (name, child) = (self.name, &mut self.child);
        let asked = wait_for(name, limit, async || match child.try_wait()? {
            Some(status) => Ok(Some(Some(status))),
            None => Ok(ask().await.then_some(None)),
        });
        match asked.await {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(fault(format!("{name} ended at its start ({status}):\n{}", self.last_lines()))),
            Err(error) => Err(fault(format!("{name} is not ready: {error}\n{}", self.last_lines()))),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// kill -9; returns when it is gone.
    pub fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Tells it by a signal to end in good order; returns when it has.
    pub async fn stop(&mut self, by: &str) -> Result<(), Fault> {
        signal(by, &[self.pid()])?;
        wait_for(self.name, STOP_LIMIT, async || Ok(self.child.try_wait()?)).await.map(drop)
    }

    /// SIGSTOP: it keeps its connections and answers nothing; nor do the processes that it has started.
    pub fn freeze(&self) -> Result<(), Fault> {
        signal("STOP", &[self.pid()])?; // first: it starts no others from here on
        self.signal_children("STOP")
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<(), Fault> {
        self.signal_children("CONT")?;
        signal("CONT", &[self.pid()])
    }

    fn signal_children(&self, name: &str) -> Result<(), Fault> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children = children.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        if children.is_empty() { Ok(()) } else { signal(name, &children) }
    }

    fn last_lines(&self) -> String {
        let printed = std::fs::read(output(self.name, &self.folder)).unwrap_or_default();
        let text = String::from_utf8_lossy(&printed).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            loa_harness::say(format!("{} could not be stopped: {error}", self.name));
        }
    }
}

/// Runs a tool of a server (such as `initdb`) to its end as the unprivileged user; its output is in the fault.
pub fn run(mut command: Command) -> Result<(), Fault> {
    unprivileged(&mut command);
    let done = command.stdin(Stdio::null()).output().map_err(|error| missing(&command, &error))?;
    if done.status.success() {
        return Ok(());
    }
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Err(fault(format!("{:?} failed ({}):\n{out}{err}", command.get_program(), done.status)))
}

/// Where `tests/real/install` has put what is not a Debian package.
pub fn installed(name: &str) -> Result<PathBuf, Fault> {
    let place = std::env::var_os("LOA_REAL").map_or_else(|| std::env::temp_dir().join("loa-real"), PathBuf::from);
    let path = place.join(name);
    if path.exists() { Ok(path) } else { Err(fault(format!("{} is missing: run `make test-real`", path.display()))) }
}

fn launch(name: &'static str, folder: &Folder, command: &mut Command) -> Result<Child, Fault> {
    unprivileged(command);
    let out = std::fs::File::options().create(true).append(true).open(output(name, folder))?;
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    command.spawn().map_err(|error| missing(command, &error))
}

fn output(name: &str, folder: &Folder) -> PathBuf {
    folder.path().join(format!("{name}.out"))
}

fn missing(command: &Command, error: &std::io::Error) -> Fault {
    fault(format!("{:?} cannot be started: {error}; run `make test-real`, which installs it", command.get_program()))
}

/// Root gives itself up; anybody else is unprivileged already.
fn unprivileged(command: &mut Command) {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn give(path: &Path) -> Result<(), Fault> {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
