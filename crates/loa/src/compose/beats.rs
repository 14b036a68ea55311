//! One beat for the whole process: its roles share a file of beats, so an idle process writes once a second, not seven
//! times. (Each role on a database of its own would keep its beats there.)
//!
//! Must stay true: a beat is skipped only if one of this node was written less than 0.9 s ago, far below the 4 s of
//! silence after which others take over.

use std::sync::Arc;
use std::time::Duration;

use loa_ports::clock::Clock;
use loa_ports::lease::{Leases as _, NodeRow};
use loa_ports::store::StoreError;
use loa_store::SqlLeases;
use tokio::sync::Mutex;

/// A beat this young need not be written again.
const YOUNG: Duration = Duration::from_millis(900);
/// What was read of the others' beats this long ago need not be read again.
const READ_YOUNG: Duration = Duration::from_millis(400);

/// The beats of this process.
#[derive(Debug)]
pub(super) struct Beats {
    store: SqlLeases,
    clock: Arc<dyn Clock>,
    written_at: Mutex<Option<Duration>>,
    read: Mutex<Option<(Duration, Vec<NodeRow>)>>,
}

impl Beats {
    pub(super) fn new(store: SqlLeases, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, written_at: Mutex::default(), read: Mutex::default() }
    }

    pub(super) async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError> {
        let mut written_at = self.written_at.lock().await;
        let now = self.clock.monotonic();
        if written_at.is_some_and(|at| now.saturating_sub(at) < YOUNG) {
            return Ok(());
        }
        self.store.beat(node, endpoint).await?;
        *written_at = Some(now);
        Ok(())
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let mut read = self.read.lock().await;
        let now = self.clock.monotonic();
        if let Some((_, nodes)) = read.as_ref().filter(|(at, _)| now.saturating_sub(*at) < READ_YOUNG) {
            return Ok(nodes.clone());
        }
        let nodes = self.store.nodes().await?;
        *read = Some((now, nodes.clone()));
        Ok(nodes)
    }
}
