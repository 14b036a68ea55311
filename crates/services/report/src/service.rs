//! The running ledger: leases of shards, reading, flushing.
//!
//! Must stay true: offsets are stored in the flush that stores what they produced; after a flush without answer, or a
//! lost lease, memory is dropped and read again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{OutcomesTopic, SettlementsTopic, Topic as _, TopicSpec};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_domain::limits::SHARDS;
use loa_ports::lease::{Fence, Held, Leases};
use loa_ports::log::{Log, LogError, Position, Reader, Record};
use loa_ports::store::StoreError;
use loa_ports::store::report::{Flush, ReportStore};
use loa_runtime::config::ReportConfig;
use loa_runtime::control::ControlView;
use loa_runtime::lease::{Change, LeaseKeeper, Want};
use loa_runtime::{Ctx, Service, ServiceError, record};
use tokio::sync::{mpsc, oneshot};

use crate::chunks::{Chunks, RemoteChunks, Wanted};
use crate::halt::{Backlog, halt_bulk};
use crate::registry::{Registry, RemoteRegistry};
use crate::results::{Answer, REPLY_AGE_US_MAX};
use crate::rpc::ReportRpc;
use crate::shard::{Gap, Missing, NotTaken, ShardLedger};

const SHARD: &str = "shard";
const DONE: &str = "done";
const READ_MAX: usize = 256;
const RETRY: Duration = Duration::from_millis(200);
/// Registry is asked again to halt after so long.
const HALT_RETRY: Duration = Duration::from_secs(1);
/// Answers to requests in one append, about.
const ANSWERS_MAX: usize = 500;
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Callers that may wait for a flush at once.
const FLUSH_CALLS_MAX: usize = 64;

/// A caller waits until what is known is written.
pub(crate) type FlushCall = oneshot::Sender<()>;

/// The report role.
pub struct Report {
    store: Arc<dyn ReportStore>,
    leases: Arc<dyn Leases>,
    log: Arc<dyn Log>,
    config: ReportConfig,
    view: ControlView,
    chunks: Arc<dyn Chunks>,
    registry: Arc<dyn Registry>,
    calls: mpsc::Receiver<FlushCall>,
    call: mpsc::Sender<FlushCall>,
    ctx: Ctx,
}

impl Report {
    /// The role over its ports.
    pub fn new(
        ctx: &Ctx,
        store: Arc<dyn ReportStore>,
        leases: Arc<dyn Leases>,
        log: Arc<dyn Log>,
        view: ControlView,
        config: ReportConfig,
    ) -> Self {
        let peers = (Arc::new(RemoteChunks(ctx.clone())) as _, Arc::new(RemoteRegistry(ctx.clone())) as _);
        Self::with_peers(ctx, (store, leases, log), view, config, peers)
    }

    /// The role with others in the place of audience and registry.
    pub(crate) fn with_peers(
        ctx: &Ctx,
        (store, leases, log): (Arc<dyn ReportStore>, Arc<dyn Leases>, Arc<dyn Log>),
        view: ControlView,
        config: ReportConfig,
        (chunks, registry): (Arc<dyn Chunks>, Arc<dyn Registry>),
    ) -> Self {
        let (call, calls) = mpsc::channel(FLUSH_CALLS_MAX);
        Self { store, leases, log, config, view, chunks, registry, calls, call, ctx: ctx.clone() }
    }

    /// Its gRPC service.
    pub fn server(&self) -> loa_contract::pb::report::v1::report_service_server::ReportServiceServer<ReportRpc> {
        let rpc = ReportRpc {
            ctx: self.ctx.clone(),
            store: Arc::clone(&self.store),
            view: self.view.clone(),
            chunks: Arc::clone(&self.chunks),
            flush: self.call.clone(),
        };
        loa_runtime::limited!(loa_contract::pb::report::v1::report_service_server::ReportServiceServer::new(rpc))
    }
}

#[async_trait]
impl Service for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let wants =
            vec![Want { kind: SHARD.to_owned(), count: u32::from(SHARDS) }, Want { kind: DONE.to_owned(), count: 1 }];
        let keeper = LeaseKeeper::start(&ctx, Arc::clone(&self.leases), "", wants).await?;
        let settlements = self.log.reader(SettlementsTopic::SPEC, Vec::new()).await?;
        let outcomes = self.log.reader(OutcomesTopic::SPEC, Vec::new()).await?;
        let report = *self;
        let mut running = Running {
            store: report.store,
            log: report.log,
            config: report.config,
            view: report.view,
            chunks: report.chunks,
            registry: report.registry,
            ctx: ctx.clone(),
            keeper,
            shards: BTreeMap::new(),
            settlements,
            outcomes,
            waiting: VecDeque::new(),
            stuck: BTreeMap::new(),
            backlog: Backlog::default(),
            told: HashSet::new(),
        };
        running.run(report.calls).await;
        running.keeper.stop().await;
        Ok(())
    }
}

/// A record that waits to be taken.
struct Waiting {
    topic: &'static TopicSpec,
    record: Record,
}

struct Running {
    store: Arc<dyn ReportStore>,
    log: Arc<dyn Log>,
    config: ReportConfig,
    view: ControlView,
    chunks: Arc<dyn Chunks>,
    registry: Arc<dyn Registry>,
    ctx: Ctx,
    keeper: LeaseKeeper,
    shards: BTreeMap<u32, (Held, ShardLedger)>,
    settlements: Box<dyn Reader>,
    outcomes: Box<dyn Reader>,
    waiting: VecDeque<Waiting>,
    /// Partitions that stand still at a record that cannot be read, and when it was appended.
    stuck: BTreeMap<(&'static str, u32), (&'static TopicSpec, i64)>,
    backlog: Backlog,
    told: HashSet<CampaignId>,
}

impl Running {
    async fn run(&mut self, mut calls: mpsc::Receiver<FlushCall>) {
        let mut flush = tokio::time::interval(self.config.flush);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(crate::watch::LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut expire = tokio::time::interval(EXPIRE_EVERY);
        let mut changed = self.view.changed();
        let ctx = self.ctx.clone();
        loop {
            tokio::select! {
                biased;
                () = ctx.stopping() => break,
                change = self.keeper.change() => self.change(change).await,
                Some(call) = calls.recv() => {
                    self.flush().await;
                    // The caller may have gone; what was flushed stays flushed.
                    call.send(()).unwrap_or_default();
                }
                _ = flush.tick() => self.flush().await,
                _ = look.tick() => self.look().await,
                _ = expire.tick() => self.expire(),
                Ok(()) = changed.changed() => self.load_campaigns().await,
                records = self.settlements.next(READ_MAX), if self.waiting.is_empty() => self.read(SettlementsTopic::SPEC, records).await,
                records = self.outcomes.next(READ_MAX), if self.waiting.is_empty() => self.read(OutcomesTopic::SPEC, records).await,
                () = tokio::time::sleep(RETRY), if !self.waiting.is_empty() => self.take_waiting().await,
            }
        }
        self.flush().await;
        // What was told by then is noted, so it is not told again.
        self.flush().await;
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Gained(held) if held.kind == SHARD => {
                if let Err(ServiceError(error)) = self.open(&held).await {
                    tracing::warn!(shard = held.number, %error, "a shard of the ledger could not be opened; it is tried again");
                    tokio::time::sleep(RETRY).await;
                    if self.keeper.holds(&held) {
                        Box::pin(self.change(Change::Gained(held))).await;
                    }
                }
            }
            Change::Lost(held) if held.kind == SHARD => self.close(held.number),
            Change::Gained(_) | Change::Lost(_) => {}
        }
    }

    async fn open(&mut self, held: &Held) -> Result<(), ServiceError> {
        let shard = held.number;
        let (hits, loaded) = (self.store.load_shard(shard).await?, self.store.loaded(shard).await?);
        let (replies, offsets) = (self.store.replies(shard).await?, self.store.offsets().await?);
        let mut ledger = ShardLedger::from_store(shard, hits, loaded, replies)?;
        for (topic, reader) in
            [(SettlementsTopic::SPEC, &mut self.settlements), (OutcomesTopic::SPEC, &mut self.outcomes)]
        {
            let stored = offsets.iter().find(|offset| offset.topic == topic.name && offset.partition == shard);
            let next = match stored {
                Some(offset) => offset.next,
                None => self.log.starts(topic).await?.get(shard as usize).copied().unwrap_or(0),
            };
            ledger.set_offset(topic.name, shard, next);
            reader.assign(Position { partition: shard, offset: next });
        }
        self.drop_unread(shard);
        self.shards.insert(shard, (held.clone(), ledger));
        self.load_campaigns().await;
        Ok(())
    }

    fn close(&mut self, shard: u32) {
        self.settlements.unassign(shard);
        self.outcomes.unassign(shard);
        self.drop_unread(shard);
        self.shards.remove(&shard);
    }

    /// What was read of a shard and not taken is forgotten; it is read again by its next owner.
    fn drop_unread(&mut self, shard: u32) {
        self.waiting.retain(|waiting| waiting.record.partition != shard);
        self.stuck.retain(|(_, partition), _| *partition != shard);
    }

    async fn read(&mut self, topic: &'static TopicSpec, records: Result<Vec<Record>, LogError>) {
        match records {
            Ok(records) => {
                records.iter().for_each(|record| self.backlog.note(topic, record.at_us));
                self.waiting.extend(records.into_iter().map(|record| Waiting { topic, record }));
                self.take_waiting().await;
            }
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                self.gap(partition, Gap { topic: topic.name, from: wanted, next: start }).await;
            }
            Err(error) => {
                tracing::warn!(topic = topic.name, %error, "the ledger could not read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Words were lost: the campaigns that may miss some are halted, then marked, and only then reading goes on.
    async fn gap(&mut self, partition: u32, gap: Gap) {
        let Gap { topic, from, next } = gap;
        let code = "LOA-021";
        tracing::error!(topic, partition, from, next, code, "log gap: words were lost to retention");
        let Some((_, ledger)) = self.shards.get(&partition) else { return self.reader(topic).unassign(partition) };
        let mut campaigns = ledger.unsettled();
        let started = |control: &event::CampaignControl| {
            let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
            !control.notice && state.is_some_and(|state| state.is_started() && !state.is_over())
        };
        let unread = self.view.campaigns().into_iter().filter(|control| started(control));
        let unread = unread.filter_map(|control| convert::campaign_id(&control.campaign_id).ok());
        campaigns.extend(unread.filter(|&id| !ledger.has_loaded(id)));
        campaigns.sort_unstable();
        campaigns.dedup();
        let reason = format!("{code}: the ledger lost records of {topic}; compare with the carriers, then resume");
        if !halt_bulk(self.registry.as_ref(), &self.view, Some(&campaigns), &reason).await {
            // The reader still stands at the gap and says so again.
            return tokio::time::sleep(HALT_RETRY).await;
        }
        let now_us = self.ctx.now_us();
        if let Some((_, ledger)) = self.shards.get_mut(&partition) {
            ledger.miss(&gap, &campaigns, now_us);
        }
        self.ctx.metrics().counter("loa_report_log_gaps_total", "Log gaps met by the ledger").inc();
        self.reader(topic).assign(Position { partition, offset: next });
    }

    fn reader(&mut self, topic: &str) -> &mut Box<dyn Reader> {
        if topic == SettlementsTopic::SPEC.name { &mut self.settlements } else { &mut self.outcomes }
    }

    /// A record cannot be read: its partition waits at it, the others go on.
    fn stop_partition(&mut self, waiting: &Waiting) {
        let (topic, partition) = (waiting.topic, waiting.record.partition);
        self.reader(topic.name).unassign(partition);
        self.waiting.retain(|other| (other.topic.name, other.record.partition) != (topic.name, partition));
        self.stuck.insert((topic.name, partition), (topic, waiting.record.at_us));
    }

    /// Takes what waits, in order; stops where a chunk must be loaded first and cannot be now.
    async fn take_waiting(&mut self) {
        while let Some(waiting) = self.waiting.pop_front() {
            match self.take(&waiting) {
                Ok(()) => {}
                Err(NotTaken::Missing(missing)) => {
                    let known = self.load_missing(missing, waiting.record.partition).await;
                    self.waiting.push_front(waiting);
                    if !known {
                        return;
                    }
                }
                Err(NotTaken::Bad(error)) => {
                    tracing::error!(topic = waiting.topic.name, partition = waiting.record.partition, offset = waiting.record.offset, %error, code = "LOA-022", "a record of the ledger cannot be read; its partition waits");
                    self.stop_partition(&waiting);
                }
            }
        }
    }

    fn take(&mut self, waiting: &Waiting) -> Result<(), NotTaken> {
        let Waiting { topic, record } = waiting;
        let Some((_, ledger)) = self.shards.get_mut(&record.partition) else { return Ok(()) };
        if topic.name == SettlementsTopic::SPEC.name {
            ledger.take_settlements(&record::decode::<event::Settlements>(record)?)?;
        } else {
            ledger.take_outcomes(&record::decode::<event::Outcomes>(record)?)?;
        }
        ledger.set_offset(topic.name, record.partition, record.offset + 1);
        Ok(())
    }

    /// Makes the chunk of a word known; whether it is.
    async fn load_missing(&mut self, missing: Missing, shard: u32) -> bool {
        let Some(control) = self.view.campaign(missing.campaign) else { return false };
        if control.notice {
            let channel = control.variants.first().and_then(|variant| convert::channel(variant.channel).ok());
            let code = channel.map_or(0, loa_domain::channel::Channel::code);
            if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                ledger.add_single_chunk(missing.chunk, missing.campaign, code, "");
            }
            // Its recipients are told by outcomes.v1; until then the word cannot be placed.
            return self.single_room(missing, shard);
        }
        self.load_campaign(&control).await;
        self.shards.get(&shard).is_some_and(|(_, ledger)| ledger.chunk(missing.chunk).is_some())
    }

    fn single_room(&self, missing: Missing, shard: u32) -> bool {
        self.shards.get(&shard).is_some_and(|(_, ledger)| ledger.chunk(missing.chunk).is_some())
    }

    async fn load_campaigns(&mut self) {
        for control in self.view.campaigns() {
            let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
            if !control.notice && state.is_some_and(CampaignState::is_started) {
                self.load_campaign(&control).await;
            }
        }
    }

    /// Reads the campaign's chunks for every owned shard that does not have them.
    async fn load_campaign(&mut self, control: &event::CampaignControl) {
        let (Ok(campaign), Ok(freeze)) =
            (convert::campaign_id(&control.campaign_id), loa_domain::ids::FreezeId::from_bytes(&control.freeze_id))
        else {
            return;
        };
        let lacking: Vec<u32> = self
            .shards
            .iter()
            .filter(|(_, (_, ledger))| !ledger.has_loaded(campaign))
            .map(|(&shard, _)| shard)
            .collect();
        if lacking.is_empty() {
            return;
        }
        for variant in &control.variants {
            let (Ok(number), Ok(channel)) = (u16::try_from(variant.variant), convert::channel(variant.channel)) else {
                continue;
            };
            let wanted = Wanted { campaign, freeze, variant: number, channel, shard: None };
            if let Err(status) = self.load_variant(wanted, &lacking).await {
                tracing::warn!(%campaign, code = ?status.code(), "the chunks of a campaign could not be read; they are asked for again");
                return;
            }
        }
        for shard in lacking {
            if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                ledger.set_loaded(campaign);
            }
        }
    }

    async fn load_variant(&mut self, wanted: Wanted, lacking: &[u32]) -> Result<(), tonic::Status> {
        /// Up to here shards are asked for one by one, above all at once.
        const ONE_BY_ONE_MAX: usize = 16;
        let shards: Vec<Option<u32>> = match lacking.len() {
            0..=ONE_BY_ONE_MAX => lacking.iter().copied().map(Some).collect(),
            _ => vec![None],
        };
        for shard in shards {
            let mut stream = self.chunks.keys(Wanted { shard, ..wanted.clone() }).await?;
            while let Some(facts) = stream.next().await {
                let facts = facts?;
                if let Some((_, ledger)) = self.shards.get_mut(&facts.shard).filter(|_| lacking.contains(&facts.shard))
                {
                    ledger.add_chunk(facts);
                }
            }
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now_us = self.ctx.now_us();
        let wait_us = i64::try_from(self.config.receipt_wait.as_micros()).unwrap_or(i64::MAX);
        for (_, ledger) in self.shards.values_mut() {
            ledger.give_up_waiting(now_us.saturating_sub(wait_us), now_us);
            ledger.replies().forget(now_us.saturating_sub(REPLY_AGE_US_MAX));
        }
    }

    async fn look(&mut self) {
        self.look_behind().await;
        if self.keeper.held(DONE).is_empty() {
            return;
        }
        if let Err(error) =
            crate::watch::look(self.registry.as_ref(), self.store.as_ref(), &self.view, &mut self.told).await
        {
            tracing::warn!(%error, "the totals could not be looked at");
        }
    }

    /// The halt rule: far behind, no bulk campaign goes on.
    async fn look_behind(&mut self) {
        let waits = self.waiting.front().map(|waiting| (waiting.topic, waiting.record.at_us));
        for (topic, at_us) in self.stuck.values().copied().chain(waits) {
            self.backlog.note(topic, at_us);
        }
        if let Some(behind) = self.backlog.take_behind(self.ctx.now_us()) {
            let code = "LOA-023";
            tracing::error!(topic = behind.topic, hours = behind.hours, code, "the ledger is too far behind for bulk");
            halt_bulk(self.registry.as_ref(), &self.view, None, &behind.reason()).await;
        }
    }

    /// Writes what changed, then tells what is due by it.
    async fn flush(&mut self) {
        if self.store_changes().await {
            self.answer().await;
        }
    }

    /// Tells senders of requests what became of them.
    async fn answer(&mut self) {
        loop {
            let (now_us, mut answers) = (self.ctx.now_us(), Vec::new());
            for (&shard, (_, ledger)) in &mut self.shards {
                let max = ANSWERS_MAX.saturating_sub(answers.len());
                answers.extend(ledger.answers(max, now_us).into_iter().map(|answer| (shard, answer)));
            }
            if answers.is_empty() {
                return;
            }
            let appended = self.log.append(answers.iter().map(|(_, answer)| answer.append.clone()).collect()).await;
            let told = appended.is_ok();
            if let Err(error) = &appended {
                tracing::warn!(results = answers.len(), %error, "results could not be told; they are told again");
            }
            let results = self.ctx.metrics().counter("loa_report_results_total", "Results told on results.v1");
            results.inc_by(if told { answers.len() as u64 } else { 0 });
            self.note_answers(answers, told);
            if !told {
                return;
            }
        }
    }

    fn note_answers(&mut self, answers: Vec<(u32, Answer)>, told: bool) {
        let mut of_shards: BTreeMap<u32, Vec<Answer>> = BTreeMap::new();
        answers.into_iter().for_each(|(shard, answer)| of_shards.entry(shard).or_default().push(answer));
        for (shard, answers) in of_shards {
            let Some((_, ledger)) = self.shards.get_mut(&shard) else { continue };
            if told { ledger.replies().told(&answers) } else { ledger.replies().not_told(&answers) }
        }
    }

    /// Writes what changed, all owned shards in one transaction; whether the store holds what memory does.
    async fn store_changes(&mut self) -> bool {
        let now_us = self.ctx.now_us();
        let mut whole = Flush::default();
        let mut fence = Fence::default();
        let (mut flushed, mut whole_memory) = (Vec::new(), true);
        for (&shard, (held, ledger)) in &self.shards {
            let one = match ledger.flush(now_us) {
                Ok(one) => one,
                Err(error) => {
                    tracing::error!(shard, %error, "a chunk could not be packed");
                    whole_memory = false;
                    continue;
                }
            };
            if one == Flush::default() {
                continue;
            }
            fence.held.push(held.clone());
            flushed.push(shard);
            whole.chunks.extend(one.chunks);
            whole.states.extend(one.states);
            whole.totals.extend(one.totals);
            whole.singles.extend(one.singles);
            whole.replies.extend(one.replies);
            whole.replied.extend(one.replied);
            whole.gaps.extend(one.gaps);
            whole.loaded.extend(one.loaded);
            whole.offsets.extend(one.offsets);
        }
        if flushed.is_empty() {
            return whole_memory;
        }
        match self.store.flush(&fence, &whole).await {
            Ok(()) => {
                for shard in flushed {
                    if let Some((_, ledger)) = self.shards.get_mut(&shard) {
                        ledger.flushed();
                    }
                }
                return whole_memory;
            }
            Err(StoreError::Fenced { number, .. }) => {
                if let Some((held, _)) = self.shards.get(&number) {
                    self.keeper.lost(held);
                }
                self.close(number);
            }
            Err(StoreError::Uncertain { why }) => {
                tracing::warn!(why, "a flush had no answer; its shards are read again");
                self.reopen(&flushed).await;
            }
            Err(error) => tracing::warn!(%error, "the ledger could not be written; it is tried again"),
        }
        false
    }

    async fn reopen(&mut self, shards: &[u32]) {
        for shard in shards {
            let Some((held, _)) = self.shards.remove(shard) else { continue };
            self.close(*shard);
            self.change(Change::Gained(held)).await;
        }
    }
}
