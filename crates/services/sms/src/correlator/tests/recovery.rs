//! Who takes a partition of references and receipts over tells what its owner had not told, at whatever moment that one died.
//!
//! References and receipts come more than once and in any order, and outcomes are published and their watermark not stored, or
//! not published at all.

use std::collections::BTreeSet;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_gateway::progress::Progress;
use proptest::prelude::*;

use super::super::book::{Book, Chunks, Match, Said, Waiting};

const SUBMITTED_US: i64 = 1_800_000_000_000_000;
const IDS: u64 = 6;

/// One process with the partition.
struct Owner {
    book: Book,
    chunks: Chunks,
    progress: Progress,
    references_read: usize,
    receipts_read: usize,
    /// Matched, and not on the log yet.
    outcomes: Vec<Match>,
}

/// What is on the log: ids of references in order, ids of receipts in order.
#[derive(Debug, Default)]
struct Log {
    references: Vec<u64>,
    receipts: Vec<u64>,
    /// Receipts that were told with their message, by offset.
    told: BTreeSet<i64>,
}

impl Log {
    fn ids_told(&self) -> BTreeSet<u64> {
        self.told.iter().map(|&offset| self.receipts[usize::try_from(offset).unwrap()]).collect()
    }
}

impl Owner {
    /// Reads the references whole before its first receipt.
    fn new(log: &Log, watermark: i64) -> Self {
        let mut owner = Self {
            book: Book::default(),
            chunks: Chunks::default(),
            progress: Progress::from(watermark),
            references_read: 0,
            receipts_read: usize::try_from(watermark).unwrap(),
            outcomes: Vec::new(),
        };
        owner.read_references(log, usize::MAX);
        owner
    }

    fn read_references(&mut self, log: &Log, max: usize) {
        let from = self.references_read;
        for (at, &id) in log.references.iter().enumerate().skip(from).take(max) {
            let key = event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 0 };
            let chunk = event::ReferenceChunk { chunk: Some(key), shard: 5, campaign_id: vec![2; 16] };
            let submitted_at_us = SUBMITTED_US + i64::try_from(id).unwrap() * 1_000_000;
            let index = u32::try_from(id).unwrap();
            let reference = event::Reference { index, part: 1, parts: 1, submitted_at_us, ..Default::default() };
            let held = self.chunks.hold(&chunk);
            self.outcomes.extend(self.book.reference(id, &reference, held, &mut self.chunks));
            self.chunks.release(held);
            self.references_read = at + 1;
        }
    }

    fn read_receipts(&mut self, log: &Log, max: usize) {
        let from = self.receipts_read;
        for (at, &id) in log.receipts.iter().enumerate().skip(from).take(max) {
            let offset = i64::try_from(at).unwrap();
            self.progress.read(offset, 1);
            let said = Said { state: 4, done_at_us: SUBMITTED_US + 1_000_000_000, ..Said::default() };
            match self.book.receipt(id, Waiting { said, offset, account: Some(0) }, &mut self.chunks) {
                Ok(found) => self.outcomes.push(found),
                Err(waiting) => self.book.park(id, waiting, Duration::ZERO),
            }
            self.receipts_read = at + 1;
        }
    }

    /// Publishes the outcomes; whether the owner learns of it.
    fn publish(&mut self, log: &mut Log, is_heard: bool) {
        log.told.extend(self.outcomes.iter().map(|found| found.offset));
        if is_heard {
            let finished: Vec<_> = self.outcomes.drain(..).map(|found| found.offset).collect();
            finished.into_iter().for_each(|offset| self.progress.finish_one(offset));
        }
    }

    fn read_all(&mut self, log: &mut Log) {
        self.read_references(log, usize::MAX);
        self.read_receipts(log, usize::MAX);
        self.publish(log, true);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Reference(u64),
    Receipt(u64),
    ReadReferences(usize),
    ReadReceipts(usize),
    Publish(bool),
    Store,
    TakeOver,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..IDS).prop_map(Act::Reference),
        5 => (0..IDS).prop_map(Act::Receipt),
        4 => (1..4_usize).prop_map(Act::ReadReferences),
        4 => (1..4_usize).prop_map(Act::ReadReceipts),
        3 => any::<bool>().prop_map(Act::Publish),
        2 => Just(Act::Store),
        1 => Just(Act::TakeOver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_successor_tells_what_its_owner_had_not_told(acts in proptest::collection::vec(act(), 1..120)) {
        let (mut log, mut watermark) = (Log::default(), 0);
        let mut owner = Owner::new(&log, watermark);
        for act in acts {
            match act {
                Act::Reference(id) => log.references.push(id),
                Act::Receipt(id) => log.receipts.push(id),
                Act::ReadReferences(max) => owner.read_references(&log, max),
                Act::ReadReceipts(max) => owner.read_receipts(&log, max),
                Act::Publish(is_heard) => owner.publish(&mut log, is_heard),
                Act::Store => watermark = owner.progress.take_risen().unwrap_or(watermark),
                Act::TakeOver => owner = Owner::new(&log, watermark),
            }
            // A watermark passes only what was told, since nothing is given up here.
            prop_assert!((0..watermark).all(|offset| log.told.contains(&offset)), "{} is passed", watermark);
        }
        // The owner lives on, or dies now: of whom the owner would tell, the successor tells.
        let before = log.told.clone();
        owner.read_all(&mut log);
        let lived = log.ids_told();
        log.told = before;
        let mut successor = Owner::new(&log, watermark);
        successor.read_all(&mut log);
        prop_assert_eq!(&lived, &log.ids_told());
        let known: BTreeSet<u64> = log.references.iter().filter(|id| log.receipts.contains(id)).copied().collect();
        prop_assert_eq!(lived, known, "every id that has a reference and a receipt is told of");
    }
}
