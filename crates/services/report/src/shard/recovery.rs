//! Who takes a shard of the ledger over from the store knows what its owner knew, at whatever moment that one died.
//!
//! Words come in any order and more than once, flushes fail with and without effect, or take effect and are not heard of: none
//! of it shows in the end.

use std::collections::BTreeMap;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::mask::Mask;
use loa_domain::state::RecipientState;
use loa_ports::store::report::{ChunkFacts, ChunkHit, Flush};
use proptest::prelude::*;
use uuid::Uuid;

use super::{ShardLedger, Speaks};

const SHARD: u32 = 5;
const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(2));
const PEOPLE: u16 = 6;
const CHUNKS: u32 = 3;
const SETTLEMENTS: &str = "settlements.v1";
const OUTCOMES: &str = "outcomes.v1";
const START_US: i64 = 1_800_000_000_000_000;

fn key(chunk: u32) -> ChunkKey {
    ChunkKey { freeze: FreezeId(Uuid::from_u128(1)), variant: 0, chunk }
}

fn facts(chunk: u32) -> ChunkFacts {
    let keys = (0..PEOPLE).map(|index| AddressHash(u64::from(chunk) << 8 | u64::from(index))).collect();
    ChunkFacts { key: key(chunk), campaign: CAMPAIGN, shard: SHARD, account: "a".to_owned(), channel: 1, keys }
}

/// A record of one of the two topics.
#[derive(Debug, Clone)]
enum Said {
    Settlements(event::Settlements),
    Outcomes(event::Outcomes),
}

fn settlements() -> impl Strategy<Value = Said> {
    use event::SliceOutcome as Outcome;
    let outcomes = vec![
        Outcome::Submitted,
        Outcome::Rejected,
        Outcome::Returned,
        Outcome::InDoubt,
        Outcome::Delivered,
        Outcome::Undelivered,
    ];
    let outcome = prop::sample::select(outcomes).prop_map(|outcome| u8::try_from(i32::from(outcome)).unwrap());
    let outcomes = proptest::collection::vec(outcome, usize::from(PEOPLE));
    (0..CHUNKS, 1..4_u32, any::<bool>(), 0..1_000_i64, outcomes, 1..4_u8).prop_map(
        |(chunk, release_no, own, ms, outcomes, parts)| {
            let slice = event::SliceSettled {
                chunk: Some(convert::chunk_key_record(key(chunk))),
                release_no,
                shard: SHARD,
                campaign_id: CAMPAIGN.to_vec(),
                own,
                at_us: START_US + ms * 1_000,
                mask: Mask::first(PEOPLE.into()).to_vec(),
                outcomes,
                parts: vec![parts; PEOPLE.into()],
                ..Default::default()
            };
            Said::Settlements(event::Settlements { slices: vec![slice] })
        },
    )
}

fn outcomes() -> impl Strategy<Value = Said> {
    let states =
        vec![RecipientState::Delivered, RecipientState::Undelivered, RecipientState::Expired, RecipientState::Skipped];
    let state = prop::sample::select(states);
    (0..CHUNKS, 0..u32::from(PEOPLE), 1..4_u32, any::<bool>(), 0..1_000_i64, state, 0..3_u32).prop_map(
        |(chunk, index, release_no, receipt, ms, state, part)| {
            let named = event::ReferenceChunk {
                chunk: Some(convert::chunk_key_record(key(chunk))),
                shard: SHARD,
                campaign_id: CAMPAIGN.to_vec(),
            };
            let outcome = event::Outcome {
                chunk: 0,
                index,
                part,
                parts: 2,
                state: state.code().into(),
                at_us: START_US + ms * 1_000,
                release_no,
                receipt,
                ..Default::default()
            };
            let record =
                event::Outcomes { shard: SHARD, chunks: vec![named], outcomes: vec![outcome], ..Default::default() };
            Said::Outcomes(record)
        },
    )
}

#[derive(Debug, Clone)]
enum Act {
    Say(Said),
    /// A record that was said before comes again, as a new one.
    Again(usize),
    Read(usize),
    /// Writes what changed; whether it took effect, and whether the owner hears of it.
    Flush {
        takes_effect: bool,
        is_heard: bool,
    },
    /// The owner dies and somebody takes over.
    TakeOver,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => settlements().prop_map(Act::Say),
        6 => outcomes().prop_map(Act::Say),
        2 => any::<usize>().prop_map(Act::Again),
        6 => (1..6_usize).prop_map(Act::Read),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(takes_effect, is_heard)| Act::Flush { takes_effect, is_heard }),
        1 => Just(Act::TakeOver),
    ]
}

#[derive(Debug, Default)]
struct Store {
    chunks: BTreeMap<ChunkKey, ChunkFacts>,
    blobs: BTreeMap<ChunkKey, Vec<u8>>,
    loaded: Vec<CampaignId>,
    offsets: BTreeMap<String, i64>,
}

impl Store {
    fn apply(&mut self, flush: Flush) {
        self.chunks.extend(flush.chunks.into_iter().map(|facts| (facts.key, facts)));
        self.blobs.extend(flush.states.into_iter().map(|state| (state.key, state.blob)));
        self.loaded.extend(flush.loaded.into_iter().map(|(campaign, _)| campaign));
        self.offsets.extend(flush.offsets.into_iter().map(|offset| (offset.topic, offset.next)));
    }
}

/// A shard's owner: its ledger, and how far it has read.
struct Owner {
    ledger: ShardLedger,
    next: BTreeMap<&'static str, usize>,
}

impl Owner {
    fn new(store: &Store) -> Self {
        let blob = |key| store.blobs.get(key).cloned().unwrap_or_default();
        let hits = store.chunks.values().map(|facts| ChunkHit { facts: facts.clone(), blob: blob(&facts.key) });
        let mut ledger =
            ShardLedger::from_store(SHARD, hits.collect(), store.loaded.clone(), Vec::new()).expect("what was stored");
        if !ledger.has_loaded(CAMPAIGN) {
            (0..CHUNKS).for_each(|chunk| ledger.add_chunk(facts(chunk)));
            ledger.set_loaded(CAMPAIGN);
        }
        let next = |topic: &str| usize::try_from(store.offsets.get(topic).copied().unwrap_or(0)).unwrap();
        Self { ledger, next: [SETTLEMENTS, OUTCOMES].map(|topic| (topic, next(topic))).into() }
    }

    /// Reads at most so many records of each topic.
    fn read(&mut self, log: &[Said], max: usize) {
        let of = |topic: &str| -> Vec<&Said> {
            log.iter().filter(|said| matches!(said, Said::Settlements(_)) == (topic == SETTLEMENTS)).collect()
        };
        for topic in [SETTLEMENTS, OUTCOMES] {
            let records = of(topic);
            let next = self.next[topic];
            for (at, said) in records.iter().enumerate().skip(next).take(max) {
                match said {
                    Said::Settlements(record) => self.ledger.take_settlements(record).expect("it is taken"),
                    Said::Outcomes(record) => {
                        self.ledger.take_outcomes(record, &|_, _, _| Speaks::No).expect("it is taken");
                    }
                }
                self.next.insert(topic, at + 1);
                self.ledger.set_offset(topic, SHARD, i64::try_from(at + 1).unwrap());
            }
        }
    }

    /// Everybody's state, as it is packed, and the counts.
    fn memory(&self) -> Vec<(ChunkKey, Vec<crate::chunk::Entry>, Vec<u8>)> {
        let of = |chunk: u32| {
            let known = self.ledger.chunk(key(chunk)).expect("it was loaded");
            let entries = (0..PEOPLE).map(|index| *known.entry(index).expect("it was frozen")).collect();
            (key(chunk), entries, known.counts().encode())
        };
        (0..CHUNKS).map(of).collect()
    }
}

proptest! {
    #[test]
    fn a_successor_knows_what_the_owner_knew(acts in proptest::collection::vec(act(), 1..80)) {
        let (mut store, mut log) = (Store::default(), Vec::new());
        let mut owner = Owner::new(&store);
        for act in acts {
            match act {
                Act::Say(said) => log.push(said),
                Act::Again(at) if !log.is_empty() => log.push(log[at % log.len()].clone()),
                Act::Again(_) => {}
                Act::Read(max) => owner.read(&log, max),
                Act::Flush { takes_effect, is_heard } => {
                    let flush = owner.ledger.flush(START_US).unwrap();
                    if takes_effect {
                        store.apply(flush);
                    }
                    match (takes_effect, is_heard) {
                        (true, true) => owner.ledger.flushed(),
                        (false, true) => {} // it is tried again
                        (_, false) => owner = Owner::new(&store), // without an answer, memory is dropped
                    }
                }
                Act::TakeOver => owner = Owner::new(&store),
            }
            let mut successor = Owner::new(&store);
            successor.read(&log, usize::MAX);
            // The one that lives reads to the end as well, and stays what it was.
            let mut lived = Owner { ledger: clone_of(&owner), next: owner.next.clone() };
            lived.read(&log, usize::MAX);
            prop_assert_eq!(lived.memory(), successor.memory());
        }
    }
}

/// The same memory again; it is not to be copied by the product.
fn clone_of(owner: &Owner) -> ShardLedger {
    let mut ledger = ShardLedger { shard: SHARD, ..ShardLedger::default() };
    ledger.chunks.clone_from(&owner.ledger.chunks);
    ledger.campaigns.clone_from(&owner.ledger.campaigns);
    ledger.loaded.clone_from(&owner.ledger.loaded);
    ledger.offsets.clone_from(&owner.ledger.offsets);
    ledger
}
