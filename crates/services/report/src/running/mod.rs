//! The running ledger: leases of shards, and the loop that reads, flushes and looks.
//!
//! Must stay true: offsets are stored in the flush that stores what they produced; after a flush without answer, or a
//! lost lease, memory is dropped and read again.

mod flush;
mod load;
mod read;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::{OutcomesTopic, SettlementsTopic, Topic as _, TopicSpec};
use loa_domain::ids::CampaignId;
use loa_ports::lease::Held;
use loa_ports::log::{Log, Position, Reader};
use loa_ports::store::report::ReportStore;
use loa_runtime::config::ReportConfig;
use loa_runtime::control::ControlView;
use loa_runtime::lease::{Change, LeaseKeeper};
use loa_runtime::{Ctx, ServiceError};
use tokio::sync::mpsc;

use self::read::Waiting;
use crate::chunks::Chunks;
use crate::halt::{Backlog, halt_bulk};
use crate::registry::Registry;
use crate::results::REPLY_AGE_US_MAX;
use crate::service::{FlushCall, Report};
use crate::shard::ShardLedger;

/// The kind of lease of a shard.
pub(crate) const SHARD: &str = "shard";
/// The lease of who tells registry that campaigns are done.
pub(crate) const DONE: &str = "done";
const READ_MAX: usize = 256;
const RETRY: Duration = Duration::from_millis(200);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// While the installation is held, what was read is stored at once: somebody waits to copy the store.
const HELD_FLUSH_EVERY: Duration = Duration::from_millis(250);

/// Everything the loop holds.
pub(crate) struct Running {
    store: Arc<dyn ReportStore>,
    log: Arc<dyn Log>,
    config: ReportConfig,
    view: ControlView,
    chunks: Arc<dyn Chunks>,
    registry: Arc<dyn Registry>,
    calls: mpsc::Receiver<FlushCall>,
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
    /// Owns nothing yet.
    pub(crate) fn new(
        ctx: Ctx,
        report: Report,
        keeper: LeaseKeeper,
        (settlements, outcomes): (Box<dyn Reader>, Box<dyn Reader>),
    ) -> Self {
        let Report { store, log, config, view, chunks, registry, calls, .. } = report;
        Self {
            store,
            log,
            config,
            view,
            chunks,
            registry,
            calls,
            ctx,
            keeper,
            shards: BTreeMap::new(),
            settlements,
            outcomes,
            waiting: VecDeque::new(),
            stuck: BTreeMap::new(),
            backlog: Backlog::default(),
            told: HashSet::new(),
        }
    }

    /// Runs until the context stops.
    pub(crate) async fn run(mut self) {
        let mut flush = self.ctx.beats(self.config.flush);
        let mut look = self.ctx.beats(crate::watch::LOOK_EVERY);
        let mut expire = self.ctx.beats(EXPIRE_EVERY);
        let mut held = self.ctx.beats(HELD_FLUSH_EVERY);
        let mut changed = self.view.changed();
        let ctx = self.ctx.clone();
        loop {
            tokio::select! {
                biased;
                () = ctx.stopping() => break,
                change = self.keeper.change() => match change {
                    // What was read is stored first, so that the next owner need not read it again.
                    Change::Surplus(held) => {
                        self.flush().await;
                        self.keeper.hand_over(&held).await;
                    }
                    change => self.change(change).await,
                },
                Some(call) = self.calls.recv() => {
                    self.flush().await;
                    // The caller may have gone; what was flushed stays flushed.
                    call.send(()).unwrap_or_default();
                }
                _ = flush.tick() => self.flush().await,
                _ = held.tick(), if self.view.is_held() => self.flush().await,
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
        self.keeper.stop().await;
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Gained(held) if held.kind == SHARD => {
                while let Err(ServiceError(error)) = self.open(&held).await {
                    tracing::warn!(shard = held.number, %error, "a shard of the ledger could not be opened; it is tried again");
                    tokio::select! {
                        () = self.ctx.stopping() => return,
                        () = tokio::time::sleep(RETRY) => {}
                    }
                    if !self.keeper.holds(&held) {
                        return;
                    }
                }
            }
            Change::Lost(held) if held.kind == SHARD => self.close(held.number),
            Change::Gained(_) | Change::Lost(_) | Change::Surplus(_) => {}
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
}
