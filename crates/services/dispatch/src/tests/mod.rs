//! The service over a real store and log, with gateways and audience that are models.

mod campaign;
mod single;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::topics::{self, OutcomesTopic, SettlementsTopic, SinglesTopic, Topic, TopicSpec};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::ids::{ChunkKey, FreezeId, Shard};
use loa_embedded::EmbeddedLog;
use loa_ports::audience::{Route, Router};
use loa_ports::clock::SystemClock;
use loa_ports::log::{Log, Position};
use loa_runtime::control::{self, ControlView};
use loa_runtime::{Ctx, Service as _, record};
use loa_store::{Db, SqlDispatch, SqlLeases};
use loa_testkit::eventually;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::chunks::head;
use crate::core::tests::gateway::{Gateways, Manner};
use crate::{Chunks, ChunksError, Contents, ContentsError, Dispatch, Head, Options};

const ACCOUNT: &str = "viet";
const CAMPAIGN: Uuid = Uuid::from_u128(1);
const FREEZE: FreezeId = FreezeId(Uuid::from_u128(2));
const WAIT: Duration = Duration::from_secs(30);

/// Frozen chunks in memory.
#[derive(Debug, Default)]
struct Frozen(BTreeMap<ChunkKey, audience::Chunk>);

impl Frozen {
    fn of(&self, freeze: FreezeId, variant: u16, shard: Shard) -> impl Iterator<Item = &audience::Chunk> {
        let wanted = move |(key, chunk): &(&ChunkKey, &audience::Chunk)| {
            key.freeze == freeze && key.variant == variant && chunk.shard == shard.number()
        };
        self.0.iter().filter(wanted).map(|(_, chunk)| chunk)
    }
}

#[async_trait]
impl Chunks for Frozen {
    async fn heads(&self, freeze: FreezeId, variant: u16, shard: Shard) -> Result<Vec<Head>, ChunksError> {
        self.of(freeze, variant, shard).map(head).collect()
    }

    async fn read(
        &self,
        freeze: FreezeId,
        variant: u16,
        shard: Shard,
        first: u32,
        max: u32,
    ) -> Result<Vec<audience::Chunk>, ChunksError> {
        let from = self.of(freeze, variant, shard).filter(|chunk| chunk.key.as_ref().unwrap().chunk >= first);
        Ok(from.take(max as usize).cloned().collect())
    }
}

/// One text for every hash.
#[derive(Debug)]
struct OneText;

#[async_trait]
impl Contents for OneText {
    async fn content(&self, _: &[u8]) -> Result<Option<registry::Content>, ContentsError> {
        Ok(Some(registry::Content { channel: 1, text: "Mã của {ten} là 123".to_owned(), ..Default::default() }))
    }
}

/// An installation with one log and one store; processes of dispatch come and go.
struct Installation {
    _folder: tempfile::TempDir,
    log: Arc<dyn Log>,
    db: Db,
    chunks: Arc<Frozen>,
    clock: Arc<SystemClock>,
    gateways: Arc<Mutex<Gateways>>,
    announcing: Arc<AtomicU32>,
}

struct Process {
    ctx: Ctx,
    running: JoinHandle<()>,
    calls: crate::DispatchCalls,
    intake: Arc<crate::intake::Intake>,
}

impl Installation {
    async fn new(chunks: Frozen) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let log = EmbeddedLog::open(&folder.path().join("log.db"), clock.clone(), loa_embedded::Options::default())
            .await
            .unwrap();
        let db = Db::open(&folder.path().join("dispatch.db"), "dispatch").await.unwrap();
        Self {
            _folder: folder,
            log: Arc::new(log),
            db,
            chunks: Arc::new(chunks),
            clock,
            gateways: Arc::default(),
            announcing: Arc::default(),
        }
    }

    /// Starts a process of that name.
    async fn start(&self, node: &str) -> Process {
        let ctx = Ctx::test(self.clock.clone(), node);
        let view = ControlView::start(&ctx, self.log.clone()).await.unwrap();
        let route = Route {
            account: ACCOUNT.to_owned(),
            channel: Channel::Sms,
            prefixes: vec![],
            domains: vec![],
            simulator: true,
            parts_max: 10,
        };
        let options = Options { any_hour: true, router: Router::new(vec![route]), ..Options::default() };
        let store = Arc::new(SqlDispatch::new(self.db.clone()));
        let leases = Arc::new(SqlLeases::new(self.db.clone()));
        let dispatch = Dispatch::with_sources(
            &ctx,
            (store, leases, self.log.clone()),
            view,
            options,
            (self.chunks.clone(), Arc::new(OneText)),
        );
        let intake = Arc::clone(&dispatch.intake);
        let calls = dispatch.calls();
        let inner = ctx.clone();
        let running =
            ctx.spawn("dispatch", async move { Box::new(dispatch).run(inner).await.map_err(|error| error.0).unwrap() });
        Process { ctx, running, calls, intake }
    }

    async fn publish(&self, version: u64, object: event::control::Object) {
        let control = event::Control { version, at_us: 0, object: Some(object) };
        while control::publish(&*self.log, &control).await.is_err() {}
    }

    /// The account announces itself, bound at that rate, until its rate changes.
    async fn announce(&self, rate: f64) {
        let (announcing, log) = (Arc::clone(&self.announcing), self.log.clone());
        let ctx = Ctx::test(self.clock.clone(), "gateway");
        let number = announcing.fetch_add(1, Ordering::SeqCst) + 1;
        announce(&*log, &ctx, rate).await;
        ctx.clone().spawn("announcer", async move {
            while announcing.load(Ordering::SeqCst) == number {
                tokio::time::sleep(Duration::from_secs(2)).await;
                announce(&*log, &ctx, rate).await;
            }
        });
    }

    async fn campaign(&self, version: u64, state: CampaignState) {
        let campaign = event::CampaignControl {
            campaign_id: CAMPAIGN.as_bytes().to_vec(),
            state: u32::from(state.code()),
            freeze_id: FREEZE.to_vec(),
            class: i32::from(Class::CustomerCare.code()),
            lane: i32::from(Lane::Bulk.code()),
            started_at_us: 1,
            variants: vec![event::FrozenVariant {
                variant: 0,
                channel: 1,
                content_hash: vec![9; 32],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.publish(version, event::control::Object::Campaign(campaign)).await;
    }

    /// Gateways of a lane that claim and settle what they read.
    fn serve(&self, lane: Lane) -> JoinHandle<()> {
        let (log, gateways) = (self.log.clone(), self.gateways.clone());
        let ctx = Ctx::test(self.clock.clone(), "gateway");
        ctx.clone().spawn("gateway", async move {
            let mut reader = log.reader(topics::releases(Channel::Sms, lane), everything()).await.unwrap();
            loop {
                let mut appends = Vec::new();
                for read in reader.next(64).await.unwrap() {
                    let release: event::Release = record::decode(&read).unwrap();
                    let slices = gateways.lock().unwrap().read(&release, ctx.now_us(), Manner::Send);
                    let settlements = event::Settlements { slices };
                    appends.push(record::append::<SettlementsTopic>(release.shard, bytes::Bytes::new(), &settlements));
                }
                while log.append(appends.clone()).await.is_err() {}
            }
        })
    }

    fn sent(&self) -> Vec<u32> {
        self.gateways.lock().unwrap().sent.values().copied().collect()
    }

    /// Every record of a topic.
    async fn all<T: Topic>(&self) -> Vec<(loa_ports::log::Record, T::Event)> {
        let mut reader = self.log.reader(T::SPEC, everything_of(T::SPEC)).await.unwrap();
        let ends = self.log.ends(T::SPEC).await.unwrap();
        let mut all = Vec::new();
        let behind = |reader: &dyn loa_ports::log::Reader| {
            (0..).zip(&ends).any(|(partition, &end)| reader.position(partition).unwrap_or(0) < end)
        };
        while behind(&*reader) {
            let records = reader.next(1_000).await.unwrap();
            all.extend(records.into_iter().map(|read| (read.clone(), record::decode(&read).unwrap())));
        }
        all
    }

    /// Rows that somebody must still look at.
    async fn open_rows(&self) -> i64 {
        sqlx_count(&self.db).await
    }
}

async fn sqlx_count(db: &Db) -> i64 {
    let shards = Shard::all().map(|shard| {
        let store = SqlDispatch::new(db.clone());
        async move { loa_ports::store::dispatch::DispatchStore::shard(&store, shard).await.unwrap() }
    });
    let shards = futures_util::future::join_all(shards).await;
    shards.iter().flat_map(|shard| &shard.releases).filter(|row| row.progress.open).count() as i64
}

async fn announce(log: &dyn Log, ctx: &Ctx, rate: f64) {
    let account = event::AccountControl {
        account: ACCOUNT.to_owned(),
        channel: 1,
        rate,
        bound: true,
        partitions: (0..64).collect(),
        simulator: true,
        ..Default::default()
    };
    let object = Some(event::control::Object::Account(account));
    let version = ctx.now_us().unsigned_abs();
    let control = event::Control { version, at_us: 0, object };
    while control::publish(log, &control).await.is_err() {}
}

impl Process {
    /// Stops as a process does that is asked to.
    async fn stop(self) {
        self.ctx.stop();
        tokio::time::timeout(WAIT, self.running).await.expect("dispatch stops in time").unwrap();
    }

    /// Dies: nothing more is done.
    fn kill(self) {
        self.running.abort();
        self.ctx.stop();
    }
}

fn everything() -> Vec<Position> {
    (0..64).map(|partition| Position { partition, offset: 0 }).collect()
}

fn everything_of(spec: &TopicSpec) -> Vec<Position> {
    (0..spec.partitions).map(|partition| Position { partition, offset: 0 }).collect()
}

/// What was said of recipients, by state.
async fn words(installation: &Installation) -> HashMap<u32, usize> {
    let mut words = HashMap::new();
    for (_, outcomes) in installation.all::<OutcomesTopic>().await {
        for outcome in outcomes.outcomes {
            let chunk = convert::chunk_key(outcomes.chunks[outcome.chunk as usize].chunk.as_ref()).unwrap();
            words.insert((chunk, outcome.index), outcome.state);
        }
    }
    let mut counts = HashMap::new();
    words.into_values().for_each(|state| *counts.entry(state).or_default() += 1);
    counts
}

async fn singles(installation: &Installation) -> usize {
    installation.all::<SinglesTopic>().await.len()
}
