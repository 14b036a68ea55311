//! Several processes of the real binary on the same log, stores and buckets, which run outside of them: two with every role,
//! or two of each group of roles.
//!
//! Both have every role, or the second has some roles alone and the first the others. The second may be told things of its
//! own, such as a way to the log on which a test sits.
//!
//! Must stay true: every process has a data folder of its own and shares nothing with the others but the parts they are
//! told of, the hash key and the keys of users, and a folder of snapshots where no store of objects is one of the parts; the
//! first process is the one that users talk to.

use std::path::Path;

use loa::keys::{Keys, SYSTEM};
use loa::place::Addresses;
use loa_runtime::Role;
use loa_runtime::config::DEV;

use crate::ports::free_port;
use crate::process::{self, Process, Start};
use crate::users::Users;
use crate::{Fault, fault, say};

/// What every process of an installation has in common, made by the first.
const SHARED_FILES: [&str; 2] = ["hash.key", "keys.toml"];
/// Starts in a row, at most.
const STARTS_MAX: u32 = 5;
/// How often each group of roles runs.
const TWICE: usize = 2;
/// Where roles run apart: those that users talk to, the one that releases, those that hand over.
const GROUPS: [&[Role]; 3] =
    [&[Role::Registry, Role::Audience, Role::Report, Role::Console], &[Role::Dispatch], &[Role::Sms, Role::Email]];

/// What the second process alone is.
#[derive(Debug, Clone, Default)]
pub struct Second {
    /// Its roles, which the first has not; none = both have all.
    pub roles: Vec<Role>,
    /// Keys of its configuration and their values.
    pub settings: Vec<(String, String)>,
}

/// The processes of a site.
pub struct Cluster {
    processes: Vec<Process>,
}

impl Cluster {
    /// Starts two; `start.data` becomes the folder of their folders. Both have every role, or the second has some alone.
    pub async fn start(start: Start, second: Second) -> Result<Self, Fault> {
        let mut starts = match second.roles.as_slice() {
            [] => (0..TWICE).map(|number| part(&start, &number.to_string())).collect(),
            roles => {
                let first = Role::ALL.iter().copied().filter(|role| !roles.contains(role)).collect::<Vec<_>>();
                machine(&start, &[&first, roles], ["0", "1"].map(str::to_owned).as_slice())?
            }
        };
        starts[1].settings.extend(second.settings);
        Self::start_all(starts).await
    }

    /// Starts two of each group of roles, as on two machines: each knows the others of its machine.
    pub async fn start_apart(start: Start) -> Result<Self, Fault> {
        let mut starts = Vec::new();
        for number in 0..TWICE {
            starts.extend(machine(&start, &GROUPS, &GROUPS.map(|roles| format!("{number}-{}", roles[0])))?);
        }
        Self::start_all(starts).await
    }

    async fn start_all(starts: Vec<Start>) -> Result<Self, Fault> {
        let mut processes: Vec<Process> = Vec::new();
        for start in starts {
            match processes.first() {
                None => process::tool(&start, &["topics", "apply"]).await?,
                Some(first) => {
                    std::fs::create_dir_all(&start.data)?;
                    for file in SHARED_FILES {
                        std::fs::copy(first.data().join(file), start.data.join(file))?;
                    }
                }
            }
            processes.push(again_as_its_unit(async || Process::start(start.clone()).await).await?);
        }
        Ok(Self { processes })
    }

    /// The users' calls go to the first process.
    pub fn users(&self) -> &Users {
        &self.processes[0].users
    }

    /// The process that users talk to.
    pub fn first(&mut self) -> &mut Process {
        &mut self.processes[0]
    }

    /// Another one with its roles.
    pub fn second(&mut self) -> &mut Process {
        let second = self.processes.len() / TWICE;
        &mut self.processes[second]
    }

    /// All of them.
    pub fn processes(&mut self) -> &mut [Process] {
        &mut self.processes
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<Addresses> {
        self.processes.iter().map(|process| process.addresses.clone()).collect()
    }

    /// The folder of the first one's data.
    pub fn data(&self) -> &Path {
        self.processes[0].data()
    }

    /// Everything that all have printed.
    pub fn written(&self) -> Result<String, Fault> {
        self.processes.iter().map(Process::printed).collect()
    }

    /// What they have printed, and their metrics.
    pub async fn printed(&self) -> Result<String, Fault> {
        let mut text = self.written()?;
        for process in &self.processes {
            text.push_str(&process.metrics().await?);
        }
        Ok(text)
    }

    /// Both go on elsewhere, on what was put back there: the old processes must be gone.
    pub async fn start_as(&mut self, first: Start, second: Start) -> Result<(), Fault> {
        std::fs::create_dir_all(&second.data)?;
        for file in SHARED_FILES {
            std::fs::copy(first.data.join(file), second.data.join(file))?;
        }
        self.first().start_as(first).await?;
        self.second().start_as(second).await
    }

    /// Stops all in good order, one after the other; who is asked by others ends after them.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        for process in self.processes.iter_mut().rev() {
            let ended = process.stop().await?;
            if !ended.success() {
                return Err(fault(format!("a loa ended with {ended}")));
            }
        }
        Ok(())
    }

    /// Starts one that was killed or stopped.
    pub async fn start_one(&mut self, one: usize) -> Result<(), Fault> {
        let process = &mut self.processes[one];
        again_as_its_unit(async || process.start_again().await).await
    }

    /// Those that have ended without being told to.
    pub fn ended(&mut self) -> Result<Vec<String>, Fault> {
        let mut ended = Vec::new();
        for process in &mut self.processes {
            if process.has_ended()? {
                ended.push(process.node().to_owned());
            }
        }
        Ok(ended)
    }

    /// Starts all again.
    pub async fn start_stopped(&mut self) -> Result<(), Fault> {
        for one in 0..self.processes.len() {
            self.start_one(one).await?;
        }
        Ok(())
    }
}

/// A start ends where a server does not answer in time, and is made again, as `deploy/systemd/loa.service` has it.
async fn again_as_its_unit<T>(mut start: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for _ in 1..STARTS_MAX {
        match start().await {
            Ok(started) => return Ok(started),
            Err(error) => say(format!("started again: {}", error.to_string().lines().last().unwrap_or_default())),
        }
    }
    start().await
}

/// Where processes keep dataset versions and freezes together, unless they have a store of objects for them.
pub(crate) fn shared_folder(settings: &[(String, String)], data: &Path) -> Option<(String, String)> {
    let has_objects = settings.iter().any(|(key, _)| key == "objects.url");
    (!has_objects).then(|| ("audience.snapshots".to_owned(), format!("{:?}", data.join("snapshots"))))
}

/// What one of them is started with.
fn part(start: &Start, name: &str) -> Start {
    let mut settings = start.settings.clone();
    settings.push(("node.name".to_owned(), format!("\"loa-{name}\"")));
    settings.extend(shared_folder(&settings, &start.data));
    Start { data: start.data.join(name), output: start.output.join(name), settings, ..start.clone() }
}

/// A process for each group of roles, which find each other; the users that `loa dev` would make are configured.
fn machine(start: &Start, groups: &[&[Role]], names: &[String]) -> Result<Vec<Start>, Fault> {
    std::fs::create_dir_all(&start.data)?;
    let simulated = start.data.join("simulated.toml");
    std::fs::write(&simulated, DEV)?;
    let users = users(&Keys::read_or_make(&start.data).map_err(fault)?)?;
    let ports = groups.iter().map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
    let mut starts = Vec::new();
    for (at, (roles, name)) in groups.iter().zip(names).enumerate() {
        let mut one = part(start, name);
        one.roles = roles.to_vec();
        one.arguments = vec!["--config".to_owned(), simulated.display().to_string()];
        one.settings.extend(users.clone());
        one.settings.extend(listens(ports[at]));
        for (others, port) in groups.iter().zip(&ports).filter(|(others, _)| others != &roles) {
            one.settings.extend(others.iter().map(|role| endpoint(*role, *port)));
        }
        std::fs::create_dir_all(&one.data)?;
        std::fs::copy(start.data.join("keys.toml"), one.data.join("keys.toml"))?;
        starts.push(one);
    }
    Ok(starts)
}

/// The demo users as an operator would configure them, and the key of the roles.
fn users(keys: &Keys) -> Result<[(String, String); 2], Fault> {
    let user = |user: &loa_runtime::config::UserConfig| {
        let hash: String = user.key_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let rights: Vec<_> = user.rights.iter().map(|right| format!("\"{}\"", right.name())).collect();
        format!("{{ name = \"{}\", key_sha256 = \"{hash}\", rights = [{}] }}", user.name, rights.join(", "))
    };
    let people: Vec<_> = keys.demo_users().iter().filter(|one| one.name != SYSTEM).map(user).collect();
    let system = keys.of(SYSTEM).ok_or_else(|| fault("no key of the roles"))?;
    Ok([("user".to_owned(), format!("[{}]", people.join(", "))), ("grpc.system_key".to_owned(), format!("{system:?}"))])
}

/// Others know where the process is reached, so that port stays; nobody needs to know its other ports.
fn listens(port: u16) -> [(String, String); 3] {
    let listen = |what: &str, port: u16| (format!("{what}.listen"), format!("\"127.0.0.1:{port}\""));
    [listen("grpc", port), listen("probes", 0), listen("console", 0)]
}

fn endpoint(role: Role, port: u16) -> (String, String) {
    (format!("endpoints.{role}"), format!("\"http://127.0.0.1:{port}\""))
}
