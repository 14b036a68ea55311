//! The way out: when to pull, how much, and the parts on their way into the window.
//!
//! Must stay true: what was pulled is either in the window, in `work`, or settled.

use std::time::Duration;

use loa_domain::limits::SMS_PARTS_MAX;
use loa_ports::carrier::{Pulled, SubmitVerdict};
use loa_wire_smpp::session::SubmitError;

use super::{Driver, Handle, PARTS_PER_TURN_MAX, TICK, WRITE_OCTETS, result};
use crate::account::Account;

/// When to pull again.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Next {
    Now,
    WhenReady,
    WhenAnswered,
    At(Duration),
}

impl<S> Driver<'_, S> {
    /// Pulls what the window has room for and encodes it.
    pub(super) fn fill(&mut self, now: Duration) {
        loop {
            self.encode(now);
            let due = match self.next {
                Next::Now => true,
                Next::At(at) => at <= now,
                Next::WhenReady | Next::WhenAnswered => false,
            };
            let full = !self.work.is_empty() || self.session.room() == 0 || self.session.out().len() >= WRITE_OCTETS;
            if !due || full || self.ending.is_some() || self.turn >= PARTS_PER_TURN_MAX {
                return;
            }
            self.next = match self.pull() {
                Pulled::Empty => Next::WhenReady,
                Pulled::Full if self.pulled.is_empty() && self.session.in_flight() > 0 => Next::WhenAnswered,
                Pulled::Full if self.pulled.is_empty() => Next::At(now + TICK),
                Pulled::Full => Next::Now,
                Pulled::Paced(wait) => Next::At(now + wait),
            };
            self.turn += self.pulled.len();
            self.work.extend(self.pulled.drain(..));
        }
    }

    /// Takes what the window has room for. A message of more parts than the whole window is taken when nothing else is
    /// open; its last parts then wait here for the first answers.
    fn pull(&mut self) -> Pulled {
        let room = self.session.room();
        let mut pulled = self.drive.source.pull(room, &mut self.pulled);
        let mut wider = room + 1..=SMS_PARTS_MAX;
        while pulled == Pulled::Full
            && self.pulled.is_empty()
            && self.session.in_flight() == 0
            && let Some(room) = wider.next()
        {
            pulled = self.drive.source.pull(room, &mut self.pulled);
        }
        pulled
    }

    fn encode(&mut self, now: Duration) {
        while self.session.room() > 0
            && let Some(submit) = self.work.pop_front()
        {
            let handle = Handle { handle: submit.handle, part: submit.part };
            let routes = &mut self.routes;
            let taken = self.session.submit(now, handle, |out, sequence| routes.encode(out, sequence, &submit));
            match taken {
                Ok(_) => {}
                Err(SubmitError::Field(error)) => self.results.push(result(handle, Account::unwritable(error))),
                Err(SubmitError::NotBound | SubmitError::WindowFull) => {
                    self.results.push(result(handle, SubmitVerdict::NotWritten));
                }
            }
        }
    }
}
