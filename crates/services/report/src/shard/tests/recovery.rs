//! Who takes a shard of the ledger over from the store knows what its owner knew, at whatever moment that one died.
//!
//! Words come in any order, from both topics and more than once; flushes fail with and without effect, or take effect and are
//! not heard of: none of it shows in the end. The words are those of lives that can be: a recipient is released again only if
//! its release gave it back, so there is no final word of one release and another word of a later one.

use std::collections::BTreeMap;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::mask::Mask;
use loa_domain::state::{Reason, RecipientState};
use loa_ports::store::report::{ChunkFacts, ChunkHit, Flush};
use proptest::prelude::*;
use uuid::Uuid;

use super::{ShardLedger, Speaks};
use crate::chunk::Entry;

const SHARD: u32 = 5;
const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(2));
const PEOPLE: u16 = 5;
const CHUNKS: u32 = 2;
const PARTS: u8 = 2;
const RELEASES_MAX: u32 = 3;
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

/// What the carrier says of a message that was handed over.
#[derive(Debug, Clone, Copy)]
enum Receipts {
    None,
    /// Each part is delivered.
    All,
    /// One part is not.
    Fails(u8),
    /// One part is delivered, the other is never spoken of.
    Half(u8),
}

/// How the last release of a recipient ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Submitted(Receipts),
    InDoubt(Receipts),
    Rejected,
    /// Given back, and dispatch never releases it again.
    Returned,
    /// Given back, and dispatch skips it.
    Skipped,
}

/// One recipient: how many releases gave it back, and how it ended.
#[derive(Debug, Clone, Copy)]
struct Life {
    given_back: u32,
    end: End,
}

/// Of one release of a chunk: whether another process found its claim, and whether the claimant ever speaks.
#[derive(Debug, Clone, Copy)]
struct Claim {
    is_found_by_another: bool,
    claimant_speaks: bool,
}

/// One chunk: everybody's life, and its releases' claims.
type Story = (Vec<Life>, Vec<Claim>);

fn receipts() -> impl Strategy<Value = Receipts> {
    prop_oneof![
        Just(Receipts::None),
        Just(Receipts::All),
        (1..=PARTS).prop_map(Receipts::Fails),
        (1..=PARTS).prop_map(Receipts::Half),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let end = prop_oneof![
        4 => receipts().prop_map(End::Submitted),
        2 => receipts().prop_map(End::InDoubt),
        1 => Just(End::Rejected),
        1 => Just(End::Returned),
        1 => Just(End::Skipped),
    ];
    let life = (0..RELEASES_MAX, end).prop_map(|(given_back, end)| Life { given_back, end });
    let claim = (any::<bool>(), any::<bool>())
        .prop_map(|(is_found_by_another, claimant_speaks)| Claim { is_found_by_another, claimant_speaks });
    let lives = proptest::collection::vec(life, usize::from(PEOPLE));
    (lives, proptest::collection::vec(claim, RELEASES_MAX as usize))
}

/// A record of one of the two topics.
#[derive(Debug, Clone)]
enum Said {
    Settlements(event::Settlements),
    Outcomes(event::Outcomes),
}

/// All that is ever said of a chunk.
fn words(chunk: u32, (lives, claims): &Story) -> Vec<Said> {
    let mut said = Vec::new();
    for release_no in 1..=RELEASES_MAX {
        let claim = claims[release_no as usize - 1];
        let released = |life: &Life| release_no <= life.given_back + 1;
        let members: Vec<(u16, Life)> = (0..).zip(lives.iter().copied()).filter(|(_, life)| released(life)).collect();
        if members.is_empty() {
            break;
        }
        // What was given back was given back by a word of the claimant.
        let speaks = claim.claimant_speaks || members.iter().any(|(_, life)| is_given_back(life, release_no));
        if speaks {
            let outcomes = members.iter().map(|(_, life)| own_word(life, release_no)).collect();
            said.push(slice(chunk, release_no, true, &members, outcomes));
        }
        if claim.is_found_by_another || !speaks {
            let in_doubt = vec![event::SliceOutcome::InDoubt; members.len()];
            said.push(slice(chunk, release_no, false, &members, in_doubt));
        }
    }
    for (index, life) in (0..).zip(lives) {
        let outcome = |part, state, receipt| outcome(chunk, index, life.given_back + 1, part, state, receipt);
        match life.end {
            End::Submitted(receipts) | End::InDoubt(receipts) => match receipts {
                Receipts::None => {}
                Receipts::All => {
                    said.extend((1..=PARTS).map(|part| outcome(part, RecipientState::Delivered, true)));
                }
                Receipts::Fails(failed) => said.extend((1..=PARTS).map(|part| {
                    let state = if part == failed { RecipientState::Undelivered } else { RecipientState::Delivered };
                    outcome(part, state, true)
                })),
                Receipts::Half(part) => said.push(outcome(part, RecipientState::Delivered, true)),
            },
            End::Skipped => said.push(outcome(0, RecipientState::Skipped, false)),
            End::Rejected | End::Returned => {}
        }
    }
    said
}

fn is_given_back(life: &Life, release_no: u32) -> bool {
    release_no <= life.given_back || matches!(life.end, End::Returned | End::Skipped)
}

fn own_word(life: &Life, release_no: u32) -> event::SliceOutcome {
    match life.end {
        _ if is_given_back(life, release_no) => event::SliceOutcome::Returned,
        End::InDoubt(_) => event::SliceOutcome::InDoubt,
        End::Rejected => event::SliceOutcome::Rejected,
        End::Submitted(_) | End::Returned | End::Skipped => event::SliceOutcome::Submitted,
    }
}

/// Its own moment for each word, so that a word taken for another's shows.
fn at_us(chunk: u32, release_no: u32, more: u32) -> i64 {
    START_US + i64::from((chunk * 10 + release_no) * 1_000 + more) * 1_000
}

fn slice(chunk: u32, release_no: u32, own: bool, members: &[(u16, Life)], outcomes: Vec<event::SliceOutcome>) -> Said {
    let indexes: Vec<u16> = members.iter().map(|(index, _)| *index).collect();
    let slice = event::SliceSettled {
        chunk: Some(convert::chunk_key_record(key(chunk))),
        release_no,
        shard: SHARD,
        campaign_id: CAMPAIGN.to_vec(),
        own,
        at_us: at_us(chunk, release_no, u32::from(own)),
        mask: indexes.into_iter().collect::<Mask>().to_vec(),
        parts: vec![PARTS; outcomes.len()],
        outcomes: outcomes.into_iter().map(|outcome| u8::try_from(i32::from(outcome)).unwrap()).collect(),
        ..Default::default()
    };
    Said::Settlements(event::Settlements { slices: vec![slice] })
}

fn outcome(chunk: u32, index: u32, release_no: u32, part: u8, state: RecipientState, receipt: bool) -> Said {
    let named = event::ReferenceChunk {
        chunk: Some(convert::chunk_key_record(key(chunk))),
        shard: SHARD,
        campaign_id: CAMPAIGN.to_vec(),
    };
    // The last receipt decides when a message was delivered, and either order of the parts may be: the time is the message's.
    let outcome = event::Outcome {
        chunk: 0,
        index,
        part: part.into(),
        parts: PARTS.into(),
        state: state.code().into(),
        at_us: at_us(chunk, release_no, 100 + index),
        release_no,
        receipt,
        reason: if receipt { 0 } else { Reason::Expired.code().into() },
        ..Default::default()
    };
    Said::Outcomes(event::Outcomes { shard: SHARD, chunks: vec![named], outcomes: vec![outcome], ..Default::default() })
}

#[derive(Debug, Clone)]
enum Act {
    /// Some of the words that are left are said, the first of them this one.
    Say(usize),
    /// A record that was said before comes again, as a new one.
    Again(usize),
    /// So many records of each topic, at most.
    Read(usize, usize),
    /// Writes what changed; whether it took effect, and whether the owner hears of it.
    Flush { takes_effect: bool, is_heard: bool },
    /// The owner dies and somebody takes over.
    TakeOver,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => any::<usize>().prop_map(Act::Say),
        2 => any::<usize>().prop_map(Act::Again),
        6 => (0..6_usize, 0..6_usize).prop_map(|(settlements, outcomes)| Act::Read(settlements, outcomes)),
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

    /// Reads at most so many records of a topic.
    fn read(&mut self, topic: &'static str, log: &[Said], max: usize) {
        let of_topic = log.iter().filter(|said| matches!(said, Said::Settlements(_)) == (topic == SETTLEMENTS));
        let next = self.next[topic];
        for (at, said) in of_topic.enumerate().skip(next).take(max) {
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

    /// Reads all there is.
    fn read_all(mut self, log: &[Said]) -> Self {
        [SETTLEMENTS, OUTCOMES].into_iter().for_each(|topic| self.read(topic, log, usize::MAX));
        self
    }

    /// The same memory again; it is not to be copied by the product.
    fn again(&self) -> Self {
        let mut ledger = ShardLedger { shard: SHARD, ..ShardLedger::default() };
        ledger.chunks.clone_from(&self.ledger.chunks);
        ledger.campaigns.clone_from(&self.ledger.campaigns);
        ledger.loaded.clone_from(&self.ledger.loaded);
        ledger.offsets.clone_from(&self.ledger.offsets);
        Self { ledger, next: self.next.clone() }
    }

    /// Everybody's state, and the counts.
    fn memory(&self) -> Vec<(Vec<Entry>, Vec<u8>)> {
        let of = |chunk: u32| {
            let known = self.ledger.chunk(key(chunk)).expect("it was loaded");
            let entries = (0..PEOPLE).map(|index| known.entry(index).expect("it was frozen")).collect();
            (entries, known.counts().encode())
        };
        (0..CHUNKS).map(of).collect()
    }
}

proptest! {
    #[test]
    fn a_successor_knows_what_the_owner_knew(
        stories in proptest::collection::vec(story(), CHUNKS as usize),
        acts in proptest::collection::vec(act(), 1..80),
    ) {
        let mut left: Vec<Said> = (0..).zip(&stories).flat_map(|(chunk, story)| words(chunk, story)).collect();
        let in_order = Owner::new(&Store::default()).read_all(&left).memory();
        let (mut store, mut log) = (Store::default(), Vec::new());
        let mut owner = Owner::new(&store);
        for act in acts {
            match act {
                Act::Say(at) if !left.is_empty() => log.push(left.swap_remove(at % left.len())),
                Act::Again(at) if !log.is_empty() => log.push(log[at % log.len()].clone()),
                Act::Say(_) | Act::Again(_) => {}
                Act::Read(settlements, outcomes) => {
                    owner.read(SETTLEMENTS, &log, settlements);
                    owner.read(OUTCOMES, &log, outcomes);
                }
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
            // The one that lives reads to the end as well, and knows the same.
            let (lived, successor) = (owner.again().read_all(&log), Owner::new(&store).read_all(&log));
            prop_assert_eq!(lived.memory(), successor.memory());
        }
        // Whatever the order, and whoever died: all was said once it is all said.
        log.append(&mut left);
        let (lived, successor) = (owner.read_all(&log), Owner::new(&store).read_all(&log));
        prop_assert_eq!(&lived.memory(), &in_order);
        prop_assert_eq!(&successor.memory(), &in_order);
    }
}
