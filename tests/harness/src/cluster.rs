//! Two processes of the real binary on the same log, stores and buckets, which run outside of them.
//!
//! Must stay true: every process has a data folder of its own and shares nothing with the others but the parts they are
//! told of, the hash key and the keys of users.

use std::path::Path;

use loa::place::Addresses;

use crate::process::{self, Process, Start};
use crate::users::Users;
use crate::{Fault, fault};

/// What every process of an installation has in common, made by the first.
const SHARED_FILES: [&str; 2] = ["hash.key", "keys.toml"];

/// The processes of a site.
pub struct Cluster {
    first: Process,
    second: Process,
}

impl Cluster {
    /// Starts both; `start.data` becomes the folder of their folders.
    pub async fn start(start: Start) -> Result<Self, Fault> {
        process::tool(&part(&start, 0), &["topics", "apply"]).await?;
        let first = Process::start(part(&start, 0)).await?;
        let second = part(&start, 1);
        std::fs::create_dir_all(&second.data)?;
        for file in SHARED_FILES {
            std::fs::copy(first.data().join(file), second.data.join(file))?;
        }
        Ok(Self { first, second: Process::start(second).await? })
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

    /// Both go on elsewhere, on what was put back there: the old processes must be gone.
    pub async fn start_as(&mut self, first: process::Start, second: process::Start) -> Result<(), Fault> {
        std::fs::create_dir_all(&second.data)?;
        for file in SHARED_FILES {
            std::fs::copy(first.data.join(file), second.data.join(file))?;
        }
        self.first.start_as(first).await?;
        self.second.start_as(second).await
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
