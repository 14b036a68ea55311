//! What becomes of a submit: accepted, throttled or refused, and which receipt follows.
//!
//! Pure functions of the configuration, the message and the moment, so that they can be told beforehand.

use std::time::Duration;

use loa_wire_smpp::pdu::Message;
use loa_wire_smpp::receipt::MessageState;
use loa_wire_smpp::status;
use tokio::time::Instant;

use super::{Faults, Receipts};
use crate::log::text_hash;

/// A carrier's limit: parts per second, with a tenth of a second at once.
#[derive(Default)]
pub(super) struct Bucket {
    /// When the next part would be due if they came evenly.
    due: Option<Instant>,
}

impl Bucket {
    /// Takes one part, or says that it is too early.
    pub(super) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let step = Duration::from_secs(1) / per_second.max(1);
        let due = self.due.map_or(now, |due| due.max(now));
        if due.duration_since(now) > (Duration::from_secs(1) / 10).max(step) {
            return false;
        }
        self.due = Some(due + step);
        true
    }
}

/// The status of the answer; 0 accepts.
pub(super) fn decide(message: &Message<'_>, faults: &Faults, take: impl FnOnce(u32) -> bool) -> u32 {
    let number = message.destination.address;
    let refusal = faults.refusals.iter().find(|refusal| number.ends_with(refusal.number_ends.as_bytes()));
    if let Some(refusal) = refusal {
        return refusal.status;
    }
    match faults.parts_per_second_max {
        Some(per_second) if !take(per_second.get()) => status::RTHROTTLED,
        _ => status::ROK,
    }
}

/// What the receipt will say, if one comes at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) state: MessageState,
    pub(super) twice: bool,
}

/// The receipt of a message with this number and text.
pub(super) fn fate(message: &Message<'_>, hash: u64, receipts: &Receipts) -> Option<Fate> {
    if !receipts.on {
        return None;
    }
    let draw = mix(hash ^ text_hash(message.destination.address).rotate_left(32));
    let permille = draw % 1_000;
    let undelivered = u64::from(receipts.undelivered_permille);
    let expired = undelivered + u64::from(receipts.expired_permille);
    let missing = expired + u64::from(receipts.missing_permille);
    let state = match permille {
        permille if permille < undelivered => MessageState::Undeliverable,
        permille if permille < expired => MessageState::Expired,
        permille if permille < missing => return None,
        _ => MessageState::Delivered,
    };
    let wanted = match message.registered_delivery & 0x03 {
        0 => false,
        1 => true,
        2 => state != MessageState::Delivered,
        _ => state == MessageState::Delivered,
    };
    let twice = (draw >> 32) % 1_000 < u64::from(receipts.duplicate_permille);
    wanted.then_some(Fate { state, twice })
}

/// Spreads similar inputs evenly (the finalizer of splitmix64).
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::*;
    use loa_wire_smpp::pdu::Address;

    fn message(number: &str, registered_delivery: u8) -> Message<'_> {
        let destination = Address { ton: 1, npi: 1, address: number.as_bytes() };
        Message { destination, registered_delivery, ..Message::default() }
    }

    #[test]
    fn refuses_by_ending_before_it_counts() {
        let faults = Faults {
            parts_per_second_max: std::num::NonZeroU32::new(5),
            refusals: vec![Refusal { number_ends: "000".to_owned(), status: status::RINVDSTADR }],
            ..Faults::default()
        };
        assert_eq!(decide(&message("84912000", 1), &faults, |_| panic!("no token")), status::RINVDSTADR);
        assert_eq!(decide(&message("84912001", 1), &faults, |rate| rate == 5), status::ROK);
        assert_eq!(decide(&message("84912001", 1), &faults, |_| false), status::RTHROTTLED);
        assert_eq!(decide(&message("84912001", 1), &Faults::default(), |_| panic!("no limit")), status::ROK);
    }

    #[test]
    fn the_bucket_holds_its_rate() {
        let start = Instant::now();
        for (per_second, expected) in [(1, 11..=12), (100, 1_009..=1_011), (50_000, 505_000..=505_002)] {
            let mut bucket = Bucket::default();
            let mut taken = 0;
            for millisecond in 0..=10_000 {
                let now = start + Duration::from_millis(millisecond);
                taken += (0..100).filter(|_| bucket.take(now, per_second)).count();
            }
            assert!(expected.contains(&taken), "{taken} in 10 s at {per_second}/s");
        }
    }

    #[test]
    fn shares_come_out_as_asked() {
        let receipts = Receipts {
            undelivered_permille: 100,
            expired_permille: 50,
            missing_permille: 50,
            duplicate_permille: 200,
            ..Receipts::default()
        };
        let mut counts = [0; 5];
        for number in 0..100_000 {
            let number = format!("849{number:08}");
            match fate(&message(&number, 1), 42, &receipts) {
                None => counts[0] += 1,
                Some(fate) => {
                    let at = match fate.state {
                        MessageState::Delivered => 1,
                        MessageState::Undeliverable => 2,
                        MessageState::Expired => 3,
                        other => panic!("{other:?}"),
                    };
                    counts[at] += 1;
                    counts[4] += usize::from(fate.twice);
                }
            }
        }
        for (count, expected) in counts.into_iter().zip([5_000, 80_000, 10_000, 5_000, 19_000]) {
            assert!(count.abs_diff(expected) < 500, "{counts:?}");
        }
    }

    #[test]
    fn only_what_was_asked_for() {
        let fails = Receipts { undelivered_permille: 1_000, ..Receipts::default() };
        let works = Receipts::default();
        let none = Receipts { on: false, ..Receipts::default() };
        for (asked, receipts, comes) in [
            (0, &works, false),
            (1, &works, true),
            (1, &fails, true),
            (2, &works, false),
            (2, &fails, true),
            (3, &works, true),
            (3, &fails, false),
            (1, &none, false),
        ] {
            assert_eq!(fate(&message("841", asked), 1, receipts).is_some(), comes, "asked for {asked}");
        }
    }
}
