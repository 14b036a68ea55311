//! Settlements: what is said of a slice, by its claimant or by who found its claim.
//!
//! Must stay true: the same facts give the same settlement, so a repeat is equal; a settlement covers every recipient of
//! its slice; it carries no address and no text.

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_domain::channel::Channel;
use loa_domain::ids::Incarnation;
use loa_domain::state::{Reason, Returned};
use loa_ports::store::claims::SETTLEMENT_BYTES_MAX;
use prost::Message as _;

use crate::message::Fate;
use crate::offer::Offer;

/// The claimant's word: one fate per recipient of the slice, with the parts of each text.
pub(crate) fn own(
    offer: &Offer,
    slice: u16,
    me: Incarnation,
    at_us: i64,
    fates: &[Fate],
    parts: &[u8],
) -> event::SliceSettled {
    let mut settled = frame(offer, slice, me, true, at_us);
    let range = offer.range(slice);
    settled.outcomes = fates.iter().map(|fate| code(outcome(offer.channel, fate))).collect();
    settled.details =
        range.zip(fates).filter_map(|(recipient, fate)| detail(offer.index(recipient).into(), fate)).collect();
    if parts.iter().any(|&parts| parts != 1) {
        settled.parts = parts.to_vec();
    }
    shorten(&mut settled);
    settled
}

/// The whole slice goes back, by the word of a `returning` claim.
pub(crate) fn returned(
    offer: &Offer,
    slice: u16,
    claimant: Incarnation,
    at_us: i64,
    why: Returned,
) -> event::SliceSettled {
    let mut settled = frame(offer, slice, claimant, true, at_us);
    settled.outcomes = vec![code(event::SliceOutcome::Returned)];
    let fate =
        |recipient| Fate::Returned { why, attempt: offer.attempts(recipient), not_before_us: 0, code: Box::default() };
    settled.details =
        offer.range(slice).filter_map(|recipient| detail(offer.index(recipient).into(), &fate(recipient))).collect();
    settled
}

/// Somebody else's claim is begun and not settled.
pub(crate) fn in_doubt(offer: &Offer, slice: u16, claimant: Incarnation, at_us: i64) -> event::SliceSettled {
    let mut settled = frame(offer, slice, claimant, false, at_us);
    settled.outcomes = vec![code(event::SliceOutcome::InDoubt)];
    let fate = Fate::InDoubt { reason: Reason::ClaimantGone };
    settled.details = offer.range(slice).filter_map(|recipient| detail(offer.index(recipient).into(), &fate)).collect();
    settled
}

fn frame(offer: &Offer, slice: u16, claimant: Incarnation, own: bool, at_us: i64) -> event::SliceSettled {
    event::SliceSettled {
        chunk: Some(convert::chunk_key_record(offer.key.chunk)),
        release_no: offer.key.release_no,
        slice: slice.into(),
        shard: offer.shard.number(),
        campaign_id: offer.campaign.to_vec(),
        channel: i32::from(offer.channel.code()),
        account: offer.account.clone(),
        claimant: claimant.to_vec(),
        own,
        at_us,
        mask: offer.mask(slice).to_vec(),
        ..Default::default()
    }
}

fn outcome(channel: Channel, fate: &Fate) -> event::SliceOutcome {
    match (fate, channel) {
        (Fate::Accepted, Channel::Sms) => event::SliceOutcome::Submitted,
        (Fate::Accepted, Channel::Email) => event::SliceOutcome::Delivered,
        (Fate::Rejected { .. }, _) => event::SliceOutcome::Rejected,
        (Fate::Undelivered { .. }, _) => event::SliceOutcome::Undelivered,
        (Fate::InDoubt { .. }, _) => event::SliceOutcome::InDoubt,
        (Fate::Returned { .. }, _) => event::SliceOutcome::Returned,
    }
}

fn code(outcome: event::SliceOutcome) -> u8 {
    u8::try_from(i32::from(outcome)).unwrap_or_default()
}

fn detail(index: u32, fate: &Fate) -> Option<event::SettleDetail> {
    let detail = event::SettleDetail { index, ..Default::default() };
    match fate {
        Fate::Accepted => None,
        Fate::Rejected { reason, code } | Fate::Undelivered { reason, code } => {
            Some(event::SettleDetail { reason: reason.code().into(), code: code.to_string(), ..detail })
        }
        Fate::InDoubt { reason } => Some(event::SettleDetail { reason: reason.code().into(), ..detail }),
        Fate::Returned { why, attempt, not_before_us, code } => Some(event::SettleDetail {
            why: why.code().into(),
            attempt: (*attempt).into(),
            not_before_us: *not_before_us,
            code: code.to_string(),
            ..detail
        }),
    }
}

/// One byte stands for all where all are alike; codes are left out where they would make the claim's row too long.
fn shorten(settled: &mut event::SliceSettled) {
    if let Some(&first) = settled.outcomes.first()
        && settled.outcomes.iter().all(|&other| other == first)
    {
        settled.outcomes.truncate(1);
    }
    if settled.encoded_len() > SETTLEMENT_BYTES_MAX {
        settled.details.iter_mut().for_each(|detail| detail.code.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::mask::Mask;
    use uuid::Uuid;

    const ME: Incarnation = Incarnation(Uuid::from_u128(1));

    fn offer(recipients: u16) -> Offer {
        let record = event::Release {
            chunk: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 3 }),
            release_no: 4,
            shard: 5,
            campaign_id: vec![2; 16],
            account: "a".to_owned(),
            lane: event::Lane::Bulk.into(),
            class: event::Class::PublicInformation.into(),
            slice_length: 100,
            mask: (0..recipients).map(|index| index + 10).collect::<Mask>().to_vec(),
            msisdns: (0..u64::from(recipients)).collect(),
            attempts: vec![2; recipients.into()],
            ..Default::default()
        };
        Offer::parse(Channel::Sms, record).unwrap()
    }

    #[test]
    fn says_what_became_of_each() {
        let fates = [
            Fate::Accepted,
            Fate::Rejected { reason: Reason::Refused, code: "0x0b".into() },
            Fate::InDoubt { reason: Reason::NoAnswer },
        ];
        let settled = own(&offer(3), 0, ME, 9, &fates, &[1, 2, 1]);
        let outcomes: Vec<_> = (0..3).map(|at| convert::outcome_at(&settled, at).unwrap()).collect();
        use event::SliceOutcome::{InDoubt, Rejected, Submitted};
        assert_eq!(outcomes, [Submitted, Rejected, InDoubt]);
        assert_eq!(settled.parts, [1, 2, 1]);
        let reasons: Vec<_> = settled.details.iter().map(|detail| (detail.index, detail.reason)).collect();
        assert_eq!(reasons, [(11, Reason::Refused.code().into()), (12, Reason::NoAnswer.code().into())]);
        assert!(settled.own);
        assert_eq!(convert::slice_key(&settled).unwrap(), offer(3).slice(0));
    }

    #[test]
    fn the_usual_settlement_is_small() {
        let settled = own(&offer(100), 0, ME, 1_800_000_000_000_000, &vec![Fate::Accepted; 100], &[1; 100]);
        assert_eq!(settled.outcomes.len(), 1);
        assert!(settled.details.is_empty() && settled.parts.is_empty());
        assert!(settled.encoded_len() < 130, "{}", settled.encoded_len());
    }

    #[test]
    fn a_long_one_loses_its_codes_first() {
        let (why, not_before_us) = (Returned::Retry, 1_800_000_000_000_000);
        let fate = Fate::Returned { why, attempt: 1, not_before_us, code: "450 4.7.1".into() };
        let settled = own(&offer(100), 0, ME, 1_800_000_000_000_000, &vec![fate.clone(); 100], &[1; 100]);
        assert!(settled.encoded_len() <= SETTLEMENT_BYTES_MAX, "{}", settled.encoded_len());
        assert!(settled.details.iter().all(|detail| detail.code.is_empty() && detail.attempt == 1));
        let few = own(&offer(10), 0, ME, 0, &vec![fate; 10], &[1; 10]);
        assert_eq!(few.details[0].code, "450 4.7.1");
    }

    #[test]
    fn a_returned_slice_keeps_its_tries() {
        let settled = returned(&offer(2), 0, ME, 9, Returned::Late);
        assert_eq!(convert::outcome_at(&settled, 1), Ok(event::SliceOutcome::Returned));
        assert!(settled.details.iter().all(|d| d.why() == event::ReturnWhy::Late && d.attempt == 2));
        assert!(!in_doubt(&offer(2), 0, ME, 9).own);
    }
}
