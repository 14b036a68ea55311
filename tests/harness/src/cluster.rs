//! Several processes of the real binary on the same log, stores and buckets, which run outside of them: two with every role,
//! or one for each group of roles.
//!
//! Must stay true: every process has a data folder of its own and shares nothing with the others but the parts they are
//! told of, the hash key and the keys of users.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use loa::keys::{Keys, SYSTEM};
use loa::place::Addresses;
use loa_runtime::Role;

use crate::process::{self, Process, Start};
use crate::users::Users;
use crate::{Fault, fault};

/// What every process of an installation has in common, made by the first.
const SHARED_FILES: [&str; 2] = ["hash.key", "keys.toml"];

/// The processes of a site.
pub struct Cluster {
    processes: Vec<Process>,
}

impl Cluster {
    /// Starts two with every role; `start.data` becomes the folder of their folders.
    pub async fn start(start: Start) -> Result<Self, Fault> {
        Self::start_all((0..2).map(|number| part(&start, number)).collect()).await
    }

    /// Starts one for each group of roles; users talk to the first.
    pub async fn start_roles(start: Start, groups: &[&'static str]) -> Result<Self, Fault> {
        let own = |key: &str, value: String| (key.to_owned(), format!("{value:?}"));
        let ports = groups.iter().map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut endpoints = Vec::new();
        for role in Role::ALL {
            let at = groups.iter().position(|group| group.split(',').any(|name| name == role.name()));
            let port = at.and_then(|at| ports.get(at));
            let port = port.ok_or_else(|| fault(format!("nobody has the role {role}")))?;
            endpoints.push(own(&format!("endpoints.{role}"), format!("http://127.0.0.1:{port}")));
        }
        let first = part(&start, 0);
        std::fs::create_dir_all(&first.data)?;
        let keys = Keys::read_or_make(&first.data).map_err(fault)?;
        let system = keys.of(SYSTEM).ok_or_else(|| fault("no key of the system"))?;
        let mut starts = Vec::new();
        for (number, (group, port)) in (0..).zip(groups.iter().zip(&ports)) {
            let mut one = part(&start, number);
            one.roles = Some(*group);
            one.settings.extend(endpoints.clone());
            one.settings.push(own("grpc.system_key", system.to_owned()));
            one.settings.push(own("grpc.listen", format!("127.0.0.1:{port}")));
            for listen in ["probes.listen", "console.listen"] {
                one.settings.push(own(listen, "127.0.0.1:0".to_owned()));
            }
            starts.push(one);
        }
        Self::start_all(starts).await
    }

    /// The first makes what they share; the others are started together, since none may be ready without another.
    async fn start_all(starts: Vec<Start>) -> Result<Self, Fault> {
        let mut starts = starts.into_iter();
        let first = starts.next().ok_or_else(|| fault("no process to start"))?;
        process::tool(&first, &["topics", "apply"]).await?;
        let mut processes = vec![Process::start(first).await?];
        for start in starts {
            std::fs::create_dir_all(&start.data)?;
            for file in SHARED_FILES {
                std::fs::copy(processes[0].data().join(file), start.data.join(file))?;
            }
            processes.push(Process::start(start).await?);
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

    /// The other one.
    pub fn second(&mut self) -> &mut Process {
        &mut self.processes[1]
    }

    /// All of them.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Process> {
        self.processes.iter_mut()
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
            text += &process.metrics().await?;
        }
        Ok(text)
    }

    /// Stops all in good order, one after the other.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        for process in &mut self.processes {
            let ended = process.stop().await?;
            if !ended.success() {
                return Err(fault(format!("a loa ended with {ended}")));
            }
        }
        Ok(())
    }
}

/// A port of loopback that nobody listens on now.
fn free_port() -> Result<u16, Fault> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What one of them is started with.
fn part(start: &Start, number: u32) -> Start {
    let mut settings = start.settings.clone();
    settings.push(("node.name".to_owned(), format!("\"loa-{number}\"")));
    settings.push(("audience.snapshots".to_owned(), format!("{:?}", start.data.join("snapshots"))));
    let name = number.to_string();
    Start { data: start.data.join(&name), output: start.output.join(&name), settings, ..start.clone() }
}
