//! Who takes a partition over reads again what is not finished, at whatever moment its owner died.
//!
//! Owners come and go over one store of claims and watermarks; a record may name slices that an earlier one named, a
//! transaction may take effect unheard, and an owner that was taken over goes on for a while.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::ids::{ChunkKey, FreezeId, Incarnation, ReleaseKey, SliceKey};
use loa_domain::state::Returned;
use loa_ports::store::claims::{Intent, Mark, Standing};
use proptest::prelude::*;
use uuid::Uuid;

use crate::decide::{Decision, decide};
use crate::live::{Live, Place, ToStore};

const AT: Place = (0, 3);
const BACK: Intent = Intent::Returning(Returned::Late);

/// A record: the slices that it names, by chunk and number.
type Named = BTreeSet<(u32, u16)>;

fn slice(&(chunk, slice): &(u32, u16)) -> SliceKey {
    let chunk = ChunkKey { freeze: FreezeId(Uuid::nil()), variant: 0, chunk };
    SliceKey { release: ReleaseKey { chunk, release_no: 1 }, slice }
}

#[derive(Debug, Clone, Default)]
struct Store {
    claims: BTreeMap<SliceKey, Standing>,
    watermark: i64,
}

impl Store {
    fn apply(&mut self, to_store: &ToStore) {
        for mark in &to_store.marks {
            self.claims.get_mut(&mark.slice).expect("a claim that is marked").settlement =
                Some(mark.settlement.clone());
        }
        for &(_, offset) in &to_store.watermarks {
            self.watermark = self.watermark.max(offset);
        }
    }
}

/// One process, with the partition for as long as it believes to have it.
#[derive(Debug)]
struct Owner {
    me: Incarnation,
    live: Live,
    next: i64,
    nonce: u64,
    /// Slices read and not claimed; claimed and not published.
    pending: Vec<SliceKey>,
    begun: Vec<SliceKey>,
}

impl Owner {
    fn new(number: u128, watermark: i64) -> Self {
        let mut live = Live::default();
        live.gain(AT, watermark);
        let me = Incarnation(Uuid::from_u128(number));
        Self { me, live, next: watermark, nonce: 0, pending: Vec::new(), begun: Vec::new() }
    }

    fn read(&mut self, log: &[Named]) {
        let Some(record) = usize::try_from(self.next).ok().and_then(|at| log.get(at)) else { return };
        self.pending.extend(self.live.read(AT, self.next, record.iter().map(slice)));
        self.next += 1;
    }

    /// Claims a slice and does what the claim says; a slice of which something is said, or that is begun.
    fn claim(&mut self, store: &mut Store, at: usize, intent: Intent) -> Option<(SliceKey, Decision)> {
        if self.pending.is_empty() {
            return None;
        }
        let key = self.pending.swap_remove(at % self.pending.len());
        self.nonce += 1;
        let new = Standing { incarnation: self.me, nonce: self.nonce, intent, settlement: None };
        let standing = store.claims.entry(key).or_insert(new).clone();
        let decision = decide(standing, self.me, self.nonce);
        let mark = || Some(Mark { slice: key, settlement: (&b"back"[..]).into() });
        match &decision {
            Decision::Mine(Intent::Begun) => self.begun.push(key),
            Decision::Mine(Intent::Returning(_)) | Decision::ReturnedBy(..) => self.live.published(key, mark()),
            Decision::Repeat(_) | Decision::InDoubtOf(_) => self.live.published(key, None),
        }
        Some((key, decision))
    }

    /// A slice that it had begun is over, and its settlement is on the log.
    fn settle(&mut self, at: usize) -> Option<SliceKey> {
        if self.begun.is_empty() {
            return None;
        }
        let key = self.begun.swap_remove(at % self.begun.len());
        self.live.published(key, Some(Mark { slice: key, settlement: (&b"sent"[..]).into() }));
        Some(key)
    }
}

#[derive(Debug, Clone)]
enum Act {
    Append(Named),
    Read(usize),
    Claim(usize, usize, Intent),
    Settle(usize, usize),
    Store(usize),
    /// Somebody takes over; the one before goes on as if nothing had happened.
    TakeOver,
    /// An owner ends, if it is not the last: before its transaction, or after it took effect.
    Die(usize, bool),
}

fn act() -> impl Strategy<Value = Act> {
    let who = any::<usize>;
    prop_oneof![
        4 => proptest::collection::btree_set((0..6_u32, 0..3_u16), 0..4).prop_map(Act::Append),
        6 => who().prop_map(Act::Read),
        6 => (who(), any::<usize>(), prop_oneof![Just(Intent::Begun), Just(BACK)]).prop_map(|(who, at, intent)| Act::Claim(who, at, intent)),
        5 => (who(), any::<usize>()).prop_map(|(who, at)| Act::Settle(who, at)),
        4 => who().prop_map(Act::Store),
        1 => Just(Act::TakeOver),
        1 => (who(), any::<bool>()).prop_map(|(who, stores)| Act::Die(who, stores)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_successor_reads_again_what_is_not_finished(acts in proptest::collection::vec(act(), 1..150)) {
        let (mut log, mut store) = (Vec::new(), Store::default());
        let (mut owners, mut processes) = (vec![Owner::new(1, 0)], 1);
        // Slices of which a word was published, and those that somebody hands over.
        let (mut said, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for act in acts {
            match act {
                Act::Append(named) => log.push(named),
                Act::Read(who) => {
                    let who = who % owners.len();
                    owners[who].read(&log);
                }
                Act::Claim(who, at, intent) => {
                    let who = who % owners.len();
                    match owners[who].claim(&mut store, at, intent) {
                        Some((key, Decision::Mine(Intent::Begun))) => {
                            prop_assert!(begun.insert(key), "{:?} was begun twice", key);
                        }
                        Some((key, _)) => drop(said.insert(key)),
                        None => {}
                    }
                }
                Act::Settle(who, at) => {
                    let who = who % owners.len();
                    said.extend(owners[who].settle(at));
                }
                Act::Store(who) => {
                    let who = who % owners.len();
                    let to_store = owners[who].live.take_to_store();
                    store.apply(&to_store);
                    owners[who].live.stored(&to_store.slices);
                }
                Act::TakeOver => {
                    processes += 1;
                    owners.push(Owner::new(processes, store.watermark));
                }
                Act::Die(who, stores) if owners.len() > 1 => {
                    let mut ends = owners.remove(who % owners.len());
                    if stores {
                        store.apply(&ends.live.take_to_store());
                    }
                }
                Act::Die(..) => {}
            }
            // Whoever takes over now finds every slice of which nothing was said yet.
            let mut successor = Owner::new(1_000, store.watermark);
            (0..log.len()).for_each(|_| successor.read(&log));
            for named in log.iter().flatten().map(slice) {
                prop_assert!(said.contains(&named) || successor.pending.contains(&named), "{:?} is forgotten", named);
            }
            // It hands over nothing that somebody has begun, and leaves nothing unanswered.
            let mut copy = store.clone();
            while let Some((key, decision)) = successor.claim(&mut copy, 0, Intent::Begun) {
                if decision == Decision::Mine(Intent::Begun) {
                    prop_assert!(!begun.contains(&key), "{:?} is begun again", key);
                    successor.settle(0);
                }
            }
            let risen = successor.live.take_to_store().watermarks.first().map_or(store.watermark, |(_, at)| *at);
            prop_assert_eq!(risen, i64::try_from(log.len()).unwrap());
        }
    }
}
