//! Where binds take texts from, and where their answers and receipts go.
//!
//! Must stay true: receipts are acknowledged only once receipts.v1 has them; a status of the carrier becomes exactly one
//! word about the part.

use std::sync::Arc;

use async_trait::async_trait;
use loa_domain::channel::Lane;
use loa_domain::state::Reason;
use loa_gateway::{Addresses, Answer, Engine, Leaves, LineState, Opening, Word};
use loa_ports::carrier::{
    BindState, CarrierReceipt, NotStored, Pulled, Submit, SubmitResult, SubmitSource, SubmitVerdict,
};

use crate::receipts::Pump;
use crate::text::{Ready, Texts};

/// The source of one bind.
pub(crate) struct Source {
    pub(crate) engine: Arc<Engine<Texts>>,
    pub(crate) account: usize,
    pub(crate) opening: Opening,
    pub(crate) receipts: Arc<Pump>,
}

#[async_trait]
impl SubmitSource for Source {
    fn pull(&self, room: usize, out: &mut Vec<Submit>) -> Pulled {
        self.engine.pull(self.account, room, &mut |leaves| push(&leaves, out))
    }

    async fn ready(&self) {
        self.engine.ready(self.account).await;
    }

    fn settled(&self, results: &mut Vec<SubmitResult>) {
        for result in results.iter() {
            match result.verdict {
                SubmitVerdict::Throttled => self.engine.slow_down(self.account),
                SubmitVerdict::RefusedCampaign { status } => self.halt(result.handle, status),
                _ => {}
            }
        }
        self.engine.settled(self.account, results.drain(..).map(word));
    }

    async fn receipts(&self, receipts: Vec<CarrierReceipt>) -> Result<(), NotStored> {
        self.receipts.put(self.account, receipts).await
    }

    fn bind_changed(&self, slot: u32, state: BindState) {
        self.engine.line_changed(self.account, slot, self.opening, line_state(state));
    }
}

impl Source {
    fn halt(&self, handle: u64, status: u32) {
        if let Some(campaign) = self.engine.campaign(self.account, handle) {
            let account = &self.engine.accounts()[self.account].spec.id;
            self.engine.halt(campaign, format!("account {account} refuses every message of it: status {status:#04x}"));
        }
    }
}

fn push(leaves: &Leaves<'_, Ready>, out: &mut Vec<Submit>) {
    let (begun, handle) = (leaves.begun, leaves.handle);
    let offer = &begun.offer;
    let (Addresses::Numbers(numbers), Some(text)) = (&offer.addresses, begun.ready.text(leaves.at)) else { return };
    let parts = begun.messages[leaves.at].parts();
    for part in (0..parts).filter(|part| leaves.parts & (1 << part) != 0) {
        out.push(Submit {
            handle,
            part,
            parts,
            destination: numbers[begun.recipient(leaves.at)],
            sender: Arc::clone(&offer.sender),
            data_coding: text.data_coding,
            body: text.part(part),
            validity_s: begun.ready.validity_s,
            priority: u8::from(offer.lane == Lane::Urgent),
        });
    }
}

fn word(result: SubmitResult) -> Word {
    let SubmitResult { handle, part, verdict } = result;
    let code = |status: u32| format!("{status:#04x}").into_boxed_str();
    let refused = |reason, status| Answer::Refused { undelivered: false, reason, code: code(status) };
    let (answer, id) = match verdict {
        SubmitVerdict::Accepted { id } => (Answer::Accepted, Some(id)),
        SubmitVerdict::Throttled | SubmitVerdict::NotWritten => (Answer::Again, None),
        SubmitVerdict::RetryLater { status } => {
            (Answer::Later { after: None, counted: true, code: code(status) }, None)
        }
        SubmitVerdict::Refused { status } => (refused(Reason::Refused, status), None),
        SubmitVerdict::RefusedCampaign { status } => (refused(Reason::PolicyHalt, status), None),
        SubmitVerdict::Unanswered => (Answer::Unanswered, None),
    };
    Word { handle, part, answer, id }
}

fn line_state(state: BindState) -> LineState {
    let (open, state, last_error) = match state {
        BindState::Opening => (false, "opening", String::new()),
        BindState::Bound => (true, "bound", String::new()),
        BindState::BackingOff { why, .. } => (false, "backing_off", why),
        BindState::Closed => (false, "held", String::new()),
    };
    LineState { open, state, last_error, in_flight: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_one_word() {
        #[track_caller]
        fn check(verdict: SubmitVerdict, answer: Answer) {
            let word = word(SubmitResult { handle: 1, part: 2, verdict });
            assert_eq!((word.handle, word.part, word.answer), (1, 2, answer));
        }
        let refused = |reason| Answer::Refused { undelivered: false, reason, code: "0x0b".into() };
        check(SubmitVerdict::Accepted { id: "7".to_owned() }, Answer::Accepted);
        check(SubmitVerdict::Throttled, Answer::Again);
        check(SubmitVerdict::NotWritten, Answer::Again);
        check(
            SubmitVerdict::RetryLater { status: 8 },
            Answer::Later { after: None, counted: true, code: "0x08".into() },
        );
        check(SubmitVerdict::Refused { status: 11 }, refused(Reason::Refused));
        check(SubmitVerdict::RefusedCampaign { status: 11 }, refused(Reason::PolicyHalt));
        check(SubmitVerdict::Unanswered, Answer::Unanswered);
    }
}
