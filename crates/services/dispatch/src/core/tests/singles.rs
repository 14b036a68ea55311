//! Single sends: however often they are read and whenever the process dies, each stands in one chunk and ends once.

use std::collections::{BTreeMap, BTreeSet};

use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SinglesTopic, Topic as _};
use loa_domain::channel::Lane;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::state::RecipientState;
use proptest::prelude::*;
use uuid::Uuid;

use super::gateway::Manner;
use super::world::{ACCOUNT, Fate, World};
use crate::core::{NewChunk, SECOND_US, SingleBody};

const NOTICE: CampaignId = CampaignId(Uuid::from_u128(5));

/// A world with an approved notice and requests for shard 0 that its owner reads.
struct Desk {
    world: World,
    /// Ids and deadlines; a repeated request stands again.
    log: Vec<(u64, i64)>,
    read: usize,
    chunks: u128,
}

impl Desk {
    fn new() -> Self {
        Self::beside(World::new(Lane::Bulk, &[], 40.0))
    }

    /// In a world that has other work.
    fn beside(mut world: World) -> Self {
        world.control = event::CampaignControl {
            campaign_id: NOTICE.to_vec(),
            lane: i32::from(Lane::Urgent.code()),
            notice: true,
            ..world.control.clone()
        };
        world.tell();
        Self { world, log: Vec::new(), read: 0, chunks: 0 }
    }

    /// What waits becomes chunks, as the loop makes them.
    fn read(&mut self) {
        let shard = World::shards()[0];
        let placed = self.world.store.singles.values().flat_map(|single| single.members.iter().copied());
        let mut seen: BTreeSet<u64> = placed.chain(self.world.engine.members_waiting()).collect();
        let waits: BTreeMap<u64, i64> =
            self.log[self.read..].iter().filter(|(id, _)| seen.insert(*id)).copied().collect();
        if !waits.is_empty() {
            self.chunks += 1;
            self.world.engine.place(shard, chunk(self.chunks, &waits), self.world.now).unwrap();
        }
        self.read = self.log.len();
        self.world.engine.read_up_to(shard, SinglesTopic::SPEC.name, self.read as i64);
    }

    fn turn(&mut self, fate: Fate) {
        self.world.turn(fate);
        if fate != Fate::Lives {
            self.read = self.world.store.offset(SinglesTopic::SPEC.name, World::shards()[0]);
        }
    }
}

fn chunk(number: u128, waits: &BTreeMap<u64, i64>) -> NewChunk {
    let key = ChunkKey { freeze: FreezeId(Uuid::from_u128(1_000 + number)), variant: 0, chunk: 0 };
    let chunk = audience::Chunk {
        key: Some(convert::chunk_key_record(key)),
        account: ACCOUNT.to_owned(),
        msisdns: waits.keys().copied().collect(),
        parts: vec![1; waits.len()],
        address_hashes: waits.keys().copied().collect(),
        ..Default::default()
    };
    let accepted = (0..).zip(waits.keys()).map(|(index, id)| event::SingleAccepted {
        chunk: Some(convert::chunk_key_record(key)),
        index,
        address_hash: *id,
        ..Default::default()
    });
    let body = SingleBody {
        chunk: Some(chunk),
        expires_us: waits.values().copied().collect(),
        accepted: accepted.collect(),
        channel: 1,
        lane: i32::from(Lane::Urgent.code()),
        ..Default::default()
    };
    NewChunk { notice: NOTICE, body, members: waits.keys().copied().collect(), no_route: number % 5 == 4 }
}

#[test]
fn what_is_urgent_is_published_before_bulk_of_the_same_turn() {
    let mut desk = Desk::beside(World::new(Lane::Bulk, &[2; 40], 10_000.0));
    desk.turn(Fate::Lives); // reads what it is to release
    assert!(desk.world.records.is_empty());
    desk.log.push((7, desk.world.now.us + 60 * SECOND_US));
    desk.read();
    desk.turn(Fate::Lives);
    assert!(desk.world.records.iter().any(|record| !record.single), "bulk is released in the same turn");
    assert!(desk.world.records[0].single, "what is urgent comes first");
}

#[derive(Debug, Clone)]
enum Act {
    Ask(u64, i64),
    Read,
    Turn(Fate),
    Gateway(usize, Manner),
    Settlements,
    Seconds(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let fates = [
        Fate::Lives,
        Fate::Lives,
        Fate::Lives,
        Fate::DiesBeforeCommit,
        Fate::DiesBeforePublish,
        Fate::DiesAfterPublish,
    ];
    let why = event::ReturnWhy::Paused;
    let manners = [Manner::Send, Manner::Send, Manner::Reject, Manner::Half(why), Manner::Freeze];
    prop_oneof![
        4 => (0..30_u64, 1..60_i64).prop_map(|(id, seconds)| Act::Ask(id, seconds)),
        3 => Just(Act::Read),
        4 => proptest::sample::select(fates.to_vec()).prop_map(Act::Turn),
        3 => (any::<usize>(), proptest::sample::select(manners.to_vec())).prop_map(|(record, manner)| Act::Gateway(record, manner)),
        2 => Just(Act::Settlements),
        1 => (1..20_u32).prop_map(Act::Seconds),
    ]
}

proptest! {
    #[test]
    fn single_sends_end_once(acts in proptest::collection::vec(act(), 0..60)) {
        let mut desk = Desk::new();
        let mut deadlines = BTreeMap::new();
        for act in acts {
            match act {
                Act::Ask(id, seconds) => {
                    let expires_us = *deadlines.entry(id).or_insert(desk.world.now.us + seconds * SECOND_US);
                    desk.log.push((id, expires_us));
                }
                Act::Read => desk.read(),
                Act::Turn(fate) => desk.turn(fate),
                Act::Gateway(record, manner) => desk.world.gateway(record, manner),
                Act::Settlements => desk.world.read_settlements(),
                Act::Seconds(seconds) => desk.world.pass_time(seconds),
            }
        }
        for _ in 0..100 {
            desk.read();
            desk.world.settle_down();
            (0..desk.world.records.len()).for_each(|record| desk.world.gateway(record, Manner::Send));
            desk.world.read_settlements();
            desk.world.pass_time(2);
        }
        let stored: Vec<u64> = desk.world.store.singles.values().flat_map(|single| single.members.iter().copied()).collect();
        let asked: BTreeSet<u64> = desk.log.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(stored.len(), asked.len(), "each stands in one chunk");
        prop_assert_eq!(&desk.world.accepted, &asked, "report was told of each");
        let mut ended = 0;
        for (key, row) in &desk.world.store.rows {
            let (settled, doubt) = (row.progress.settled, row.progress.in_doubt);
            ended += settled.union(&doubt).len() + row.decided.len();
            prop_assert!(row.decided.iter().all(|decided| matches!(decided.state, RecipientState::Skipped | RecipientState::Rejected)));
            prop_assert!(!row.progress.open, "{:?} is still open", key);
        }
        prop_assert_eq!(ended, asked.len(), "each ended once");
        prop_assert!(desk.world.gateways.sent.values().all(|&times| times == 1));
        prop_assert!(desk.world.engine.is_idle());
    }
}
