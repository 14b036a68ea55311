//! The ledger over a real store and log, with a registry and an audience that are models.
//!
//! Must stay true: what a test reads of the ledger is what a caller would read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{OutcomesTopic, ResultsTopic, SettlementsTopic, Topic};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::mask::Mask;
use loa_domain::state::RecipientState;
use loa_embedded::EmbeddedLog;
use loa_ports::log::{Append, Log};
use loa_ports::store::report::{ChunkFacts, ReportStore as _};
use loa_runtime::config::ReportConfig;
use loa_runtime::control::{self, ControlView};
use loa_runtime::{Ctx, Service as _, record};
use loa_store::{Db, SqlLeases, SqlReport};
use loa_testkit::{FakeClock, eventually};
use tokio::task::JoinHandle;
use tonic::Status;
use uuid::Uuid;

use crate::chunks::{Chunks, Wanted};
use crate::ledger::Whole;
use crate::registry::Registry;
use crate::service::Report;

const BULK: CampaignId = CampaignId(Uuid::from_u128(0xb));
const NORMAL: CampaignId = CampaignId(Uuid::from_u128(0xa));
const NOTICE: CampaignId = CampaignId(Uuid::from_u128(0xc));
/// The shard of everybody; its neighbour has no people.
const SHARD: u32 = 5;
const NEIGHBOUR: u32 = 6;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Every freeze is numbered as its campaign and has three people in each of two shards.
struct TwoChunks;

fn chunk(campaign: CampaignId, shard: u32) -> ChunkKey {
    ChunkKey { freeze: FreezeId(campaign.0), variant: 0, chunk: shard }
}

#[async_trait]
impl Chunks for TwoChunks {
    async fn keys(&self, wanted: Wanted) -> Result<BoxStream<'static, Result<ChunkFacts, Status>>, Status> {
        let shards = [SHARD, NEIGHBOUR].into_iter().filter(|shard| wanted.shard.is_none_or(|one| one == *shard));
        let facts = shards.map(|shard| ChunkFacts {
            key: chunk(wanted.campaign, shard),
            campaign: wanted.campaign,
            shard,
            account: "sim-a".to_owned(),
            channel: 1,
            keys: (1..=3).map(AddressHash).collect(),
        });
        Ok(futures_util::stream::iter(facts.map(Ok).collect::<Vec<_>>()).boxed())
    }

    async fn whole(&self, _: Wanted, _: u32, _: u32) -> Result<Vec<audience::Chunk>, Status> {
        Ok(Vec::new())
    }
}

/// What was halted and why; does not answer the first times.
#[derive(Default)]
struct Halts {
    silent: AtomicUsize,
    halted: Mutex<Vec<(CampaignId, String)>>,
}

#[async_trait]
impl Registry for Halts {
    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), Status> {
        if self.silent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Status::unavailable("not now"));
        }
        self.halted.lock().unwrap().push((campaign, reason.to_owned()));
        Ok(())
    }

    async fn complete(&self, _: CampaignId) -> Result<(), Status> {
        Ok(())
    }
}

struct World {
    log: Arc<EmbeddedLog>,
    store: SqlReport,
    db: Db,
    clock: Arc<FakeClock>,
    registry: Arc<Halts>,
    _folder: tempfile::TempDir,
}

struct Process {
    ctx: Ctx,
    view: ControlView,
    running: JoinHandle<()>,
}

impl Process {
    async fn stop(self) {
        self.ctx.stop();
        self.running.await.unwrap();
        self.ctx.idle().await;
    }
}

impl World {
    /// A bulk and a normal campaign run, and a notice.
    async fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), FakeClock::new());
        let options = loa_embedded::Options::default();
        let log = EmbeddedLog::open(&folder.path().join("log.db"), clock.clone(), options).await.unwrap();
        let db = Db::open(&folder.path().join("report.db"), "report").await.unwrap();
        let store = SqlReport::new(db.clone());
        let world = Self { log: Arc::new(log), store, db, clock, registry: Arc::default(), _folder: folder };
        world.runs(BULK, Lane::Bulk, false).await;
        world.runs(NORMAL, Lane::Normal, false).await;
        world.runs(NOTICE, Lane::Bulk, true).await;
        world
    }

    async fn runs(&self, campaign: CampaignId, lane: Lane, notice: bool) {
        let variant = event::FrozenVariant { channel: 1, recipients: 6, parts: 6, ..Default::default() };
        let control = event::CampaignControl {
            campaign_id: campaign.to_vec(),
            freeze_id: campaign.to_vec(),
            state: u32::from(CampaignState::Running.code()),
            lane: i32::from(lane.code()),
            variants: vec![variant],
            notice,
            ..Default::default()
        };
        let object = Some(event::control::Object::Campaign(control));
        control::publish(&*self.log, &event::Control { version: 1, at_us: 0, object }).await.unwrap();
    }

    async fn start(&self, node: &str) -> Process {
        let ctx = Ctx::test(self.clock.clone(), node);
        let view = ControlView::start(&ctx, self.log.clone()).await.unwrap();
        let config = ReportConfig { flush: Duration::from_millis(20), receipt_wait: 3 * DAY };
        let ports = (
            Arc::new(self.store.clone()) as _,
            Arc::new(SqlLeases::new(self.db.clone())) as _,
            Arc::clone(&self.log) as Arc<dyn Log>,
        );
        let peers = (Arc::new(TwoChunks) as _, Arc::clone(&self.registry) as _);
        let report = Report::with_peers(&ctx, ports, view.clone(), config, peers);
        let inner = ctx.clone();
        let running = ctx.spawn("report", async move { Box::new(report).run(inner).await.map_err(|e| e.0).unwrap() });
        Process { ctx, view, running }
    }

    /// All three of a campaign's people in a shard are delivered.
    async fn delivered(&self, campaign: CampaignId, shard: u32) {
        self.settled(campaign, shard, event::SliceOutcome::Delivered).await;
    }

    async fn settled(&self, campaign: CampaignId, shard: u32, outcome: event::SliceOutcome) {
        let slice = event::SliceSettled {
            chunk: Some(convert::chunk_key_record(chunk(campaign, shard))),
            release_no: 1,
            shard,
            campaign_id: campaign.to_vec(),
            own: true,
            at_us: 1,
            mask: Mask::first(3).to_vec(),
            outcomes: vec![u8::try_from(i32::from(outcome)).unwrap()],
            ..Default::default()
        };
        self.append::<SettlementsTopic>(shard, &event::Settlements { slices: vec![slice] }).await;
    }

    async fn append<T: Topic>(&self, partition: u32, event: &T::Event) {
        self.log.append(vec![record::append::<T>(partition, bytes::Bytes::new(), event)]).await.unwrap();
    }

    async fn ledger(&self, process: &Process, campaign: CampaignId) -> Whole {
        Whole::read(&self.store, &process.view, campaign).await.unwrap()
    }

    async fn known(&self, process: &Process, campaign: CampaignId, delivered: u64) {
        eventually("the ledger knows who was reached", async || {
            let whole = self.ledger(process, campaign).await;
            whole.complete && whole.of(RecipientState::Delivered) == delivered
        })
        .await;
    }

    fn halted(&self) -> Vec<(CampaignId, String)> {
        self.registry.halted.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_halts_bulk_marks_campaigns_and_goes_on_behind_it() {
    let world = World::new().await;
    let process = world.start("one").await;
    world.delivered(BULK, SHARD).await;
    world.delivered(NORMAL, NEIGHBOUR).await;
    world.known(&process, BULK, 3).await;
    world.known(&process, NORMAL, 3).await;
    process.stop().await;

    // While nobody reads, a word of each shard comes, and grows older than the topic keeps.
    world.delivered(NORMAL, SHARD).await;
    world.delivered(BULK, NEIGHBOUR).await;
    world.clock.turn(15 * DAY);
    world.delivered(BULK, NEIGHBOUR).await;
    world.log.retain(loa_ports::clock::Clock::now_us(&*world.clock)).await.unwrap();
    world.registry.silent.store(1, Ordering::SeqCst);

    let process = world.start("two").await;
    world.known(&process, BULK, 6).await;
    eventually("both gaps are marked", async || {
        world.ledger(&process, BULK).await.missed + world.ledger(&process, NORMAL).await.missed == 2
    })
    .await;
    assert_eq!(world.ledger(&process, BULK).await.missed, 1, "its people in the other shard were settled before");
    let halted = world.halted();
    assert!(halted.iter().all(|(id, why)| *id == BULK && why.starts_with("LOA-021: ")), "{halted:?}");
    assert_eq!(halted.len(), 1, "normal campaigns go on");
    process.stop().await;

    let process = world.start("three").await;
    assert_eq!(world.ledger(&process, NORMAL).await.to_record(NORMAL).records_missed, 1, "it stays marked");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_behind_bulk_is_halted_and_one_bad_record_holds_up_its_partition_alone() {
    let world = World::new().await;
    let bad = Append {
        value: bytes::Bytes::from_static(&[0xff]),
        ..record::append::<SettlementsTopic>(SHARD, bytes::Bytes::new(), &event::Settlements::default())
    };
    world.log.append(vec![bad]).await.unwrap();
    world.delivered(BULK, SHARD).await;
    world.delivered(BULK, NEIGHBOUR).await;
    let process = world.start("one").await;
    world.known(&process, BULK, 3).await;
    assert_eq!(world.halted(), [], "it is not old yet");

    world.clock.turn(7 * DAY);
    world.delivered(NORMAL, NEIGHBOUR).await;
    world.known(&process, NORMAL, 3).await;
    assert_eq!(world.halted(), [], "half the retention is not more than half");
    world.clock.turn(Duration::from_secs(3_600));
    eventually("bulk is halted", async || !world.halted().is_empty()).await;
    let why = "LOA-023: the ledger is 169 h behind on settlements.v1 (at most 168); resume once it has caught up";
    assert_eq!(world.halted()[0], (BULK, why.to_owned()));
    assert!(world.halted().iter().all(|(id, _)| *id == BULK), "normal campaigns and notices go on");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_belongs_to_nothing_finds_whom_the_store_alone_knows() {
    let world = World::new().await;
    let process = world.start("one").await;
    let unmatched = |address_hash| {
        let state = RecipientState::Delivered.code().into();
        let told =
            event::Unmatched { address_hash, account: "sim-a".to_owned(), state, at_us: 9, ..Default::default() };
        event::Outcomes { shard: SHARD, unmatched: vec![told], ..Default::default() }
    };
    // The same people by the same account: what the other campaign sent them was refused.
    world.settled(NORMAL, SHARD, event::SliceOutcome::Rejected).await;
    world.settled(BULK, SHARD, event::SliceOutcome::InDoubt).await;
    let stands = async |campaign, state| world.ledger(&process, campaign).await.of(state);
    eventually("both are stored, and with them who it is", async || {
        stands(NORMAL, RecipientState::Rejected).await == 3 && stands(BULK, RecipientState::InDoubt).await == 3
    })
    .await;
    world.append::<OutcomesTopic>(SHARD, &unmatched(2)).await;
    world.append::<OutcomesTopic>(SHARD, &unmatched(7)).await;
    eventually("it is settled", async || stands(BULK, RecipientState::Delivered).await == 1).await;
    process.stop().await;

    let process = world.start("two").await;
    world.append::<OutcomesTopic>(SHARD, &unmatched(3)).await;
    eventually("another owner finds them too", async || {
        let whole = world.ledger(&process, BULK).await;
        whole.of(RecipientState::Delivered) == 2 && whole.of(RecipientState::InDoubt) == 1
    })
    .await;
    process.stop().await;
}

async fn told(world: &World) -> Vec<String> {
    let all = loa_testkit::records::<ResultsTopic>(&*world.log, 9).await;
    all.into_iter().map(|result| result.state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_by_whoever_owns_its_shard() {
    let world = World::new().await;
    let process = world.start("one").await;
    let accepted = event::SingleAccepted {
        chunk: Some(convert::chunk_key_record(chunk(NOTICE, SHARD))),
        index: 1,
        notice_id: NOTICE.to_vec(),
        address_hash: 2,
        idempotency_key: "ho-so-1".to_owned(),
        channel: 1,
        accepted_at_us: loa_testkit::clock::MORNING_US,
        reply_to: Some(event::ReplyTo { partition: 9, key: vec![] }),
        ..Default::default()
    };
    let outcomes = event::Outcomes { shard: SHARD, accepted: vec![accepted], ..Default::default() };
    world.append::<OutcomesTopic>(SHARD, &outcomes).await;
    eventually("its acceptance is told", async || told(&world).await == ["accepted"]).await;
    process.stop().await;

    world.append::<OutcomesTopic>(SHARD, &outcomes).await;
    world.delivered(NOTICE, SHARD).await;
    let process = world.start("two").await;
    eventually("its delivery is told", async || told(&world).await == ["accepted", "delivered"]).await;
    eventually("nothing more is to be told", async || world.store.replies(SHARD).await.unwrap().is_empty()).await;
    process.stop().await;

    let process = world.start("three").await;
    world.append::<OutcomesTopic>(SHARD, &outcomes).await;
    world.delivered(BULK, SHARD).await;
    world.known(&process, BULK, 3).await;
    process.stop().await;
    assert_eq!(told(&world).await, ["accepted", "delivered"]);
}
