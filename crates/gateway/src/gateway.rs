//! A gateway at work: leases of lines, the partitions that come with them, announcements, and the stop.
//!
//! A lease is a line (a bind or a connection) of an account. The account's partitions are dealt out over its lines, so a
//! gateway holds a partition exactly while it holds the line that the partition belongs to.
//!
//! Must stay true: on stop nothing new is taken, what has not left is given back, what has left is settled and published,
//! and only then are the leases free.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::event::v1 as event;
use loa_ports::lease::{Held, Leases};
use loa_ports::log::Log;
use loa_runtime::lease::{Change, LeaseKeeper, Want};
use loa_runtime::{Ctx, ServiceError, control};
use tokio::sync::mpsc;

use crate::account::{AccountSpec, Opening};
use crate::engine::{Engine, Medium};
use crate::queue::LANES;
use crate::read::Turn;

/// Lines have this long to get the answers to what they have written.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Drained lines that wait to be handed over, at most; more wait in their tasks.
const DRAINED_WAITING_MAX: usize = 16;
/// Accounts are announced at least this often.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// Changes of an account are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A change of the rate below this share is not told at once.
const RATE_CHANGE_MIN: f64 = 0.02;

/// Opens lines of accounts.
pub trait Lines: Send + Sync {
    /// Opens a line; what it says of itself goes to [`Engine::line_changed`] with its opening.
    fn open(&self, account: usize, slot: u32, opening: Opening) -> Box<dyn Line>;
}

/// A line under way.
#[async_trait]
pub trait Line: Send + Sync {
    /// Stops pulling, waits for answers, closes; every message that was pulled is answered by then.
    async fn stop(self: Box<Self>, drain: Duration);

    /// Parts without answer.
    fn in_flight(&self) -> u32;
}

/// The kind of the leases of an account's lines.
pub fn lease_kind(account: &AccountSpec) -> String {
    format!("bind:{}", account.id)
}

/// The partitions that go with a line.
pub fn partitions_of(account: &AccountSpec, slot: u32) -> Vec<u32> {
    let lines = account.lines.max(1) as usize;
    account.partitions.iter().copied().skip(slot as usize).step_by(lines).collect()
}

/// Leases that the service wants for something else than lines.
pub struct Others {
    /// What it wants.
    pub wants: Vec<Want>,
    /// Where their changes are told.
    pub changes: mpsc::Sender<Change>,
}

/// Runs a gateway until its context stops.
pub async fn run<M: Medium>(
    ctx: &Ctx,
    engine: Arc<Engine<M>>,
    leases: Arc<dyn Leases>,
    lines: Arc<dyn Lines>,
    others: Option<Others>,
) -> Result<(), ServiceError> {
    let lines_of = |account: &AccountSpec| Want { kind: lease_kind(account), count: account.lines, drains: true };
    let mut wants: Vec<_> = engine.accounts().iter().map(|account| lines_of(&account.spec)).collect();
    let others = others.map(|others| {
        wants.extend(others.wants);
        others.changes
    });
    let keeper = LeaseKeeper::start(ctx, leases, "", wants).await?;
    let turns = engine.start();
    let (drained, mut ended) = mpsc::channel(DRAINED_WAITING_MAX);
    let (open, told, away) = (HashMap::new(), HashMap::new(), HashSet::new());
    let mut work = Work { engine: Arc::clone(&engine), keeper, lines, turns, others, open, told, away, drained };
    let outcome = work.serve(ctx, &mut ended).await;
    work.stop(ctx).await;
    outcome
}

struct Work<M: Medium> {
    engine: Arc<Engine<M>>,
    keeper: LeaseKeeper,
    lines: Arc<dyn Lines>,
    turns: Vec<[mpsc::Sender<Turn>; LANES]>,
    others: Option<mpsc::Sender<Change>>,
    open: HashMap<(usize, u32), Box<dyn Line>>,
    told: HashMap<usize, Told>,
    /// Accounts of which no line is open, as far as that was told.
    away: HashSet<usize>,
    /// Lines that were closed for another node, once everything they sent is settled.
    drained: mpsc::Sender<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    rate: f64,
    bound: bool,
    at: Duration,
}

impl<M: Medium> Work<M> {
    async fn serve(&mut self, ctx: &Ctx, ended: &mut mpsc::Receiver<Held>) -> Result<(), ServiceError> {
        let mut look = ctx.beats(LOOK_EVERY);
        let engine = Arc::clone(&self.engine);
        loop {
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                why = engine.failed() => return Err(why.into()),
                change = self.keeper.change() => self.take(ctx, change).await,
                Some(held) = ended.recv() => self.keeper.hand_over(&held).await,
                _ = look.tick() => {
                    for ((account, slot), line) in &self.open {
                        self.engine.line_in_flight(*account, *slot, line.in_flight());
                    }
                    self.tell_who_is_away(ctx);
                    self.announce(ctx, true).await;
                }
            }
        }
    }

    async fn take(&mut self, ctx: &Ctx, change: Change) {
        let (held, gained) = match &change {
            Change::Gained(held) => (held, true),
            Change::Lost(held) | Change::Surplus(held) => (held, false),
        };
        let Some(account) = self.account_of(held) else {
            if let Some(others) = &self.others {
                // Who has ended wants nothing any more.
                let _ended = others.send(change).await;
            }
            return;
        };
        let slot = held.number;
        for partition in partitions_of(&self.engine.accounts()[account].spec, slot) {
            let turn = if gained { Turn::Gain(partition) } else { Turn::Lose(partition) };
            for lane in &self.turns[account] {
                // A reader that has ended needs no turns.
                let _ended = lane.send(turn).await;
            }
        }
        if gained {
            let opening = self.engine.line_opens(account, slot);
            if let Some(before) = self.open.insert((account, slot), self.lines.open(account, slot, opening)) {
                ctx.spawn("line stop", before.stop(DRAIN));
            }
        } else {
            self.engine.line_closed(account, slot);
            let line = self.open.remove(&(account, slot));
            if let Change::Surplus(held) = change {
                ctx.spawn("line hand-over", drain(Arc::clone(&self.engine), line, held, self.drained.clone()));
            } else if let Some(line) = line {
                ctx.spawn("line stop", line.stop(DRAIN));
            }
        }
        self.share_rate(account);
    }

    /// The bucket gives this process the share of the rate that its lines are.
    fn share_rate(&self, account: usize) {
        let spec = &self.engine.accounts()[account].spec;
        let held = self.open.keys().filter(|(of, _)| *of == account).count();
        self.engine.bucket.set_binds(&spec.id, u32::try_from(held).unwrap_or(u32::MAX), spec.lines);
    }

    fn account_of(&self, held: &Held) -> Option<usize> {
        self.engine.accounts().iter().position(|account| lease_kind(&account.spec) == held.kind)
    }

    /// Names an account of which this process holds lines and none can be opened, until one is.
    fn tell_who_is_away(&mut self, ctx: &Ctx) {
        for (number, account) in self.engine.accounts().iter().enumerate() {
            let (id, states) = (account.spec.id.as_str(), account.line_states());
            let condition = format!("{} account {id}", M::CHANNEL);
            let why = states.iter().map(|(_, line)| &line.last_error).find(|error| !error.is_empty());
            match (states.is_empty(), states.iter().any(|(_, line)| line.open), why) {
                (true, ..) => {
                    self.away.remove(&number);
                    ctx.readiness().forgets(&condition);
                }
                (_, true, _) => {
                    ctx.readiness().holds(&condition);
                    if self.away.remove(&number) {
                        tracing::info!(account = id, "the account is open again");
                    }
                }
                (.., None) => {} // being opened, or nothing to do
                (.., Some(why)) => {
                    let code = "LOA-203";
                    ctx.readiness().notes(&condition, format!("{code} nothing leaves through it: {why}"));
                    if self.away.insert(number) {
                        tracing::error!(account = id, code, %why, "no line of the account is open; nothing leaves through it");
                    }
                }
            }
        }
    }

    /// Tells control.v1 what the accounts can take: by the holder of the lowest line, on change and every 5 s.
    async fn announce(&mut self, ctx: &Ctx, alive: bool) {
        for account in 0..self.engine.accounts().len() {
            let at_work = &self.engine.accounts()[account];
            if !self.open.contains_key(&(account, 0)) && alive {
                self.told.remove(&account);
                continue;
            }
            let now = Told { rate: self.engine.rate(account), bound: alive && at_work.is_bound(), at: ctx.monotonic() };
            let due = self.told.get(&account).is_none_or(|told| {
                let moved = (told.rate - now.rate).abs() > RATE_CHANGE_MIN * at_work.spec.rate;
                moved || told.bound != now.bound || now.at.saturating_sub(told.at) >= ANNOUNCE_EVERY
            });
            if due && tell::<M>(ctx, &*self.engine.log, &at_work.spec, now).await {
                self.told.insert(account, now);
            }
        }
    }

    async fn stop(mut self, ctx: &Ctx) {
        self.engine.close();
        let holds_first: Vec<usize> =
            (0..self.engine.accounts().len()).filter(|&account| self.open.contains_key(&(account, 0))).collect();
        let lines: Vec<_> = self.open.drain().map(|(_, line)| ctx.spawn("line stop", line.stop(DRAIN))).collect();
        for line in lines {
            if let Err(error) = line.await {
                tracing::error!(%error, "a line did not stop well");
            }
        }
        if !settle(&self.engine).await {
            tracing::warn!("not everything could be settled before the stop; the rest is in doubt");
        }
        for account in holds_first {
            let spec = &self.engine.accounts()[account].spec;
            let last = Told { rate: self.engine.rate(account), bound: false, at: ctx.monotonic() };
            let told =
                tokio::time::timeout(Duration::from_secs(1), tell::<M>(ctx, &*self.engine.log, spec, last)).await;
            if !told.unwrap_or(false) {
                tracing::debug!(account = spec.id.as_str(), "the account's end could not be announced");
            }
        }
        self.engine.end();
        self.keeper.stop().await;
    }
}

/// Claims under way end, what became of everything is published and noted; false if that takes too long.
async fn settle<M: Medium>(engine: &Engine<M>) -> bool {
    let settled = async {
        drop(engine.claiming.lock().await);
        engine.outbox.empty().await;
        engine.store_now(true).await
    };
    tokio::time::timeout(DRAIN, settled).await.unwrap_or(false)
}

/// Ends what a line has under way, so that the next owner of its partitions finds everything settled.
async fn drain<M: Medium>(
    engine: Arc<Engine<M>>,
    line: Option<Box<dyn Line>>,
    held: Held,
    drained: mpsc::Sender<Held>,
) {
    if let Some(line) = line {
        line.stop(DRAIN).await;
    }
    if !settle(&engine).await {
        tracing::warn!(kind = held.kind, number = held.number, "a line is handed over before all of it is settled");
    }
    // A gateway that stops frees its leases by itself.
    let _stopping = drained.send(held).await;
}

/// Appends an account's state to control.v1; false if the log is away.
async fn tell<M: Medium>(ctx: &Ctx, log: &dyn Log, spec: &AccountSpec, now: Told) -> bool {
    let now_us = ctx.now_us();
    let account = event::AccountControl {
        account: spec.id.to_string(),
        channel: i32::from(M::CHANNEL.code()),
        rate: now.rate,
        bound: now.bound,
        binds: spec.lines,
        simulator: spec.simulator,
        partitions: spec.partitions.clone(),
        announced_at_us: now_us,
    };
    // The wall clock is the version: the holder of a lease is one, and a successor comes seconds later.
    let version = u64::try_from(now_us).unwrap_or(0);
    let object = Some(event::control::Object::Account(account));
    let control = event::Control { version, at_us: now_us, object };
    match control::publish(log, &control).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(account = spec.id.as_str(), %error, "the account could not be announced");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::AccountId;

    #[test]
    fn every_partition_has_one_line() {
        for lines in [1, 3, 20, 64, 100] {
            let spec = AccountSpec {
                id: AccountId::new("a").unwrap(),
                rate: 1.0,
                window: 1,
                lines,
                partitions: (0..64).collect(),
                simulator: true,
                lazy_lines: false,
            };
            let mut dealt: Vec<u32> = (0..lines).flat_map(|slot| partitions_of(&spec, slot)).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, spec.partitions, "{lines}");
        }
    }
}
