//! The correlator on a real log and a real store, with time turned by hand.

mod recovery;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{OutcomesTopic, ReceiptsTopic, ReferencesTopic};
use loa_domain::hash::HashKey;
use loa_domain::state::RecipientState;
use loa_embedded::EmbeddedLog;
use loa_gateway::partition::partition_of;
use loa_ports::clock::SystemClock;
use loa_ports::lease::Held;
use loa_store::{Db, SqlClaims};
use loa_testkit::storm::log::{StormConfig, StormLog};
use loa_testkit::{FakeClock, eventually, records};
use tokio::sync::oneshot;

use super::book::TELL_AFTER;
use super::*;

const SHARD: u32 = 9;
const ACCOUNT: &str = "a";

struct World {
    log: Arc<dyn Log>,
    claims: Arc<SqlClaims>,
    clock: Arc<FakeClock>,
    _directory: tempfile::TempDir,
}

struct Running {
    ctx: Ctx,
    unmatched: Unmatched,
    changes: mpsc::Sender<Change>,
    over: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        let log =
            EmbeddedLog::open(&path, Arc::new(SystemClock::new()), loa_embedded::Options::default()).await.unwrap();
        let db = Db::open(&directory.path().join("sms.db"), "sms").await.unwrap();
        let claims = Arc::new(SqlClaims::new(db));
        Self { log: Arc::new(log), claims, clock: FakeClock::new(), _directory: directory }
    }

    async fn correlator(&self, ctx: &Ctx, log: Arc<dyn Log>) -> Correlator {
        let accounts = vec![AccountId::new(ACCOUNT).unwrap()];
        let unmatched = Unmatched::new(ctx, &accounts);
        Correlator::new(ctx, log, self.claims.clone(), accounts, unmatched).await.unwrap()
    }

    async fn start(&self, log: Arc<dyn Log>) -> Running {
        let ctx = Ctx::test(self.clock.clone(), "one");
        let correlator = self.correlator(&ctx, log).await;
        let unmatched = correlator.unmatched.clone();
        let (changes, changed) = mpsc::channel(64);
        for number in 0..ReceiptsTopic::SPEC.partitions {
            changes.send(Change::Gained(held(number))).await.unwrap();
        }
        let (over, ended) = oneshot::channel::<()>();
        let task = ctx.spawn("correlator", correlator.run(changed, async move { drop(ended.await) }));
        Running { ctx, unmatched, changes, over, task }
    }

    fn partition(&self, id: &str) -> u32 {
        partition_of(&HashKey::new([42; 16]), ACCOUNT, id)
    }

    async fn reference(&self, id: &str, index: u32) {
        let chunk = event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 2 };
        let chunks = vec![event::ReferenceChunk { chunk: Some(chunk), shard: SHARD, campaign_id: vec![2; 16] }];
        let reference = event::Reference {
            index,
            part: 1,
            parts: 2,
            id: id.to_owned(),
            release_no: 3,
            submitted_at_us: loa_testkit::clock::MORNING_US,
            ..Default::default()
        };
        let references = event::References { account: ACCOUNT.to_owned(), chunks, references: vec![reference] };
        let record = record::append::<ReferencesTopic>(self.partition(id), bytes::Bytes::new(), &references);
        self.log.append(vec![record]).await.unwrap();
    }

    async fn receipt(&self, id: &str, state: u32) {
        self.receipts(&[id], state).await;
    }

    /// One record, of ids of one partition.
    async fn receipts(&self, ids: &[&str], state: u32) {
        let done_at_us = loa_testkit::clock::MORNING_US + 1_000_000;
        let address_hash = u64::from(SHARD) << 58 | 7;
        let sender = "BENTRE".to_owned();
        let receipt = |&id: &&str| {
            let (id, sender) = (id.to_owned(), sender.clone());
            event::Receipt { id, state, done_at_us, address_hash, sender, ..Default::default() }
        };
        let receipts = event::Receipts { account: ACCOUNT.to_owned(), receipts: ids.iter().map(receipt).collect() };
        let record = record::append::<ReceiptsTopic>(self.partition(ids[0]), bytes::Bytes::new(), &receipts);
        self.log.append(vec![record]).await.unwrap();
    }

    /// Indices and states on outcomes.v1, in order.
    async fn outcomes(&self) -> Vec<(u32, u32)> {
        let mut outcomes = Vec::new();
        for record in records::<OutcomesTopic>(&*self.log, SHARD).await {
            assert!(record.outcomes.iter().all(|outcome| outcome.receipt && outcome.release_no == 3));
            assert!(record.outcomes.iter().all(|outcome| record.chunks[outcome.chunk as usize].shard == SHARD));
            outcomes.extend(record.outcomes.iter().map(|outcome| (outcome.index, outcome.state)));
        }
        outcomes
    }

    /// What was told without a message.
    async fn unmatched(&self) -> Vec<event::Unmatched> {
        let records = records::<OutcomesTopic>(&*self.log, SHARD).await;
        records.into_iter().flat_map(|record| record.unmatched).collect()
    }

    async fn watermark(&self, id: &str) -> i64 {
        let marks = self.claims.watermarks(WATERMARKS).await.unwrap();
        marks.iter().find(|mark| mark.partition == self.partition(id)).map_or(0, |mark| mark.next)
    }
}

impl Running {
    async fn stop(self) {
        self.over.send(()).unwrap();
        self.task.await.unwrap();
        self.ctx.stop();
        drop(self.changes);
    }
}

fn held(number: u32) -> Held {
    Held { kind: LEASE.to_owned(), number, epoch: 1 }
}

fn state(state: RecipientState) -> u32 {
    state.code().into()
}

#[tokio::test]
async fn joins_receipts_and_references_in_any_order() {
    let world = World::new().await;
    let running = world.start(Arc::clone(&world.log)).await;
    world.reference("A1", 1).await;
    world.receipt("A1", state(RecipientState::Delivered)).await;
    world.receipt("B2", 0).await; // on its way: says nothing final
    world.receipt("B2", state(RecipientState::Undelivered)).await;
    eventually("the first is told", async || world.outcomes().await.len() == 1).await;
    world.reference("B2", 2).await;
    eventually("both are told", async || world.outcomes().await.len() == 2).await;
    let told = world.outcomes().await;
    assert_eq!(told, [(1, state(RecipientState::Delivered)), (2, state(RecipientState::Undelivered))]);
    eventually("the watermarks pass", async || world.watermark("A1").await == 1 && world.watermark("B2").await == 2)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn who_takes_over_reads_what_is_not_told_again() {
    let world = World::new().await;
    let running = world.start(Arc::clone(&world.log)).await;
    world.reference("A1", 1).await;
    world.receipt("A1", state(RecipientState::Delivered)).await;
    world.receipt("B2", state(RecipientState::Delivered)).await; // nobody knows it yet: it waits
    eventually("the watermark passes what is told", async || world.watermark("A1").await == 1).await;
    running.stop().await;
    assert_eq!(world.watermark("B2").await, 0, "what waits is not passed");

    world.reference("B2", 2).await;
    let running = world.start(Arc::clone(&world.log)).await;
    eventually("what waited is told", async || world.outcomes().await.len() == 2).await;
    eventually("and passed", async || world.watermark("B2").await == 1).await;
    running.stop().await;
    assert_eq!(world.outcomes().await.iter().filter(|(index, _)| *index == 1).count(), 1, "told once");
}

#[tokio::test]
async fn what_was_read_before_a_partition_was_lost_finishes_nothing_after_it_came_back() {
    let world = World::new().await;
    let number = world.partition("A1");
    let waits = (0..).map(|at| format!("W{at}")).find(|id| world.partition(id) == number).unwrap();
    world.reference("A1", 1).await;
    world.receipts(&["A1", &waits], state(RecipientState::Delivered)).await;
    let ctx = Ctx::test(world.clock.clone(), "one");
    let mut correlator = world.correlator(&ctx, Arc::clone(&world.log)).await;
    for _ in 0..2 {
        correlator.change(Change::Gained(held(number))).await;
        let references = correlator.references.next(READ_MAX).await;
        correlator.take_references(references).await;
        let receipts = correlator.receipts.next(READ_MAX).await;
        correlator.take_receipts(receipts).await;
        assert!(correlator.outcomes.len() > 0, "one is joined, the other waits");
        if correlator.outcomes.len() == 1 {
            correlator.change(Change::Lost(held(number))).await;
        }
    }
    correlator.publish().await;
    correlator.store().await;
    assert_eq!(world.outcomes().await.len(), 2, "told twice, which changes nothing");
    assert_eq!(world.watermark("A1").await, 0, "what waits is not passed");
    ctx.stop();
}

#[tokio::test]
async fn a_receipt_of_nothing_is_counted_and_passed() {
    let world = World::new().await;
    let running = world.start(Arc::clone(&world.log)).await;
    world.receipt("X9", state(RecipientState::Delivered)).await;
    eventually("it is told without its message", async || {
        world.clock.turn(TELL_AFTER[0] / 4);
        !world.unmatched().await.is_empty()
    })
    .await;
    assert_eq!(world.watermark("X9").await, 0, "its reference may still come");
    eventually("it is given up", async || {
        world.clock.turn(TELL_AFTER[1] / 2);
        world.watermark("X9").await == 1
    })
    .await;
    assert_eq!(world.unmatched().await.len(), TELL_AFTER.len());
    assert_eq!(running.unmatched.of(0), 1);
    assert_eq!(world.outcomes().await, []);
    let told = &world.unmatched().await[0];
    assert_eq!((told.account.as_str(), told.sender.as_str(), told.address_hash & 7), (ACCOUNT, "BENTRE", 7));
    assert_eq!(told.state, state(RecipientState::Delivered));
    running.stop().await;
}

#[tokio::test]
async fn a_storm_loses_no_receipt() {
    let world = World::new().await;
    let mut config = StormConfig::rough(5);
    config.append_uncertain_share = 0.3;
    let running = world.start(StormLog::new(Arc::clone(&world.log), config)).await;
    for index in 0..200 {
        let id = format!("{index:X}");
        let delivered = state(RecipientState::Delivered);
        if index % 2 == 0 {
            world.reference(&id, index).await;
            world.receipt(&id, delivered).await;
        } else {
            world.receipt(&id, delivered).await;
            world.reference(&id, index).await;
        }
    }
    eventually("everybody is told of", async || {
        let told: std::collections::BTreeSet<u32> = world.outcomes().await.iter().map(|(index, _)| *index).collect();
        told.len() == 200
    })
    .await;
    assert_eq!(running.unmatched.of(0), 0);
    running.stop().await;
}
