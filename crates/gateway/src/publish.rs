//! What is published when a slice is finished: its references, then its settlement, then the mark on its claim.
//!
//! Must stay true: a settlement is published only after the references of its messages were acknowledged; a mark and a
//! watermark are stored only after the settlements they rest on were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ReferencesTopic, SettlementsTopic, releases};
use loa_domain::ids::{ChunkKey, SliceKey};
use loa_domain::limits::RECORD_BYTES_MAX;
use loa_ports::log::Append;
use loa_ports::store::claims::Mark;
use loa_ports::store::{Offset, StoreError};
use loa_runtime::record;
use prost::Message as _;
use tokio::sync::Notify;

use crate::engine::{Engine, Medium, lane_at};
use crate::live::ToStore;
use crate::offer::Offer;
use crate::partition::partition_of;
use crate::queue::Begun;
use crate::settle;

/// Settlements and references gather at most this long.
const GATHER: Duration = Duration::from_millis(50);
/// Marks and watermarks gather this long before they are stored.
const STORE_EVERY: Duration = Duration::from_millis(200);
/// Marks of one transaction, at most.
const MARKS_MAX: usize = 2_000;
/// Waits after a log or store that did not answer.
const AWAY_WAIT: Duration = Duration::from_millis(200);
/// References of one record, at most: well below the record's limit.
const REFERENCES_PER_RECORD_MAX: usize = 4_000;
/// The name of the gateway's watermarks.
pub(crate) const WATERMARKS: &str = "gateway";

/// A slice of which all is known.
#[derive(Debug)]
pub(crate) struct Finished {
    key: SliceKey,
    settled: event::SliceSettled,
    /// The claim is to be marked with this settlement.
    mark: bool,
    references: Vec<event::Reference>,
}

impl Finished {
    /// The claimant's word; its claim is to be marked.
    pub(crate) fn mine(offer: &Offer, slice: u16, settled: event::SliceSettled) -> Self {
        Self { key: offer.slice(slice), settled, mark: true, references: Vec::new() }
    }

    /// A word that is said again, or about somebody else's claim.
    pub(crate) fn known(offer: &Offer, slice: u16, settled: event::SliceSettled) -> Self {
        Self { mark: false, ..Self::mine(offer, slice, settled) }
    }
}

/// Finished slices on their way to the log.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    finished: Mutex<Vec<Finished>>,
    filled: Notify,
    emptied: Notify,
    busy: Mutex<bool>,
}

impl Outbox {
    fn put(&self, finished: Finished) {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(finished);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<Finished> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_busy(!finished.is_empty());
        std::mem::take(&mut *finished)
    }

    fn set_busy(&self, busy: bool) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = busy;
    }

    fn is_empty(&self) -> bool {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.is_empty() && !*self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when everything put in was published.
    pub(crate) async fn empty(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

impl<M: Medium> Engine<M> {
    pub(crate) fn publish(&self, finished: Finished) {
        self.outbox.put(finished);
    }

    /// Slices whose messages are all over: says what became of them.
    pub(crate) fn finish(&self, account: usize, finished: Vec<Begun<M::Ready>>) {
        for mut begun in finished {
            let (now_us, me) = (self.ctx.now_us(), self.ctx.incarnation());
            let fates: Vec<_> = begun
                .messages
                .iter()
                .enumerate()
                .map(|(at, message)| message.fate(begun.offer.attempts(begun.recipient(at)), now_us))
                .collect();
            let parts: Vec<u8> = begun.messages.iter().map(|message| message.parts()).collect();
            self.accounts[account].meters.count(&fates);
            let settled = settle::own(&begun.offer, begun.slice, me, now_us, &fates, &parts);
            let references = references_of(&mut begun, &parts, now_us);
            self.publish(Finished { references, ..Finished::mine(&begun.offer, begun.slice, settled) });
        }
    }

    pub(crate) async fn publish_loop(self: Arc<Self>) {
        let mut last = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.over() => return,
                () = self.outbox.filled.notified() => {}
            }
            // The first after a quiet time goes at once; while there is much, it gathers.
            let since = self.ctx.monotonic().saturating_sub(last);
            if since < GATHER {
                tokio::time::sleep(GATHER - since).await;
            }
            last = self.ctx.monotonic();
            let finished = self.outbox.take();
            if !finished.is_empty() && !self.publish_all(finished).await {
                return;
            }
            self.outbox.set_busy(false);
            self.outbox.emptied.notify_waiters();
        }
    }

    async fn publish_all(&self, mut finished: Vec<Finished>) -> bool {
        let references = self.reference_records(&mut finished);
        if !references.is_empty() && !self.append(references).await {
            return false;
        }
        if !self.append(settlement_records(&finished)).await {
            return false;
        }
        self.live(|live| {
            for Finished { key, settled, mark, .. } in finished {
                let mark = mark.then(|| Mark { slice: key, settlement: settled.encode_to_vec().into() });
                live.published(key, mark);
            }
        });
        self.store_wake.notify_one();
        true
    }

    /// Appends until the log has it; false if the engine ended or failed before.
    async fn append(&self, records: Vec<Append>) -> bool {
        loop {
            match self.log.append(records.clone()).await {
                Ok(_) => return true,
                Err(error) if error.is_away() => tracing::warn!(%error, "settlements could not be published yet"),
                Err(error) => {
                    self.fail(format!("settlements cannot be published: {error}"));
                    return false;
                }
            }
            tokio::select! {
                () = self.over() => return false,
                () = tokio::time::sleep(AWAY_WAIT) => {}
            }
        }
    }

    fn reference_records(&self, finished: &mut [Finished]) -> Vec<Append> {
        // Partitions of each account; there are few accounts.
        let mut books: Vec<(String, BTreeMap<u32, ReferenceBook>)> = Vec::new();
        for Finished { key, settled, references, .. } in finished {
            let known = books.iter().position(|(account, _)| *account == settled.account);
            let at = known.unwrap_or_else(|| {
                books.push((settled.account.clone(), BTreeMap::new()));
                books.len() - 1
            });
            let (account, books) = &mut books[at];
            for reference in references.drain(..) {
                let partition = partition_of(self.ctx.hash_key(), account, &reference.id);
                books.entry(partition).or_default().add(key.release.chunk, settled, reference);
            }
        }
        let of_account = |(account, books): (String, BTreeMap<u32, ReferenceBook>)| {
            let records = books.into_iter().map(move |(partition, book)| book.records(&account, partition));
            records.flatten().collect::<Vec<_>>()
        };
        books.into_iter().flat_map(of_account).collect()
    }

    /// Stores marks and watermarks until the engine is over.
    pub(crate) async fn store_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.over() => return,
                () = self.store_wake.notified() => {}
            }
            tokio::select! {
                () = self.over() => return,
                () = tokio::time::sleep(STORE_EVERY) => {}
            }
            if !self.store_now(false).await {
                return;
            }
        }
    }

    /// Stores what is to be stored; `once`: without trying again. False if it was not stored.
    pub(crate) async fn store_now(&self, once: bool) -> bool {
        let to_store = self.live(|live| live.take_to_store());
        to_store.is_empty() || self.store(to_store, once).await
    }

    async fn store(&self, to_store: ToStore, once: bool) -> bool {
        let watermarks: Vec<_> = to_store
            .watermarks
            .iter()
            .filter_map(|&((lane, partition), next)| {
                let topic = releases(M::CHANNEL, lane_at(lane)?);
                Some(Offset { topic: topic.name.to_owned(), partition, next })
            })
            .collect();
        let mut chunks: Vec<&[Mark]> = to_store.marks.chunks(MARKS_MAX).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        // The watermarks rest on all marks: they go with the last ones.
        let last = chunks.len() - 1;
        for (at, marks) in chunks.into_iter().enumerate() {
            let watermarks = if at == last { watermarks.as_slice() } else { &[] };
            while let Err(error) = self.claims.mark(marks, WATERMARKS, watermarks).await {
                match error {
                    StoreError::Away { .. } | StoreError::Uncertain { .. } | StoreError::Conflict { .. } if !once => {
                        tracing::warn!(%error, "claims could not be marked settled yet");
                        tokio::time::sleep(AWAY_WAIT).await;
                    }
                    error if once => {
                        tracing::warn!(%error, "claims could not be marked settled before the stop");
                        return false;
                    }
                    error => {
                        self.fail(format!("claims cannot be marked: {error}"));
                        return false;
                    }
                }
            }
        }
        self.live(|live| live.stored(&to_store.slices));
        true
    }
}

fn references_of<R>(begun: &mut Begun<R>, parts: &[u8], now_us: i64) -> Vec<event::Reference> {
    let ids = std::mem::take(&mut begun.ids);
    let reference = |(at, part, id): (u16, u8, String)| event::Reference {
        chunk: 0,
        index: begun.offer.index(begun.recipient(at.into())).into(),
        part: u32::from(part) + 1,
        parts: parts.get(usize::from(at)).copied().unwrap_or(1).into(),
        id,
        release_no: begun.offer.key.release_no,
        submitted_at_us: now_us,
    };
    ids.into_iter().map(reference).collect()
}

/// References of one account and partition, with their chunks named once.
#[derive(Debug, Default)]
struct ReferenceBook {
    chunks: Vec<event::ReferenceChunk>,
    places: BTreeMap<ChunkKey, u32>,
    /// The chunk of the reference before: its neighbours are mostly of the same one.
    last: Option<(ChunkKey, u32)>,
    references: Vec<event::Reference>,
}

impl ReferenceBook {
    fn add(&mut self, chunk: ChunkKey, settled: &event::SliceSettled, mut reference: event::Reference) {
        if let Some((last, at)) = self.last.filter(|(last, _)| *last == chunk) {
            (reference.chunk, self.last) = (at, Some((last, at)));
            return self.references.push(reference);
        }
        let next = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        let chunks = &mut self.chunks;
        reference.chunk = *self.places.entry(chunk).or_insert_with(|| {
            chunks.push(event::ReferenceChunk {
                chunk: Some(convert::chunk_key_record(chunk)),
                shard: settled.shard,
                campaign_id: settled.campaign_id.clone(),
            });
            next
        });
        self.last = Some((chunk, reference.chunk));
        self.references.push(reference);
    }

    fn records(self, account: &str, partition: u32) -> Vec<Append> {
        let Self { chunks, mut references, .. } = self;
        let mut records = Vec::with_capacity(1);
        while !references.is_empty() {
            let rest = references.split_off(references.len().min(REFERENCES_PER_RECORD_MAX));
            let record = event::References { account: account.to_owned(), chunks: chunks.clone(), references };
            records.push(record::append::<ReferencesTopic>(partition, bytes::Bytes::new(), &record));
            references = rest;
        }
        records
    }
}

/// One record per shard, or more where one would be too long.
fn settlement_records(finished: &[Finished]) -> Vec<Append> {
    let mut by_shard: BTreeMap<u32, Vec<&event::SliceSettled>> = BTreeMap::new();
    for Finished { settled, .. } in finished {
        by_shard.entry(settled.shard).or_default().push(settled);
    }
    let mut records = Vec::new();
    for (shard, slices) in by_shard {
        let (mut record, mut bytes) = (event::Settlements::default(), 0);
        for settled in slices {
            let length = settled.encoded_len() + 8;
            if bytes + length > RECORD_BYTES_MAX / 2 {
                records.push(record::append::<SettlementsTopic>(shard, bytes::Bytes::new(), &record));
                (record, bytes) = (event::Settlements::default(), 0);
            }
            bytes += length;
            record.slices.push(settled.clone());
        }
        records.push(record::append::<SettlementsTopic>(shard, bytes::Bytes::new(), &record));
    }
    records
}
