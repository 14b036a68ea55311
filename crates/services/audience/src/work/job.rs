//! One job of the engine, watched: its progress is stored, and it is stopped when the lease goes or the process ends.
//!
//! Must stay true: whatever happens to the one who waits, the engine's thread is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_contract::pb::audience::v1 as pb;
use loa_ports::audience::{DatasetError, Datasets, Progress, Watch};
use loa_ports::lease::{Fence, Held};
use loa_ports::store::StoreError;
use loa_ports::store::audience::{FreezeEnd, FreezeKey, ImportEnd};
use uuid::Uuid;

use super::Work;

/// Between two looks at a job, and two stored words on its progress.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two tries to store how a job ended.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What the engine's threads see of the watcher.
#[derive(Default)]
pub(super) struct Watcher {
    is_over: AtomicBool,
    progress: Mutex<Progress>,
}

impl Watch for Watcher {
    fn go_on(&self, progress: Progress) -> bool {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// Tells the engine to stop when the waiting ends, however it ends.
struct StopOnDrop(Arc<Watcher>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The row of a job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    Import(Uuid),
    Freeze(FreezeKey),
}

impl Row {
    async fn tell(self, work: &Work, held: &Held, progress: Progress) -> Result<(), StoreError> {
        let (store, fence) = (&work.core.store, Fence::of(held.clone()));
        match self {
            Self::Import(id) => {
                let Progress { stage, bytes, rows, rejected } = progress;
                let progress = pb::ImportProgress { bytes, rows, rejected, stage: stage.name().to_owned() };
                store.tell_import(&fence, id, &progress).await
            }
            Self::Freeze(key) => store.tell_freeze(&fence, key, progress.rows).await,
        }
    }
}

/// How a job ended.
pub(super) enum End {
    Import(Uuid, ImportEnd),
    Freeze(FreezeKey, FreezeEnd),
}

/// Runs a job in the name of a lease and stores its progress in its row.
pub(super) async fn run<T: Send + 'static>(
    work: &Work,
    held: &Held,
    row: Row,
    job: impl FnOnce(&dyn Datasets, &dyn Watch) -> Result<T, DatasetError> + Send + 'static,
) -> Result<T, DatasetError> {
    let watcher = Arc::new(Watcher::default());
    let _stop = StopOnDrop(Arc::clone(&watcher));
    let of_job = Arc::clone(&watcher);
    let done = work.core.heavy(move |datasets| job(datasets, of_job.as_ref()));
    tokio::pin!(done);
    let mut told = Progress::default();
    loop {
        tokio::select! {
            outcome = &mut done => return outcome,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            // Said once more at each look, until the engine has heard it.
            () = work.ctx.stopping(), if !watcher.is_over.load(Ordering::Relaxed) => {}
        }
        if !work.holds(held) {
            watcher.is_over.store(true, Ordering::Relaxed);
            continue;
        }
        let progress = *watcher.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress != told {
            told = progress;
            match row.tell(work, held, progress).await {
                Err(StoreError::Fenced { .. }) => work.lost(held),
                Err(error) => tracing::debug!(%error, "could not store how far a job is"),
                Ok(()) => {}
            }
        }
    }
}

/// Stores how a job ended, as often as it takes; false if the lease is somebody else's by now.
pub(super) async fn end(work: &Work, held: &Held, end: &End) -> bool {
    let (store, fence) = (&work.core.store, Fence::of(held.clone()));
    loop {
        let stored = match end {
            End::Import(id, end) => store.end_import(&fence, *id, end).await,
            End::Freeze(key, end) => store.end_freeze(&fence, *key, end).await,
        };
        match stored {
            Ok(()) => {
                work.core.ring();
                return true;
            }
            Err(StoreError::Fenced { .. }) => {
                work.lost(held);
                return false;
            }
            Err(error) => tracing::warn!(%error, "how a job ended could not be stored; trying again"),
        }
        if !work.holds(held) {
            return false;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
