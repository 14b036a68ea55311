//! What is to be looked at again at a time.
//!
//! Must stay true: a timer only says "look"; one that is outdated finds nothing to do.

use std::collections::BTreeMap;

use loa_domain::ids::{CampaignId, ChunkKey, Shard};

use super::fetch::Fetch;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A campaign's gate may have changed.
    Campaign(CampaignId),
    /// Something of a chunk is due.
    Chunk(Shard, ChunkKey),
    /// A read that failed may be tried again.
    Fetch(Fetch),
}

/// Timers by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeMap<(i64, u64), Timer>,
    next: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at_us: i64, timer: Timer) {
        self.by_time.insert((at_us, self.next), timer);
        self.next += 1;
    }

    /// The next timer that is due, with its time.
    pub(crate) fn pop(&mut self, now_us: i64) -> Option<(i64, Timer)> {
        let entry = self.by_time.first_entry().filter(|entry| entry.key().0 <= now_us)?;
        let ((at_us, _), timer) = entry.remove_entry();
        Some((at_us, timer))
    }

    /// When the next one is due.
    pub(crate) fn next_us(&self) -> Option<i64> {
        self.by_time.keys().next().map(|&(at_us, _)| at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn fire_in_order_of_their_time() {
        let campaign = |number| Timer::Campaign(CampaignId(Uuid::from_u128(number)));
        let mut timers = Timers::default();
        timers.set(20, campaign(2));
        timers.set(10, campaign(1));
        timers.set(20, campaign(3));
        assert_eq!(timers.next_us(), Some(10));
        assert_eq!(timers.pop(9), None);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop(20)).collect();
        assert_eq!(fired, [(10, campaign(1)), (20, campaign(2)), (20, campaign(3))]);
        assert_eq!(timers.next_us(), None);
    }
}
