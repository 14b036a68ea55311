//! A model of gateways and their claims: a slice is decided once, whatever is read again.

use std::collections::BTreeMap;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::event::v1::{ReturnWhy, SliceOutcome};
use loa_domain::ids::{ChunkKey, SliceKey};
use loa_domain::mask::Mask;

/// How the gateways treat a slice that nobody has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Hands all over.
    Send,
    /// Refuses all for good.
    Reject,
    /// Hands the first half over, gives the rest back.
    Half(ReturnWhy),
    /// Gives all back.
    Return(ReturnWhy),
    /// Begins, hands half over, and falls silent; wakes up later, or never.
    Freeze,
}

#[derive(Debug)]
struct Claim {
    settlement: event::SliceSettled,
    /// The claimant has published it.
    known: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Gateways {
    claims: BTreeMap<SliceKey, Claim>,
    /// How often each message was handed over.
    pub(crate) sent: BTreeMap<(ChunkKey, u16), u32>,
}

impl Gateways {
    /// Reads a release record: the settlements that follow at once.
    pub(crate) fn read(&mut self, release: &event::Release, now_us: i64, manner: Manner) -> Vec<event::SliceSettled> {
        let key = convert::release_key(release).unwrap();
        let mask = convert::mask(&release.mask).unwrap();
        let length = release.slice_length as usize;
        let mut settlements = Vec::new();
        for number in 0..mask.runs(length) {
            let slice = SliceKey { release: key, slice: u16::try_from(number).unwrap() };
            let held = mask.run(number, length);
            match self.claims.get(&slice) {
                Some(claim) if claim.known => settlements.push(claim.settlement.clone()),
                Some(claim) => settlements.push(in_doubt(&claim.settlement)),
                None => {
                    let late = now_us >= release.hand_over_by_us;
                    let manner = if late { Manner::Return(ReturnWhy::Late) } else { manner };
                    settlements.extend(self.claim(slice, release, held, now_us, manner));
                }
            }
        }
        settlements
    }

    /// Frozen claimants wake and say what they had done.
    pub(crate) fn wake(&mut self) -> Vec<event::SliceSettled> {
        let asleep = self.claims.values_mut().filter(|claim| !claim.known);
        asleep
            .map(|claim| {
                claim.known = true;
                claim.settlement.clone()
            })
            .collect()
    }

    fn claim(
        &mut self,
        slice: SliceKey,
        release: &event::Release,
        held: Mask,
        now_us: i64,
        manner: Manner,
    ) -> Option<event::SliceSettled> {
        let (first, all) = (held.len().div_ceil(2), held.len());
        let (outcome, handed, why) = match manner {
            Manner::Send => (SliceOutcome::Submitted, all, ReturnWhy::Unspecified),
            Manner::Reject => (SliceOutcome::Rejected, 0, ReturnWhy::Unspecified),
            Manner::Half(why) => (SliceOutcome::Returned, first, why),
            Manner::Return(why) => (SliceOutcome::Returned, 0, why),
            Manner::Freeze => (SliceOutcome::Returned, first, ReturnWhy::Paused),
        };
        for index in held.iter().take(handed) {
            *self.sent.entry((slice.release.chunk, index)).or_default() += 1;
        }
        let code = |outcome: SliceOutcome| u8::try_from(outcome as i32).unwrap();
        let outcomes = (0..all).map(|at| code(if at < handed { SliceOutcome::Submitted } else { outcome })).collect();
        let details = held.iter().skip(handed).filter(|_| outcome == SliceOutcome::Returned);
        let details = details.map(|index| event::SettleDetail {
            index: u32::from(index),
            why: why.into(),
            not_before_us: if why == ReturnWhy::Retry { now_us + 2_000_000 } else { 0 },
            ..Default::default()
        });
        let settlement = event::SliceSettled {
            chunk: release.chunk.clone(),
            release_no: release.release_no,
            slice: u32::from(slice.slice),
            shard: release.shard,
            campaign_id: release.campaign_id.clone(),
            account: release.account.clone(),
            claimant: vec![1; 16],
            own: true,
            at_us: now_us,
            mask: held.to_vec(),
            outcomes,
            details: details.collect(),
            ..Default::default()
        };
        let known = manner != Manner::Freeze;
        self.claims.insert(slice, Claim { settlement: settlement.clone(), known });
        known.then_some(settlement)
    }
}

/// What somebody else says who finds the claim begun and not settled.
fn in_doubt(claimed: &event::SliceSettled) -> event::SliceSettled {
    let outcomes = vec![u8::try_from(SliceOutcome::InDoubt as i32).unwrap()];
    event::SliceSettled { own: false, outcomes, details: vec![], ..claimed.clone() }
}
