//! The loop around the engine: read, let it decide, commit, publish.
//!
//! Woken by records, controls, leases, clocks, answers and timers; nothing is polled.
//!
//! Must stay true: whatever goes wrong with a shard, it is dropped from memory and read again from the store; a record is
//! appended only after the transaction that holds its row.

mod fetch;
mod load;
mod place;
mod publish;
mod read;
mod retain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SettlementsTopic, SinglesTopic, SuppressionTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::{CampaignId, Shard};
use loa_domain::limits::SHARDS;
use loa_ports::lease::Held;
use loa_ports::log::{Log, LogError, Reader, Record};
use loa_ports::store::dispatch::DispatchStore;
use loa_runtime::control::ControlView;
use loa_runtime::lease::{Change, LeaseKeeper, Want};
use loa_runtime::{Ctx, ServiceError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::content::Library;
use crate::core::{Engine, Fetch, Now, Outgoing};
use crate::intake::requests::{self, REQUEST_PARTITIONS, REQUESTS};
use crate::options::Options;
use crate::service::Dispatch;
use publish::Appended;

/// Gaps of every topic that dispatch reads.
pub(crate) const LOG_GAPS: &str = "loa_dispatch_log_gaps_total";
pub(crate) const LOG_GAPS_HELP: &str = "Log gaps met";
/// The kind of lease of a shard.
const SHARD: &str = "shard";
/// Records of one read, at most.
const READ_MAX: usize = 256;
/// What changed without a new row is stored at the latest after so long; a row takes it along sooner.
const FLUSH_WAIT: Duration = Duration::from_millis(20);
/// What failed is tried again after so long.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// The longest sleep: leases and clocks are looked at by others, so this is only a bound.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Changes of request leases on their way to the intake, at most.
const REQUEST_CHANGES_MAX: usize = 64;

/// Runs dispatch until the context stops.
pub(crate) async fn run(ctx: Ctx, dispatch: Dispatch) -> Result<(), ServiceError> {
    let Dispatch { store, leases, log, view, options, chunks, contents, intake, status_calls: mut calls, .. } =
        dispatch;
    let wants = vec![
        Want { kind: SHARD.to_owned(), count: u32::from(SHARDS), drains: false },
        Want { kind: REQUESTS.to_owned(), count: REQUEST_PARTITIONS, drains: false },
    ];
    let keeper = LeaseKeeper::start(&ctx, leases, &options.endpoint, wants).await?;
    let (requests, changes) = mpsc::channel(REQUEST_CHANGES_MAX);
    ctx.spawn("dispatch requests", requests::run(intake, changes));
    let readers = Readers {
        settlements: log.reader(SettlementsTopic::SPEC, Vec::new()).await?,
        suppression: log.reader(SuppressionTopic::SPEC, Vec::new()).await?,
        singles: log.reader(SinglesTopic::SPEC, Vec::new()).await?,
    };
    let mut work = Work {
        engine: Engine::new(options.rules(), *ctx.hash_key()),
        controls: view.changed(),
        clocks: ctx.clocks().changed(),
        fetching: fetch::Fetching::new(chunks, Arc::clone(&store)),
        meters: Meters::new(&ctx),
        ctx,
        store,
        log,
        view,
        options,
        contents,
        keeper,
        requests,
        readers,
        was_held: false,
        known: BTreeMap::new(),
        loading: BTreeMap::new(),
        behind: BTreeMap::new(),
        outgoing: Vec::new(),
        appending: None,
        dirty_since: None,
        retry_at: Duration::ZERO,
        read_at: Duration::ZERO,
        singles_at: Duration::ZERO,
        retain_at: Duration::ZERO,
    };
    // Before the first shard: what it has under way belongs to campaigns and accounts.
    work.hear();
    while work.turn(&mut calls).await {}
    work.stop().await;
    Ok(())
}

pub(super) struct Readers {
    settlements: Box<dyn Reader>,
    suppression: Box<dyn Reader>,
    singles: Box<dyn Reader>,
}

/// Everything the loop holds.
pub(super) struct Work {
    ctx: Ctx,
    store: Arc<dyn DispatchStore>,
    log: Arc<dyn Log>,
    view: ControlView,
    options: Options,
    contents: Arc<Library>,
    keeper: LeaseKeeper,
    controls: watch::Receiver<u64>,
    clocks: watch::Receiver<bool>,
    requests: mpsc::Sender<Change>,
    readers: Readers,
    engine: Engine,
    fetching: fetch::Fetching,
    meters: Meters,
    /// The installation was held when the engine heard of its campaigns last.
    was_held: bool,
    /// Campaigns as the view has them, of which the engine was told.
    known: BTreeMap<CampaignId, Arc<event::CampaignControl>>,
    /// Shards to be read from the store, not before that time.
    loading: BTreeMap<Shard, (Held, Duration)>,
    /// Shards whose suppression list is not complete: the offset that it must reach.
    behind: BTreeMap<Shard, i64>,
    /// Records that the log has not acknowledged.
    outgoing: Vec<Outgoing>,
    /// The answer to their append, while it is under way.
    appending: Option<oneshot::Receiver<Appended>>,
    /// Since when there is something to store.
    dirty_since: Option<Duration>,
    /// When to publish again after the log was away.
    retry_at: Duration,
    /// When to read again after the log was away.
    read_at: Duration,
    /// When to read single sends again after something they need was away.
    singles_at: Duration,
    /// When to delete again what is old.
    retain_at: Duration,
}

/// What a turn is about.
enum Next {
    Lease(Change),
    Control,
    Suppression(Result<Vec<Record>, LogError>),
    Fetched((Fetch, fetch::Fetched)),
    Singles(Result<Vec<Record>, LogError>),
    Settlements(Result<Vec<Record>, LogError>),
    Appended(Appended),
    Call(crate::service::StatusCall),
    Time,
}

/// Meters of the role.
struct Meters {
    rows: prometheus::IntCounter,
    recipients: prometheus::IntCounter,
    gaps: prometheus::IntCounter,
}

impl Meters {
    fn new(ctx: &Ctx) -> Self {
        let counter = |name, help| ctx.metrics().counter(name, help);
        Self {
            rows: counter("loa_dispatch_rows_total", "Release rows stored"),
            recipients: counter("loa_dispatch_offered_total", "Recipients offered to gateways"),
            gaps: counter(LOG_GAPS, LOG_GAPS_HELP),
        }
    }
}

impl Work {
    /// One turn of the loop; `false` when the context is stopping.
    async fn turn(&mut self, calls: &mut mpsc::Receiver<crate::service::StatusCall>) -> bool {
        let busy = self.drive().await;
        let sleep = if busy { Duration::ZERO } else { self.sleep() };
        let (ctx, now) = (self.ctx.clone(), self.ctx.monotonic());
        let reads = now >= self.read_at;
        let singles = reads && now >= self.singles_at;
        let next = async {
            // In no order: what is always ready would keep urgent sends or settlements waiting.
            tokio::select! {
                Some(fetched) = self.fetching.done.recv() => Next::Fetched(fetched),
                records = self.readers.singles.next(READ_MAX), if singles => Next::Singles(records),
                records = self.readers.settlements.next(READ_MAX), if reads => Next::Settlements(records),
                Some(call) = calls.recv() => Next::Call(call),
                () = tokio::time::sleep(sleep) => Next::Time,
            }
        };
        let next = tokio::select! {
            biased;
            () = ctx.stopping() => return false,
            change = self.keeper.change() => Next::Lease(change),
            Ok(()) = self.controls.changed() => Next::Control,
            Ok(()) = self.clocks.changed() => Next::Time,
            records = self.readers.suppression.next(READ_MAX), if reads => Next::Suppression(records),
            appended = publish::answer(&mut self.appending) => Next::Appended(appended),
            next = next => next,
        };
        match next {
            Next::Lease(change) => self.leases(change).await,
            Next::Control => self.hear(),
            Next::Suppression(records) => self.read_suppression(records),
            Next::Fetched(fetched) => self.fetched_all(fetched),
            Next::Singles(records) => self.read_singles(records).await,
            Next::Settlements(records) => self.read_settlements(records).await,
            Next::Appended(appended) => self.appended(appended),
            Next::Call(call) => {
                let status = self.engine.status(self.now());
                // The caller may have gone.
                call.send(status).unwrap_or_default();
            }
            Next::Time => {}
        }
        true
    }

    /// Lets the engine do what it can; whether there is more to do at once.
    async fn drive(&mut self) -> bool {
        self.load().await;
        self.look_ready();
        self.engine.hear_clock(self.ctx.clocks().agree());
        self.engine.hear_log(self.appending.is_some());
        let more = self.engine.run(self.now());
        self.fetch();
        if self.commit_if_due().await {
            self.publish();
        }
        self.fetch();
        self.retain().await;
        more
    }

    fn now(&self) -> Now {
        Now { us: self.ctx.now_us(), mono: self.ctx.monotonic() }
    }

    /// How long nothing is to be done, if nothing happens.
    fn sleep(&self) -> Duration {
        let now = self.now();
        let wake = self.engine.next_wake_us().map(|at_us| u64::try_from(at_us - now.us).unwrap_or(0));
        let wake = wake.map_or(SLEEP_MAX, Duration::from_micros);
        let until = |at: Duration| at.saturating_sub(now.mono);
        let flush = self.dirty_since.map(|since| until(since + FLUSH_WAIT));
        let loads = self.loading.values().map(|&(_, at)| until(at)).min();
        let retry = (!self.outgoing.is_empty() && self.appending.is_none()).then(|| until(self.retry_at));
        let behind = (!self.behind.is_empty()).then_some(RETRY_WAIT);
        let later = |at: Duration| (at > now.mono).then(|| until(at));
        let (reads, singles) = (later(self.read_at), later(self.singles_at));
        let others = [flush, loads, retry, behind, reads, singles].into_iter().flatten();
        others.fold(wake, Duration::min).min(SLEEP_MAX)
    }

    /// control.v1 has something new.
    fn hear(&mut self) {
        let now = self.now();
        for account in self.view.accounts() {
            let heard_at = self.view.account_read_at(&account.account).unwrap_or_default();
            if let Err(error) = self.engine.hear_account(&account, heard_at) {
                tracing::warn!(account = account.account, %error, "an account is announced wrongly; nothing is released to it");
            }
        }
        let is_held = self.view.is_held();
        let all_again = std::mem::replace(&mut self.was_held, is_held) != is_held;
        for campaign in self.view.campaigns() {
            let Ok(id) = CampaignId::from_bytes(&campaign.campaign_id) else { continue };
            if !all_again && self.known.get(&id).is_some_and(|known| Arc::ptr_eq(known, &campaign)) {
                continue;
            }
            let heard = if is_held {
                self.engine.hear_campaign(&held(&campaign), now)
            } else {
                self.engine.hear_campaign(&campaign, now)
            };
            if let Err(error) = heard {
                tracing::error!(campaign = %id, %error, "a campaign state cannot be used; nothing of it is released");
            }
            self.known.insert(id, campaign);
        }
    }

    /// Takes a change and all that came with it.
    async fn leases(&mut self, change: Change) {
        let mut next = Some(change);
        while let Some(change) = next {
            self.lease(change).await;
            next = self.keeper.try_change();
        }
    }

    async fn lease(&mut self, change: Change) {
        let (kind, number) = match &change {
            Change::Gained(held) | Change::Lost(held) | Change::Surplus(held) => (held.kind.as_str(), held.number),
        };
        if kind != SHARD {
            // The intake ends with the context only, so the channel is open.
            self.requests.send(change).await.unwrap_or_default();
            return;
        }
        let Ok(shard) = Shard::new(number) else { return };
        match change {
            // Never asked: rows are durable before they are told, so a shard can go at any moment.
            Change::Surplus(_) => {}
            Change::Gained(held) => drop(self.loading.insert(shard, (held, Duration::ZERO))),
            Change::Lost(held) => {
                self.loading.retain(|_, (wanted, _)| *wanted != held);
                if self.engine.held().any(|(_, known)| *known == held) {
                    self.forget(shard);
                }
            }
        }
    }

    /// Lets go of a shard.
    fn forget(&mut self, shard: Shard) {
        self.engine.lose(shard);
        self.behind.remove(&shard);
        self.readers.settlements.unassign(shard.number());
        self.readers.suppression.unassign(shard.number());
        self.readers.singles.unassign(shard.number());
    }

    /// Stores and says what is left, then gives the leases back.
    async fn stop(mut self) {
        self.published().await;
        self.dirty_since = Some(Duration::ZERO);
        if self.commit_if_due().await {
            self.publish();
            self.published().await;
            self.dirty_since = Some(Duration::ZERO);
            self.commit_if_due().await;
        }
        self.keeper.stop().await;
    }
}

/// While the installation is held, whatever runs is paused.
fn held(campaign: &event::CampaignControl) -> event::CampaignControl {
    let mut campaign = campaign.clone();
    if campaign.state == u32::from(CampaignState::Running.code()) {
        campaign.state = CampaignState::Paused.code().into();
    }
    campaign
}
