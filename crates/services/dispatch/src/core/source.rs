//! Where releases come from: the chunks of a route that are still ahead, and what of it waits.
//!
//! Must stay true: the cursor only moves forward, and only together with the rows that hold what it passed.

use std::collections::{BTreeSet, VecDeque};

use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::ChunkKey;

/// A chunk ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) key: ChunkKey,
    pub(crate) size: u16,
}

/// Where a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing to do, or it waits for something.
    Nowhere,
    /// In the ring of its account and lane.
    Ring,
    /// Among those whose campaign is over.
    Over,
}

/// A route's people of one variant in one shard.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) channel: Channel,
    pub(crate) lane: Lane,
    /// Chunks that are not all in rows; the cursor stands in the first.
    pub(crate) plan: VecDeque<Planned>,
    /// The next index of the first.
    pub(crate) at: u16,
    /// The number behind the last chunk of the plan.
    pub(crate) end_chunk: u32,
    /// Chunks of which something waits and may be released now.
    pub(crate) due: BTreeSet<ChunkKey>,
    pub(crate) place: Place,
    /// Its chunks in memory.
    pub(crate) chunks: usize,
}

impl Source {
    pub(crate) fn new(channel: Channel, lane: Lane) -> Self {
        let (plan, due) = (VecDeque::new(), BTreeSet::new());
        Self { channel, lane, plan, at: 0, end_chunk: 0, due, place: Place::Nowhere, chunks: 0 }
    }

    /// Whether it may have something to release.
    pub(crate) fn has_work(&self) -> bool {
        !self.due.is_empty() || !self.plan.is_empty()
    }

    /// Where its cursor stands: chunk and index.
    pub(crate) fn cursor(&self) -> (u32, u16) {
        self.plan.front().map_or((self.end_chunk, 0), |front| (front.key.chunk, self.at))
    }

    /// Moves the cursor within its chunk, or behind it; whether the plan is at its end now.
    pub(crate) fn advance(&mut self, next: u16) -> bool {
        let Some(front) = self.plan.front() else { return false };
        if next < front.size {
            self.at = next;
            return false;
        }
        self.plan.pop_front();
        self.at = 0;
        self.plan.is_empty()
    }

    /// Whether a chunk is ahead of the cursor, or where it stands.
    pub(crate) fn is_ahead(&self, key: ChunkKey) -> bool {
        // Chunks of single sends are freezes of their own; a plan of them is short.
        match self.plan.front() {
            None => false,
            Some(front) if front.key.freeze == key.freeze => key.chunk >= front.key.chunk,
            Some(_) => self.plan.iter().any(|planned| planned.key == key),
        }
    }
}
