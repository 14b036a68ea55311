//! Chunks of single sends: made here, stored here, released like those of campaigns.
//!
//! Must stay true: a chunk, its members' ids and the offset of the requests it came from are one transaction, so a single
//! send stands in exactly one chunk; its acceptance is told after that, as often as needed.

use std::sync::Arc;

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{OutcomesTopic, Topic as _};
use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::{AccountId, CampaignId, ChunkKey, Shard};
use loa_domain::state::{Reason, RecipientState};
use loa_ports::store::dispatch::{Decided, SingleChunk, SingleProgress};
use prost::Message as _;

use super::changes::Changes;
use super::data::ChunkData;
use super::engine::Engine;
use super::outgoing::{Outgoing, Said};
use super::row::Row;
use super::source::Planned;
use super::{Now, SourceKey};

/// Acceptances in one record, at most: about 350 bytes each with the longest names.
const ACCEPTED_MAX: usize = 2_000;

/// A chunk of single sends as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SingleBody {
    #[prost(message, optional, tag = "1")]
    pub(crate) chunk: Option<audience::Chunk>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) expires_us: Vec<i64>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) content_hash: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) accepted: Vec<event::SingleAccepted>,
    #[prost(int32, tag = "5")]
    pub(crate) channel: i32,
    #[prost(int32, tag = "6")]
    pub(crate) lane: i32,
    /// The trace that the first of them belongs to; empty = none.
    #[prost(string, tag = "7")]
    pub(crate) traceparent: String,
}

/// A chunk to be made.
#[derive(Debug)]
pub(crate) struct NewChunk {
    pub(crate) notice: CampaignId,
    pub(crate) body: SingleBody,
    /// Keyed hashes of its members' (caller, idempotency key), in order of index.
    pub(crate) members: Vec<u64>,
    /// No account takes its addresses.
    pub(crate) no_route: bool,
}

/// Where a chunk of single sends stands in memory.
#[derive(Debug)]
pub(crate) struct SinglePlace {
    pub(super) shard: Shard,
    pub(super) notice: CampaignId,
    size: u16,
    progress: SingleProgress,
    /// What is still to be told.
    accepted: Vec<event::SingleAccepted>,
}

impl SingleBody {
    /// The recipients, checked.
    pub(crate) fn data(self) -> Result<ChunkData, BadRecord> {
        let chunk = self.chunk.ok_or_else(|| BadRecord::new("chunk", "missing"))?;
        let content_hash = Some(self.content_hash);
        let traceparent = Some(self.traceparent).filter(|text| !text.is_empty());
        let data = ChunkData { expires_us: self.expires_us, content_hash, traceparent, ..ChunkData::read(chunk)? };
        if data.expires_us.len() == data.hashes.len() {
            Ok(data)
        } else {
            Err(BadRecord::new("expires_us", "one per recipient expected"))
        }
    }

    /// Reads a stored chunk.
    pub(crate) fn read(stored: &SingleChunk) -> Result<Self, BadRecord> {
        Self::decode(stored.body.as_slice()).map_err(|error| BadRecord::new("body", error))
    }
}

impl Engine {
    /// Chunks of a shard that was taken over.
    pub(super) fn add_singles(&mut self, shard: Shard, mut stored: Vec<SingleChunk>, now: Now) {
        // One that was begun comes first, whatever the clocks of its makers said.
        stored.sort_by_key(|single| (single.progress.passed == 0, single.key));
        for single in stored {
            match SingleBody::read(&single) {
                Ok(body) => self.add_single(shard, &single, body, true, now),
                Err(error) => {
                    tracing::error!(code = "LOA-115", chunk = ?single.key, %error, "a stored chunk of single sends cannot be read")
                }
            }
        }
    }

    fn add_single(&mut self, shard: Shard, single: &SingleChunk, body: SingleBody, committed: bool, now: Now) {
        let SingleChunk { key, notice, size, progress, .. } = *single;
        let accepted = if progress.told { Vec::new() } else { body.accepted };
        self.singles.insert(key, SinglePlace { shard, notice, size, progress, accepted });
        if committed && !progress.told {
            self.unaccepted.insert((shard, key));
        }
        if progress.passed >= size {
            return;
        }
        let account = self.accounts.number(&single.account);
        let channel = convert::channel(body.channel).unwrap_or(Channel::Sms);
        let lane = convert::lane(body.lane).unwrap_or(Lane::Bulk);
        let source_key = SourceKey { campaign: notice, variant: key.variant, shard, account };
        let source = self.source(source_key, channel, lane);
        if source.plan.is_empty() {
            source.at = progress.passed;
        }
        source.plan.push_back(Planned { key, size });
        self.enqueue(source_key, false, now);
    }

    /// Ids that stand in chunks which are not stored yet.
    pub(crate) fn members_waiting(&self) -> impl Iterator<Item = u64> {
        self.changes.singles.iter().flat_map(|single| single.members.iter().copied())
    }

    /// Makes a chunk of what waits.
    pub(crate) fn place(&mut self, shard: Shard, new: NewChunk, now: Now) -> Result<(), BadRecord> {
        let NewChunk { notice, body, members, no_route } = new;
        let data = body.clone().data()?;
        let (key, size) = (data.key, data.size());
        let expires_us = data.expires_us.iter().copied().max().unwrap_or(now.us);
        let progress = SingleProgress::default();
        let account: AccountId = data.account.clone();
        let bytes = body.encode_to_vec();
        let stored = SingleChunk { key, shard, notice, account, size, progress, expires_us, body: bytes, members };
        self.library.put(Arc::new(data));
        self.add_single(shard, &stored, body, false, now);
        if no_route {
            self.refuse(shard, &stored, now);
        }
        self.changes.singles.push(stored);
        Ok(())
    }

    /// Nobody takes these addresses.
    fn refuse(&mut self, shard: Shard, single: &SingleChunk, now: Now) {
        let account = self.accounts.number(&single.account);
        let source = SourceKey { campaign: single.notice, variant: single.key.variant, shard, account };
        let decided = |index| Decided { index, state: RecipientState::Rejected, reason: Reason::NoRoute };
        let decided = (0..single.size).map(decided).collect();
        self.add_row(source, single.key, now, |no| Row { decided, ..Row::new(no, now.us) });
        if let Some(known) = self.sources.get_mut(&source) {
            known.plan.retain(|planned| planned.key != single.key);
        }
        self.single_passed(single.key, single.size);
    }

    /// The cursor moved within a chunk, or behind it.
    pub(super) fn single_passed(&mut self, key: ChunkKey, next: u16) {
        if let Some(single) = self.singles.get_mut(&key) {
            single.progress.passed = next;
            self.changes.passed.insert((single.shard, key));
        }
    }

    /// Its acceptance is on the log.
    pub(super) fn single_told(&mut self, key: ChunkKey) {
        if let Some(single) = self.singles.get_mut(&key) {
            single.progress.told = true;
            single.accepted = Vec::new();
            self.changes.passed.insert((single.shard, key));
        }
    }

    pub(super) fn single_progress(&self, key: ChunkKey) -> Option<(ChunkKey, SingleProgress)> {
        self.singles.get(&key).map(|single| (key, single.progress))
    }

    /// What is stored may be told of; what is done leaves memory.
    pub(super) fn singles_committed(&mut self, changes: &Changes) {
        self.unaccepted.extend(changes.singles.iter().map(|single| (single.shard, single.key)));
        for &(_, key) in &changes.passed {
            let Some(single) = self.singles.get_mut(&key) else { continue };
            if single.progress.told && single.progress.passed >= single.size {
                self.singles.remove(&key);
            }
        }
    }

    /// Records about acceptances that are not told yet.
    pub(super) fn accepted_words(&mut self) -> Vec<Outgoing> {
        let mut records: Vec<Outgoing> = Vec::new();
        while let Some((shard, key)) = self.unaccepted.pop_first() {
            let Some(single) = self.singles.get(&key) else { continue };
            let fits = |words: &event::Outcomes| {
                words.shard == shard.number() && words.accepted.len() + single.accepted.len() <= ACCEPTED_MAX
            };
            match records.last_mut() {
                Some(Outgoing { said: Said::Words(words), singles, .. }) if fits(words) => {
                    words.accepted.extend(single.accepted.iter().cloned());
                    singles.push(key);
                }
                _ => records.push(accepted(shard, key, single)),
            }
        }
        records
    }
}

fn accepted(shard: Shard, key: ChunkKey, single: &SinglePlace) -> Outgoing {
    let words = event::Outcomes { shard: shard.number(), accepted: single.accepted.clone(), ..Default::default() };
    Outgoing {
        topic: OutcomesTopic::SPEC,
        partition: shard.number(),
        said: Said::Words(words),
        rows: vec![],
        singles: vec![key],
        traceparent: None,
    }
}
