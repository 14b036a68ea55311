//! Records to publish: releases and dispatch's own words, each a function of what is stored.
//!
//! Must stay true: nothing is built from a row that is not committed; publishing again is harmless.

use std::sync::Arc;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{self, OutcomesTopic, Topic as _, TopicSpec};
use loa_domain::channel::Lane;
use loa_domain::ids::{ChunkKey, Shard};
use loa_domain::mask::Mask;

use super::campaign::Campaign;
use super::chunk::Chunk;
use super::data::ChunkData;
use super::engine::Engine;
use super::row::Row;
use super::timers::Timer;
use super::{Now, SECOND_US};

/// Release records of one call, at most.
const RELEASES_MAX: usize = 64;
/// Rows whose words go in one record, at most: about 20 bytes for each of 500 recipients.
const WORDS_ROWS_MAX: usize = 32;
/// An account of which no partitions are known is asked about again after so long.
const UNHEARD_WAIT_US: i64 = 5 * SECOND_US;

/// A record on its way to the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outgoing {
    pub(crate) topic: &'static TopicSpec,
    pub(crate) partition: u32,
    pub(crate) said: Said,
    /// The rows it speaks of.
    pub(crate) rows: Vec<(Shard, ChunkKey, u32)>,
    /// The chunks of single sends whose acceptance it tells.
    pub(crate) singles: Vec<ChunkKey>,
    /// The trace it belongs to.
    pub(crate) traceparent: Option<String>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Release(Box<event::Release>),
    Words(event::Outcomes),
}

impl Engine {
    /// Records that are due. Must be called when no new row waits for its transaction.
    pub(crate) fn outgoing(&mut self, now: Now) -> Vec<Outgoing> {
        debug_assert!(!self.has_new_rows(), "a row is durable before its record is published");
        let mut records = self.accepted_words();
        records.extend(self.words());
        let chunks: Vec<_> = self.unpublished.iter().copied().collect();
        for of in chunks {
            if records.len() >= RELEASES_MAX {
                break;
            }
            self.releases_of(of, now, &mut records);
        }
        records
    }

    fn releases_of(&mut self, of: (Lane, Shard, ChunkKey), now: Now, records: &mut Vec<Outgoing>) {
        let (_, shard, key) = of;
        let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) else {
            self.unpublished.remove(&of);
            return;
        };
        let (source, campaign) = (self.sources.get(&chunk.source), self.campaigns.get(&chunk.source.campaign));
        let partition = self.accounts.get(chunk.source.account).partition(shard.index());
        let (Some(source), Some(campaign), Some(partition)) = (source, campaign, partition) else {
            self.unpublished.remove(&of);
            chunk.wake_at_us = Some(now.us + UNHEARD_WAIT_US);
            self.timers.set(now.us + UNHEARD_WAIT_US, Timer::Chunk(shard, key));
            return;
        };
        let Some(data) = self.library.get(key).map(Arc::clone) else {
            self.library.want_chunk(key, shard, campaign.is_notice());
            return;
        };
        self.unpublished.remove(&of);
        let topic = topics::releases(source.channel, source.lane);
        let due: Vec<u32> = chunk.unpublished(now.us).map(|row| row.no).collect();
        for no in due {
            let Some(row) = chunk.row_mut(no) else { continue };
            row.outgoing = true;
            let release = release(row, &data, campaign, source.lane.code());
            records.push(Outgoing {
                topic,
                partition,
                said: Said::Release(Box::new(release)),
                rows: vec![(shard, key, no)],
                singles: vec![],
                traceparent: data.traceparent.clone(),
            });
        }
    }

    fn words(&mut self) -> Vec<Outgoing> {
        let mut records: Vec<Outgoing> = Vec::new();
        while let Some((shard, key)) = self.untold.pop_first() {
            let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) else { continue };
            let fits =
                |record: &&mut Outgoing| record.partition == shard.number() && record.rows.len() < WORDS_ROWS_MAX;
            if records.last_mut().as_ref().is_none_or(|last| !fits(last)) {
                let words = event::Outcomes { shard: shard.number(), ..Default::default() };
                records.push(Outgoing {
                    topic: OutcomesTopic::SPEC,
                    partition: shard.number(),
                    said: Said::Words(words),
                    rows: vec![],
                    singles: vec![],
                    traceparent: None,
                });
            }
            if let Some(Outgoing { said: Said::Words(words), rows, .. }) = records.last_mut() {
                rows.extend(say(chunk, key, words).into_iter().map(|no| (shard, key, no)));
            }
        }
        records
    }

    /// The log has these records.
    pub(crate) fn published(&mut self, records: &[Outgoing], now: Now) {
        for record in records {
            record.singles.iter().for_each(|&key| self.single_told(key));
            for &(shard, key, no) in &record.rows {
                self.published_row(shard, key, no, matches!(record.said, Said::Words(_)), now);
            }
        }
    }

    fn published_row(&mut self, shard: Shard, key: ChunkKey, no: u32, words: bool, now: Now) {
        let Some(chunk) = self.shards.get_mut(&shard).and_then(|core| core.chunks.get_mut(&key)) else { return };
        let Some(row) = chunk.row_mut(no) else { return };
        if words {
            row.telling = false;
            row.told = true;
            self.changes.progress.insert((shard, key, no));
            self.changes.touched.insert((shard, key));
        } else {
            row.outgoing = false;
            row.published(now.us);
        }
        self.touch(shard, key, now);
        self.evict(shard, key);
    }
}

/// Adds the words of a chunk's untold rows to a record; the rows' numbers.
fn say(chunk: &mut Chunk, key: ChunkKey, words: &mut event::Outcomes) -> Vec<u32> {
    let place = u32::try_from(words.chunks.len()).unwrap_or(u32::MAX);
    let mut told = Vec::new();
    for row in chunk.rows.iter_mut().filter(|row| row.is_untold() && !row.telling) {
        row.telling = true;
        told.push(row.no);
        words.outcomes.extend(row.decided.iter().map(|decided| event::Outcome {
            chunk: place,
            index: u32::from(decided.index),
            state: u32::from(decided.state.code()),
            reason: u32::from(decided.reason.code()),
            at_us: row.released_at_us,
            release_no: row.no,
            ..Default::default()
        }));
    }
    if !told.is_empty() {
        words.chunks.push(event::ReferenceChunk {
            chunk: Some(convert::chunk_key_record(key)),
            shard: words.shard,
            campaign_id: chunk.source.campaign.to_vec(),
        });
    }
    told
}

/// The record of a row: a function of row, chunk and campaign.
fn release(row: &Row, data: &ChunkData, campaign: &Campaign, lane: u8) -> event::Release {
    let variant = campaign.variants.get(&data.key.variant);
    let content_hash = data.content_hash.clone().or_else(|| variant.map(|variant| variant.content_hash.clone()));
    event::Release {
        chunk: Some(convert::chunk_key_record(data.key)),
        release_no: row.no,
        shard: data.shard.number(),
        campaign_id: campaign.id.to_vec(),
        account: data.account.to_string(),
        lane: i32::from(lane),
        class: i32::from(campaign.class.code()),
        sender: variant.map(|variant| variant.sender.clone()).unwrap_or_default(),
        sender_name: variant.map(|variant| variant.sender_name.clone()).unwrap_or_default(),
        unit_id: campaign.unit.clone(),
        topic: campaign.topic.clone(),
        released_at_us: row.released_at_us,
        hand_over_by_us: row.hand_over_by_us,
        slice_length: u32::from(row.slice_length),
        content_hash: content_hash.unwrap_or_default(),
        mask: row.mask.to_vec(),
        msisdns: picked(&data.msisdns, row.mask),
        mailboxes: picked(&data.mailboxes, row.mask),
        slots: data
            .slots
            .iter()
            .map(|slot| event::SlotColumn { name: slot.name.clone(), values: picked(&slot.values, row.mask) })
            .collect(),
        parts: picked(&data.parts, row.mask),
        attempts: if row.attempts.is_empty() { vec![0; row.mask.len()] } else { row.attempts.clone() },
        synthetic: campaign.synthetic,
        resend_in_doubt: campaign.resend_in_doubt,
        single: campaign.is_notice(),
    }
}

/// The values of the set bits; none of an empty column.
fn picked<T: Clone>(column: &[T], mask: Mask) -> Vec<T> {
    mask.iter().filter_map(|index| column.get(usize::from(index)).cloned()).collect()
}
