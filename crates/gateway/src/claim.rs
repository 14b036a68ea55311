//! The claiming task: takes slices that may leave or must go back, claims them in one commit, and does what the claims say.
//!
//! Must stay true: nothing is handed over or given back before its claim is durable; after a commit without answer the same
//! claims are inserted again under the same nonce.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_domain::state::{Reason, Returned};
use loa_ports::store::StoreError;
use loa_ports::store::claims::{CLAIMS_PER_INSERT_MAX, Claim, Intent, Standing};
use prost::Message as _;

use crate::content::Lookup;
use crate::decide::{Decision, decide};
use crate::engine::{Engine, Medium, Slice};
use crate::look::Look;
use crate::offer::Offer;
use crate::publish::Finished;
use crate::queue::{Begun, Pending, Todo, look_at_offer};
use crate::settle;

/// Everything that waits is looked at this often: deadlines pass without anybody telling.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Waits after a store that did not answer.
const AWAY_WAIT: Duration = Duration::from_millis(100);
/// Waits after a registry that did not answer or did not know.
const FETCH_WAIT: Duration = Duration::from_secs(1);

struct Batch {
    account: usize,
    slices: Vec<(Pending, Todo)>,
}

impl<M: Medium> Engine<M> {
    pub(crate) async fn claim_loop(self: Arc<Self>) {
        let mut nonce = 0;
        let mut changed = self.stops.changed();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let all = tokio::select! {
                () = self.over() => return,
                () = self.claim_wake.notified() => false,
                // At rest no deadline can pass; whoever brings work wakes this task.
                _ = tick.tick(), if !self.is_at_rest() => true,
                Ok(()) = changed.changed() => true,
            };
            if all {
                self.sweep();
            }
            loop {
                let _claiming = self.claiming.lock().await;
                let batches = self.collect(all);
                if batches.is_empty() {
                    break;
                }
                nonce += 1;
                if !self.claim(nonce, batches).await {
                    return;
                }
            }
        }
    }

    /// Nothing waits and nothing is claimed.
    fn is_at_rest(&self) -> bool {
        self.accounts.iter().all(|account| account.queue().is_at_rest())
    }

    fn collect(self: &Arc<Self>, all: bool) -> Vec<Batch> {
        let (mut batches, mut room) = (Vec::new(), CLAIMS_PER_INSERT_MAX);
        for account in 0..self.accounts.len() {
            let mut slices = Vec::new();
            let at_work = &self.accounts[account];
            let ahead_max = self.ahead_max(account);
            let can_begin = at_work.is_bound() && at_work.pause_left(self.ctx.monotonic()).is_none();
            self.with_moment(|moment| {
                let judge = |offer: &Arc<Offer>| self.judge(account, offer, look_at_offer(offer, moment), can_begin);
                at_work.queue().collect(ahead_max, all, room, judge, &mut slices);
            });
            room -= slices.len();
            if !slices.is_empty() {
                at_work.drained.notify_waiters();
                batches.push(Batch { account, slices });
            }
        }
        batches
    }

    fn judge(self: &Arc<Self>, account: usize, offer: &Arc<Offer>, look: Look, can_begin: bool) -> Todo {
        let spec = &self.accounts[account].spec;
        match look {
            Look::Back(why) => Todo::GiveBack(why),
            Look::Hold => Todo::Wait,
            // The partition was another account's when this was released.
            Look::Go if offer.account != spec.id.as_str() => Todo::GiveBack(Returned::Retry),
            Look::Go if offer.synthetic && !spec.simulator => Todo::Refuse(Reason::NoRoute),
            Look::Go if !can_begin => Todo::Wait,
            Look::Go => match self.contents.look_up(&offer.content_hash) {
                Lookup::Ready(_) => Todo::Begin,
                Lookup::Coming => Todo::Wait,
                Lookup::Fetch => {
                    self.fetch(offer.content_hash.clone());
                    Todo::Wait
                }
            },
        }
    }

    fn fetch(self: &Arc<Self>, hash: Box<[u8]>) {
        let engine = Arc::clone(self);
        self.ctx.spawn("fetch content", async move {
            tokio::select! {
                () = engine.ctx.stopping() => {}
                () = engine.fetch_now(&hash) => engine.claim_wake.notify_one(),
            }
        });
    }

    async fn fetch_now(&self, hash: &[u8]) {
        loop {
            match self.registry.content(hash).await {
                Ok(Some(content)) => {
                    let compiled = self.medium.compile(&content);
                    if let Err(why) = &compiled {
                        tracing::error!(%why, "a content cannot be rendered; its messages are rejected");
                    }
                    return self.contents.put(hash, compiled);
                }
                Ok(None) => tracing::error!("registry does not know a content; its messages wait until they are late"),
                Err(error) => tracing::warn!(%error, "a content could not be fetched yet"),
            }
            tokio::time::sleep(FETCH_WAIT).await;
        }
    }

    /// Claims and does what the claims say; false if the engine has ended or failed.
    async fn claim(self: &Arc<Self>, nonce: u64, batches: Vec<Batch>) -> bool {
        let claims: Vec<Claim> = batches.iter().flat_map(|batch| &batch.slices).map(claim_of).collect();
        let Some(standings) = self.insert(nonce, &claims).await else { return false };
        let mut standings = standings.into_iter();
        for Batch { account, slices } in batches {
            for ((pending, todo), standing) in slices.into_iter().zip(standings.by_ref()) {
                self.act(account, pending, todo, nonce, standing);
            }
        }
        true
    }

    async fn insert(&self, nonce: u64, claims: &[Claim]) -> Option<Vec<Standing>> {
        loop {
            match self.claims.claim(self.ctx.incarnation(), nonce, self.ctx.now_us(), claims).await {
                Ok(standings) => return Some(standings),
                Err(error @ (StoreError::Away { .. } | StoreError::Uncertain { .. } | StoreError::Conflict { .. })) => {
                    tracing::warn!(%error, claims = claims.len(), "claims could not be stored yet");
                }
                Err(error) => {
                    self.fail(format!("claims cannot be stored: {error}"));
                    return None;
                }
            }
            tokio::select! {
                () = self.over() => return None,
                () = tokio::time::sleep(AWAY_WAIT) => {}
            }
        }
    }

    fn act(self: &Arc<Self>, account: usize, pending: Pending, todo: Todo, nonce: u64, standing: Standing) {
        let Pending { offer, slice, .. } = pending;
        let (me, now_us) = (self.ctx.incarnation(), self.ctx.now_us());
        match decide(standing, me, nonce) {
            Decision::Mine(Intent::Begun) => self.prepare(account, offer, slice, todo),
            Decision::Mine(Intent::Returning(why)) => {
                let settled = settle::returned(&offer, slice, me, now_us, why);
                self.accounts[account].meters.returned.inc_by(offer.range(slice).len() as u64);
                self.publish(Finished::mine(&offer, slice, settled));
            }
            Decision::Repeat(settlement) => match event::SliceSettled::decode(settlement) {
                Ok(settled) => self.publish(Finished::known(&offer, slice, settled)),
                Err(error) => self.fail(format!("a stored settlement cannot be read: {error}")),
            },
            Decision::ReturnedBy(claimant, why) => {
                let settled = settle::returned(&offer, slice, claimant, now_us, why);
                self.publish(Finished::mine(&offer, slice, settled));
            }
            Decision::InDoubtOf(claimant) => {
                let settled = settle::in_doubt(&offer, slice, claimant, now_us);
                self.publish(Finished::known(&offer, slice, settled));
            }
        }
    }

    fn prepare(self: &Arc<Self>, account: usize, offer: Arc<Offer>, slice: u16, todo: Todo) {
        let range = offer.range(slice);
        let mut parts = Vec::with_capacity(range.len());
        let content = match self.contents.look_up(&offer.content_hash) {
            Lookup::Ready(content) => Some(content),
            Lookup::Coming => None,
            Lookup::Fetch => {
                self.contents.give_up(&offer.content_hash);
                None
            }
        };
        let ready = match (todo, content.as_deref()) {
            (Todo::Begin, Some(Ok(content))) => {
                let ends_at_us = self.stops.ends_at_us(offer.campaign);
                let now_us = self.ctx.now_us();
                let slice = Slice { account, offer: &offer, range, ends_at_us, now_us };
                self.medium.prepare(&slice, content, &mut parts)
            }
            (todo, _) => {
                let reason = if let Todo::Refuse(reason) = todo { reason } else { Reason::Render };
                parts.extend(range.map(|_| Err(reason)));
                self.medium.refuse()
            }
        };
        self.begin(account, Begun::new(offer, slice, ready, &parts));
    }
}

fn claim_of((pending, todo): &(Pending, Todo)) -> Claim {
    let intent = match todo {
        Todo::GiveBack(why) => Intent::Returning(*why),
        Todo::Begin | Todo::Refuse(_) | Todo::Wait => Intent::Begun,
    };
    Claim { slice: pending.offer.slice(pending.slice), campaign: pending.offer.campaign, intent }
}
