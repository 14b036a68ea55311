//! A log, a claim store and a carrier that does as it is told; gateways come and go on them.
//!
//! Must stay true: the sink notes a message before it is answered, as a real carrier's log would.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::topics::{BlocksTopic, SettlementsTopic, Topic as _, TopicSpec, releases};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::HashKey;
use loa_domain::ids::{AccountId, CampaignId, SliceKey};
use loa_domain::mask::Mask;
use loa_domain::state::Reason;
use loa_embedded::EmbeddedLog;
use loa_gateway::{
    AccountSpec, Addresses, Answer, BlocksView, Engine, Leaves, Line, LineState, Lines, LocalBucket, Medium, Opening,
    Parts, Registry, RegistryAway, Slice, Word,
};
use loa_ports::carrier::Pulled;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::{Log, Position};
use loa_runtime::control::{self, ControlView};
use loa_runtime::{Ctx, record};
use loa_store::{Db, SqlClaims, SqlLeases};
use uuid::Uuid;

/// The one partition and shard that tests use.
pub(crate) const PARTITION: u32 = 3;
pub(crate) const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(0xca));
/// What every context of a test hashes with.
pub(crate) const KEY: [u8; 16] = [42; 16];

/// A text is its number of parts.
pub(crate) struct Plain;

impl Medium for Plain {
    type Content = u8;
    type Ready = ();
    const CHANNEL: Channel = Channel::Sms;

    fn compile(&self, content: &registry::Content) -> Result<u8, String> {
        content.text.parse().map_err(|_| "not a number of parts".to_owned())
    }

    fn prepare(&self, slice: &Slice<'_>, content: &u8, parts: &mut Vec<Result<u8, Reason>>) {
        parts.extend(slice.range.clone().map(|_| Ok(*content)));
    }

    fn refuse(&self) {}
}

/// Knows the contents "1" to "9" by their own first byte, and what was halted.
#[derive(Debug, Default)]
pub(crate) struct Contents(pub Mutex<Vec<CampaignId>>);

#[async_trait]
impl Registry for Contents {
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        let text = String::from_utf8_lossy(hash).into_owned();
        Ok(Some(registry::Content { text, ..Default::default() }))
    }

    async fn halt(&self, campaign: CampaignId, _: &str) -> Result<(), RegistryAway> {
        self.0.lock().unwrap().push(campaign);
        Ok(())
    }
}

/// What the carrier says to the n-th submit of a number.
pub(crate) type Script = fn(number: u64, try_no: usize) -> Option<Answer>;

/// The carrier: what reached it, and what it says.
pub(crate) struct Sink {
    pub lines: Mutex<Vec<u64>>,
    script: Script,
}

impl Sink {
    pub(crate) fn new(script: Script) -> Arc<Self> {
        Arc::new(Self { lines: Mutex::default(), script })
    }

    pub(crate) fn accepts() -> Arc<Self> {
        Self::new(|_, _| Some(Answer::Accepted))
    }

    pub(crate) fn count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Numbers that arrived more than once.
    pub(crate) fn repeated(&self) -> Vec<u64> {
        let mut times = BTreeMap::new();
        self.lines.lock().unwrap().iter().for_each(|number| *times.entry(*number).or_insert(0) += 1);
        times.into_iter().filter(|(_, times)| *times > 1).map(|(number, _)| number).collect()
    }

    fn take(&self, number: u64) -> Option<Answer> {
        let mut lines = self.lines.lock().unwrap();
        let tries = lines.iter().filter(|&&known| known == number).count();
        lines.push(number);
        (self.script)(number, tries)
    }
}

/// Binds to the sink.
struct Binds {
    ctx: Ctx,
    engine: Arc<Engine<Plain>>,
    sink: Arc<Sink>,
}

struct Bind {
    task: tokio::task::JoinHandle<()>,
    stop: Arc<tokio::sync::Notify>,
}

impl Lines for Binds {
    fn open(&self, account: usize, slot: u32, opening: Opening) -> Box<dyn Line> {
        let stop = Arc::new(tokio::sync::Notify::new());
        let state = LineState { open: true, state: "bound", ..Default::default() };
        self.engine.line_changed(account, slot, opening, state);
        let bind = bind(Arc::clone(&self.engine), account, Arc::clone(&self.sink), Arc::clone(&stop));
        Box::new(Bind { task: self.ctx.spawn("test bind", bind), stop })
    }
}

#[async_trait]
impl Line for Bind {
    async fn stop(self: Box<Self>, _: Duration) {
        self.stop.notify_one();
        self.task.await.unwrap();
    }

    fn in_flight(&self) -> u32 {
        0
    }
}

async fn bind(engine: Arc<Engine<Plain>>, account: usize, sink: Arc<Sink>, stop: Arc<tokio::sync::Notify>) {
    let mut unanswered = Vec::new();
    loop {
        let mut out = Vec::new();
        let mut emit = |leaves: Leaves<'_, ()>| {
            let Addresses::Numbers(numbers) = &leaves.begun.offer.addresses else { panic!("numbers") };
            let number = numbers[leaves.begun.recipient(leaves.at)];
            (0..16_u8)
                .filter(|part| leaves.parts & (1 << part) != 0)
                .for_each(|part| out.push((leaves.handle, part, number)));
        };
        let pulled = engine.pull(account, 50, &mut emit);
        let mut words = Vec::new();
        for (handle, part, number) in out {
            match sink.take(number) {
                Some(Answer::Again) => {
                    engine.slow_down(account);
                    words.push(Word { handle, part, answer: Answer::Again, id: None });
                }
                Some(answer) => {
                    let id = (answer == Answer::Accepted).then(|| format!("{number}-{part}"));
                    words.push(Word { handle, part, answer, id });
                }
                None => unanswered.push((handle, part)),
            }
        }
        engine.settled(account, words.into_iter());
        let wait = async {
            match pulled {
                Pulled::Empty | Pulled::Full => engine.ready(account).await,
                Pulled::Paced(wait) => tokio::time::sleep(wait).await,
            }
        };
        tokio::select! {
            () = stop.notified() => break,
            () = wait => {}
        }
    }
    let lost = unanswered.into_iter().map(|(handle, part)| Word { handle, part, answer: Answer::Unanswered, id: None });
    engine.settled(account, lost);
}

/// Log and store of one test.
pub(crate) struct World {
    pub log: Arc<dyn Log>,
    pub db: Db,
    pub sink: Arc<Sink>,
    pub contents: Arc<Contents>,
    pub rate: f64,
    pub lines: u32,
    pub simulator: bool,
    version: Mutex<u64>,
    _directory: tempfile::TempDir,
}

/// A gateway at work, on threads of its own.
pub(crate) struct Node {
    pub ctx: Ctx,
    run: tokio::task::JoinHandle<()>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl World {
    pub(crate) async fn new(sink: Arc<Sink>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let path = directory.path().join("log.db");
        let log = EmbeddedLog::open(&path, clock, loa_embedded::Options::default()).await.unwrap();
        let db = Db::open(&directory.path().join("sms.db"), "sms").await.unwrap();
        let (log, contents) = (Arc::new(log), Arc::new(Contents::default()));
        Self {
            log,
            db,
            sink,
            contents,
            rate: 10_000.0,
            lines: 1,
            simulator: true,
            version: Mutex::new(0),
            _directory: directory,
        }
    }

    pub(crate) fn claims(&self) -> SqlClaims {
        SqlClaims::new(self.db.clone())
    }

    /// Says where the campaign stands; when this returns, the log has it.
    pub(crate) async fn campaign(&self, state: CampaignState) {
        let version = {
            let mut version = self.version.lock().unwrap();
            *version += 1;
            *version
        };
        let campaign =
            event::CampaignControl { campaign_id: CAMPAIGN.to_vec(), state: state.code().into(), ..Default::default() };
        let control = event::Control { version, at_us: 0, object: Some(event::control::Object::Campaign(campaign)) };
        control::publish(&*self.log, &control).await.unwrap();
    }

    /// Blocks a number for everything.
    pub(crate) async fn block(&self, number: u64) {
        let block = event::Block { address_hash: HashKey::new(KEY).number(number).0, ..Default::default() };
        let blocks = event::Blocks { blocks: vec![block] };
        self.log.append(vec![record::append::<BlocksTopic>(0, bytes::Bytes::new(), &blocks)]).await.unwrap();
    }

    pub(crate) async fn release(&self, release: &event::Release) {
        let topic = releases(Channel::Sms, convert::lane(release.lane).unwrap());
        self.log.append(vec![record::append_to(topic, PARTITION, bytes::Bytes::new(), release)]).await.unwrap();
    }

    /// Starts a gateway. `log` and `claims` may be in a storm.
    pub(crate) async fn start(&self, node: &str, log: Arc<dyn Log>, claims: SqlClaims) -> Node {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = Arc::new(SystemClock::new());
        let ctx = Ctx::test(clock.clone(), node);
        let spec = AccountSpec {
            id: AccountId::new("a").unwrap(),
            rate: self.rate,
            window: 50,
            lines: self.lines,
            partitions: (0..64).collect(),
            simulator: self.simulator,
            lazy_lines: false,
        };
        let (task_ctx, sink, contents) = (ctx.clone(), Arc::clone(&self.sink), Arc::clone(&self.contents));
        let leases = Arc::new(SqlLeases::new(self.db.clone()));
        let (run, ()) = runtime
            .spawn(async move {
                let ctx = task_ctx;
                let stops = Arc::new(ControlView::start(&ctx, Arc::clone(&log)).await.unwrap());
                let blocks = BlocksView::start(&ctx, Arc::clone(&log)).await.unwrap();
                let bucket = Arc::new(LocalBucket::new(clock));
                let parts = Parts {
                    medium: Plain,
                    claims: Arc::new(claims),
                    log,
                    bucket,
                    registry: contents,
                    stops,
                    blocks,
                    accounts: vec![spec],
                };
                let engine = Engine::new(&ctx, parts);
                let lines = Arc::new(Binds { ctx: ctx.clone(), engine: Arc::clone(&engine), sink });
                let (running, task_ctx) = (Arc::clone(&engine), ctx.clone());
                let run = ctx.spawn("gateway", async move {
                    loa_gateway::run(&task_ctx, running, leases, lines, None).await.unwrap();
                });
                (run, ())
            })
            .await
            .unwrap();
        Node { ctx, run, runtime: Some(runtime) }
    }

    pub(crate) async fn node(&self, node: &str) -> Node {
        self.start(node, Arc::clone(&self.log), self.claims()).await
    }

    /// Every settlement of the test's shard, in order.
    pub(crate) async fn settlements(&self) -> Vec<event::SliceSettled> {
        let records = self.read::<event::Settlements>(SettlementsTopic::SPEC, PARTITION).await;
        records.into_iter().flat_map(|record| record.slices).collect()
    }

    /// The newest own word on each slice, or another's where there is none: what dispatch would take.
    pub(crate) async fn ledger(&self) -> BTreeMap<SliceKey, event::SliceSettled> {
        let mut known: BTreeMap<SliceKey, event::SliceSettled> = BTreeMap::new();
        for settled in self.settlements().await {
            let key = convert::slice_key(&settled).unwrap();
            if known.get(&key).is_none_or(|before| settled.own || !before.own) {
                known.insert(key, settled);
            }
        }
        known
    }

    /// Recipients by what became of them.
    pub(crate) async fn counts(&self) -> BTreeMap<event::SliceOutcome, usize> {
        let mut counts = BTreeMap::new();
        for settled in self.ledger().await.values() {
            for at in 0..convert::mask(&settled.mask).unwrap().len() {
                *counts.entry(convert::outcome_at(settled, at).unwrap()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// How many recipients a settlement speaks of so far.
    pub(crate) async fn settled(&self) -> usize {
        self.counts().await.values().sum()
    }

    pub(crate) async fn read<T: prost::Message + Default>(&self, topic: &'static TopicSpec, partition: u32) -> Vec<T> {
        let end = self.log.end(topic, partition).await.unwrap();
        let mut reader = self.log.reader(topic, vec![Position { partition, offset: 0 }]).await.unwrap();
        let mut records = Vec::new();
        while reader.position(partition).unwrap() < end {
            let read = reader.next(100).await.unwrap();
            records.extend(read.into_iter().map(|record| T::decode(record.value).unwrap()));
        }
        records
    }
}

impl Node {
    /// Stops it as a service manager would.
    pub(crate) async fn stop(mut self) {
        self.ctx.stop();
        (&mut self.run).await.unwrap();
        self.ctx.idle().await;
        self.end();
    }

    /// Kills it: nothing it does after this is seen.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// A release of one-part texts to these numbers, four to a slice, leaving within the next 20 s.
pub(crate) fn release(chunk: u32, numbers: Range<u64>) -> event::Release {
    let count = usize::try_from(numbers.end - numbers.start).unwrap();
    event::Release {
        chunk: Some(event::ChunkKey { freeze_id: vec![7; 16], variant: 0, chunk }),
        release_no: 1,
        shard: PARTITION,
        campaign_id: CAMPAIGN.to_vec(),
        account: "a".to_owned(),
        lane: i32::from(Lane::Bulk.code()),
        class: event::Class::PublicInformation.into(),
        hand_over_by_us: SystemClock::new().now_us() + 20_000_000,
        slice_length: 4,
        content_hash: b"1".to_vec(),
        mask: Mask::first(count).to_vec(),
        msisdns: numbers.collect(),
        parts: vec![1; count],
        synthetic: true,
        ..Default::default()
    }
}
