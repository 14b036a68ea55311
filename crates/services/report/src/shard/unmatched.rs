//! Receipts whose id belongs to nothing: as after a crash between a message's answer and its reference.
//!
//! Must stay true: such a receipt settles a message only if nobody else can be meant by it.

use loa_contract::convert::BadRecord;
use loa_contract::pb::event::v1 as event;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey};
use loa_domain::state::{Reason, RecipientState, Word};

use super::{NotTaken, ShardLedger};
use crate::chunk::{ChunkLedger, Told};

/// Whether a receipt under a sender may speak of a variant of a campaign: its sender, and each message one part.
pub(crate) type OfSender<'a> = dyn Fn(CampaignId, u16, &str) -> bool + 'a;

impl ShardLedger {
    /// A receipt whose id belongs to nothing settles the message in doubt of the same account, sender and address, if there
    /// is only one; said again, it finds none in doubt.
    pub(super) fn take_unmatched(&mut self, told: &event::Unmatched, of_sender: &OfSender<'_>) -> Result<(), NotTaken> {
        let state = final_state(told.state)?;
        let hash = AddressHash(told.address_hash);
        let in_doubt = |(key, chunk): (&ChunkKey, &ChunkLedger)| {
            let facts = &chunk.facts;
            let may_be = facts.account == told.account
                && chunk.counts().of(RecipientState::InDoubt) > 0
                && of_sender(facts.campaign, key.variant, &told.sender);
            let index = chunk.index_of(hash).filter(|_| may_be)?;
            let known = chunk.entry(index)?.known;
            (known.state == RecipientState::InDoubt).then_some((*key, facts.campaign, index, known.release_no))
        };
        let mut candidates = self.chunks.iter().filter_map(in_doubt);
        let (Some((key, campaign, index, release_no)), None) = (candidates.next(), candidates.next()) else {
            return Ok(());
        };
        let word = Word { state, release_no, own: false, receipt: true };
        let reason = if state == RecipientState::Delivered { Reason::None } else { Reason::Receipt };
        let told = Told { word, reason, at_us: told.at_us, parts: 0 };
        if self.chunks.get_mut(&key).is_some_and(|chunk| chunk.tell(index, told)) {
            self.mark(key, campaign);
        }
        Ok(())
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
    use loa_ports::store::report::{ChunkFacts, Flush};

    #[test]
    fn a_receipt_of_nothing_settles_the_only_message_in_doubt() {
        use event::SliceOutcome::{InDoubt, Submitted};
        let ours = |_: CampaignId, _: u16, sender: &str| sender == "BENTRE";
        let receipt = |address_hash, account: &str, sender: &str| {
            let (account, sender, state) =
                (account.to_owned(), sender.to_owned(), RecipientState::Delivered.code().into());
            let told = event::Unmatched { address_hash, account, sender, state, at_us: 9, ..Default::default() };
            event::Outcomes { shard: 5, unmatched: vec![told], ..Default::default() }
        };
        let mut ledger = ledger();
        ledger.take_settlements(&settled(1, &[InDoubt, Submitted, InDoubt])).unwrap();
        ledger.flushed();
        // Another account, another sender, somebody else, somebody who is not in doubt.
        for other in
            [receipt(0, "b", "BENTRE"), receipt(0, "a", "OTHER"), receipt(9, "a", "BENTRE"), receipt(1, "a", "BENTRE")]
        {
            ledger.take_outcomes(&other, &ours).unwrap();
            assert_eq!(ledger.flush(0).unwrap(), Flush::default());
        }
        ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
        ledger.take_outcomes(&receipt(0, "a", "BENTRE"), &ours).unwrap();
        let counts_now = counts(&ledger);
        assert_eq!((counts_now.of(RecipientState::Delivered), counts_now.of(RecipientState::InDoubt)), (1, 1));
        assert_eq!(counts_now.repeated, 0);
        // The same person in doubt of a second campaign: nobody can say which of them arrived.
        let other = ChunkKey { chunk: 5, ..key() };
        let keys = (0..3).map(AddressHash).collect();
        let account = "a".to_owned();
        ledger.add_chunk(ChunkFacts { key: other, campaign: CAMPAIGN, shard: 5, account, channel: 1, keys });
        let mut second = settled(1, &[InDoubt, InDoubt, InDoubt]);
        second.slices[0].chunk = Some(convert::chunk_key_record(other));
        ledger.take_settlements(&second).unwrap();
        ledger.take_outcomes(&receipt(2, "a", "BENTRE"), &ours).unwrap();
        assert_eq!(counts(&ledger).of(RecipientState::InDoubt), 4);
        let bad = event::Unmatched { state: RecipientState::Open.code().into(), ..Default::default() };
        let bad = event::Outcomes { unmatched: vec![bad], ..Default::default() };
        assert!(matches!(ledger.take_outcomes(&bad, &ours), Err(NotTaken::Bad(_))));
    }
}
