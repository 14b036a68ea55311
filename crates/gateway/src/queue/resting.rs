//! Texts of several parts of which some were taken and the rest was put off: the rest goes to the same account again.
//!
//! Must stay true: what rests is looked at like everything that waits, so a pause or a deadline ends it.

use super::{Moment, Queue, Slot, lane_of};

/// The rest of a text.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) slot: Slot,
    at: u16,
    wait_us: i64,
    /// Set by the first look at it.
    due_us: Option<i64>,
}

impl<R> Queue<R> {
    /// Puts a text aside whose rest was put off.
    pub(super) fn rest(&mut self, slot: Slot, at: u16, wait: std::time::Duration) {
        let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.resting.push(Resting { slot, at, wait_us, due_us: None });
    }

    /// What has rested long enough waits to be handed over; what has ended meanwhile is forgotten.
    pub(super) fn wake_rested(&mut self, moment: &Moment<'_>) {
        for mut resting in std::mem::take(&mut self.resting) {
            let Resting { slot, at, wait_us, due_us } = resting;
            let Some(begun) = self.get(slot) else { continue };
            if !begun.messages.get(usize::from(at)).is_some_and(crate::message::Message::is_resting) {
                continue;
            }
            let due_us = due_us.unwrap_or_else(|| moment.now_us.saturating_add(wait_us));
            if moment.now_us < due_us {
                resting.due_us = Some(due_us);
                self.resting.push(resting);
                continue;
            }
            let lane = lane_of(&begun.offer);
            // Nothing ends by it.
            drop(self.change(slot, at.into(), crate::message::Message::wake));
            self.again[lane].push_back((slot, at));
            self.pullable = true;
        }
    }
}
