//! The bind dies in the middle of a text of three parts. What was left unanswered is in doubt and never sent again; what was
//! not taken goes on over the next bind of the same account; no part reaches anybody twice.
//!
//! | Fate | Part 1 | Parts 2 and 3 | Then |
//! |---|---|---|---|
//! | answered | taken, and its answer arrives | written, lost with the bind | in doubt |
//! | unanswered | taken, and its answer is lost | written, lost with the bind | in doubt |
//! | throttled | taken, and its answer arrives | refused as too fast, then the bind ends | delivered whole |
//!
//! Must stay true: each fate falls on one text, on its first try alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loa_domain::state::RecipientState;
use loa_harness::proxy::{Frame, Framing, Proxy, Rule, Verdict};
use loa_harness::secrets::CANARY;
use loa_harness::{Plan, TestResult, books, fault, say, wait_for};
use loa_wire_smpp::pdu::put_submit_sm_resp;
use loa_wire_smpp::status::RTHROTTLED;

use super::submits::{answered, submit};
use super::{World, carrier_at, texts};

const PEOPLE: u64 = 12;
const LIMIT: Duration = Duration::from_secs(60);
const PARTS: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Unanswered,
    Throttled,
}

/// A text that has met its fate, or is about to.
struct Met {
    fate: Fate,
    address: Vec<u8>,
    connection: u64,
    /// The sequence number of its first part.
    first: u32,
    is_first_answered: bool,
    is_over: bool,
}

#[derive(Default)]
struct Fates(Vec<Met>);

impl Fates {
    fn look(&mut self, frame: &Frame<'_>) -> Verdict {
        if let Some(sequence) = answered(frame) {
            let of = self.0.iter_mut().find(|met| (met.connection, met.first) == (frame.connection, sequence));
            let Some(met) = of.filter(|met| !met.is_over) else { return Verdict::Pass };
            met.is_first_answered = true;
            met.is_over = met.fate == Fate::Answered;
            return if met.is_over { Verdict::CutBehind } else { Verdict::Pass };
        }
        let Some(submit) = submit(frame) else { return Verdict::Pass };
        if submit.part.part == 1 {
            return self.first(frame.connection, submit.sequence, submit.address);
        }
        let of = self.0.iter_mut().find(|met| met.address == submit.address && met.connection == frame.connection);
        let Some(met) = of.filter(|met| !met.is_over) else { return Verdict::Pass };
        match met.fate {
            // Swallowed: the bind ends before anybody is told.
            Fate::Answered => Verdict::Answer(Vec::new()),
            Fate::Unanswered => Verdict::Cut,
            Fate::Throttled if !met.is_first_answered => Verdict::Hold,
            Fate::Throttled => {
                let mut refused = Vec::new();
                put_submit_sm_resp(&mut refused, RTHROTTLED, submit.sequence, b"");
                met.is_over = submit.part.part == PARTS;
                if met.is_over { Verdict::AnswerAndCut(refused) } else { Verdict::Answer(refused) }
            }
        }
    }

    /// The first part of a text: the next fate is its, if one is left and the last has been met.
    fn first(&mut self, connection: u64, first: u32, address: Vec<u8>) -> Verdict {
        let fate = match (self.0.len(), self.0.last().is_none_or(|met| met.is_over)) {
            (0, true) => Fate::Answered,
            (1, true) => Fate::Unanswered,
            (2, true) => Fate::Throttled,
            _ => return Verdict::Pass,
        };
        let is_over = fate == Fate::Unanswered;
        self.0.push(Met { fate, address, connection, first, is_first_answered: false, is_over });
        if is_over { Verdict::CutBehind } else { Verdict::Pass }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_bind_that_dies_within_a_text_sends_no_part_twice() -> TestResult {
    let world = World::start().await?;
    let fates = Arc::new(Mutex::new(Fates::default()));
    let rule: Rule = {
        let fates = Arc::clone(&fates);
        Arc::new(move |frame| fates.lock().map_or(Verdict::Pass, |mut fates| fates.look(&frame)))
    };
    let carrier = Proxy::start(world.sinks.carrier(0).addr(), Framing::Smpp, rule).await?;
    // One text at a time and account, so that a bind that dies takes no other text with it.
    let mut site = carrier_at(world.site(), carrier.addr()).rate(2 * u32::from(PARTS)).start().await?;
    site.people(PEOPLE).await?;
    let text = format!("Bà con {{ten}} nộp hồ sơ trực tuyến tại nhà. {CANARY} {}", "Không cần xếp hàng. ".repeat(6));
    let plan = Plan { sms: Some(text), diacritics: "as_is".to_owned(), ..texts() };
    let id = site.running(&plan).await?;
    let met = wait_for("every fate was met", LIMIT, async || {
        carrier.release();
        let fates = fates.lock().map_err(|_| fault("a rule failed"))?;
        let over = fates.0.iter().filter(|met| met.is_over).map(|met| (met.address.clone(), met.fate));
        let over: HashMap<_, _> = over.collect();
        Ok((over.len() == 3).then_some(over))
    })
    .await?;
    say(books::counts(&site.finished(&id).await?));
    let books = site.finish().await?;

    let sunk = world.sinks.carrier(0).lines()?;
    for line in &books.page()?.lines {
        // Of who is in doubt the ledger knows no parts.
        assert!(line.parts == PARTS || line.state == RecipientState::InDoubt, "the text has {} parts", line.parts);
        let mut parts: Vec<_> = sunk.iter().filter(|sunk| sunk.address == line.address).map(|sunk| sunk.part).collect();
        parts.sort_unstable();
        let expected = expected(met.get(line.address.as_bytes()));
        assert_eq!((line.state, parts.as_slice()), expected, "{:?}", met.get(line.address.as_bytes()));
    }
    Ok(())
}

/// Where a text of that fate ends, and which of its parts the message centre has.
fn expected(fate: Option<&Fate>) -> (RecipientState, &'static [u8]) {
    match fate {
        Some(Fate::Answered | Fate::Unanswered) => (RecipientState::InDoubt, &[1]),
        Some(Fate::Throttled) | None => (RecipientState::Delivered, &[1, 2, 3]),
    }
}
