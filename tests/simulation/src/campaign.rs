//! One campaign: its people, chunks and text, and the operator who starts, pauses and cancels it.
//!
//! The operator stands for registry and audience: both answer only when the log has what they say, and that moment is T0.
//!
//! Must stay true: a state is in force from its append on; the people of a seed are always the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::topics::{BlocksTopic, ControlTopic, SuppressionTopic};
use loa_dispatch::{ChunksError, ContentsError, Head};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Class, Lane};
use loa_domain::hash::{AddressHash, HashKey};
use loa_domain::hours::UTC_OFFSET_US;
use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_gateway::RegistryAway;
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::store::report::ChunkFacts;
use loa_report::Wanted;
use loa_runtime::record;
use loa_testkit::dice::Dice;
use tonic::Status;
use uuid::Uuid;

use crate::gate::Gate;
use crate::log::Records;

pub(crate) const ACCOUNT: &str = "viet";
pub(crate) const KEY: [u8; 16] = [42; 16];
pub(crate) const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(0xca));
const FREEZE: FreezeId = FreezeId(Uuid::from_u128(0xf0));
/// The first number that may be somebody's.
const FIRST_NUMBER: u64 = 84_901_000_000;
const SHORT: &str = "Xin chao";
const LONG: &str = "Uy ban nhan dan xa kinh moi ba con den du buoi hop ban ve viec nao vet kenh muong va sua duong vao 8 gio sang \
thu bay tai nha van hoa ap. De nghi moi nha co mot nguoi den du day du va dung gio. Xin cam on.";

/// One person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) number: u64,
    pub(crate) chunk: ChunkKey,
    pub(crate) index: u16,
}

/// What a campaign is made of.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) people: Vec<Person>,
    pub(crate) chunks: BTreeMap<ChunkKey, audience::Chunk>,
    pub(crate) text: &'static str,
    pub(crate) parts: u8,
    pub(crate) lane: Lane,
    /// When it ends, microseconds since 1970.
    pub(crate) ends_at_us: i64,
    /// Minute of the day; 0 = any hour.
    pub(crate) closes_at_minute: u32,
}

impl Facts {
    pub(crate) fn draw(dice: &mut Dice, now_us: i64) -> Self {
        const SECOND_US: i64 = 1_000_000;
        let count = 20 + dice.index(100);
        let per_chunk = 3 + dice.index(30);
        let shards: Vec<u32> = (0..1 + dice.below(6)).map(|_| u32::try_from(dice.below(64)).unwrap_or(0)).collect();
        let key = HashKey::new(KEY);
        let mut of_shards: BTreeMap<Shard, Vec<(AddressHash, u64)>> = BTreeMap::new();
        let hashed = (FIRST_NUMBER..).map(|number| (key.number(number), number));
        for (hash, number) in hashed.filter(|(hash, _)| shards.contains(&hash.shard().number())).take(count) {
            of_shards.entry(hash.shard()).or_default().push((hash, number));
        }
        let parts = if dice.happens(0.25) { 2 } else { 1 };
        let (mut people, mut chunks) = (Vec::new(), BTreeMap::new());
        for (shard, mut members) in of_shards {
            members.sort_unstable();
            for members in members.chunks(per_chunk) {
                let key =
                    ChunkKey { freeze: FREEZE, variant: 0, chunk: u32::try_from(chunks.len()).unwrap_or(u32::MAX) };
                people.extend((0..).zip(members).map(|(index, &(_, number))| Person { number, chunk: key, index }));
                let chunk = audience::Chunk {
                    key: Some(convert::chunk_key_record(key)),
                    shard: shard.number(),
                    account: ACCOUNT.to_owned(),
                    msisdns: members.iter().map(|(_, number)| *number).collect(),
                    parts: vec![parts; members.len()],
                    address_hashes: members.iter().map(|(hash, _)| hash.0).collect(),
                    ..Default::default()
                };
                chunks.insert(key, chunk);
            }
        }
        let (closes, ends_s) = match dice.below(10) {
            0 => (true, 61 + dice.below(30)),
            1 | 2 => (false, 15 + dice.below(40)),
            _ => (false, 86_400),
        };
        Self {
            people,
            chunks,
            text: if parts == 1 { SHORT } else { LONG },
            parts,
            lane: if dice.happens(0.3) { Lane::Normal } else { Lane::Bulk },
            ends_at_us: now_us + i64::try_from(ends_s).unwrap_or(0) * SECOND_US,
            closes_at_minute: if closes { 9 * 60 + 1 } else { 0 },
        }
    }
}

impl Facts {
    /// From when on nothing may be handed over, microseconds since 1970.
    pub(crate) fn last_us(&self) -> i64 {
        const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
        let day_us = (self.ends_at_us + UTC_OFFSET_US) / DAY_US * DAY_US - UTC_OFFSET_US;
        match self.closes_at_minute {
            0 => self.ends_at_us,
            minute => self.ends_at_us.min(day_us + i64::from(minute) * 60 * 1_000_000),
        }
    }
}

/// What the operator has said so far.
#[derive(Debug)]
struct Said {
    version: u64,
    state: CampaignState,
    /// From when to when nothing may be handed over.
    stops: Vec<(Duration, Option<Duration>)>,
    opted_out: Vec<(u64, Duration)>,
}

/// The operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) facts: Facts,
    records: Arc<Records>,
    clock: Arc<SystemClock>,
    said: Mutex<Said>,
}

impl Operator {
    pub(crate) fn new(facts: Facts, records: Arc<Records>, clock: Arc<SystemClock>) -> Arc<Self> {
        let said = Said { version: 0, state: CampaignState::Scheduled, stops: Vec::new(), opted_out: Vec::new() };
        Arc::new(Self { facts, records, clock, said: Mutex::new(said) })
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> CampaignState {
        self.said().state
    }

    /// From when to when nothing may be handed over.
    pub(crate) fn stops(&self) -> Vec<(Duration, Option<Duration>)> {
        self.said().stops.clone()
    }

    /// Who opted out, and when that was confirmed.
    pub(crate) fn opted_out(&self) -> Vec<(u64, Duration)> {
        self.said().opted_out.clone()
    }

    /// The campaign goes into a state; false if it cannot from where it is, or the log does not answer.
    pub(crate) fn set(&self, state: CampaignState) -> bool {
        use CampaignState as S;
        let mut said = self.said();
        let may = match state {
            S::Running => matches!(said.state, S::Scheduled | S::Paused | S::Halted),
            S::Paused | S::Halted | S::Done => said.state == S::Running,
            S::Cancelled => matches!(said.state, S::Running | S::Paused | S::Halted),
            _ => false,
        };
        if !may || self.records.is_away() {
            return false;
        }
        said.version += 1;
        said.state = state;
        self.records.append(vec![record::append::<ControlTopic>(0, Bytes::new(), &self.control(said.version, state))]);
        let now = self.clock.monotonic();
        if state == S::Running {
            if let Some((_, to)) = said.stops.last_mut() {
                *to = Some(now);
            }
        } else if said.stops.last().is_none_or(|(_, to)| to.is_some()) {
            said.stops.push((now, None));
        }
        true
    }

    fn control(&self, version: u64, state: CampaignState) -> event::Control {
        let recipients = self.facts.people.len() as u64;
        let variant = event::FrozenVariant {
            variant: 0,
            channel: 1,
            content_hash: vec![9; 32],
            sender: "BENTRE".to_owned(),
            recipients,
            chunks: u32::try_from(self.facts.chunks.len()).unwrap_or(u32::MAX),
            parts: recipients * u64::from(self.facts.parts),
            ..Default::default()
        };
        let campaign = event::CampaignControl {
            campaign_id: CAMPAIGN.to_vec(),
            state: u32::from(state.code()),
            freeze_id: FREEZE.to_vec(),
            unit_id: "unit".to_owned(),
            class: i32::from(Class::CustomerCare.code()),
            lane: i32::from(self.facts.lane.code()),
            ends_at_us: self.facts.ends_at_us,
            open_minute: if self.facts.closes_at_minute == 0 { 0 } else { 8 * 60 },
            close_minute: self.facts.closes_at_minute,
            started_at_us: 1,
            variants: vec![variant],
            ..Default::default()
        };
        event::Control { version, at_us: 0, object: Some(event::control::Object::Campaign(campaign)) }
    }

    /// A person opts out; false if the log does not answer.
    pub(crate) fn opt_out(&self, number: u64) -> bool {
        if self.records.is_away() {
            return false;
        }
        let hash = HashKey::new(KEY).number(number);
        let mut said = self.said();
        let position = 1 + said.opted_out.len() as u64;
        let at_us = self.clock.now_us();
        let block = event::Block { address_hash: hash.0, scope: Scope::ALL.0, at_us, position, ..Default::default() };
        let blocks = event::Blocks { blocks: vec![block] };
        self.records.append(vec![
            record::append::<SuppressionTopic>(hash.shard().number(), Bytes::new(), &blocks),
            record::append::<BlocksTopic>(0, Bytes::new(), &blocks),
        ]);
        said.opted_out.push((number, self.clock.monotonic()));
        true
    }
}

/// Registry and audience as one process reaches them.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    pub(crate) operator: Arc<Operator>,
    pub(crate) gate: Arc<Gate>,
}

impl Peers {
    fn content(&self) -> registry::Content {
        registry::Content { channel: 1, text: self.operator.facts.text.to_owned(), ..Default::default() }
    }

    fn chunks(&self, shard: Option<u32>) -> impl Iterator<Item = &audience::Chunk> {
        self.operator.facts.chunks.values().filter(move |chunk| shard.is_none_or(|shard| shard == chunk.shard))
    }
}

#[async_trait]
impl loa_dispatch::Chunks for Peers {
    async fn heads(&self, _: FreezeId, _: u16, shard: Shard) -> Result<Vec<Head>, ChunksError> {
        self.gate.travel().await;
        let head = |chunk: &audience::Chunk| -> Result<Head, ChunksError> {
            let account = AccountId::new(&chunk.account).map_err(|error| convert::BadRecord::new("account", error))?;
            let size = u16::try_from(chunk.msisdns.len()).unwrap_or(u16::MAX);
            Ok(Head { chunk: convert::chunk_key(chunk.key.as_ref())?.chunk, account, size })
        };
        self.chunks(Some(shard.number())).map(head).collect()
    }

    async fn read(
        &self,
        _: FreezeId,
        _: u16,
        shard: Shard,
        first_chunk: u32,
        chunks_max: u32,
    ) -> Result<Vec<audience::Chunk>, ChunksError> {
        self.gate.travel().await;
        let number = |chunk: &audience::Chunk| chunk.key.as_ref().map_or(0, |key| key.chunk);
        let from = self.chunks(Some(shard.number())).filter(|chunk| number(chunk) >= first_chunk);
        Ok(from.take(chunks_max as usize).cloned().collect())
    }
}

#[async_trait]
impl loa_dispatch::Contents for Peers {
    async fn content(&self, _: &[u8]) -> Result<Option<registry::Content>, ContentsError> {
        self.gate.travel().await;
        Ok(Some(Peers::content(self)))
    }
}

#[async_trait]
impl loa_gateway::Registry for Peers {
    async fn content(&self, _: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        self.gate.travel().await;
        Ok(Some(Peers::content(self)))
    }

    async fn halt(&self, _: CampaignId, _: &str) -> Result<(), RegistryAway> {
        self.gate.travel().await;
        self.operator.set(CampaignState::Halted);
        Ok(())
    }
}

#[async_trait]
impl loa_report::Chunks for Peers {
    async fn keys(&self, wanted: Wanted) -> Result<BoxStream<'static, Result<ChunkFacts, Status>>, Status> {
        self.gate.travel().await;
        let facts = |chunk: &audience::Chunk| {
            Ok(ChunkFacts {
                key: convert::chunk_key(chunk.key.as_ref()).map_err(|error| Status::internal(error.to_string()))?,
                campaign: wanted.campaign,
                shard: chunk.shard,
                account: chunk.account.clone(),
                channel: wanted.channel.code(),
                keys: chunk.address_hashes.iter().map(|&hash| AddressHash(hash)).collect(),
            })
        };
        let all: Vec<_> = self.chunks(wanted.shard).map(facts).collect();
        Ok(futures_util::stream::iter(all).boxed())
    }

    async fn whole(&self, _: Wanted, _: u32, _: u32) -> Result<Vec<audience::Chunk>, Status> {
        Err(Status::unimplemented("nobody exports here"))
    }
}

#[async_trait]
impl loa_report::Registry for Peers {
    async fn halt(&self, _: CampaignId, _: &str) -> Result<(), Status> {
        self.gate.travel().await;
        self.operator.set(CampaignState::Halted);
        Ok(())
    }

    async fn complete(&self, _: CampaignId) -> Result<(), Status> {
        self.gate.travel().await;
        match self.operator.set(CampaignState::Done) {
            true => Ok(()),
            false => Err(Status::failed_precondition("it does not run, or the log is away")),
        }
    }
}
