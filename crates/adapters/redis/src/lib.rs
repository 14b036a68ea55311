//! Account buckets over all nodes, counted by Redis.
//!
//! | Module | Does |
//! |---|---|
//! | [`cell`] | what one node hands out, asks for and falls back to: rules without clock or socket |
//! | [`link`] | one round trip to Redis for all questions that are due |
//! | `count.lua` | sells an account's time, once, after it has passed |
//!
//! Taking is a look at memory; one task per process asks Redis for blocks in the background, and only while somebody takes.
//! Redis is a cache: losing it costs 300 ms, then each node goes by its share.
//!
//! Must stay true: what all nodes give of an account in any span is at most its rate and one [`burst`], whatever becomes of
//! Redis; a taker never waits for the network.

mod cell;
mod link;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_domain::ids::AccountId;
use loa_ports::bucket::{Bucket, Taken};
use loa_ports::clock::Clock;
use redis::Client;
use tokio::sync::{Notify, watch};

pub use cell::{ALL_SHARES, AWAY_AFTER, BLOCK, GATHERS, LIFE, OPENS_AFTER, STEP, STEP_BURST, burst, urgent_share};
use cell::{Cell, Question};
pub use link::Error;
use link::Link;

/// Questions of one round trip; the other accounts' come with the next.
const QUESTIONS_MAX: usize = 256;
/// A Redis that was told to be away is asked this often whether it is back while nobody takes.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Buckets that all processes on one Redis share.
pub struct RedisBucket {
    clock: Arc<dyn Clock>,
    client: Client,
    prefix: String,
    cells: Mutex<HashMap<AccountId, Cell>>,
    /// Somebody wants parts of an account that nobody wanted any of.
    wake: Notify,
    /// Why Redis does not answer, once that was told.
    silent: watch::Sender<Option<String>>,
}

/// Since when Redis is silent, as the log has it.
#[derive(Default)]
struct Silence {
    since: Option<Duration>,
    told: bool,
}

impl RedisBucket {
    /// Buckets under a prefix of the keys, `redis://…` or `rediss://…`; connects to nothing yet. Hands out nothing before
    /// [`RedisBucket::run`] runs, but for shares.
    pub fn new(url: &str, prefix: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let client = Client::open(url).map_err(Error::Url)?;
        Ok(Self {
            clock,
            client,
            prefix: prefix.to_owned(),
            cells: Mutex::default(),
            wake: Notify::new(),
            silent: watch::Sender::new(None),
        })
    }

    /// Why Redis does not answer and each node goes by its share; changes with it.
    pub fn silent(&self) -> watch::Receiver<Option<String>> {
        self.silent.subscribe()
    }

    /// Whether this process goes by its share of the account, since Redis is silent.
    pub fn is_away(&self, account: &AccountId) -> bool {
        self.cells().get(account).is_some_and(Cell::is_away)
    }

    /// Whether Redis answers; for a check before the start.
    pub async fn reach(&self) -> Result<(), Error> {
        Link::new(self.client.clone()).ping().await
    }

    /// Asks Redis for whoever takes; returns once `stopping` has resolved and nobody wants anything any more.
    pub async fn run(&self, stopping: impl Future<Output = ()>) {
        let mut stopping = pin!(stopping);
        let (mut stopped, mut link, mut silence) = (false, Link::new(self.client.clone()), Silence::default());
        loop {
            let now = self.clock.monotonic();
            let next = self.cells().values().filter_map(|cell| cell.asks_at(now)).min();
            if next.is_some_and(|at| at <= now) {
                self.round(&mut link, &mut silence).await;
                continue;
            }
            if stopped && next.is_none() {
                return;
            }
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep(at.saturating_sub(now)).await,
                    None => std::future::pending().await,
                }
            };
            // Nobody takes, so nobody would notice that it is back.
            let asks_for_itself = silence.told && next.is_none();
            tokio::select! {
                () = &mut stopping, if !stopped => stopped = true,
                () = self.wake.notified() => {}
                () = sleep => {}
                () = tokio::time::sleep(ASKED_AGAIN), if asks_for_itself => {
                    if link.ping().await.is_ok() {
                        self.ends(&mut silence);
                    }
                }
            }
        }
    }

    /// Asks what is due and takes the answers.
    async fn round(&self, link: &mut Link, silence: &mut Silence) {
        let began = self.clock.monotonic();
        let mut questions = Vec::new();
        let answers = async {
            link.connect().await?;
            questions = self.questions();
            link.ask(&self.prefix, &questions).await
        };
        let answers = answers.await;
        let now = self.clock.monotonic();
        let mut cells = self.cells();
        match answers {
            Ok(answers) => {
                for ((account, question), answer) in questions.iter().zip(&answers) {
                    if let Some(cell) = cells.get_mut(account) {
                        cell.answered(now, question, answer);
                    }
                }
                drop(cells);
                self.ends(silence);
            }
            Err(error) => {
                for (account, question) in &questions {
                    if let Some(cell) = cells.get_mut(account) {
                        cell.unanswered(now, Some(question));
                    }
                }
                cells.values_mut().for_each(|cell| cell.unanswered(now, None));
                drop(cells);
                if silence.goes_on(began, now, &error) {
                    self.silent.send_replace(Some(error.to_string()));
                }
            }
        }
    }

    fn ends(&self, silence: &mut Silence) {
        if silence.ends(self.clock.monotonic()) {
            self.silent.send_replace(None);
        }
    }

    fn questions(&self) -> Vec<(AccountId, Question)> {
        let now = self.clock.monotonic();
        let mut cells = self.cells();
        let due = cells.iter_mut().filter_map(|(account, cell)| Some((account.clone(), cell.question(now)?)));
        due.take(QUESTIONS_MAX).collect()
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<AccountId, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it with the account's cell, and wakes the task if it has to ask because of it.
    fn with<R>(&self, account: &AccountId, f: impl FnOnce(&mut Cell, Duration) -> R) -> Option<R> {
        let now = self.clock.monotonic();
        let mut cells = self.cells();
        let cell = cells.get_mut(account)?;
        let before = cell.asks_at(now);
        let result = f(cell, now);
        let after = cell.asks_at(now);
        if before.is_none() && after.is_some() {
            self.wake.notify_one();
        }
        Some(result)
    }
}

impl Bucket for RedisBucket {
    fn configure(&self, account: &AccountId, rate: f64) {
        let now = self.clock.monotonic();
        let seed = RandomState::new().hash_one(account);
        let mut cells = self.cells();
        cells.entry(account.clone()).or_insert_with(|| Cell::new(rate, now, seed)).configure(rate, now);
    }

    fn take(&self, account: &AccountId, wanted: u32, urgent: bool) -> Taken {
        let taken = self.with(account, |cell, now| cell.take(now, wanted, urgent));
        taken.unwrap_or(Taken { parts: 0, wait: Duration::from_secs(1) })
    }

    fn give(&self, account: &AccountId, unused: u32) {
        self.with(account, |cell, now| cell.give(now, unused));
    }

    fn slow_down(&self, account: &AccountId) {
        self.with(account, |cell, now| cell.slow_down(now));
    }

    /// Nothing leaves while Redis is away before this was told.
    fn set_binds(&self, account: &AccountId, held: u32, configured: u32) {
        if let Some(cell) = self.cells().get_mut(account) {
            cell.set_share(if configured == 0 { 0.0 } else { f64::from(held) / f64::from(configured) });
        }
    }

    fn rate(&self, account: &AccountId) -> f64 {
        self.with(account, |cell, now| cell.rate(now)).unwrap_or_default()
    }
}

impl fmt::Debug for RedisBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBucket")
            .field("prefix", &self.prefix)
            .field("cells", &*self.cells())
            .finish_non_exhaustive()
    }
}

impl Silence {
    /// Whether it is told now.
    fn goes_on(&mut self, began: Duration, now: Duration, error: &Error) -> bool {
        let since = *self.since.get_or_insert(began);
        let tells = !self.told && now.saturating_sub(since) >= AWAY_AFTER;
        if tells {
            self.told = true;
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let code = "LOA-007";
            tracing::warn!(%error, why, code, "redis does not answer: each node goes by its share of an account's rate");
        }
        tells
    }

    /// Whether it was told.
    fn ends(&mut self, now: Duration) -> bool {
        let since = self.since.take();
        let told = std::mem::take(&mut self.told);
        if told {
            let away_s = since.map_or(0.0, |since| now.saturating_sub(since).as_secs_f64());
            tracing::info!(away_s, "redis answers again: accounts are counted over all nodes");
        }
        told
    }
}
