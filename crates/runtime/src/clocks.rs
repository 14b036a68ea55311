//! Is this machine's wall clock right? Compared with the clock of each database the process works on.
//!
//! Hours of the law, deadlines and ends of campaigns are wall time, and the machines of an installation share nothing but
//! their databases. Leases and time-outs do not look at the wall, so they need none of this.
//!
//! Must stay true: over 5 s of certain difference no bulk message leaves this process; a slow answer alone is no difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loa_ports::store::{StoreClock, StoreError};

use crate::ctx::Ctx;
use crate::probes::Readiness;
use crate::service::{Service, ServiceError};

/// How often clocks are compared.
pub const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// How often while bulk is stopped, so that bulk goes on soon after it was set right.
pub const COMPARE_AGAIN: Duration = Duration::from_secs(5);
/// More than this is worth a warning.
pub const WARN_US: i64 = 1_000_000;
/// More than this, and no bulk message leaves.
pub const STOP_US: i64 = 5_000_000;
/// A database that does not answer within this is asked again next time.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The condition on /ready.
const CONDITION: &str = "clock";
const MICROS: f64 = 1_000_000.0;

/// Whether this process's clock may be trusted with bulk; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    is_off: Arc<AtomicBool>,
}

impl Clocks {
    /// Whether bulk may leave by this clock. Before the first comparison it may: a claim needs the same database.
    pub fn agree(&self) -> bool {
        !self.is_off.load(Ordering::Acquire)
    }

    /// What the newest comparison says.
    pub fn set(&self, verdict: Verdict) {
        self.is_off.store(verdict == Verdict::Stop, Ordering::Release);
    }
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What the database said, microseconds since 1970.
    pub database_us: i64,
    /// Our wall when the answer was there.
    pub wall_us: i64,
    /// From question to answer, on the monotonic clock.
    pub round_trip: Duration,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing.
    Agree,
    /// Somebody should look at the machine's time service.
    Warn,
    /// No bulk message leaves.
    Stop,
}

impl Sample {
    /// How far our clock is ahead of the database's, as if it had answered half-way; negative = behind.
    pub fn offset_us(self) -> i64 {
        self.wall_us.saturating_sub(self.half_us()).saturating_sub(self.database_us)
    }

    /// The difference that is certain: the answer was given at some moment of the round trip.
    fn certain_us(self) -> i64 {
        self.offset_us().saturating_abs().saturating_sub(self.half_us()).max(0)
    }

    fn half_us(self) -> i64 {
        i64::try_from(self.round_trip.as_micros() / 2).unwrap_or(i64::MAX)
    }

    /// What it means.
    pub fn verdict(self) -> Verdict {
        match self.certain_us() {
            us if us > STOP_US => Verdict::Stop,
            us if us > WARN_US => Verdict::Warn,
            _ => Verdict::Agree,
        }
    }
}

/// Asks a database for its time.
async fn sample(ctx: &Ctx, clock: &dyn StoreClock) -> Result<Sample, StoreError> {
    let asked_at = ctx.monotonic();
    let answer = tokio::time::timeout(ANSWER_WAIT, clock.database_now_us()).await;
    let database_us =
        answer.map_err(|_| StoreError::Away { why: "no answer to the question for its time".to_owned() })??;
    let (wall_us, round_trip) = (ctx.now_us(), ctx.monotonic().saturating_sub(asked_at));
    Ok(Sample { database_us, wall_us, round_trip })
}

/// Compares for as long as the process lives.
pub struct ClockWatch {
    /// The databases, by role.
    pub databases: Vec<(&'static str, Arc<dyn StoreClock>)>,
    /// Where it is told.
    pub readiness: Readiness,
}

#[async_trait]
impl Service for ClockWatch {
    fn name(&self) -> &'static str {
        "clock watch"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let mut known = BTreeMap::new();
        loop {
            let worst = self.compare(&ctx, &mut known).await;
            let wait = if worst == Verdict::Stop { COMPARE_AGAIN } else { COMPARE_EVERY };
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl ClockWatch {
    /// Asks every database; one that does not answer counts as it last did.
    async fn compare(&self, ctx: &Ctx, known: &mut BTreeMap<&'static str, Sample>) -> Verdict {
        for (role, clock) in &self.databases {
            match sample(ctx, clock.as_ref()).await {
                Ok(sample) => drop(known.insert(*role, sample)),
                Err(error) => tracing::warn!(role, %error, "the database did not tell its time"),
            }
        }
        let offsets = ctx.metrics().float_gauge_vec(
            "loa_clock_offset_seconds",
            "How far this machine's clock is ahead of the database's",
            &["role"],
        );
        for (role, sample) in &*known {
            #[allow(clippy::cast_precision_loss, reason = "seconds of an offset need no 53 bits of microseconds")]
            offsets.with_label_values(&[role]).set(sample.offset_us() as f64 / MICROS);
        }
        let worst = known.iter().max_by_key(|(_, sample)| sample.certain_us());
        let verdict = worst.map_or(Verdict::Agree, |(_, sample)| sample.verdict());
        ctx.clocks().set(verdict);
        self.tell(verdict, worst);
        verdict
    }

    fn tell(&self, verdict: Verdict, worst: Option<(&&'static str, &Sample)>) {
        let Some((role, offset_ms)) = worst.map(|(role, sample)| (*role, sample.offset_us() / 1_000)) else { return };
        match verdict {
            Verdict::Agree => {}
            Verdict::Warn => tracing::warn!(role, offset_ms, "this machine's clock differs from the database's"),
            Verdict::Stop => {
                let code = "LOA-004";
                tracing::error!(role, offset_ms, code, "this machine's clock is wrong; no bulk message leaves");
                let side = if offset_ms > 0 { "ahead of" } else { "behind" };
                let ms = offset_ms.abs();
                let why = format!(
                    "{code} this machine's clock is {ms} ms {side} the database of {role}; no bulk message leaves until it is set right"
                );
                return self.readiness.not(CONDITION, why);
            }
        }
        self.readiness.holds(CONDITION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_ports::clock::Clock;
    use std::sync::Mutex;

    const NOW_US: i64 = 1_764_000_000_000_000;
    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn a_difference_is_judged_beyond_what_the_round_trip_explains() {
        #[track_caller]
        fn check(ahead_us: i64, round_trip_ms: u64, offset_us: i64, expected: Verdict) {
            let round_trip = Duration::from_millis(round_trip_ms);
            let sample = Sample { database_us: NOW_US, wall_us: NOW_US + ahead_us, round_trip };
            assert_eq!((sample.offset_us(), sample.verdict()), (offset_us, expected));
        }
        check(0, 0, 0, Verdict::Agree);
        check(SECOND_US, 0, SECOND_US, Verdict::Agree);
        check(SECOND_US + 1, 0, SECOND_US + 1, Verdict::Warn);
        check(-SECOND_US - 1, 0, -SECOND_US - 1, Verdict::Warn);
        check(5 * SECOND_US, 0, 5 * SECOND_US, Verdict::Warn);
        check(5 * SECOND_US + 1, 0, 5 * SECOND_US + 1, Verdict::Stop);
        check(-5 * SECOND_US - 1, 0, -5 * SECOND_US - 1, Verdict::Stop);
        // Our wall read 8 s after the question: the database may have answered at any moment of them.
        check(8 * SECOND_US, 8_000, 4 * SECOND_US, Verdict::Agree);
        check(0, 8_000, -4 * SECOND_US, Verdict::Agree);
        check(14 * SECOND_US, 8_000, 10 * SECOND_US, Verdict::Stop);
        check(i64::MAX - NOW_US, 0, i64::MAX - NOW_US, Verdict::Stop);
    }

    /// Both faces as the test says; each question takes 200 ms.
    #[derive(Debug)]
    struct Faces {
        ours: Mutex<(i64, Duration)>,
        database: Mutex<Option<i64>>,
    }

    impl Clock for Faces {
        fn now_us(&self) -> i64 {
            self.ours.lock().unwrap().0
        }
        fn monotonic(&self) -> Duration {
            self.ours.lock().unwrap().1
        }
    }

    #[async_trait]
    impl StoreClock for Faces {
        async fn database_now_us(&self) -> Result<i64, StoreError> {
            let mut ours = self.ours.lock().unwrap();
            ours.0 += 200_000;
            ours.1 += Duration::from_millis(200);
            self.database.lock().unwrap().ok_or_else(|| StoreError::Away { why: "down".to_owned() })
        }
    }

    #[tokio::test]
    async fn a_wrong_clock_stops_bulk_and_is_told_until_it_is_set_right() {
        let faces = Arc::new(Faces { ours: Mutex::new((NOW_US, Duration::ZERO)), database: Mutex::new(None) });
        let ctx = Ctx::test(Arc::clone(&faces) as _, "n1");
        let watch = ClockWatch { databases: vec![("sms", Arc::clone(&faces) as _)], readiness: Readiness::default() };
        let mut known = BTreeMap::new();
        assert_eq!(watch.compare(&ctx, &mut known).await, Verdict::Agree, "no answer is no difference");
        let mut compare = async |database_us: Option<i64>| {
            *faces.database.lock().unwrap() = database_us;
            faces.ours.lock().unwrap().0 = NOW_US;
            let verdict = watch.compare(&ctx, &mut known).await;
            (verdict, ctx.clocks().agree(), watch.readiness.is_ready())
        };
        assert_eq!(compare(Some(NOW_US + 100_000)).await, (Verdict::Agree, true, true));
        assert!(ctx.metrics().text().contains("loa_clock_offset_seconds{role=\"sms\"} 0\n"), "half-way counts");
        assert_eq!(compare(Some(NOW_US + 3 * SECOND_US)).await, (Verdict::Warn, true, true));
        assert_eq!(compare(Some(NOW_US - 6 * SECOND_US)).await, (Verdict::Stop, false, false));
        assert!(ctx.metrics().text().contains("loa_clock_offset_seconds{role=\"sms\"} 6.1\n"));
        assert_eq!(compare(None).await, (Verdict::Stop, false, false), "silence mends nothing");
        assert_eq!(compare(Some(NOW_US)).await, (Verdict::Agree, true, true));
    }
}
