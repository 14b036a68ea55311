//! One dispatch process and the models around it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SettlementsTopic, SuppressionTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Class, Lane};
use loa_domain::hash::{AddressHash, HashKey};
use loa_domain::ids::{AccountId, ChunkKey, FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_domain::state::RecipientState;
use loa_ports::lease::Held;
use loa_ports::store::dispatch::BlockRow;
use uuid::Uuid;

use super::gateway::{Gateways, Manner};
use super::store::Store;
use crate::core::{ChunkData, Engine, Fetch, Head, Now, Outgoing, Rules, SECOND_US, Said, Settled};

pub(super) const START_US: i64 = 1_763_960_400 * SECOND_US; // noon in Viet Nam
pub(super) const FREEZE: FreezeId = FreezeId(Uuid::from_u128(2));
pub(super) const ACCOUNT: &str = "viet";

/// Where the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// Before its transaction, or the transaction failed.
    DiesBeforeCommit,
    /// After its transaction, before anything was published.
    DiesBeforePublish,
    /// After publishing, before it has noted that.
    DiesAfterPublish,
    /// The log takes what is appended and does not say so before another fate.
    LogIsSlow,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) gateways: Gateways,
    pub(super) now: Now,
    pub(super) control: event::CampaignControl,
    pub(super) account: event::AccountControl,
    pub(super) chunks: BTreeMap<ChunkKey, audience::Chunk>,
    pub(super) records: Vec<event::Release>,
    pub(super) settlements: BTreeMap<Shard, Vec<event::SliceSettled>>,
    pub(super) blocks: BTreeMap<Shard, Vec<event::Block>>,
    read: BTreeMap<Shard, (usize, usize)>,
    /// Appended, and not yet acknowledged.
    appending: Vec<Outgoing>,
    /// What dispatch said of each recipient.
    pub(super) words: BTreeMap<(ChunkKey, u16), BTreeSet<RecipientState>>,
    /// Address hashes of single sends whose acceptance was told.
    pub(super) accepted: BTreeSet<u64>,
    rules: Rules,
}

impl World {
    /// A running campaign with chunks of these sizes in shards 0 and 1, and an account of that rate.
    pub(super) fn new(lane: Lane, sizes: &[u16], rate: f64) -> Self {
        let control = event::CampaignControl {
            campaign_id: vec![1; 16],
            state: u32::from(CampaignState::Running.code()),
            freeze_id: FREEZE.to_vec(),
            unit_id: "unit".to_owned(),
            class: i32::from(Class::CustomerCare.code()),
            lane: i32::from(lane.code()),
            ends_at_us: START_US + 86_400 * SECOND_US,
            started_at_us: START_US,
            variants: vec![event::FrozenVariant {
                variant: 0,
                channel: 1,
                content_hash: vec![9; 32],
                ..Default::default()
            }],
            ..Default::default()
        };
        let account = event::AccountControl {
            account: ACCOUNT.to_owned(),
            channel: 1,
            rate,
            bound: true,
            partitions: (0..64).collect(),
            ..Default::default()
        };
        let rules = Rules { hours_override: Some(loa_domain::hours::DailyWindow::ALWAYS), ..Rules::default() };
        let mut world = Self {
            engine: Engine::new(rules, HashKey::new([1; 16])),
            store: Store::default(),
            gateways: Gateways::default(),
            now: Now { us: START_US, mono: Duration::from_secs(100) },
            control,
            account,
            chunks: (0..).zip(sizes).map(|(number, &size)| chunk(FREEZE, number, size)).collect(),
            records: Vec::new(),
            settlements: BTreeMap::new(),
            blocks: BTreeMap::new(),
            read: BTreeMap::new(),
            appending: Vec::new(),
            words: BTreeMap::new(),
            accepted: BTreeSet::new(),
            rules,
        };
        world.restart();
        world
    }

    pub(super) fn shards() -> [Shard; 2] {
        [0, 1].map(|number| Shard::new(number).unwrap())
    }

    /// A new process takes the shards over.
    pub(super) fn restart(&mut self) {
        self.engine = Engine::new(self.rules, HashKey::new([1; 16]));
        self.appending.clear();
        self.tell();
        for shard in Self::shards() {
            let held = Held { kind: "shard".to_owned(), number: shard.number(), epoch: 1 };
            self.engine.gain(shard, held, self.store.shard(shard), self.now);
            let read = |topic| self.store.offset(topic, shard);
            self.read.insert(shard, (read(SettlementsTopic::SPEC.name), read(SuppressionTopic::SPEC.name)));
            self.read_blocks(shard);
            self.engine.set_ready(shard, self.now);
        }
    }

    /// Who would take the shards over now: made of what is stored, and of what it reads from there on.
    pub(super) fn successor(&mut self) -> Engine {
        let fresh = Engine::new(self.rules, HashKey::new([1; 16]));
        let (lived, read) = (std::mem::replace(&mut self.engine, fresh), self.read.clone());
        self.restart();
        self.read_settlements();
        while self.fetch() {}
        self.read = read;
        std::mem::replace(&mut self.engine, lived)
    }

    /// The shards are taken over from an owner that has committed and goes on publishing: its rows are durable.
    pub(super) fn overlap(&mut self) {
        let _more = self.engine.run(self.now);
        if let Some(commit) = self.engine.commit() {
            self.store.apply(commit);
            self.engine.committed(self.now);
        }
        let late = self.engine.outgoing(self.now);
        self.restart();
        let _busy = self.turn(Fate::Lives);
        for record in &late {
            match &record.said {
                Said::Release(release) => self.records.push((**release).clone()),
                Said::Words(words) => self.hear_words(words),
            }
        }
    }

    /// control.v1 is read.
    pub(super) fn tell(&mut self) {
        self.engine.hear_account(&self.account, self.now.mono).unwrap();
        self.engine.hear_campaign(&self.control, self.now).unwrap();
    }

    pub(super) fn set_state(&mut self, state: CampaignState) {
        self.control.state = u32::from(state.code());
        self.tell();
    }

    pub(super) fn pass_time(&mut self, seconds: u32) {
        self.now.us += i64::from(seconds) * SECOND_US;
        self.now.mono += Duration::from_secs(u64::from(seconds));
        self.tell();
    }

    /// A person opts out.
    pub(super) fn block(&mut self, shard: Shard, address_hash: u64) {
        let position = 1 + self.blocks.values().map(|blocks| blocks.len() as u64).sum::<u64>();
        let block = event::Block { address_hash, scope: Scope::ALL.0, position, ..Default::default() };
        self.blocks.entry(shard).or_default().push(block);
        self.read_blocks(shard);
    }

    fn read_blocks(&mut self, shard: Shard) {
        let at = &mut self.read.get_mut(&shard).unwrap().1;
        let blocks = self.blocks.get(&shard).map_or(&[][..], Vec::as_slice);
        for block in &blocks[*at..] {
            let (address, scope) = (AddressHash(block.address_hash), Scope(block.scope));
            let event::Block { lifted, position, at_us, .. } = *block;
            self.engine.block(BlockRow { shard, address, scope, lifted, position, at_us });
        }
        *at = blocks.len();
        self.engine.read_up_to(shard, SuppressionTopic::SPEC.name, *at as i64);
    }

    /// settlements.v1 is read to its end.
    pub(super) fn read_settlements(&mut self) {
        for shard in Self::shards() {
            let at = self.read[&shard].0;
            let unread = self.settlements.get(&shard).map_or(&[][..], |all| &all[at..]);
            let settled: Vec<_> = unread.iter().map(|slice| Settled::read(slice).unwrap()).collect();
            let missing = self.engine.missing(shard, &settled);
            self.engine.restore(self.store.releases_of(&missing), self.now);
            for settled in &settled {
                assert!(self.engine.settle(shard, settled, self.now), "a settlement of an unknown release");
            }
            self.engine.settled_all(shard, missing);
            let next = at + settled.len();
            self.read.get_mut(&shard).unwrap().0 = next;
            self.engine.read_up_to(shard, SettlementsTopic::SPEC.name, next as i64);
        }
    }

    /// Reads what the engine asked for.
    pub(super) fn fetch(&mut self) -> bool {
        let mut busy = false;
        while let Some(fetch) = self.engine.next_fetch() {
            busy = true;
            match fetch {
                Fetch::Heads { campaign, freeze, variant, shard } => {
                    let of_shard =
                        self.chunks.iter().filter(|(key, chunk)| key.freeze == freeze && chunk.shard == shard.number());
                    let heads = of_shard.map(|(key, chunk)| Head {
                        chunk: key.chunk,
                        account: AccountId::new(&chunk.account).unwrap(),
                        size: u16::try_from(chunk.address_hashes.len()).unwrap(),
                    });
                    self.engine.planned(shard, campaign, freeze, variant, heads.collect(), self.now);
                }
                Fetch::Chunks { first, count, shard } => {
                    let keys = (first.chunk..first.chunk + count).map(|chunk| ChunkKey { chunk, ..first });
                    let chunks = keys.map(|key| ChunkData::read(self.chunks[&key].clone()).unwrap()).collect();
                    self.engine.fetched(shard, chunks, self.now);
                }
                Fetch::Single { key, shard } => {
                    let body = crate::core::SingleBody::read(&self.store.singles[&key]).unwrap();
                    self.engine.fetched(shard, vec![body.data().unwrap()], self.now);
                }
            }
        }
        busy
    }

    /// One turn of the loop: run, commit, publish; whether anything happened.
    pub(super) fn turn(&mut self, fate: Fate) -> bool {
        let mut busy = self.fetch();
        if fate != Fate::LogIsSlow {
            let appended = std::mem::take(&mut self.appending);
            self.engine.published(&appended, self.now);
        }
        self.engine.hear_log(!self.appending.is_empty());
        busy |= self.engine.run(self.now);
        self.check_credit();
        if fate == Fate::DiesBeforeCommit {
            self.restart();
            return true;
        }
        if let Some(commit) = self.engine.commit() {
            busy = true;
            self.store.apply(commit);
            self.engine.committed(self.now);
        }
        if fate == Fate::DiesBeforePublish {
            self.restart();
            return true;
        }
        busy |= self.fetch();
        if !self.appending.is_empty() {
            return true;
        }
        let outgoing = self.engine.outgoing(self.now);
        busy |= !outgoing.is_empty();
        for record in &outgoing {
            for &(_, chunk, no) in &record.rows {
                assert!(
                    self.store.rows.contains_key(&loa_domain::ids::ReleaseKey { chunk, release_no: no }),
                    "published before durable"
                );
            }
            match &record.said {
                Said::Release(release) => self.records.push((**release).clone()),
                Said::Words(words) => self.hear_words(words),
            }
        }
        busy |= self.fetch();
        if fate == Fate::DiesAfterPublish {
            self.restart();
            return true;
        }
        if fate == Fate::LogIsSlow {
            self.appending = outgoing;
            return true;
        }
        self.engine.published(&outgoing, self.now);
        busy
    }

    fn hear_words(&mut self, words: &event::Outcomes) {
        self.accepted.extend(words.accepted.iter().map(|accepted| accepted.address_hash));
        for outcome in &words.outcomes {
            let chunk = convert::chunk_key(words.chunks[outcome.chunk as usize].chunk.as_ref()).unwrap();
            let state = RecipientState::from_code(outcome.state as i32).unwrap();
            self.words.entry((chunk, u16::try_from(outcome.index).unwrap())).or_default().insert(state);
        }
    }

    /// Turns until nothing happens any more.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..1_000 {
            if !self.turn(Fate::Lives) {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// The gateways read one of the records.
    pub(super) fn gateway(&mut self, record: usize, manner: Manner) {
        let Some(release) = self.records.get(record % self.records.len().max(1)).cloned() else { return };
        let settlements = self.gateways.read(&release, self.now.us, manner);
        self.settled(settlements);
    }

    pub(super) fn wake_gateways(&mut self) {
        let settlements = self.gateways.wake();
        self.settled(settlements);
    }

    fn settled(&mut self, settlements: Vec<event::SliceSettled>) {
        for settlement in settlements {
            let shard = convert::shard(settlement.shard).unwrap();
            self.settlements.entry(shard).or_default().push(settlement);
        }
    }

    /// What is in use is what the rows say, and within the credit.
    pub(super) fn check_credit(&self) {
        for (account, lane, credit, in_use, computed) in self.engine.credits() {
            assert_eq!(in_use, computed, "{account} {lane}");
            assert!(in_use <= credit.max(10), "{account} {lane}: {in_use} of {credit} parts are in use");
        }
    }

    /// How each recipient ended: the newest row that names it.
    pub(super) fn ends(&self) -> BTreeMap<(ChunkKey, u16), Option<RecipientState>> {
        let mut ends = BTreeMap::new();
        for (&key, chunk) in &self.chunks {
            for index in 0..u16::try_from(chunk.address_hashes.len()).unwrap() {
                ends.insert((key, index), None);
            }
        }
        for (key, row) in &self.store.rows {
            let progress = &row.progress;
            for index in row.mask.iter() {
                let end = if progress.settled.contains(index) {
                    Some(RecipientState::Submitted)
                } else {
                    progress.in_doubt.contains(index).then_some(RecipientState::InDoubt)
                };
                ends.insert((key.chunk, index), end);
            }
            ends.extend(row.decided.iter().map(|decided| ((key.chunk, decided.index), Some(decided.state))));
        }
        ends
    }

    pub(super) fn count(&self, state: RecipientState) -> usize {
        self.ends().values().filter(|&&end| end == Some(state)).count()
    }
}

/// Chunks alternate between two shards; people have one or two parts.
pub(crate) fn chunk(freeze: FreezeId, number: u32, size: u16) -> (ChunkKey, audience::Chunk) {
    let key = ChunkKey { freeze, variant: 0, chunk: number };
    let shard = number % 2;
    let first = u64::from(shard) << 58 | u64::from(number) << 32;
    let chunk = audience::Chunk {
        key: Some(convert::chunk_key_record(key)),
        shard,
        account: ACCOUNT.to_owned(),
        msisdns: (0..u64::from(size)).map(|at| 84_900_000_000 + u64::from(number) * 1_000 + at).collect(),
        parts: (0..size).map(|at| 1 + (at % 2) as u8).collect(),
        address_hashes: (0..u64::from(size)).map(|at| first + at).collect(),
        ..Default::default()
    };
    (key, chunk)
}
