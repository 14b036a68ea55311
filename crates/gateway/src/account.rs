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

/// One opening of a line: a slot that was lost and came back is opened anew while its old line may still drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening(u64);

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
    lines: Mutex<BTreeMap<u32, (Opening, LineState)>>,
    openings: AtomicU64,
    paused_until_us: AtomicU64,
}

impl<R> Account<R> {
    pub(crate) fn new(spec: AccountSpec, meters: Meters) -> Self {
        Self {
            queue: Mutex::new(Queue::new(spec.window)),
            ready: Notify::new(),
            drained: Notify::new(),
            lines: Mutex::default(),
            openings: AtomicU64::new(0),
            paused_until_us: AtomicU64::new(0),
            spec,
            meters,
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<u32, (Opening, LineState)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line is about to be opened: what an older one of its slot still says counts no more.
    pub(crate) fn line_opens(&self, slot: u32) -> Opening {
        let opening = Opening(self.openings.fetch_add(1, Ordering::Relaxed));
        self.lines().insert(slot, (opening, LineState { state: "opening", ..LineState::default() }));
        opening
    }

    /// How the line stands that is open at a slot; `false` if an older one says so.
    pub(crate) fn line_changed(&self, slot: u32, opening: Opening, state: LineState) -> bool {
        match self.lines().get_mut(&slot).filter(|(known, _)| *known == opening) {
            Some((_, known)) => {
                *known = state;
                true
            }
            None => false,
        }
    }

    /// How many parts a line waits for, for who asks how it stands.
    pub(crate) fn line_in_flight(&self, slot: u32, in_flight: u32) {
        if let Some((_, line)) = self.lines().get_mut(&slot) {
            line.in_flight = in_flight;
        }
    }

    /// The slot is somebody else's.
    pub(crate) fn line_closed(&self, slot: u32) {
        self.lines().remove(&slot);
    }

    /// The lines of this process, by slot.
    pub fn line_states(&self) -> Vec<(u32, LineState)> {
        self.lines().iter().map(|(slot, (_, state))| (*slot, state.clone())).collect()
    }

    /// Whether messages can leave: a line is open, or would be if there were work.
    pub fn is_bound(&self) -> bool {
        let lines = self.lines();
        let well = |line: &LineState| line.open || (self.spec.lazy_lines && line.last_error.is_empty());
        lines.values().any(|(_, line)| well(line))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account<()> {
        let id = AccountId::new("a").unwrap();
        let spec = AccountSpec {
            id,
            rate: 1.0,
            window: 10,
            lines: 1,
            partitions: vec![],
            simulator: false,
            lazy_lines: false,
        };
        let metrics = loa_runtime::metrics::Metrics::default();
        Account::new(spec, Meters::new(&metrics, loa_domain::channel::Channel::Sms, "a"))
    }

    #[test]
    fn what_an_older_line_of_the_slot_says_counts_no_more() {
        let bound = || LineState { open: true, state: "bound", ..LineState::default() };
        let held = || LineState { state: "held", ..LineState::default() };
        let account = account();
        let old = account.line_opens(1);
        assert!(account.line_changed(1, old, bound()));
        account.line_closed(1);
        assert!(!account.is_bound());
        assert!(!account.line_changed(1, old, held()), "the slot is somebody else's");
        assert!(account.line_states().is_empty());

        let new = account.line_opens(1);
        account.line_changed(1, new, bound());
        assert!(!account.line_changed(1, old, held()), "the old line has drained");
        assert!(account.is_bound(), "the new one stands");
        assert!(account.line_changed(1, new, held()));
        assert!(!account.is_bound());
    }
}
