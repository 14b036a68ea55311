//! Receipts whose id belongs to nothing: as after a crash between a message's answer and its reference.
//!
//! Must stay true: such a receipt settles a message only if no other message can be meant by it, also none of a chunk whose
//! keys are in the store alone.

use loa_contract::convert::BadRecord;
use loa_contract::pb::event::v1 as event;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey};
use loa_domain::state::{Known, Reason, RecipientState, Word};
use loa_ports::store::report::{ChunkFacts, ChunkHit};

use super::{NotTaken, ShardLedger};
use crate::chunk::{ChunkLedger, Told};

/// Whether a receipt under a sender may speak of a variant's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// They have another sender.
    No,
    /// Of one part of several, or nobody knows: it settles nothing, and leaves nothing certain.
    Perhaps,
    /// Each is one part.
    Whole,
}

/// Tells it of a variant of a campaign and a sender.
pub(crate) type SpeaksOf<'a> = dyn Fn(CampaignId, u16, &str) -> Speaks + 'a;

impl ShardLedger {
    /// A receipt whose id belongs to nothing settles the message in doubt of the same account, sender and address, if no
    /// other message of theirs may have left: one that was delivered may have been spoken of twice. Said again, it finds
    /// none in doubt.
    pub(super) fn take_unmatched(&mut self, told: &event::Unmatched, speaks: &SpeaksOf<'_>) -> Result<(), NotTaken> {
        let state = final_state(told.state)?;
        let Some((key, campaign, index, release_no)) = self.meant(told, speaks)? else { return Ok(()) };
        let word = Word { state, release_no, own: false, receipt: true };
        let reason = if state == RecipientState::Delivered { Reason::None } else { Reason::Receipt };
        let told = Told { word, reason, at_us: told.at_us, parts: 0 };
        if self.chunks.get_mut(&key).is_some_and(|chunk| chunk.tell(index, told)) {
            self.mark(key, campaign);
        }
        Ok(())
    }

    /// Keys that were read for [`NotTaken::Keyless`]; whether any of them were not here.
    pub(crate) fn take_keys(&mut self, hits: Vec<ChunkHit>) -> bool {
        let before = self.fetched.len();
        for ChunkFacts { key, keys, .. } in hits.into_iter().map(|hit| hit.facts) {
            if self.chunks.get_mut(&key).is_some_and(|chunk| chunk.take_keys(keys)) {
                self.fetched.push(key);
            }
        }
        self.fetched.len() > before
    }

    /// The message in doubt that alone can be meant, with its release.
    fn meant(
        &self,
        told: &event::Unmatched,
        speaks: &SpeaksOf<'_>,
    ) -> Result<Option<(ChunkKey, CampaignId, u16, u32)>, NotTaken> {
        // Few chunks have anybody in doubt; only if this person is there, all of theirs are looked at.
        let hash = AddressHash(told.address_hash);
        let may_be = |chunk: &&ChunkLedger| chunk.facts.account == told.account && chunk.may_hold(hash);
        let is_in_doubt = |chunk: &ChunkLedger| chunk.counts().of(RecipientState::InDoubt) > 0;
        if !self.chunks.values().any(|chunk| is_in_doubt(chunk) && may_be(&chunk)) {
            return Ok(None);
        }
        if self.chunks.values().filter(may_be).any(ChunkLedger::is_without_keys) {
            return Err(NotTaken::Keyless(hash));
        }
        let said = |message: &Message<'_>| speaks(message.chunk.facts.campaign, message.key.variant, &told.sender);
        let mut may_be = self.messages(told).filter(|message| message.may_have_left() && said(message) != Speaks::No);
        let (Some(only), None) = (may_be.next(), may_be.next()) else { return Ok(None) };
        let is_meant = only.known.state == RecipientState::InDoubt && said(&only) == Speaks::Whole;
        Ok(is_meant.then_some((only.key, only.chunk.facts.campaign, only.index, only.known.release_no)))
    }

    /// Messages to the person by the account.
    fn messages(&self, told: &event::Unmatched) -> impl Iterator<Item = Message<'_>> {
        let hash = AddressHash(told.address_hash);
        let by_account = self.chunks.iter().filter(|(_, chunk)| chunk.facts.account == told.account);
        by_account.filter_map(move |(&key, chunk)| {
            let index = chunk.index_of(hash)?;
            Some(Message { key, chunk, index, known: chunk.entry(index)?.known })
        })
    }
}

/// One message to a person.
struct Message<'a> {
    key: ChunkKey,
    chunk: &'a ChunkLedger,
    index: u16,
    known: Known,
}

impl Message<'_> {
    /// Open too: what became of it may not be told yet.
    fn may_have_left(&self) -> bool {
        use RecipientState::{Cancelled, Rejected, Skipped};
        !matches!(self.known.state, Skipped | Cancelled | Rejected)
    }
}

/// What a receipt says, which is final.
fn final_state(code: u32) -> Result<RecipientState, BadRecord> {
    let state = i32::try_from(code).ok().and_then(RecipientState::from_code).filter(|state| state.is_final());
    state.ok_or_else(|| BadRecord::new("state", format!("{code} is no final state")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CAMPAIGN, counts, key, ledger, settled};
    use super::*;
    use loa_contract::convert;
    use loa_ports::store::report::Flush;

    fn ours(_: CampaignId, _: u16, sender: &str) -> Speaks {
        if sender == "BENTRE" { Speaks::Whole } else { Speaks::No }
    }

    fn receipt(address_hash: u64, account: &str, sender: &str) -> event::Outcomes {
        let (account, sender, state) = (account.to_owned(), sender.to_owned(), RecipientState::Delivered.code().into());
        let told = event::Unmatched { address_hash, account, sender, state, at_us: 9, ..Default::default() };
        event::Outcomes { shard: 5, unmatched: vec![told], ..Default::default() }
    }

    /// A second chunk of the same three people, and what became of them.
    fn second(ledger: &mut ShardLedger, outcomes: &[event::SliceOutcome]) {
        let other = ChunkKey { chunk: 5, ..key() };
        let keys = (0..3).map(AddressHash).collect();
        let account = "a".to_owned();
        ledger.add_chunk(ChunkFacts { key: other, campaign: CAMPAIGN, shard: 5, account, channel: 1, keys });
        let mut record = settled(1, outcomes);
        record.slices[0].chunk = Some(convert::chunk_key_record(other));
        ledger.take_settlements(&record).unwrap();
    }

    fn in_doubt(ledger: &ShardLedger) -> u64 {
        counts(ledger).of(RecipientState::InDoubt)
    }

    use event::SliceOutcome::{Delivered, InDoubt, Rejected, Submitted};

    #[test]
    fn it_settles_the_only_message_that_may_be_meant() {
        let mut ledger = ledger();
        ledger.take_settlements(&settled(1, &[InDoubt, Submitted, InDoubt])).unwrap();
        ledger.flushed();
        // Another account, another sender, somebody else, somebody who is not in doubt.
        for (hash, account, sender) in [(0, "b", "BENTRE"), (0, "a", "OTHER"), (9, "a", "BENTRE"), (1, "a", "BENTRE")] {
            ledger.take_outcomes(&receipt(hash, account, sender), &ours).unwrap();
            assert_eq!(ledger.flush(0).unwrap(), Flush::default());
        }
        ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
        ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
        assert_eq!((counts(&ledger).of(RecipientState::Delivered), in_doubt(&ledger)), (1, 1));
        assert_eq!(counts(&ledger).repeated, 0);
    }

    #[test]
    fn a_second_message_that_may_have_left_leaves_the_doubt() {
        for (outcome, left) in [(InDoubt, 2), (Delivered, 1), (Submitted, 1), (Rejected, 0)] {
            let mut ledger = ledger();
            ledger.take_settlements(&settled(1, &[InDoubt, Submitted, Submitted])).unwrap();
            second(&mut ledger, &[outcome, Submitted, Submitted]);
            ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
            assert_eq!(in_doubt(&ledger), left, "{outcome:?}");
        }
    }

    #[test]
    fn whose_keys_are_stored_is_asked_for() {
        for (other, left) in [(Rejected, 0), (Submitted, 1)] {
            let mut ledger = ledger();
            ledger.take_settlements(&settled(1, &[InDoubt, Submitted, Submitted])).unwrap();
            second(&mut ledger, &[other, Submitted, Submitted]);
            ledger.set_loaded(CAMPAIGN);
            let stored = ledger.flush(0).unwrap().chunks;
            ledger.flushed();
            // Nobody in doubt there: nothing is asked for.
            ledger.take_outcomes(&receipt(9, "a", "BENTRE"), &ours).unwrap();
            ledger.take_outcomes(&receipt(0, "b", "BENTRE"), &ours).unwrap();
            let hits = |from: usize| {
                let hit = |facts: &ChunkFacts| ChunkHit { facts: facts.clone(), blob: Vec::new() };
                stored[from..].iter().map(hit).collect::<Vec<_>>()
            };
            // One chunk's alone do not tell whether the other one's message is meant.
            for from in [1, 0] {
                let not_taken = ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap_err();
                assert!(matches!(not_taken, NotTaken::Keyless(AddressHash(0))));
                assert!(ledger.take_keys(hits(from)));
            }
            assert!(!ledger.take_keys(hits(0)), "they are here");
            ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
            assert_eq!(in_doubt(&ledger), left, "{other:?}");
            assert_eq!(ledger.flush(0).unwrap().chunks, [], "they are not written again");
            ledger.flushed();
            assert!(ledger.take_keys(hits(0)), "they were let go");
            assert_eq!(counts(&ledger).frozen, 6);
        }
    }

    #[test]
    fn one_part_of_several_settles_nothing() {
        let mut ledger = ledger();
        ledger.take_settlements(&settled(1, &[InDoubt, InDoubt, InDoubt])).unwrap();
        ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &|_, _, _| Speaks::Perhaps).unwrap();
        assert_eq!(in_doubt(&ledger), 3);
    }

    #[test]
    fn what_is_not_final_is_no_receipt() {
        let bad = event::Unmatched { state: RecipientState::Open.code().into(), ..Default::default() };
        let bad = event::Outcomes { unmatched: vec![bad], ..Default::default() };
        assert!(matches!(ledger().take_outcomes(&bad, &ours), Err(NotTaken::Bad(_))));
    }
}
