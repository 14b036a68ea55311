//! The ledger of the shards that this process owns: chunks in memory, words applied, what must be written.
//!
//! Pure: reading, loading and writing are the service's. Must stay true: after a flush the store holds exactly what is in
//! memory, offsets included; a word about a chunk that is not known yet is not taken and not passed over.

mod unmatched;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::event::v1 as event;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey};
use loa_domain::mask::Mask;
use loa_domain::state::{Reason, RecipientState, Word};
use loa_ports::store::report::{ChunkFacts, ChunkHit, ChunkState, Flush, GapRow, ReplyRow, SingleRow, TotalsRow};
use loa_ports::store::{Offset, StoreError};

use crate::chunk::{ChunkLedger, Told};
use crate::counts::Counts;
use crate::results::{Answer, Replies};
pub(crate) use unmatched::{Speaks, SpeaksOf};

/// A record speaks of a chunk that is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The chunk.
    pub chunk: ChunkKey,
    /// Its campaign.
    pub campaign: CampaignId,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// Its chunk must be loaded first.
    Missing(Missing),
    /// Who the recipients of some chunks are must be read first: this one may be among them.
    Keyless(AddressHash),
    /// It cannot be read.
    Bad(BadRecord),
}

impl From<BadRecord> for NotTaken {
    fn from(bad: BadRecord) -> Self {
        Self::Bad(bad)
    }
}

/// Records that the log dropped before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The topic.
    pub topic: &'static str,
    /// The first offset that was missed.
    pub from: i64,
    /// The first offset that there is.
    pub next: i64,
}

/// One owned shard.
#[derive(Debug, Default)]
pub(crate) struct ShardLedger {
    shard: u32,
    chunks: HashMap<ChunkKey, ChunkLedger>,
    campaigns: HashMap<CampaignId, BTreeSet<ChunkKey>>,
    loaded: HashSet<CampaignId>,
    dirty: BTreeSet<ChunkKey>,
    /// Written by the flush before, and perhaps at rest since.
    written: BTreeSet<ChunkKey>,
    new: BTreeSet<ChunkKey>,
    /// Their keys were read from the store and are let go by the next flush.
    fetched: Vec<ChunkKey>,
    newly_loaded: Vec<CampaignId>,
    singles: Vec<SingleRow>,
    replies: Replies,
    gaps: Vec<GapRow>,
    offsets: BTreeMap<(String, u32), i64>,
    offsets_dirty: bool,
    changed_campaigns: BTreeSet<(CampaignId, u16)>,
}

impl ShardLedger {
    /// A shard as stored.
    pub(crate) fn from_store(
        shard: u32,
        hits: Vec<ChunkHit>,
        loaded: Vec<CampaignId>,
        replies: Vec<ReplyRow>,
    ) -> Result<Self, StoreError> {
        let (loaded, replies) = (loaded.into_iter().collect(), Replies::from_store(replies));
        let mut ledger = Self { shard, loaded, replies, ..Self::default() };
        for hit in hits {
            let damaged = |error: crate::chunk::BadBlob| StoreError::Damaged { why: error.to_string() };
            let mut chunk = ChunkLedger::from_blob(hit.facts, &hit.blob).map_err(damaged)?;
            if ledger.loaded.contains(&chunk.facts.campaign) {
                chunk.drop_keys();
            }
            ledger.campaigns.entry(chunk.facts.campaign).or_default().insert(chunk.facts.key);
            ledger.chunks.insert(chunk.facts.key, chunk);
        }
        Ok(ledger)
    }

    /// Whether all chunks of the campaign are known.
    pub(crate) fn has_loaded(&self, campaign: CampaignId) -> bool {
        self.loaded.contains(&campaign)
    }

    /// A frozen chunk of a campaign.
    pub(crate) fn add_chunk(&mut self, facts: ChunkFacts) {
        let key = facts.key;
        if self.chunks.contains_key(&key) {
            return;
        }
        self.campaigns.entry(facts.campaign).or_default().insert(key);
        self.changed_campaigns.insert((facts.campaign, key.variant));
        self.chunks.insert(key, ChunkLedger::new(facts));
        self.new.insert(key);
    }

    /// All chunks of the campaign are known from now on.
    pub(crate) fn set_loaded(&mut self, campaign: CampaignId) {
        if self.loaded.insert(campaign) {
            self.newly_loaded.push(campaign);
        }
    }

    /// Where reading of a topic goes on; part of the next flush.
    pub(crate) fn set_offset(&mut self, topic: &str, partition: u32, next: i64) {
        self.offsets.insert((topic.to_owned(), partition), next);
        self.offsets_dirty = true;
    }

    /// Takes a record of settlements.v1.
    pub(crate) fn take_settlements(&mut self, record: &event::Settlements) -> Result<(), NotTaken> {
        record.slices.iter().try_for_each(|settled| self.take_slice(settled))
    }

    fn take_slice(&mut self, settled: &event::SliceSettled) -> Result<(), NotTaken> {
        let key = convert::chunk_key(settled.chunk.as_ref())?;
        let campaign = convert::campaign_id(&settled.campaign_id)?;
        let mask = convert::mask(&settled.mask)?;
        let details: HashMap<u32, &event::SettleDetail> =
            settled.details.iter().map(|detail| (detail.index, detail)).collect();
        let chunk = self.chunks.get_mut(&key).ok_or(NotTaken::Missing(Missing { chunk: key, campaign }))?;
        let mut changed = false;
        for (at, index) in mask.iter().enumerate() {
            let detail = details.get(&u32::from(index));
            let state = state_of(convert::outcome_at(settled, at)?);
            let handed_over = matches!(state, RecipientState::Submitted | RecipientState::Delivered);
            let parts = settled.parts.get(at).copied().unwrap_or(1);
            chunk.make_room(index);
            let told = Told {
                word: Word { state, release_no: settled.release_no, own: settled.own, receipt: false },
                reason: reason_of(detail.map_or(0, |detail| detail.reason), state, settled.own),
                at_us: settled.at_us,
                parts: if handed_over { parts } else { 0 },
            };
            changed |= chunk.tell(index, told);
        }
        if changed {
            self.mark(key, campaign);
        }
        Ok(())
    }

    /// Takes a record of outcomes.v1; `speaks` tells of which variants a receipt under a sender may speak.
    pub(crate) fn take_outcomes(&mut self, record: &event::Outcomes, speaks: &SpeaksOf<'_>) -> Result<(), NotTaken> {
        record.accepted.iter().try_for_each(|accepted| self.take_accepted(accepted))?;
        record.outcomes.iter().try_for_each(|outcome| self.take_outcome(record, outcome))?;
        record.unmatched.iter().try_for_each(|unmatched| self.take_unmatched(unmatched, speaks))
    }

    fn take_outcome(&mut self, record: &event::Outcomes, outcome: &event::Outcome) -> Result<(), NotTaken> {
        let at = usize::try_from(outcome.chunk).map_err(|error| BadRecord::new("chunk", error))?;
        let named = record.chunks.get(at).ok_or_else(|| BadRecord::new("chunk", "not in the record's list"))?;
        let key = convert::chunk_key(named.chunk.as_ref())?;
        let campaign = convert::campaign_id(&named.campaign_id)?;
        let index = index_of(outcome.index)?;
        let small = |value: u32, field| u8::try_from(value).map_err(|error| BadRecord::new(field, error));
        let (part, parts) = (small(outcome.part, "part")?, small(outcome.parts, "parts")?);
        let code = i32::from(small(outcome.state, "state")?);
        let state = RecipientState::from_code(code).ok_or_else(|| BadRecord::new("state", code))?;
        let word = Word { state, release_no: outcome.release_no, own: !outcome.receipt, receipt: outcome.receipt };
        let reason = match (outcome.reason, outcome.receipt, state) {
            // Nothing to explain: it arrived.
            (_, _, RecipientState::Delivered) => Reason::None,
            (0, true, _) => Reason::Receipt,
            (code, _, _) => reason_of(code, state, true),
        };
        let told = Told { word, reason, at_us: outcome.at_us, parts: 0 };
        let chunk = self.chunks.get_mut(&key).ok_or(NotTaken::Missing(Missing { chunk: key, campaign }))?;
        chunk.make_room(index);
        let changed = if part == 0 { chunk.tell(index, told) } else { chunk.tell_part(index, part, parts, told) };
        if changed {
            self.mark(key, campaign);
        }
        Ok(())
    }

    fn take_accepted(&mut self, accepted: &event::SingleAccepted) -> Result<(), NotTaken> {
        let key = convert::chunk_key(accepted.chunk.as_ref())?;
        let campaign = convert::campaign_id(&accepted.notice_id)?;
        let index = index_of(accepted.index)?;
        let channel = convert::channel(accepted.channel)?.code();
        self.add_single_chunk(key, campaign, channel, &accepted.account);
        let hash = AddressHash(accepted.address_hash);
        if let Some(chunk) = self.chunks.get_mut(&key).filter(|chunk| !chunk.knows(index, hash)) {
            chunk.note_address(index, hash);
            if chunk.facts.account.is_empty() {
                chunk.facts.account.clone_from(&accepted.account);
            }
            self.new.insert(key);
            self.changed_campaigns.insert((campaign, key.variant));
            let (caller, idempotency_key) = (accepted.caller.clone(), accepted.idempotency_key.clone());
            self.singles.push(SingleRow { key, index, caller, idempotency_key });
            self.replies_of(accepted, key, index);
        }
        Ok(())
    }

    /// Whoever asked by requests.v1 is answered.
    fn replies_of(&mut self, accepted: &event::SingleAccepted, key: ChunkKey, index: u16) {
        let Some(reply_to) = &accepted.reply_to else { return };
        self.replies.add(ReplyRow {
            key,
            index,
            shard: self.shard,
            idempotency_key: accepted.idempotency_key.clone(),
            message_id: accepted.message_id,
            partition: reply_to.partition,
            record_key: reply_to.key.clone(),
            accepted_at_us: accepted.accepted_at_us,
            told: None,
        });
    }

    /// Answers that are due, about `max` of them. To be asked for right after a flush: what is told is stored.
    pub(crate) fn answers(&mut self, max: usize, now_us: i64) -> Vec<Answer> {
        let Self { replies, chunks, .. } = self;
        replies.answers(max, now_us, |key, index| chunks.get(&key)?.entry(index))
    }

    /// The requests that are answered here.
    pub(crate) fn replies(&mut self) -> &mut Replies {
        &mut self.replies
    }

    /// Records of a topic were dropped before they were read, and these campaigns may have lost words by it.
    pub(crate) fn miss(&mut self, gap: &Gap, campaigns: &[CampaignId], now_us: i64) {
        let row = |&campaign: &CampaignId| GapRow {
            campaign,
            topic: gap.topic.to_owned(),
            shard: self.shard,
            from: gap.from,
            next: gap.next,
            at_us: now_us,
        };
        self.gaps.extend(campaigns.iter().map(row));
        self.set_offset(gap.topic, self.shard, gap.next);
    }

    /// Campaigns with somebody in this shard of whom not all is known.
    pub(crate) fn unsettled(&self) -> Vec<CampaignId> {
        let is_unsettled = |key: &ChunkKey| self.chunks.get(key).is_some_and(|chunk| !chunk.counts().is_settled());
        let unsettled = self.campaigns.iter().filter(|(_, keys)| keys.iter().any(is_unsettled));
        unsettled.map(|(&campaign, _)| campaign).collect()
    }

    /// A chunk of single sends, whose recipients are told one by one.
    pub(crate) fn add_single_chunk(&mut self, key: ChunkKey, campaign: CampaignId, channel: u8, account: &str) {
        self.add_chunk(ChunkFacts {
            key,
            campaign,
            shard: self.shard,
            account: account.to_owned(),
            channel,
            keys: Arc::default(),
        });
    }

    /// Whoever waits too long for a receipt is unknown.
    pub(crate) fn give_up_waiting(&mut self, submitted_before_us: i64, now_us: i64) {
        let mut changed = Vec::new();
        for (key, chunk) in &mut self.chunks {
            if chunk.counts().of(RecipientState::Submitted) > 0 && chunk.give_up_waiting(submitted_before_us, now_us) {
                changed.push((*key, chunk.facts.campaign));
            }
        }
        for (key, campaign) in changed {
            self.mark(key, campaign);
        }
    }

    /// One chunk.
    pub(crate) fn chunk(&self, key: ChunkKey) -> Option<&ChunkLedger> {
        self.chunks.get(&key)
    }

    /// What a flush must write; empty if nothing changed. Kept as dirty until [`ShardLedger::flushed`].
    pub(crate) fn flush(&self, now_us: i64) -> Result<Flush, StoreError> {
        let mut flush = Flush::default();
        for key in self.new.iter().filter_map(|key| self.chunks.get(key)) {
            flush.chunks.push(key.facts.clone());
        }
        for key in &self.dirty {
            if let Some(chunk) = self.chunks.get(key) {
                let blob = chunk.blob().map_err(|error| StoreError::Damaged { why: error.to_string() })?;
                flush.states.push(ChunkState { key: *key, blob });
            }
        }
        for &(campaign, variant) in &self.changed_campaigns {
            flush.totals.extend(self.totals(campaign, variant, now_us));
        }
        flush.singles.clone_from(&self.singles);
        (flush.replies, flush.replied) = self.replies.changes();
        flush.gaps.clone_from(&self.gaps);
        flush.loaded = self.newly_loaded.iter().map(|&campaign| (campaign, self.shard)).collect();
        if self.offsets_dirty {
            let offset = |((topic, partition), &next): (&(String, u32), &i64)| Offset {
                topic: topic.clone(),
                partition: *partition,
                next,
            };
            flush.offsets = self.offsets.iter().map(offset).collect();
        }
        Ok(flush)
    }

    /// The flush is stored.
    pub(crate) fn flushed(&mut self) {
        self.new.clear();
        let dirty = std::mem::take(&mut self.dirty);
        for key in std::mem::replace(&mut self.written, dirty).difference(&self.written) {
            if let Some(chunk) = self.chunks.get_mut(key) {
                chunk.rest();
            }
        }
        self.changed_campaigns.clear();
        self.singles.clear();
        self.replies.flushed();
        self.gaps.clear();
        let whole = self.newly_loaded.drain(..).filter_map(|campaign| self.campaigns.get(&campaign)).flatten();
        for key in self.fetched.drain(..).chain(whole.copied()) {
            self.chunks.get_mut(&key).into_iter().for_each(ChunkLedger::drop_keys);
        }
        self.offsets_dirty = false;
    }

    fn totals(&self, campaign: CampaignId, variant: u16, now_us: i64) -> Option<TotalsRow> {
        let mut counts = Counts::default();
        let mut channel = 0;
        for key in self.campaigns.get(&campaign)?.iter().filter(|key| key.variant == variant) {
            let chunk = self.chunks.get(key)?;
            channel = chunk.facts.channel;
            counts.add_all(chunk.counts());
            counts.frozen += chunk.recipients() as u64;
        }
        Some(TotalsRow { campaign, variant, shard: self.shard, channel, counts: counts.encode(), at_us: now_us })
    }

    fn mark(&mut self, key: ChunkKey, campaign: CampaignId) {
        self.dirty.insert(key);
        self.replies.touch(key);
        self.changed_campaigns.insert((campaign, key.variant));
    }
}

/// An index that a mask can hold.
fn index_of(number: u32) -> Result<u16, BadRecord> {
    let index = u16::try_from(number).ok().filter(|&index| usize::from(index) < Mask::BITS);
    index.ok_or_else(|| BadRecord::new("index", format!("{number} is not below {}", Mask::BITS)))
}

fn state_of(outcome: event::SliceOutcome) -> RecipientState {
    match outcome {
        event::SliceOutcome::Submitted => RecipientState::Submitted,
        event::SliceOutcome::Rejected => RecipientState::Rejected,
        event::SliceOutcome::Returned | event::SliceOutcome::Unspecified => RecipientState::Open,
        event::SliceOutcome::InDoubt => RecipientState::InDoubt,
        event::SliceOutcome::Delivered => RecipientState::Delivered,
        event::SliceOutcome::Undelivered => RecipientState::Undelivered,
    }
}

fn reason_of(code: u32, state: RecipientState, own: bool) -> Reason {
    let told = i32::try_from(code).ok().and_then(Reason::from_code).unwrap_or(Reason::None);
    match (told, state, own) {
        (Reason::None, RecipientState::InDoubt, true) => Reason::NoAnswer,
        (Reason::None, RecipientState::InDoubt, false) => Reason::ClaimantGone,
        (told, _, _) => told,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    mod recovery;

    use super::*;
    use loa_domain::ids::FreezeId;
    use uuid::Uuid;

    pub(crate) const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(2));

    pub(crate) fn key() -> ChunkKey {
        ChunkKey { freeze: FreezeId(Uuid::from_u128(1)), variant: 0, chunk: 4 }
    }

    pub(crate) fn ledger() -> ShardLedger {
        let mut ledger = ShardLedger { shard: 5, ..ShardLedger::default() };
        let keys = (0..3).map(AddressHash).collect();
        ledger.add_chunk(ChunkFacts {
            key: key(),
            campaign: CAMPAIGN,
            shard: 5,
            account: "a".to_owned(),
            channel: 1,
            keys,
        });
        ledger
    }

    pub(crate) fn settled(release_no: u32, outcomes: &[event::SliceOutcome]) -> event::Settlements {
        let outcomes: Vec<u8> = outcomes.iter().map(|&outcome| u8::try_from(i32::from(outcome)).unwrap()).collect();
        let slice = event::SliceSettled {
            chunk: Some(convert::chunk_key_record(key())),
            release_no,
            shard: 5,
            campaign_id: CAMPAIGN.to_vec(),
            own: true,
            at_us: 1,
            mask: Mask::first(3).to_vec(),
            outcomes,
            ..Default::default()
        };
        event::Settlements { slices: vec![slice] }
    }

    pub(crate) fn counts(ledger: &ShardLedger) -> Counts {
        Counts::decode(&ledger.totals(CAMPAIGN, 0, 0).unwrap().counts).unwrap()
    }

    #[test]
    fn one_outcome_byte_stands_for_all() {
        let mut ledger = ledger();
        ledger.take_settlements(&settled(1, &[event::SliceOutcome::Submitted])).unwrap();
        assert_eq!(counts(&ledger).of(RecipientState::Submitted), 3);
        assert_eq!(counts(&ledger).frozen, 3);
    }

    #[test]
    fn a_record_read_again_changes_nothing() {
        let mut ledger = ledger();
        let record =
            settled(1, &[event::SliceOutcome::Submitted, event::SliceOutcome::Returned, event::SliceOutcome::InDoubt]);
        ledger.take_settlements(&record).unwrap();
        let before = counts(&ledger);
        ledger.flushed();
        ledger.take_settlements(&record).unwrap();
        assert_eq!(counts(&ledger), before);
        assert_eq!(ledger.flush(0).unwrap(), Flush::default());
    }

    #[test]
    fn a_word_about_an_unknown_chunk_is_not_passed_over() {
        let mut ledger = ShardLedger::default();
        let not_taken = ledger.take_settlements(&settled(1, &[event::SliceOutcome::Submitted])).unwrap_err();
        assert!(matches!(not_taken, NotTaken::Missing(Missing { campaign: CAMPAIGN, .. })));
    }

    fn nobody(_: CampaignId, _: u16, _: &str) -> Speaks {
        Speaks::No
    }

    fn accepted(reply_to: Option<event::ReplyTo>) -> event::Outcomes {
        let accepted = event::SingleAccepted {
            chunk: Some(convert::chunk_key_record(key())),
            index: 1,
            notice_id: CAMPAIGN.to_vec(),
            address_hash: 77,
            caller: "lan".to_owned(),
            idempotency_key: "k1".to_owned(),
            channel: 1,
            reply_to,
            ..Default::default()
        };
        event::Outcomes { shard: 5, accepted: vec![accepted], ..Default::default() }
    }

    #[test]
    fn a_single_send_is_known_by_its_address() {
        let mut ledger = ShardLedger { shard: 5, ..ShardLedger::default() };
        ledger.take_outcomes(&accepted(None), &nobody).unwrap();
        ledger.take_outcomes(&accepted(None), &nobody).unwrap();
        let flush = ledger.flush(0).unwrap();
        assert_eq!(flush.singles.len(), 1);
        assert_eq!(*flush.chunks[0].keys, [AddressHash(0), AddressHash(77)]);
        ledger.flushed();
        assert!(ledger.answers(10, 0).is_empty(), "asked for by gRPC");
    }

    #[test]
    fn a_request_is_answered_however_its_words_come() {
        let reply_to = Some(event::ReplyTo { partition: 2, key: vec![] });
        let (accepted, settled) = (accepted(reply_to), settled(1, &[event::SliceOutcome::Submitted]));
        for settled_first in [true, false] {
            let mut ledger = ShardLedger { shard: 5, ..ShardLedger::default() };
            ledger.add_single_chunk(key(), CAMPAIGN, 1, "a");
            if settled_first {
                ledger.take_settlements(&settled).unwrap();
                ledger.take_outcomes(&accepted, &nobody).unwrap();
            } else {
                ledger.take_outcomes(&accepted, &nobody).unwrap();
                ledger.take_settlements(&settled).unwrap();
            }
            assert_eq!(ledger.flush(0).unwrap().replies.len(), 1);
            ledger.flushed();
            let answers = ledger.answers(10, 0);
            let states: Vec<_> = answers.iter().map(|answer| answer.state).collect();
            assert_eq!(states, [RecipientState::Open, RecipientState::Submitted]);
            ledger.replies().told(&answers);
            ledger.take_outcomes(&accepted, &nobody).unwrap();
            assert!(ledger.answers(10, 0).is_empty(), "a repeated word is no news");
        }
    }

    #[test]
    fn a_gap_marks_who_may_have_lost_words() {
        let mut ledger = ledger();
        let gap = Gap { topic: "outcomes.v1", from: 3, next: 9 };
        assert_eq!(ledger.unsettled(), [CAMPAIGN]);
        ledger.miss(&gap, &[CAMPAIGN], 7);
        let flush = ledger.flush(0).unwrap();
        let topic = "outcomes.v1".to_owned();
        assert_eq!(flush.offsets, [Offset { topic: topic.clone(), partition: 5, next: 9 }], "in the same transaction");
        assert_eq!(flush.gaps, [GapRow { campaign: CAMPAIGN, topic, shard: 5, from: 3, next: 9, at_us: 7 }]);
        ledger.take_settlements(&settled(1, &[event::SliceOutcome::Delivered])).unwrap();
        assert_eq!(ledger.unsettled(), [], "of whom all is known, nothing is lost");
    }
}
