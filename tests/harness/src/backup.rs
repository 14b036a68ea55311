//! A Loa that is copied while it runs, killed, and put back elsewhere; the simulated world stays the same.
//!
//! Must stay true: nothing of the original but its backup is used where it is put back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;

use crate::cluster::shared_folder;
use crate::process::{Start, tool};
use crate::site::Loa;
use crate::{Fault, Site, fault, wait_for};

/// How long a backup may take until it is whole, on a busy machine.
const BACKUP_LIMIT: Duration = Duration::from_secs(120);

impl Site {
    /// Starts `loa backup` with these arguments beside the process that users talk to.
    pub fn backup(&mut self, arguments: &[&str]) -> Result<Child, Fault> {
        let arguments = [&["backup"], arguments].concat();
        match &mut self.loa {
            Loa::Process(process) => process.beside(&arguments),
            Loa::Cluster(cluster) => cluster.first().beside(&arguments),
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Waits until the backup there is whole, while the command that makes it goes on.
    pub async fn whole_backup(&self, backup: &mut Child, folder: &Path) -> Result<(), Fault> {
        let whole = wait_for("the backup is whole", BACKUP_LIMIT, async || match backup.try_wait()? {
            Some(ended) => Ok(Some(Err(fault(format!("loa backup ended with {ended}"))))),
            None => Ok(folder.join("backup.json").exists().then_some(Ok(()))),
        });
        whole.await?
    }

    /// kill -9 of every process.
    pub async fn kill_all(&mut self) -> Result<(), Fault> {
        match &mut self.loa {
            Loa::Process(process) => process.kill().await,
            Loa::Cluster(cluster) => {
                cluster.first().kill().await?;
                cluster.second().kill().await
            }
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Where a backup of this site is put back: a folder that is not there yet, and these keys set anew.
    pub fn elsewhere(&mut self, data: PathBuf, settings: &[(String, String)]) -> Result<Vec<Start>, Fault> {
        match &mut self.loa {
            Loa::Process(process) => Ok(vec![process.moved(data, settings)]),
            Loa::Cluster(cluster) => {
                let mut settings = settings.to_vec();
                settings.extend(shared_folder(&settings, &data));
                let first = cluster.first().moved(data.join("0"), &settings);
                Ok(vec![first, cluster.second().moved(data.join("1"), &settings)])
            }
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Puts a backup back there and goes on with it.
    pub async fn restored(&mut self, from: &Path, elsewhere: Vec<Start>) -> Result<(), Fault> {
        let first = elsewhere.first().ok_or_else(|| fault("nowhere to put it"))?;
        tool(first, &["restore", "--from", &from.display().to_string()]).await?;
        match (&mut self.loa, <[Start; 2]>::try_from(elsewhere)) {
            (Loa::Process(process), Err(mut one)) if one.len() == 1 => process.start_as(one.remove(0)).await,
            (Loa::Cluster(cluster), Ok([first, second])) => cluster.start_as(first, second).await,
            _ => Err(fault("this is not where this site can go")),
        }
    }
}
