//! The engine of a gateway: what its tasks share, and what lines (binds, connections) call.
//!
//! Releases are read, their slices claimed, their messages pulled by lines, their results settled. The channel's own part
//! (how a content becomes octets) is a [`Medium`].
//!
//! Must stay true: locks are taken once per batch and never held over an await; a message leaves only through
//! [`Engine::pull`], which looks at everything that may have changed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_contract::pb::registry::v1 as registry;
use loa_domain::channel::{Channel, Lane};
use loa_domain::ids::CampaignId;
use loa_domain::state::Reason;
use loa_ports::bucket::Bucket;
use loa_ports::carrier::Pulled;
use loa_ports::log::Log;
use loa_ports::store::claims::Claims;
use loa_runtime::Ctx;
use tokio::sync::{Notify, watch};

use crate::account::{Account, AccountSpec, LineState, Opening};
use crate::blocks::BlocksView;
use crate::content::{Contents, Registry};
use crate::live::Live;
use crate::look::Stops;
use crate::meters::Meters;
use crate::offer::Offer;
use crate::publish::Outbox;
use crate::queue::{Begun, Leaves, Moment, Purse, Word};

/// Claims run ahead of the wire by at most the parts of this long, or one slice.
pub const CLAIM_AHEAD: Duration = Duration::from_millis(25);

/// What a channel adds to the engine.
pub trait Medium: Send + Sync + Sized + 'static {
    /// A content, compiled once.
    type Content: Send + Sync + 'static;
    /// What is ready for the wire of one slice.
    type Ready: Send + 'static;
    /// The channel.
    const CHANNEL: Channel;

    /// Compiles a content; an error refuses its messages and is logged.
    fn compile(&self, content: &registry::Content) -> Result<Self::Content, String>;

    /// Renders a slice. Pushes for each recipient how many parts it has, or why it cannot be sent.
    fn prepare(&self, slice: &Slice<'_>, content: &Self::Content, parts: &mut Vec<Result<u8, Reason>>) -> Self::Ready;

    /// The same for a slice that is refused before it is rendered.
    fn refuse(&self) -> Self::Ready;
}

/// The recipients of one slice of a release.
#[derive(Debug)]
pub struct Slice<'a> {
    /// The account's place in the configuration.
    pub account: usize,
    /// The release.
    pub offer: &'a Offer,
    /// The recipients, by their place in the release.
    pub range: Range<usize>,
    /// When the campaign ends, microseconds since 1970; 0 = not known.
    pub ends_at_us: i64,
    /// Now, microseconds since 1970.
    pub now_us: i64,
}

/// What the engine works with.
pub struct Parts<M> {
    /// The channel's part.
    pub medium: M,
    /// Claims of the channel.
    pub claims: Arc<dyn Claims>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Account buckets.
    pub bucket: Arc<dyn Bucket>,
    /// Contents and halts.
    pub registry: Arc<dyn Registry>,
    /// States of campaigns.
    pub stops: Arc<dyn Stops>,
    /// Blocks of the last hour.
    pub blocks: Arc<BlocksView>,
    /// Accounts.
    pub accounts: Vec<AccountSpec>,
}

/// The engine.
pub struct Engine<M: Medium> {
    pub(crate) ctx: Ctx,
    pub(crate) medium: M,
    pub(crate) claims: Arc<dyn Claims>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) stops: Arc<dyn Stops>,
    pub(crate) blocks: Arc<BlocksView>,
    pub(crate) accounts: Vec<Account<M::Ready>>,
    pub(crate) contents: Contents<M::Content>,
    pub(crate) live: Mutex<Live>,
    pub(crate) outbox: Outbox,
    pub(crate) claim_wake: Notify,
    /// There may be marks or watermarks to store.
    pub(crate) store_wake: Notify,
    /// Held while claims are made and acted upon.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    pub(crate) halted: Mutex<Vec<CampaignId>>,
    failure: watch::Sender<Option<String>>,
    over: watch::Sender<bool>,
}

impl<M: Medium> Engine<M> {
    /// An engine that does nothing yet; see [`Engine::start`].
    pub fn new(ctx: &Ctx, parts: Parts<M>) -> Arc<Self> {
        let Parts { medium, claims, log, bucket, registry, stops, blocks, accounts } = parts;
        let accounts = accounts
            .into_iter()
            .map(|spec| {
                bucket.configure(&spec.id, spec.rate);
                let meters = Meters::new(ctx.metrics(), M::CHANNEL, spec.id.as_str());
                Account::new(spec, meters)
            })
            .collect();
        Arc::new(Self {
            ctx: ctx.clone(),
            medium,
            claims,
            log,
            bucket,
            registry,
            stops,
            blocks,
            accounts,
            contents: Contents::default(),
            live: Mutex::default(),
            outbox: Outbox::default(),
            claim_wake: Notify::new(),
            store_wake: Notify::new(),
            claiming: tokio::sync::Mutex::default(),
            halted: Mutex::default(),
            failure: watch::Sender::new(None),
            over: watch::Sender::new(false),
        })
    }

    /// The accounts, in the order of the configuration.
    pub fn accounts(&self) -> &[Account<M::Ready>] {
        &self.accounts
    }

    /// The rate of an account now.
    pub fn rate(&self, account: usize) -> f64 {
        self.bucket.rate(&self.accounts[account].spec.id)
    }

    /// Hands over what may leave an account now, whole messages, at most `room` parts.
    pub fn pull(&self, account: usize, room: usize, emit: &mut dyn FnMut(Leaves<'_, M::Ready>)) -> Pulled {
        let at_work = &self.accounts[account];
        let now = self.ctx.monotonic();
        if let Some(wait) = at_work.pause_left(now) {
            return Pulled::Paced(wait);
        }
        let ahead_max = self.ahead_max(account);
        let mut finished = Vec::new();
        let (pulled, hungry) = self.with_moment(|moment| {
            let purse = Purse { account: &at_work.spec.id, bucket: &*self.bucket };
            let mut queue = at_work.queue();
            let pulled = queue.pull(room, moment, &purse, emit, &mut finished);
            (pulled, queue.is_hungry(ahead_max))
        });
        if hungry {
            self.claim_wake.notify_one();
        }
        self.finish(account, finished);
        pulled
    }

    /// Whether a message that was pulled and not written yet may still leave.
    pub fn may_leave(&self, account: usize, handle: u64) -> bool {
        self.with_moment(|moment| self.accounts[account].queue().may_leave(handle, moment))
    }

    /// Resolves when [`Engine::pull`] may yield something.
    pub async fn ready(&self, account: usize) {
        let account = &self.accounts[account];
        loop {
            let notified = account.ready.notified();
            if account.queue().is_pullable() {
                return;
            }
            notified.await;
        }
    }

    /// Takes the carrier's words on parts.
    pub fn settled(&self, account: usize, words: impl Iterator<Item = Word>) {
        let mut finished = Vec::new();
        let pullable = {
            let mut queue = self.accounts[account].queue();
            queue.take_words(words, &mut finished);
            queue.is_pullable()
        };
        if pullable {
            self.accounts[account].ready.notify_waiters();
        }
        self.finish(account, finished);
    }

    /// The campaign of a message that is out.
    pub fn campaign(&self, account: usize, handle: u64) -> Option<CampaignId> {
        self.accounts[account].queue().offer_of(handle).map(|offer| offer.campaign)
    }

    /// The account told us to slow down.
    pub fn slow_down(&self, account: usize) {
        self.accounts[account].meters.throttled.inc();
        self.bucket.slow_down(&self.accounts[account].spec.id);
    }

    /// Nothing leaves the account for this long.
    pub fn pause(&self, account: usize, wait: Duration) {
        self.accounts[account].pause(self.ctx.monotonic(), wait);
    }

    /// A carrier refuses every message of the campaign of this message: asks registry to halt it, once.
    pub fn halt(self: &Arc<Self>, campaign: CampaignId, reason: String) {
        let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        if halted.contains(&campaign) {
            return;
        }
        halted.push(campaign);
        drop(halted);
        let engine = Arc::clone(self);
        self.ctx.spawn("halt campaign", async move { engine.halt_now(campaign, &reason).await });
    }

    async fn halt_now(&self, campaign: CampaignId, reason: &str) {
        loop {
            match self.registry.halt(campaign, reason).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%campaign, %error, "the campaign could not be halted yet"),
            }
            tokio::select! {
                () = self.ctx.stopping() => break,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        // It may run again after a person has mended what was refused.
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != campaign);
    }

    /// A line is about to be opened; what it says of itself is said with this.
    pub fn line_opens(&self, account: usize, slot: u32) -> Opening {
        self.accounts[account].line_opens(slot)
    }

    /// A line's state has changed.
    pub fn line_changed(&self, account: usize, slot: u32, opening: Opening, state: LineState) {
        let at_work = &self.accounts[account];
        if !state.last_error.is_empty() {
            let account = at_work.spec.id.as_str();
            tracing::warn!(account, slot, state = state.state, why = %state.last_error, "a line is not open");
        }
        if at_work.line_changed(slot, opening, state) {
            self.claim_wake.notify_one();
        }
    }

    /// How many parts a line waits for, for who asks how it stands.
    pub(crate) fn line_in_flight(&self, account: usize, slot: u32, in_flight: u32) {
        self.accounts[account].line_in_flight(slot, in_flight);
    }

    /// A line is gone.
    pub fn line_closed(&self, account: usize, slot: u32) {
        self.accounts[account].line_closed(slot);
    }

    /// Parts that may be claimed and not handed over.
    pub(crate) fn ahead_max(&self, account: usize) -> u32 {
        let parts = (self.rate(account) * CLAIM_AHEAD.as_secs_f64()).clamp(1.0, 1_000_000.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just before")]
        let parts = parts as u32;
        parts
    }

    pub(crate) fn with_moment<T>(&self, f: impl FnOnce(&Moment<'_>) -> T) -> T {
        // Freshness first: the guard on the blocks must not be taken twice.
        let fresh = self.stops.is_fresh() && self.blocks.is_fresh(self.ctx.monotonic());
        let blocks = self.blocks.read();
        let key = self.ctx.hash_key();
        let (now_us, clock_agrees) = (self.ctx.now_us(), self.ctx.clocks().agree());
        f(&Moment { now_us, fresh, clock_agrees, stops: &*self.stops, blocks: &blocks, key })
    }

    pub(crate) fn live<T>(&self, f: impl FnOnce(&mut Live) -> T) -> T {
        f(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at everything that waits: what may not leave any more goes back, what may is announced to the lines.
    pub(crate) fn sweep(&self) {
        for (number, account) in self.accounts.iter().enumerate() {
            let mut finished = Vec::new();
            let pullable = self.with_moment(|moment| {
                let mut queue = account.queue();
                queue.sweep(moment, &mut finished);
                queue.is_pullable()
            });
            if pullable {
                account.ready.notify_waiters();
            }
            self.finish(number, finished);
        }
    }

    /// A claimed slice may leave from now on.
    pub(crate) fn begin(&self, account: usize, begun: Begun<M::Ready>) {
        let over = self.accounts[account].queue().begin(begun);
        self.accounts[account].ready.notify_waiters();
        self.finish(account, over.into_iter().collect());
    }

    /// Nothing new is taken, and what has not left is given back.
    pub(crate) fn close(&self) {
        for (number, account) in self.accounts.iter().enumerate() {
            let mut finished = Vec::new();
            let unclaimed = account.queue().close(&mut finished);
            self.live(|live| {
                unclaimed.iter().for_each(|pending| live.drop_unclaimed(&pending.offer.slice(pending.slice)))
            });
            self.finish(number, finished);
        }
    }

    /// Slices claimed by this process and not finished.
    pub fn begun(&self) -> usize {
        self.accounts.iter().map(|account| account.queue().begun()).sum()
    }

    /// Something happened that must end the service.
    pub(crate) fn fail(&self, why: String) {
        self.failure.send_replace(Some(why));
    }

    /// Resolves with the reason when the service must end.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        loop {
            if let Some(why) = failure.borrow_and_update().clone() {
                return why;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when the engine's tasks shall end: everything is settled, or the time for it has passed.
    pub(crate) async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as the engine.
        let _ended = over.wait_for(|over| *over).await;
    }

    pub(crate) fn end(&self) {
        self.over.send_replace(true);
    }
}

/// The topic place of a lane.
pub(crate) fn lane_at(place: usize) -> Option<Lane> {
    Lane::ALL.get(place).copied()
}
