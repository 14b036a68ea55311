//! The account bucket of one process: a token cell per account that fills in steps.
//!
//! A step of 2 ms lets tokens gather, so that a bind writes many messages at once; taking at every wake-up costs ten times
//! the CPU. A share that only urgent may take stays full while bulk saturates the account, so urgent finds tokens at once.
//!
//! Processes that serve one account together each give their share of its rate, by the binds that they hold.
//!
//! Must stay true: over any time span an account gives at most its rate times the span, one burst and the urgent share of each
//! process; a rate below one message per burst still sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_domain::ids::AccountId;
use loa_ports::bucket::{Bucket, Taken};
use loa_ports::clock::Clock;

/// Tokens appear in steps of this length.
pub const STEP: Duration = Duration::from_millis(2);
/// What may gather at most: the tokens of this long, or one message.
pub const BURST: Duration = Duration::from_millis(5);
/// The urgent share is the burst divided by this, at least one part.
const URGENT_SHARE: f64 = 4.0;
/// A slowed account gains this much of its configured rate each second.
const RECOVERY_PER_S: f64 = 0.05;
/// However often it is told to slow down, this much of the configured rate is left.
const RATE_LEFT_MIN: f64 = 1.0 / 64.0;
/// Who finds no token asks again after this time at the latest.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Words to slow down within this time are one: they answer the same window.
const SLOW_DOWN_EVERY: Duration = Duration::from_secs(1);

/// Buckets in this process.
#[derive(Debug)]
pub struct LocalBucket {
    clock: Arc<dyn Clock>,
    cells: Mutex<HashMap<AccountId, Cell>>,
}

#[derive(Debug, Clone)]
struct Cell {
    configured: f64,
    rate: f64,
    /// Of the rate that is this process's, 0 to 1.
    share: f64,
    tokens: f64,
    filled_at: Duration,
    slowed_at: Option<Duration>,
}

impl LocalBucket {
    /// Buckets that go by this clock; an account has none before it is configured.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, cells: Mutex::default() }
    }

    fn with<R: Default>(&self, account: &AccountId, f: impl FnOnce(&mut Cell, Duration) -> R) -> R {
        let now = self.clock.monotonic();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.get_mut(account).map(|cell| f(cell, now)).unwrap_or_default()
    }
}

impl Bucket for LocalBucket {
    fn configure(&self, account: &AccountId, rate: f64) {
        let now = self.clock.monotonic();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Cell { configured: rate, rate, share: 1.0, tokens: 0.0, filled_at: step_of(now), slowed_at: None };
        let known = cells.entry(account.clone()).or_insert_with(|| cell.clone());
        if (known.configured - rate).abs() > f64::EPSILON {
            *known = Cell { share: known.share, ..cell };
        }
    }

    fn take(&self, account: &AccountId, wanted: u32, urgent: bool) -> Taken {
        let taken = self.with(account, |cell, now| Some(cell.take(now, wanted, urgent)));
        taken.unwrap_or(Taken { parts: 0, wait: Duration::from_secs(1) })
    }

    fn give(&self, account: &AccountId, unused: u32) {
        self.with(account, |cell, _| cell.tokens = (cell.tokens + f64::from(unused)).min(cell.room()));
    }

    fn slow_down(&self, account: &AccountId) {
        self.with(account, Cell::slow_down);
    }

    fn set_binds(&self, account: &AccountId, held: u32, configured: u32) {
        self.with(account, |cell, now| {
            cell.fill(now);
            cell.share = f64::from(held.min(configured)) / f64::from(configured.max(1));
        });
    }

    fn rate(&self, account: &AccountId) -> f64 {
        self.with(account, |cell, now| {
            cell.fill(now);
            cell.rate
        })
    }
}

impl Cell {
    fn burst(&self) -> f64 {
        (self.rate * BURST.as_secs_f64()).max(1.0)
    }

    fn urgent_share(&self) -> f64 {
        (self.burst() / URGENT_SHARE).max(1.0)
    }

    fn room(&self) -> f64 {
        self.burst() + self.urgent_share()
    }

    fn fill(&mut self, now: Duration) {
        let step = step_of(now);
        let passed = step.saturating_sub(self.filled_at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        self.tokens = (self.tokens + passed * self.rate * self.share).min(self.room());
        self.rate = (self.rate + passed * self.configured * RECOVERY_PER_S).min(self.configured);
        self.filled_at = step;
    }

    fn take(&mut self, now: Duration, wanted: u32, urgent: bool) -> Taken {
        self.fill(now);
        let kept = if urgent { 0.0 } else { self.urgent_share() };
        let there = whole(self.tokens - kept);
        let parts = there.min(wanted);
        self.tokens -= f64::from(parts);
        if parts == wanted {
            return Taken { parts, wait: Duration::ZERO };
        }
        // Until there is one part more, at the end of a step.
        let missing = (kept + 1.0 - self.tokens).max(0.0);
        // Without a share there is nothing to wait for but a change of it.
        let gathers = Duration::from_secs_f64((missing / (self.rate * self.share)).min(WAIT_MAX.as_secs_f64()));
        let ready = ceil_to_step(self.filled_at + gathers);
        Taken { parts, wait: ready.saturating_sub(now).max(Duration::from_micros(100)) }
    }

    fn slow_down(&mut self, now: Duration) {
        self.fill(now);
        if self.slowed_at.is_none_or(|at| now.saturating_sub(at) >= SLOW_DOWN_EVERY) {
            self.rate = (self.rate / 2.0).max(self.configured * RATE_LEFT_MIN);
            self.tokens = self.tokens.min(self.room());
            self.slowed_at = Some(now);
        }
    }
}

fn step_of(now: Duration) -> Duration {
    let step = STEP.as_nanos();
    nanos(now.as_nanos() / step * step)
}

fn ceil_to_step(time: Duration) -> Duration {
    let step = STEP.as_nanos();
    nanos(time.as_nanos().div_ceil(step) * step)
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Whole tokens; a hair below a whole one counts as whole, since the cell fills by fractions.
fn whole(tokens: f64) -> u32 {
    let floor = (tokens + 1e-6).floor().clamp(0.0, f64::from(u32::MAX));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32 just before")]
    let whole = floor as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Turned(AtomicU64);

    impl Clock for Turned {
        fn now_us(&self) -> i64 {
            0
        }
        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    impl Turned {
        fn turn(&self, by: Duration) {
            self.0.fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
        }
    }

    fn bucket(rate: f64) -> (Arc<Turned>, LocalBucket, AccountId) {
        let (clock, account) = (Arc::new(Turned::default()), AccountId::new("a").unwrap());
        let bucket = LocalBucket::new(clock.clone());
        bucket.configure(&account, rate);
        (clock, bucket, account)
    }

    /// Parts taken in so many seconds by somebody who takes as soon as told.
    fn drain(clock: &Turned, bucket: &LocalBucket, account: &AccountId, seconds: u64, urgent: bool) -> u32 {
        let (end, mut taken) = (clock.monotonic() + Duration::from_secs(seconds), 0);
        while clock.monotonic() < end {
            let got = bucket.take(account, 1_000, urgent);
            taken += got.parts;
            clock.turn(got.wait.max(Duration::from_micros(50)));
        }
        taken
    }

    #[test]
    fn the_rate_is_exact_fast_and_slow() {
        #[track_caller]
        fn check(rate: u32) {
            let (clock, bucket, account) = bucket(f64::from(rate));
            let taken = drain(&clock, &bucket, &account, 10, false);
            let slack = rate / 100 + 3;
            assert!((10 * rate - slack..=10 * rate + slack).contains(&taken), "{taken} at {rate}/s");
        }
        check(1);
        check(100);
        check(50_000);
        check(200_000);
    }

    #[test]
    fn who_holds_some_of_the_binds_has_their_share() {
        let (clock, bucket, account) = bucket(1_000.0);
        bucket.set_binds(&account, 1, 4);
        let taken = drain(&clock, &bucket, &account, 10, false);
        assert!((2_480..=2_520).contains(&taken), "{taken}");
        assert!((bucket.rate(&account) - 1_000.0).abs() < 1e-9, "what is announced is the account's");
        bucket.set_binds(&account, 0, 4);
        bucket.take(&account, 1_000, true);
        assert_eq!(drain(&clock, &bucket, &account, 10, true), 0);
        bucket.set_binds(&account, 4, 4);
        assert!(drain(&clock, &bucket, &account, 10, false) > 9_900);
    }

    #[test]
    fn tokens_come_in_steps() {
        let (clock, bucket, account) = bucket(10_000.0);
        clock.turn(Duration::from_secs(1));
        bucket.take(&account, 1_000, true);
        let mut writes = 0;
        for _ in 0..1_000 {
            clock.turn(Duration::from_micros(100));
            writes += u32::from(bucket.take(&account, 1_000, true).parts > 0);
        }
        assert!((48..=51).contains(&writes), "{writes} writes in 100 ms");
    }

    #[test]
    fn urgent_finds_tokens_while_bulk_takes_all() {
        let (clock, bucket, account) = bucket(1_000.0);
        drain(&clock, &bucket, &account, 1, false);
        while bucket.take(&account, 1_000, false).parts > 0 {}
        assert!(bucket.take(&account, 1, true).parts == 1, "the urgent share");
        let (_, bucket, account) = self::bucket(0.5);
        assert_eq!(bucket.take(&account, 1, false).parts, 0, "a new bucket is empty");
    }

    #[test]
    fn slows_down_once_and_recovers() {
        let (clock, bucket, account) = bucket(1_000.0);
        clock.turn(Duration::from_secs(1));
        for _ in 0..100 {
            bucket.slow_down(&account);
        }
        assert!((bucket.rate(&account) - 500.0).abs() < 1.0, "one window of throttled answers is one word");
        clock.turn(Duration::from_secs(5));
        assert!((bucket.rate(&account) - 750.0).abs() < 1.0);
        clock.turn(Duration::from_secs(60));
        assert!((bucket.rate(&account) - 1_000.0).abs() < 1e-6);
    }

    proptest! {
        /// Whoever takes and gives as they like: never more than the rate, a burst and the urgent share.
        #[test]
        fn never_more_than_the_rate(rate in 1.0..100_000.0_f64, steps in proptest::collection::vec((0..20_000_u64, 0..500_u32, any::<bool>(), any::<bool>()), 1..200)) {
            let (clock, bucket, account) = bucket(rate);
            let mut used = 0_u32;
            for (us, wanted, urgent, keep) in steps {
                clock.turn(Duration::from_micros(us));
                let taken = bucket.take(&account, wanted, urgent).parts;
                if keep { used += taken } else { bucket.give(&account, taken) }
            }
            let burst = (rate * 0.005).max(1.0);
            let most = clock.monotonic().as_secs_f64() * rate + burst + (burst / 4.0).max(1.0) + 1.0;
            prop_assert!(f64::from(used) <= most, "{used} of {most}");
        }
    }
}
