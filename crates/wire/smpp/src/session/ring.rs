//! The window: a ring of slots, one per unanswered submit, found by the low bits of the sequence number.
//!
//! Twice as many slots as the window, so one slow answer seldom stands in the way; where it does, its number is skipped,
//! and numbers still only increase.
//!
//! Must stay true: a slot is given back only to its own sequence number; expiry goes in the order of sending and looks at
//! each number once.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::pdu::sequence_after;

#[derive(Clone, Copy)]
struct Slot<T> {
    /// 0 when free; sequence numbers start at 1.
    sequence: u32,
    sent_at: Duration,
    handle: Option<T>,
}

pub(super) struct Ring<T> {
    slots: Vec<Slot<T>>,
    mask: u32,
    window: usize,
    occupied: usize,
    next: u32,
    /// No number before it is unanswered.
    oldest: u32,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new(window: NonZeroU16) -> Self {
        let slots = (2 * u32::from(window.get())).next_power_of_two();
        let free = Slot { sequence: 0, sent_at: Duration::ZERO, handle: None };
        let count = usize::try_from(slots).expect("at most 131,072 slots");
        let window = usize::from(window.get());
        Self { slots: vec![free; count], mask: slots - 1, window, occupied: 0, next: 1, oldest: 1 }
    }

    pub(super) fn room(&self) -> usize {
        self.window - self.occupied
    }

    pub(super) fn occupied(&self) -> usize {
        self.occupied
    }

    /// The number of the next submit; the window must have room, then a free slot exists.
    pub(super) fn peek(&mut self) -> u32 {
        while self.slots[self.at(self.next)].handle.is_some() {
            self.next = sequence_after(self.next);
        }
        self.next
    }

    /// A number for a request that needs no slot.
    pub(super) fn draw(&mut self) -> u32 {
        let sequence = self.next;
        self.next = sequence_after(sequence);
        sequence
    }

    /// Occupies the slot of the number [`peek`](Self::peek) gave.
    pub(super) fn take(&mut self, sequence: u32, handle: T, sent_at: Duration) {
        if self.occupied == 0 {
            self.oldest = sequence; // spares expiry the walk over answered numbers
        }
        let at = self.at(sequence);
        self.slots[at] = Slot { sequence, sent_at, handle: Some(handle) };
        self.occupied += 1;
        self.next = sequence_after(sequence);
    }

    /// Frees the slot of an answered number.
    pub(super) fn give_back(&mut self, sequence: u32) -> Option<(T, Duration)> {
        let at = self.at(sequence);
        let slot = &mut self.slots[at];
        if slot.sequence != sequence {
            return None;
        }
        let handle = slot.handle.take()?;
        slot.sequence = 0;
        self.occupied -= 1;
        Some((handle, slot.sent_at))
    }

    /// Frees the oldest submit if it was sent `patience` before `now` or earlier.
    pub(super) fn expire(&mut self, now: Duration, patience: Duration) -> Option<(u32, T)> {
        if self.occupied == 0 {
            return None;
        }
        while self.slots[self.at(self.oldest)].sequence != self.oldest {
            self.oldest = sequence_after(self.oldest);
        }
        let sequence = self.oldest;
        let sent_at = self.slots[self.at(sequence)].sent_at;
        if now.saturating_sub(sent_at) < patience {
            return None;
        }
        self.give_back(sequence).map(|(handle, _)| (sequence, handle))
    }

    fn at(&self, sequence: u32) -> usize {
        usize::try_from(sequence & self.mask).expect("at most 131,072 slots")
    }

    /// Starts near the wrap, which a test cannot reach by sending.
    #[cfg(test)]
    pub(super) fn continue_at(&mut self, sequence: u32) {
        self.next = sequence;
        self.oldest = sequence;
    }
}
