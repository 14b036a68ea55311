//! What running code may ask of the process that hosts it: time, stopping, tasks, its name, its peers.
//!
//! Passed, never ambient. Must stay true: every task is spawned here, so that the supervisor can wait for all of them and
//! name those that are late.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_domain::hash::HashKey;
use loa_domain::ids::Incarnation;
use loa_ports::clock::Clock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clocks::Clocks;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::probes::Readiness;

/// The context; cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    /// The moments that tasks have in common are counted from here.
    born: Instant,
    stopping: CancellationToken,
    failed: CancellationToken,
    tasks: Mutex<BTreeMap<u64, &'static str>>,
    idle: tokio::sync::Notify,
    next_task: AtomicU64,
    incarnation: Incarnation,
    node: String,
    hash_key: HashKey,
    metrics: Metrics,
    peers: Peers,
    clocks: Clocks,
    readiness: Readiness,
}

/// What a context is made of.
pub struct CtxParts {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The node's name; unique among the processes that share stores.
    pub node: String,
    /// The installation's hash key.
    pub hash_key: HashKey,
    /// Meters of this process.
    pub metrics: Metrics,
    /// How the other roles are reached.
    pub peers: Peers,
}

impl Ctx {
    /// A new context with an incarnation of its own.
    pub fn new(parts: CtxParts) -> Self {
        let CtxParts { clock, node, hash_key, metrics, peers } = parts;
        let inner = Inner {
            clock,
            born: Instant::now(),
            stopping: CancellationToken::new(),
            failed: CancellationToken::new(),
            tasks: Mutex::default(),
            idle: tokio::sync::Notify::new(),
            next_task: AtomicU64::new(0),
            incarnation: Incarnation(Uuid::new_v4()),
            node,
            hash_key,
            metrics,
            peers,
            clocks: Clocks::default(),
            readiness: Readiness::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A context for tests: no peers, a fixed hash key.
    pub fn test(clock: Arc<dyn Clock>, node: &str) -> Self {
        Self::new(CtxParts {
            clock,
            node: node.to_owned(),
            hash_key: HashKey::new([42; 16]),
            metrics: Metrics::default(),
            peers: Peers::default(),
        })
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Microseconds since 1970 UTC.
    pub fn now_us(&self) -> i64 {
        self.inner.clock.now_us()
    }

    /// Time since this process started; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.inner.clock.monotonic()
    }

    /// Sleeps until one of the moments, `period` apart, that all tasks of this process have in common: the first that is at
    /// least half a period away. Tasks that wake together cost the processor one wake, so a process at rest costs little.
    pub async fn beat(&self, period: Duration) {
        let born = self.inner.born;
        tokio::time::sleep_until(born + next_common(born.elapsed(), period)).await;
    }

    /// Ticks at those moments, and once at once.
    pub fn beats(&self, period: Duration) -> Interval {
        let born = self.inner.born;
        let mut beats = interval_at(born + last_common(born.elapsed(), period), period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        beats
    }

    /// Resolves when the process was asked to stop: take nothing new from here on.
    pub async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    /// Whether the process was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    /// Asks everything under this context to stop.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Resolves when a task panicked: the process must end.
    pub async fn failed(&self) {
        self.inner.failed.cancelled().await;
    }

    /// Runs a task under this context. A panic in it stops the process.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let number = self.inner.next_task.fetch_add(1, Ordering::Relaxed);
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.insert(number, name);
        drop(tasks);
        let guard = TaskGuard { inner: Arc::clone(&self.inner), number, name };
        #[allow(clippy::disallowed_methods, reason = "the one place that spawns: it keeps count")]
        tokio::spawn(async move {
            let _guard = guard;
            future.await
        })
    }

    /// Names of the tasks that still run, each once.
    pub fn tasks(&self) -> Vec<&'static str> {
        let tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = tasks.values().copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Resolves when no task runs any more.
    pub async fn idle(&self) {
        loop {
            let notified = self.inner.idle.notified();
            if self.tasks().is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// This start of this process.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// The installation's hash key.
    pub fn hash_key(&self) -> &HashKey {
        &self.inner.hash_key
    }

    /// Meters of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Whether this process's wall clock agrees with the databases'.
    pub fn clocks(&self) -> &Clocks {
        &self.inner.clocks
    }

    /// What /ready says; whoever watches a condition tells it here.
    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    /// The other roles.
    pub fn peers(&self) -> &Peers {
        &self.inner.peers
    }
}

/// The last of the moments, `period` apart, that is not after `since`.
fn last_common(since: Duration, period: Duration) -> Duration {
    let into_ns = since.as_nanos() % period.as_nanos().max(1);
    since.saturating_sub(Duration::from_nanos(u64::try_from(into_ns).unwrap_or(0)))
}

/// The first that is half a period away or more.
fn next_common(since: Duration, period: Duration) -> Duration {
    let last = last_common(since, period);
    if since - last <= period / 2 { last + period } else { last + 2 * period }
}

struct TaskGuard {
    inner: Arc<Inner>,
    number: u64,
    name: &'static str,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "a task panicked; the process stops");
            self.inner.failed.cancel();
        }
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.remove(&self.number);
        if tasks.is_empty() {
            self.inner.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_ports::clock::SystemClock;

    #[tokio::test]
    async fn idle_waits_for_every_task() {
        let ctx = Ctx::test(Arc::new(SystemClock::new()), "n1");
        let waiting = ctx.clone();
        ctx.spawn("waits", async move { waiting.stopping().await });
        assert_eq!(ctx.tasks(), ["waits"]);
        ctx.stop();
        ctx.idle().await;
        assert!(ctx.tasks().is_empty());
    }

    #[test]
    fn tasks_wake_at_the_same_moments() {
        let check = |since_ms: u64, last_ms: u64, next_ms: u64| {
            let (since, period) = (Duration::from_millis(since_ms), Duration::from_millis(500));
            let found = (last_common(since, period), next_common(since, period));
            assert_eq!(found, (Duration::from_millis(last_ms), Duration::from_millis(next_ms)), "at {since_ms} ms");
        };
        check(0, 0, 500);
        check(1, 0, 500);
        check(250, 0, 500);
        check(251, 0, 1_000); // the next is too near
        check(499, 0, 1_000);
        check(500, 500, 1_000);
        check(1_730, 1_500, 2_000);
        let long = Duration::from_secs(400 * 86_400);
        assert_eq!(last_common(long + Duration::from_millis(3), Duration::from_secs(1)), long);
        assert_eq!(next_common(long, Duration::ZERO), long, "no period is no wait");
    }

    #[tokio::test]
    async fn beats_are_at_common_moments_whenever_they_began() {
        let ctx = Ctx::test(Arc::new(SystemClock::new()), "n1");
        let period = Duration::from_millis(20);
        for _ in 0..3 {
            ctx.beat(Duration::from_millis(7)).await;
            let mut beats = ctx.beats(period);
            for _ in 0..3 {
                let since = beats.tick().await - ctx.inner.born;
                assert_eq!(since.as_nanos() % period.as_nanos(), 0, "{since:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_panic_fails_the_process() {
        let ctx = Ctx::test(Arc::new(SystemClock::new()), "n1");
        ctx.spawn("breaks", async { panic!("on purpose") });
        ctx.failed().await;
    }
}
