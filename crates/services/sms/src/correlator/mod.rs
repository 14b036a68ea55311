//! The correlator: joins what was submitted (references.v1) with what carriers say of it (receipts.v1), and tells the ledger
//! (outcomes.v1).
//!
//! The holder of a partition reads its references whole, so it knows everything that waits for a receipt, and its receipts
//! from the watermark on.
//!
//! Must stay true: the watermark passes a receipt only when its outcome was published, with its message or, given up and
//! counted, without.

mod book;
mod outcomes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ReceiptsTopic, ReferencesTopic, Topic as _};
use loa_domain::ids::AccountId;
use loa_domain::limits::CORRELATIONS;
use loa_gateway::partition::id_key;
use loa_gateway::progress::Progress;
use loa_ports::log::{Log, LogError, Position, Reader, Record};
use loa_ports::store::claims::Claims;
use loa_ports::store::{Offset, StoreError};
use loa_runtime::lease::{Change, Want};
use loa_runtime::{Ctx, record};
use prometheus::IntCounter;
use tokio::sync::mpsc;

use book::{Book, Chunks, Overdue, Waiting};
use outcomes::Outcomes;

/// The kind of its leases.
pub(crate) const LEASE: &str = "correlator";
/// The name of its watermarks.
const WATERMARKS: &str = "correlator";
/// Outcomes gather at most this long.
const GATHER: Duration = Duration::from_millis(200);
/// Watermarks are stored this often.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// Old references are dropped this often.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// Outcomes in memory that are published before their time.
const OUTCOMES_MAX: usize = 20_000;
const READ_MAX: usize = 256;
const AWAY_WAIT: Duration = Duration::from_millis(200);

/// What it wants to own.
pub(crate) fn want() -> Want {
    Want { kind: LEASE.to_owned(), count: u32::from(CORRELATIONS), drains: false }
}

/// Receipts that belong to nothing, by account.
#[derive(Clone)]
pub(crate) struct Unmatched {
    counters: Vec<IntCounter>,
}

impl Unmatched {
    pub(crate) fn new(ctx: &Ctx, accounts: &[AccountId]) -> Self {
        let help = "receipts that belong to nothing that was submitted";
        let counter = ctx.metrics().counter_vec("loa_sms_receipts_unmatched_total", help, &["account"]);
        Self { counters: accounts.iter().map(|account| counter.with_label_values(&[account.as_str()])).collect() }
    }

    /// How many there were of an account.
    pub(crate) fn of(&self, account: usize) -> u64 {
        self.counters.get(account).map_or(0, IntCounter::get)
    }
}

/// The correlator of this process.
pub(crate) struct Correlator {
    ctx: Ctx,
    log: Arc<dyn Log>,
    claims: Arc<dyn Claims>,
    accounts: Vec<AccountId>,
    unmatched: Unmatched,
    partitions: HashMap<u32, Partition>,
    chunks: Chunks,
    outcomes: Outcomes,
    references: Box<dyn Reader>,
    receipts: Box<dyn Reader>,
}

struct Partition {
    book: Book,
    progress: Progress,
    /// Receipts are read once the references up to here are known.
    references_end: Option<i64>,
    receipts_from: i64,
}

impl Correlator {
    pub(crate) async fn new(
        ctx: &Ctx,
        log: Arc<dyn Log>,
        claims: Arc<dyn Claims>,
        accounts: Vec<AccountId>,
        unmatched: Unmatched,
    ) -> Result<Self, LogError> {
        Ok(Self {
            ctx: ctx.clone(),
            references: log.reader(ReferencesTopic::SPEC, Vec::new()).await?,
            receipts: log.reader(ReceiptsTopic::SPEC, Vec::new()).await?,
            log,
            claims,
            accounts,
            unmatched,
            partitions: HashMap::new(),
            chunks: Chunks::default(),
            outcomes: Outcomes::default(),
        })
    }

    /// Works until `over` resolves; then publishes what it has.
    pub(crate) async fn run(mut self, mut changes: mpsc::Receiver<Change>, over: impl Future<Output = ()>) {
        tokio::pin!(over);
        let [mut publish, mut store, mut expire] = [GATHER, STORE_EVERY, EXPIRE_EVERY].map(|period| {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            tick
        });
        loop {
            tokio::select! {
                () = &mut over => break,
                Some(change) = changes.recv() => self.change(change).await,
                records = self.references.next(READ_MAX) => self.take_references(records).await,
                records = self.receipts.next(READ_MAX) => self.take_receipts(records).await,
                _ = publish.tick(), if self.outcomes.len() > 0 => self.publish().await,
                _ = store.tick() => {
                    self.tell_unmatched();
                    self.publish().await;
                    self.store().await;
                }
                _ = expire.tick() => self.expire(),
            }
            if self.outcomes.len() >= OUTCOMES_MAX {
                self.publish().await;
            }
        }
        self.publish().await;
        self.store().await;
    }

    /// Drops what no receipt will come for any more.
    fn expire(&mut self) {
        let now_us = self.ctx.now_us();
        self.partitions.values_mut().for_each(|partition| partition.book.expire(now_us, &mut self.chunks));
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Gained(held) => loop {
                match self.gain(held.number).await {
                    Ok(()) => return,
                    Err(why) => tracing::warn!(partition = held.number, %why, "receipts cannot be joined yet"),
                }
                tokio::select! {
                    () = self.ctx.stopping() => return,
                    () = tokio::time::sleep(AWAY_WAIT) => {}
                }
            },
            // Never asked: it does not drain, what is not told yet is read again by who takes it.
            Change::Surplus(_) => {}
            Change::Lost(held) => {
                self.references.unassign(held.number);
                self.receipts.unassign(held.number);
                self.outcomes.forget(held.number);
                if let Some(partition) = self.partitions.remove(&held.number) {
                    partition.book.close(&mut self.chunks);
                }
            }
        }
    }

    async fn gain(&mut self, number: u32) -> Result<(), String> {
        let away = |error: LogError| error.to_string();
        let store = |error: StoreError| error.to_string();
        let topic = ReceiptsTopic::SPEC;
        let stored = self.claims.watermarks(WATERMARKS).await.map_err(store)?;
        let stored = stored.into_iter().find(|mark| mark.topic == topic.name && mark.partition == number);
        let start = |starts: Vec<i64>| starts.get(number as usize).copied().unwrap_or(0);
        let receipts_from = match stored {
            Some(mark) => mark.next,
            None => start(self.log.starts(topic).await.map_err(away)?),
        };
        let references_end = self.log.end(ReferencesTopic::SPEC, number).await.map_err(away)?;
        let references_from = start(self.log.starts(ReferencesTopic::SPEC).await.map_err(away)?);
        let partition = Partition {
            book: Book::default(),
            progress: Progress::from(receipts_from),
            references_end: Some(references_end),
            receipts_from,
        };
        self.partitions.insert(number, partition);
        self.references.assign(Position { partition: number, offset: references_from });
        self.begin_receipts();
        Ok(())
    }

    /// Partitions whose references are all known begin with their receipts.
    fn begin_receipts(&mut self) {
        for (&number, partition) in &mut self.partitions {
            let reached = |end: i64| self.references.position(number).is_some_and(|position| position >= end);
            if partition.references_end.is_some_and(reached) {
                partition.references_end = None;
                self.receipts.assign(Position { partition: number, offset: partition.receipts_from });
            }
        }
    }

    async fn take_references(&mut self, records: Result<Vec<Record>, LogError>) {
        match records {
            Ok(records) => {
                for record in &records {
                    self.take_reference(record);
                }
                self.begin_receipts();
            }
            Err(LogError::Gap { partition, start, .. }) => {
                self.references.assign(Position { partition, offset: start });
            }
            Err(error) => wait(&error).await,
        }
    }

    fn take_reference(&mut self, record: &Record) {
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return };
        let references: event::References = match record::decode(record) {
            Ok(references) => references,
            Err(error) => return stop(&mut *self.references, ReferencesTopic::SPEC.name, record, &error),
        };
        let held: Vec<u32> = references.chunks.iter().map(|chunk| self.chunks.hold(chunk)).collect();
        for reference in &references.references {
            let Some(&chunk) = held.get(reference.chunk as usize) else { continue };
            let key = id_key(self.ctx.hash_key(), &references.account, &reference.id);
            let found = partition.book.reference(key, reference, chunk, &mut self.chunks);
            found.into_iter().for_each(|found| self.outcomes.put(record.partition, found));
        }
        held.into_iter().for_each(|chunk| self.chunks.release(chunk));
    }

    async fn take_receipts(&mut self, records: Result<Vec<Record>, LogError>) {
        match records {
            Ok(records) => records.iter().for_each(|record| self.take_receipt(record)),
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                tracing::error!(
                    code = "LOA-202",
                    topic = ReceiptsTopic::SPEC.name,
                    partition,
                    start,
                    wanted,
                    "log gap"
                );
                self.receipts.assign(Position { partition, offset: start });
            }
            Err(error) => wait(&error).await,
        }
    }

    fn take_receipt(&mut self, record: &Record) {
        let now = self.ctx.monotonic();
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return };
        if partition.progress.has_read(record.offset) {
            return;
        }
        let receipts: event::Receipts = match record::decode(record) {
            Ok(receipts) => receipts,
            Err(error) => return stop(&mut *self.receipts, ReceiptsTopic::SPEC.name, record, &error),
        };
        let account = self.accounts.iter().position(|account| account.as_str() == receipts.account);
        // What is intermediate says nothing to the ledger.
        let finals = receipts.receipts.into_iter().filter(|receipt| receipt.state != 0);
        let finals: Vec<_> = finals.collect();
        partition.progress.read(record.offset, u32::try_from(finals.len()).unwrap_or(u32::MAX));
        for receipt in finals {
            let key = id_key(self.ctx.hash_key(), &receipts.account, &receipt.id);
            let waiting = Waiting { said: receipt.into(), offset: record.offset, account };
            match partition.book.receipt(key, waiting, &mut self.chunks) {
                Ok(found) => self.outcomes.put(record.partition, found),
                Err(waiting) => partition.book.park(key, waiting, now),
            }
        }
    }

    /// Receipts whose references do not come are told to the ledger without them, and given up in the end.
    fn tell_unmatched(&mut self) {
        let now = self.ctx.monotonic();
        for (&number, partition) in &mut self.partitions {
            for Overdue { waiting, given_up } in partition.book.overdue(now) {
                if given_up && let Some(counter) = waiting.account.and_then(|at| self.unmatched.counters.get(at)) {
                    counter.inc();
                }
                let account = waiting.account.and_then(|at| self.accounts.get(at));
                match account.filter(|_| waiting.said.address_hash != 0) {
                    Some(account) => self.outcomes.put_unmatched(number, account, waiting, given_up),
                    None if given_up => partition.progress.finish_one(waiting.offset),
                    None => {}
                }
            }
        }
    }

    /// Publishes the outcomes that have gathered; what the log does not take stays.
    async fn publish(&mut self) {
        if self.outcomes.len() == 0 {
            return;
        }
        match self.log.append(self.outcomes.records()).await {
            Ok(_) => {
                for (number, offset) in self.outcomes.clear() {
                    if let Some(partition) = self.partitions.get_mut(&number) {
                        partition.progress.finish_one(offset);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "outcomes could not be published yet"),
        }
    }

    async fn store(&mut self) {
        let risen = self.partitions.iter_mut().filter_map(|(&partition, known)| {
            Some(Offset { topic: ReceiptsTopic::SPEC.name.to_owned(), partition, next: known.progress.take_risen()? })
        });
        let watermarks: Vec<_> = risen.collect();
        if watermarks.is_empty() {
            return;
        }
        // Not stored now, they are with the next rise, or read again.
        if let Err(error) = self.claims.mark(&[], WATERMARKS, &watermarks).await {
            tracing::warn!(%error, "the correlator's watermarks could not be stored");
        }
    }
}

async fn wait(error: &LogError) {
    tracing::warn!(%error, "receipts cannot be joined for now");
    tokio::time::sleep(AWAY_WAIT).await;
}

fn stop(reader: &mut dyn Reader, topic: &str, record: &Record, error: &dyn std::fmt::Display) {
    let Record { partition, offset, .. } = *record;
    tracing::error!(code = "LOA-201", topic, partition, offset, %error, "a record cannot be read; its partition stops here");
    reader.unassign(partition);
}

#[cfg(test)]
mod tests;
