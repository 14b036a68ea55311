//! What a mail world has done, for tests and for people.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub connected: u64,
    /// Connections ever accepted.
    pub connections: u64,
    /// Mails taken, one per recipient; each stands in the sink log.
    pub accepted: u64,
    /// Recipients and contents refused.
    pub refused: u64,
    /// Connections closed without a word, as a fault said.
    pub closed: u64,
}

/// The same, counted by many connections at once.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connected: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) closed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connected: read(&self.connected),
            connections: read(&self.connections),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            closed: read(&self.closed),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, number: u64) {
    if number > 0 {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}
