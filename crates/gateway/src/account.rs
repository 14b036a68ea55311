//! An account at work: its queue, its lines, its pauses.
//!
//! Must stay true: a lock of an account is held for a batch and never over an await.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_domain::ids::AccountId;
use tokio::sync::Notify;

use crate::meters::Meters;
use crate::queue::Queue;

/// A line that a site sent away pauses its account at most this long.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// An account as configured.
#[derive(Debug, Clone)]
pub struct AccountSpec {
    /// Its name.
    pub id: AccountId,
    /// Parts or mails a second over all nodes.
    pub rate: f64,
    /// Parts without answer on one line, as it may ask for them at once; a share of it is kept for urgent.
    pub window: u32,
    /// Binds or connections over all nodes.
    pub lines: u32,
    /// Partitions of the lane topics.
    pub partitions: Vec<u32>,
    /// A simulator: only these may take synthetic people.
    pub simulator: bool,
    /// Lines are opened only when there is work, so that none open yet is no fault.
    pub lazy_lines: bool,
}

/// How a line stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineState {
    /// Messages may leave through it.
    pub open: bool,
    /// `opening`, `bound`, `backing_off`…
    pub state: &'static str,
    /// What went wrong last; empty when well.
    pub last_error: String,
    /// Parts without answer.
    pub in_flight: u32,
}

/// An account at work.
pub struct Account<R> {
    /// As configured.
    pub spec: AccountSpec,
    /// What it counts.
    pub meters: Meters,
    queue: Mutex<Queue<R>>,
    /// Woken when something may be pulled.
    pub(crate) ready: Notify,
    /// Woken when the backlog went down.
    pub(crate) drained: Notify,
    lines: Mutex<BTreeMap<u32, LineState>>,
    paused_until_us: AtomicU64,
}

impl<R> Account<R> {
    pub(crate) fn new(spec: AccountSpec, meters: Meters) -> Self {
        Self {
            queue: Mutex::new(Queue::new(spec.window)),
            ready: Notify::new(),
            drained: Notify::new(),
            lines: Mutex::default(),
            paused_until_us: AtomicU64::new(0),
            spec,
            meters,
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lines(&self) -> MutexGuard<'_, BTreeMap<u32, LineState>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines of this process, by slot.
    pub fn line_states(&self) -> Vec<(u32, LineState)> {
        self.lines().iter().map(|(slot, state)| (*slot, state.clone())).collect()
    }

    /// Whether messages can leave: a line is open, or would be if there were work.
    pub fn is_bound(&self) -> bool {
        let lines = self.lines();
        let well = |line: &LineState| line.open || (self.spec.lazy_lines && line.last_error.is_empty());
        lines.values().any(well)
    }

    pub(crate) fn pause_left(&self, now: Duration) -> Option<Duration> {
        let until = Duration::from_micros(self.paused_until_us.load(Ordering::Relaxed));
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Nothing leaves for this long.
    pub(crate) fn pause(&self, now: Duration, wait: Duration) {
        let until = u64::try_from((now + wait.min(PAUSE_MAX)).as_micros()).unwrap_or(u64::MAX);
        self.paused_until_us.fetch_max(until, Ordering::Relaxed);
    }
}
