//! Numbers of expired submits, so that an answer after the time-out still finds its message.
//!
//! Must stay true: bounded; when it is full the oldest is forgotten, and its answer counts as odd.

use std::collections::VecDeque;

/// Expired submits remembered per connection.
const LATE_MAX: usize = 1_024;

pub(super) struct Late<T>(VecDeque<(u32, T)>);

impl<T: Copy> Late<T> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new()) // most connections never need it
    }

    pub(super) fn remember(&mut self, sequence: u32, handle: T) {
        if self.0.len() == LATE_MAX {
            self.0.pop_front();
        }
        self.0.push_back((sequence, handle));
    }

    /// Takes the handle of an expired number out.
    pub(super) fn find(&mut self, sequence: u32) -> Option<T> {
        let at = self.0.iter().position(|(number, _)| *number == sequence)?;
        self.0.remove(at).map(|(_, handle)| handle)
    }
}
