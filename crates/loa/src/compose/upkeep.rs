//! Retention of the log, and what /ready says of the log and of the disk.
//!
//! Must stay true: looking at the disk costs nothing while all is well: it is tried only when something else does not
//! answer, and what was written for that is taken away again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::log::Log;
use loa_runtime::config::{Config, LogConfig, StoreConfig};
use loa_runtime::control::ControlView;
use loa_runtime::probes::Readiness;
use loa_runtime::{Ctx, Service, ServiceError};

/// How often retention is looked after.
const RETAIN_EVERY: Duration = Duration::from_secs(60);
/// How often readiness is looked after.
const READY_EVERY: Duration = Duration::from_millis(250);
/// Looks in a row at a silent log that are worth a line: a second, which a start may take.
const UNANSWERED_TOLD: u32 = 4;
/// How often the disk is tried while something does not answer.
const DISK_EVERY: Duration = Duration::from_millis(500);
/// The file of a trial, in the folder of data.
const TRIAL: &str = "disk.trial";

/// Looks after log and disk until the process stops.
pub(super) struct Upkeep {
    log: Arc<dyn Log>,
    view: ControlView,
    readiness: Readiness,
    disk: Option<Disk>,
    /// Looks in a row at a log that was silent.
    unanswered: u32,
}

impl Upkeep {
    pub(super) fn new(config: &Config, log: Arc<dyn Log>, view: ControlView, readiness: Readiness) -> Self {
        let has_files = matches!(config.log, LogConfig::Embedded) || matches!(config.store, StoreConfig::Sqlite);
        let disk = has_files.then(|| Disk { folder: config.node.data.clone(), is_away: false });
        Self { log, view, readiness, disk, unanswered: 0 }
    }

    fn look_at_log(&mut self) {
        if self.view.is_fresh() {
            self.readiness.holds("log");
            if std::mem::take(&mut self.unanswered) >= UNANSWERED_TOLD {
                tracing::info!("the log answers again");
            }
            return;
        }
        let code = "LOA-005";
        self.readiness.not("log", format!("{code} it does not answer; no bulk or normal message leaves meanwhile"));
        self.unanswered += 1;
        if self.unanswered == UNANSWERED_TOLD {
            tracing::error!(code, "the log does not answer; no bulk or normal message leaves until it does");
        }
    }
}

#[async_trait]
impl Service for Upkeep {
    fn name(&self) -> &'static str {
        "upkeep"
    }

    async fn run(mut self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let mut retain = ctx.beats(RETAIN_EVERY);
        let mut ready = ctx.beats(READY_EVERY);
        let mut disk = ctx.beats(DISK_EVERY);
        loop {
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                _ = retain.tick() => {
                    if let Err(error) = self.log.retain(ctx.now_us()).await {
                        tracing::warn!(%error, "old records could not be dropped");
                    }
                }
                _ = ready.tick() => self.look_at_log(),
                _ = disk.tick() => if let Some(disk) = &mut self.disk {
                    disk.look(&self.readiness).await;
                },
            }
        }
    }
}

/// The disk on which log and stores of this process are.
struct Disk {
    folder: PathBuf,
    is_away: bool,
}

impl Disk {
    /// Whether it is the disk that is to blame for what does not answer.
    async fn look(&mut self, readiness: &Readiness) {
        if readiness.is_ready() {
            return;
        }
        let folder = self.folder.clone();
        let tried = tokio::task::spawn_blocking(move || trial(&folder)).await;
        match tried.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) if self.is_away => {
                self.is_away = false;
                readiness.holds("disk");
                tracing::info!("the disk can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                let code = "LOA-008";
                readiness.not("disk", format!("{code} nothing can be written to {}: {error}", self.folder.display()));
                if !std::mem::replace(&mut self.is_away, true) {
                    let folder = self.folder.display();
                    tracing::error!(code, %folder, %error, "the disk cannot be written; nothing leaves until it can");
                }
            }
        }
    }
}

/// Writes as much as the largest record needs, and takes it away again.
fn trial(folder: &Path) -> io::Result<()> {
    let path = folder.join(TRIAL);
    let written = std::fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; RECORD_BYTES_MAX])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_cannot_be_written_is_named_until_it_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("data");
        let (mut disk, readiness) = (Disk { folder: place.clone(), is_away: false }, Readiness::default());
        disk.look(&readiness).await;
        assert!(!disk.is_away, "while all is well it is not tried");
        readiness.not("log", "away");
        disk.look(&readiness).await;
        readiness.holds("log");
        assert!(disk.is_away && !readiness.is_ready());
        std::fs::create_dir(&place).expect("a folder");
        disk.look(&readiness).await;
        assert!(!disk.is_away && readiness.is_ready());
        assert_eq!(std::fs::read_dir(&place).expect("a folder").count(), 0, "nothing is left of the trial");
    }
}
