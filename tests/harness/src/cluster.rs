//! Two processes of the real binary on the same log, stores and buckets, which run outside of them.
//!
//! Both have every role, or the second has some roles alone and the first the others. The second may be told things of its
//! own, such as a way to the log on which a test sits.
//!
//! Must stay true: every process has a data folder of its own and shares nothing with the others but the parts they are
//! told of, the hash key and the keys of users.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use loa::keys::{Keys, SYSTEM};
use loa::place::Addresses;
use loa_runtime::Role;
use loa_runtime::config::{DEV, UserConfig};

use crate::process::{self, Apart, Process, Start};
use crate::users::Users;
use crate::{Fault, fault};

/// What every process of an installation has in common, made by the first.
const SHARED_FILES: [&str; 2] = ["hash.key", "keys.toml"];

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
    first: Process,
    second: Process,
}

impl Cluster {
    /// Starts both; `start.data` becomes the folder of their folders.
    pub async fn start(start: Start, second: Second) -> Result<Self, Fault> {
        process::tool(&part(&start, 0), &["topics", "apply"]).await?;
        let [mut first, mut other] = [part(&start, 0), part(&start, 1)];
        std::fs::create_dir_all(&first.data)?;
        std::fs::create_dir_all(&other.data)?;
        let keys = Keys::read_or_make(&first.data).map_err(fault)?;
        let apart = if second.roles.is_empty() { None } else { Some(apart(&start.data, &second.roles, &keys)?) };
        if let Some(apart) = &apart {
            for (start, port) in [&mut first, &mut other].into_iter().zip(apart.ports) {
                start.settings.extend(apart.settings.iter().cloned().chain(listens(port)));
            }
        }
        other.settings.extend(second.settings);
        let run = |at: usize| {
            apart.as_ref().map(|apart| Apart { roles: apart.roles[at].clone(), config: apart.config.clone() })
        };
        let first = Process::start_as(first, run(0)).await?;
        for file in SHARED_FILES {
            std::fs::copy(first.data().join(file), other.data.join(file))?;
        }
        Ok(Self { first, second: Process::start_as(other, run(1)).await? })
    }

    /// The users' calls go to the first process.
    pub fn users(&self) -> &Users {
        &self.first.users
    }

    /// The process that users talk to.
    pub fn first(&mut self) -> &mut Process {
        &mut self.first
    }

    /// The other one.
    pub fn second(&mut self) -> &mut Process {
        &mut self.second
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<Addresses> {
        [&self.first, &self.second].map(|process| process.addresses.clone()).to_vec()
    }

    /// The folder of the first one's data.
    pub fn data(&self) -> &Path {
        self.first.data()
    }

    /// Everything that all have printed.
    pub fn written(&self) -> Result<String, Fault> {
        Ok(self.first.printed()? + &self.second.printed()?)
    }

    /// What they have printed, and their metrics.
    pub async fn printed(&self) -> Result<String, Fault> {
        Ok(self.written()? + &self.first.metrics().await? + &self.second.metrics().await?)
    }

    /// Stops both in good order, one after the other.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        for process in [&mut self.first, &mut self.second] {
            let ended = process.stop().await?;
            if !ended.success() {
                return Err(fault(format!("a loa ended with {ended}")));
            }
        }
        Ok(())
    }
}

/// What one of them is started with.
fn part(start: &Start, number: u32) -> Start {
    let mut settings = start.settings.clone();
    settings.push(("node.name".to_owned(), format!("\"loa-{number}\"")));
    settings.push(("audience.snapshots".to_owned(), format!("{:?}", start.data.join("snapshots"))));
    let name = number.to_string();
    Start { data: start.data.join(&name), output: start.output.join(&name), settings, ..start.clone() }
}

/// Two processes with different roles.
struct Roles {
    /// Of each, as `--roles` takes them.
    roles: [String; 2],
    /// Where each listens.
    ports: [u16; 2],
    /// Where each finds the roles of both.
    settings: Vec<(String, String)>,
    config: PathBuf,
}

/// Takes the roles apart: ports that are told beforehand, and a configuration with the users that `loa dev` would make.
fn apart(folder: &Path, second: &[Role], keys: &Keys) -> Result<Roles, Fault> {
    let ports = [free_port()?, free_port()?];
    let has = |at: usize, role: &Role| second.contains(role) == (at == 1);
    let names =
        |at: usize| Role::ALL.iter().filter(|role| has(at, role)).map(|role| role.name()).collect::<Vec<_>>().join(",");
    let settings = Role::ALL.iter().map(|role| {
        let port = ports[usize::from(second.contains(role))];
        (format!("endpoints.{role}"), format!("\"http://127.0.0.1:{port}\""))
    });
    let key = keys.of(SYSTEM).ok_or_else(|| fault("no key for calls between roles"))?;
    let settings = settings.chain([("grpc.system_key".to_owned(), format!("{key:?}"))]).collect();
    let config = folder.join("apart.toml");
    let user = |user: &UserConfig| {
        let hash: String = user.key_sha256.iter().map(|octet| format!("{octet:02x}")).collect();
        let rights: Vec<_> = user.rights.iter().map(|right| right.name()).collect();
        format!("[[user]]\nname = {:?}\nkey_sha256 = {hash:?}\nrights = {rights:?}\n", user.name)
    };
    let users: String = keys.demo_users().iter().filter(|user| user.name != SYSTEM).map(user).collect();
    std::fs::write(&config, format!("{DEV}\n{users}"))?;
    Ok(Roles { roles: [names(0), names(1)], ports, settings, config })
}

/// One port for calls, the others as they are free.
fn listens(grpc: u16) -> [(String, String); 3] {
    [("grpc", grpc), ("probes", 0), ("console", 0)]
        .map(|(section, port)| (format!("{section}.listen"), format!("\"127.0.0.1:{port}\"")))
}

fn free_port() -> Result<u16, Fault> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
