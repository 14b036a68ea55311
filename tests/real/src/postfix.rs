//! Postfix as a relay of its own: configuration, queue and log in one folder, nothing of the system's.
//!
//! It accepts mail for `example.test`, from loopback, and throws it away; its log is the record. Its master must be root,
//! which is why it is not a [`crate::Server`]: tests that do not run as root cannot start it, and say so. All that touches
//! mail runs as Debian's user `postfix`. Of a line of the sink log the time and the connection cannot be had (0), the hash is
//! that of the Message-ID, and the id is Postfix's queue id.
//!
//! Must stay true: it listens on loopback alone; at its end its whole process group is gone.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loa_harness::ports::free_port;
use loa_harness::wait::until;
use loa_harness::{Fault, fault};
use loa_sim::log::{LogLine, text_hash};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::tail::Tail;

const LIMIT: Duration = Duration::from_secs(60);
/// What a line of its log holds about a mail that it has taken and is done with.
const SENT: &str = "status=sent";
/// Where mail is between its acceptance and its end.
const QUEUES: [&str; 4] = ["incoming", "active", "deferred", "maildrop"];
/// Which services run, and how: Postfix's own table without what goes out or comes in by other ways.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    master: Child,
    folder: TempDir,
    port: u16,
    sent: Tail,
}

impl Postfix {
    /// On a free port, with an empty queue.
    pub async fn start() -> Result<Self, Fault> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Err(fault("Postfix's master runs as root alone: run these tests as root"));
        }
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        prepare(folder.path(), port)?;
        let sent = Tail::new(log(folder.path()), |line| String::from_utf8_lossy(line).contains(SENT));
        let mut postfix = Self { master: launch(folder.path())?, folder, port, sent };
        postfix.ready().await?;
        Ok(postfix)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Every recipient of every mail that it accepted, once its queue is empty.
    pub async fn lines(&self) -> Result<Vec<LogLine>, Fault> {
        let queue = self.folder.path().join("queue");
        until("Postfix's queue is empty", LIMIT, async || QUEUES.iter().all(|name| is_empty(&queue.join(name))))
            .await?;
        Ok(read(&std::fs::read_to_string(self.log())?))
    }

    /// About how many that is, up to now: those in its queue are not counted yet.
    pub fn accepted(&self) -> Result<u64, Fault> {
        self.sent.count()
    }

    /// Stops it as a crash would: all of its processes at once.
    pub fn kill(&mut self) -> Result<(), Fault> {
        // The master is the leader of its group, in which all of its children are.
        let group = format!("-{}", self.master.id());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status()?;
        self.master.wait()?;
        Ok(())
    }

    /// Starts it again on the same port, queue and log.
    pub async fn start_again(&mut self) -> Result<(), Fault> {
        self.kill()?;
        self.master = launch(self.folder.path())?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let (addr, master) = (self.addr(), &mut self.master);
        let listening =
            async || TcpStream::connect(addr).await.is_ok() || master.try_wait().is_ok_and(|end| end.is_some());
        until("Postfix listens", LIMIT, listening).await?;
        match self.master.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let [log, out] =
                    [self.log(), out(self.folder.path())].map(|path| std::fs::read(path).unwrap_or_default());
                let printed = String::from_utf8_lossy(&[log, out].concat()).into_owned();
                Err(fault(format!("Postfix ended at its start ({status}):\n{printed}")))
            }
        }
    }

    fn log(&self) -> PathBuf {
        log(self.folder.path())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            loa_harness::say(format!("Postfix could not be stopped: {error}"));
        }
    }
}

fn prepare(folder: &Path, port: u16) -> Result<(), Fault> {
    // Its unprivileged parts must be able to enter.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for name in ["etc", "queue", "data", "log"] {
        std::fs::create_dir(folder.join(name))?;
    }
    let place = folder.display();
    let settings = format!(
        "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
         maillog_file = {place}/log/mail.log\nmaillog_file_prefixes = {place}\nmyhostname = mail.example.test\n\
         mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         virtual_mailbox_domains = example.test\nvirtual_transport = discard:\n\
         default_transport = error:only example.test is served\nsmtpd_relay_restrictions = reject_unauth_destination\n\
         local_recipient_maps =\nalias_maps =\nalias_database =\nenable_long_queue_ids = yes\n\
         smtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\n"
    );
    std::fs::write(folder.join("etc/main.cf"), settings)?;
    let services = format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}");
    std::fs::write(folder.join("etc/master.cf"), services)?;
    run(Command::new("chown").args(["postfix", "data", "log"]).current_dir(folder))?;
    // Makes the queue's folders.
    run(Command::new("postfix").arg("-c").arg(folder.join("etc")).arg("check"))
}

fn launch(folder: &Path) -> Result<Child, Fault> {
    let asked = Command::new("postconf").args(["-h", "-d", "daemon_directory"]).output()?;
    let daemons = PathBuf::from(String::from_utf8(asked.stdout)?.trim());
    let out = std::fs::File::options().create(true).append(true).open(out(folder))?;
    let mut master = Command::new(daemons.join("master"));
    master.arg("-c").arg(folder.join("etc")).arg("-s").current_dir(folder);
    master.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    master.spawn().map_err(|error| fault(format!("Postfix cannot be started: {error}; run `make test-real`")))
}

fn run(command: &mut Command) -> Result<(), Fault> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(fault(format!("{:?} failed ({}): {why}", command.get_program(), done.status)))
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log/mail.log")
}

fn out(folder: &Path) -> PathBuf {
    folder.join("postfix.out")
}

/// Files may lie in subfolders, which stay.
fn is_empty(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_empty(&entry.path()))
}

/// `… postfix/cleanup[1]: QUEUEID: message-id=<…>` and `… postfix/discard[1]: QUEUEID: to=<…>, … status=sent (…)`. A
/// recipient that was thrown away twice, since a kill came between, was accepted once.
fn read(log: &str) -> Vec<LogLine> {
    let (mut message_ids, mut seen, mut accepted) = (HashMap::new(), HashSet::new(), Vec::new());
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("]: ") else { continue };
        let Some((id, rest)) = rest.split_once(": ") else { continue };
        if let Some(message_id) = rest.strip_prefix("message-id=") {
            message_ids.insert(id, text_hash(message_id.as_bytes()));
        }
        let Some((address, rest)) = rest.strip_prefix("to=<").and_then(|rest| rest.split_once(">, ")) else { continue };
        if rest.contains(SENT) && seen.insert((id, address)) {
            let text_hash = message_ids.get(id).copied().unwrap_or(0);
            let (address, id) = (address.to_owned(), id.to_owned());
            accepted.push(LogLine { unix_us: 0, connection: 0, address, part: 1, parts: 1, text_hash, id });
        }
    }
    accepted
}
