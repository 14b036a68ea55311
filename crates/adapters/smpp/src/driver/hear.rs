//! The way in: answers become results, receipts wait to be stored, silence becomes doubt.
//!
//! Must stay true: a delivery is answered at once only if there is nothing in it to store.

use loa_ports::carrier::{BindState, NotStored, SubmitVerdict};
use loa_wire_smpp::receipt::Receipt;
use loa_wire_smpp::session::{DeliverToken, Event};
use loa_wire_smpp::status;

use super::fill::Next;
use super::{Driver, OWN_DRAIN, result};
use crate::ended::Ended;

impl<S> Driver<'_, S> {
    pub(super) fn feed(&mut self) {
        let Self { drive, session, buffer, results, receipts, tokens, answer_now, was_bound, next, .. } = self;
        let (now, mut now_us, mut link_fault) = (drive.clock.monotonic(), None, None);
        let consumed = session.feed(buffer.data(), now, &mut |event| match event {
            Event::Bound(_) => {
                *was_bound = true;
                drive.source.bind_changed(drive.slot, BindState::Bound);
            }
            Event::BindRefused { .. } => {} // the session's state says it
            Event::Answered { handle, status, message_id, .. } => {
                results.push(result(handle, drive.account.answered(status, message_id)));
                if drive.account.stops_link(status) {
                    link_fault = Some(status);
                }
            }
            Event::AnsweredLate { .. } => drive.meters.late_answers.inc(),
            Event::Expired { handle } => results.push(result(handle, SubmitVerdict::Unanswered)),
            Event::Delivered { token, message, .. } => {
                let now_us = *now_us.get_or_insert_with(|| drive.clock.now_us());
                let receipt = Receipt::parse(&message);
                drive.meters.conflicts.inc_by(receipt.is_some_and(|receipt| receipt.conflict).into());
                match receipt.and_then(|receipt| drive.account.receipt(&message, &receipt, now_us)) {
                    Some(receipt) => {
                        receipts.push(receipt);
                        tokens.push(token);
                    }
                    None => {
                        drive.meters.unmatched.inc();
                        answer_now.push(token);
                    }
                }
            }
        });
        buffer.consume(consumed);
        if *next == Next::WhenAnswered && !results.is_empty() {
            *next = Next::Now;
        }
        for token in answer_now.drain(..) {
            session.acknowledge(token, status::ROK);
        }
        drive.meters.odd_pdus.inc_by(session.odd_pdus() - self.odd_pdus);
        self.odd_pdus = session.odd_pdus();
        if let Some(status) = link_fault {
            self.end(Ended::Refused { status }, OWN_DRAIN);
        }
    }

    pub(super) fn tick(&mut self, parked: bool) {
        if parked {
            return; // answers may lie unread in the socket
        }
        let (now, results) = (self.drive.clock.monotonic(), &mut self.results);
        self.session.tick(now, &mut |event| {
            if let Event::Expired { handle } = event {
                results.push(result(handle, SubmitVerdict::Unanswered));
            }
        });
        if self.next == Next::WhenAnswered && !self.results.is_empty() {
            self.next = Next::Now;
        }
    }

    pub(super) fn stored(&mut self, stored: Result<(), NotStored>, tokens: Vec<DeliverToken>) {
        match stored {
            Ok(()) => tokens.into_iter().for_each(|token| self.session.acknowledge(token, status::ROK)),
            Err(NotStored) => self.end(Ended::NotStored, OWN_DRAIN),
        }
    }

    /// Whether there are receipts to store; once storing failed they are left to the carrier, who sends them again.
    pub(super) fn receipts_wait(&mut self) -> bool {
        if matches!(self.ending, Some((Ended::NotStored, _))) {
            self.receipts.clear();
            self.tokens.clear();
        }
        !self.receipts.is_empty()
    }
}
