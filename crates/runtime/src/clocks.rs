//! Is this machine's wall clock right? Compared with the clock of each database the process works on.
//!
//! Hours of the law, deadlines and ends of campaigns are wall time, and the machines of an installation share nothing but
//! their databases. Leases and time-outs do not look at the wall, so they need none of this.
//!
//! A wall that moves against the monotonic clock ([`Steady`]) is compared at once. Where no database of another clock
//! answers (files have this machine's), nobody can say which time was right: such a move stops bulk by itself until it is
//! taken back, or has stood for a minute.
//!
//! Must stay true: over 5 s of certain difference no bulk message is released by this process or leaves it; a slow answer
//! alone is no difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_ports::store::{StoreClock, StoreError};
use tokio::sync::watch;

use crate::ctx::Ctx;
use crate::probes::Readiness;
use crate::service::{Service, ServiceError};

/// How often clocks are compared.
pub const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// How often while bulk is stopped, so that bulk goes on soon after it was set right.
pub const COMPARE_AGAIN: Duration = Duration::from_secs(5);
/// How often the wall is held against the monotonic clock.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A wall that was moved and that nobody can judge is believed after this.
pub const BELIEVED_AFTER: Duration = Duration::from_secs(60);
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
    is_off: Arc<watch::Sender<bool>>,
}

impl Clocks {
    /// Whether bulk may leave by this clock. Before the first comparison it may: a claim needs the same database.
    pub fn agree(&self) -> bool {
        !*self.is_off.borrow()
    }

    /// Changes with [`Clocks::agree`].
    pub fn changed(&self) -> watch::Receiver<bool> {
        self.is_off.subscribe()
    }

    /// What the newest comparison says.
    pub fn set(&self, verdict: Verdict) {
        let is_off = verdict == Verdict::Stop;
        self.is_off.send_if_modified(|known| std::mem::replace(known, is_off) != is_off);
    }
}

/// The wall as the monotonic clock says that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    /// The wall at the monotonic clock's zero.
    zero_us: i64,
    /// Since when the wall stands elsewhere, and how far.
    moved: Option<(Duration, i64)>,
}

impl Steady {
    /// The wall is as it is now.
    pub fn at(wall_us: i64, monotonic: Duration) -> Self {
        Self { zero_us: wall_us.saturating_sub(micros(monotonic)), moved: None }
    }

    /// How far the wall was moved, above 0 = ahead; what has stood for [`BELIEVED_AFTER`] is believed.
    pub fn moved_us(&mut self, wall_us: i64, monotonic: Duration) -> i64 {
        let step_us = wall_us.saturating_sub(micros(monotonic)).saturating_sub(self.zero_us);
        let is_other = |(_, known_us): &(Duration, i64)| step_us.saturating_sub(*known_us).saturating_abs() > WARN_US;
        let since = match self.moved.filter(|moved| !is_other(moved)) {
            Some((since, _)) => since,
            None => monotonic,
        };
        let is_small = step_us.saturating_abs() <= WARN_US;
        if is_small || monotonic.saturating_sub(since) >= BELIEVED_AFTER {
            *self = Self::at(wall_us, monotonic);
            return 0;
        }
        self.moved = Some((since, step_us));
        step_us
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
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
        micros(self.round_trip / 2)
    }

    /// What it means.
    pub fn verdict(self) -> Verdict {
        judged(self.certain_us())
    }
}

/// What a difference means.
fn judged(difference_us: i64) -> Verdict {
    match difference_us.saturating_abs() {
        us if us > STOP_US => Verdict::Stop,
        us if us > WARN_US => Verdict::Warn,
        _ => Verdict::Agree,
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
        let mut steady = Steady::at(ctx.now_us(), ctx.monotonic());
        loop {
            let moved_us = steady.moved_us(ctx.now_us(), ctx.monotonic());
            if moved_us.saturating_abs() > STOP_US {
                ctx.clocks().set(Verdict::Stop); // until the databases have said what they think of it
            }
            let worst = self.compare(&ctx, moved_us, &mut known).await;
            let wait = if worst == Verdict::Stop { COMPARE_AGAIN } else { COMPARE_EVERY };
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = until_moved(&ctx, &mut steady, moved_us, wait) => {}
            }
        }
    }
}

/// Waits, but not longer than until the wall stands elsewhere than it did.
async fn until_moved(ctx: &Ctx, steady: &mut Steady, from_us: i64, wait: Duration) {
    let until = ctx.monotonic() + wait;
    while ctx.monotonic() < until {
        ctx.beat(LOOK_EVERY).await;
        if steady.moved_us(ctx.now_us(), ctx.monotonic()).saturating_sub(from_us).saturating_abs() > WARN_US {
            return;
        }
    }
}

/// What the last comparison rests on.
#[derive(Debug, Clone, Copy)]
enum Worst {
    /// The database whose clock is the farthest.
    Database(&'static str, Sample),
    /// The wall was moved, and nobody could judge it.
    Moved(i64),
}

impl ClockWatch {
    /// Asks every database; one that does not answer counts as it last did. A move of the wall counts where none with a
    /// clock of its own has answered.
    async fn compare(&self, ctx: &Ctx, moved_us: i64, known: &mut BTreeMap<&'static str, Sample>) -> Verdict {
        let mut is_judged = false;
        for (role, clock) in &self.databases {
            match sample(ctx, clock.as_ref()).await {
                Ok(sample) => {
                    is_judged |= !clock.is_of_this_machine();
                    known.insert(*role, sample);
                }
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
        let farthest = known.iter().max_by_key(|(_, sample)| sample.certain_us());
        let farthest = farthest.map(|(role, sample)| (sample.verdict(), Worst::Database(role, *sample)));
        let moved = (!is_judged && moved_us != 0).then(|| (judged(moved_us), Worst::Moved(moved_us)));
        let worst = farthest.into_iter().chain(moved).max_by_key(|(verdict, _)| *verdict);
        let verdict = worst.map_or(Verdict::Agree, |(verdict, _)| verdict);
        ctx.clocks().set(verdict);
        self.tell(verdict, worst.map(|(_, worst)| worst));
        verdict
    }

    fn tell(&self, verdict: Verdict, worst: Option<Worst>) {
        let Some(worst) = worst else { return self.readiness.holds(CONDITION) };
        let (role, offset_us) = match worst {
            Worst::Database(role, sample) => (role, sample.offset_us()),
            Worst::Moved(moved_us) => ("", moved_us),
        };
        let (offset_ms, code) = (offset_us / 1_000, "LOA-004");
        match verdict {
            Verdict::Agree => {}
            Verdict::Warn => tracing::warn!(role, offset_ms, "this machine's clock is not where it should be"),
            Verdict::Stop => {
                tracing::error!(role, offset_ms, code, "this machine's clock is wrong; no bulk message leaves");
                let (side, ms) = (if offset_ms > 0 { "ahead" } else { "behind" }, offset_ms.abs());
                let (of, until) = match worst {
                    Worst::Database(role, _) => (format!(" of the database of {role}"), "it is set right".to_owned()),
                    Worst::Moved(_) => (
                        " of where it was a moment ago".to_owned(),
                        format!("it is set back or has stood for {} s", BELIEVED_AFTER.as_secs()),
                    ),
                };
                let why =
                    format!("{code} this machine's clock is {ms} ms {side}{of}; no bulk message leaves until {until}");
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
        is_one: bool,
    }

    impl Faces {
        fn new(is_one: bool) -> Arc<Self> {
            Arc::new(Self { ours: Mutex::new((NOW_US, Duration::ZERO)), database: Mutex::new(None), is_one })
        }
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
            let ours_us = self.is_one.then_some(ours.0 - 100_000);
            let theirs = ours_us.or_else(|| *self.database.lock().unwrap());
            theirs.ok_or_else(|| StoreError::Away { why: "down".to_owned() })
        }

        fn is_of_this_machine(&self) -> bool {
            self.is_one
        }
    }

    #[tokio::test]
    async fn a_wrong_clock_stops_bulk_and_is_told_until_it_is_set_right() {
        let faces = Faces::new(false);
        let ctx = Ctx::test(Arc::clone(&faces) as _, "n1");
        let watch = ClockWatch { databases: vec![("sms", Arc::clone(&faces) as _)], readiness: Readiness::default() };
        let mut known = BTreeMap::new();
        assert_eq!(watch.compare(&ctx, 0, &mut known).await, Verdict::Agree, "no answer is no difference");
        let mut compare = async |database_us: Option<i64>| {
            *faces.database.lock().unwrap() = database_us;
            faces.ours.lock().unwrap().0 = NOW_US;
            let verdict = watch.compare(&ctx, 0, &mut known).await;
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

    #[test]
    fn a_wall_that_was_moved_is_believed_after_a_minute() {
        let mut steady = Steady::at(NOW_US, Duration::from_secs(10));
        let mut check = |monotonic_s: u64, moved_s: i64, expected_s: i64| {
            let monotonic = Duration::from_secs(monotonic_s);
            let wall_us = NOW_US - 10 * SECOND_US + micros(monotonic) + moved_s * SECOND_US;
            assert_eq!(steady.moved_us(wall_us, monotonic), expected_s * SECOND_US, "at {monotonic_s} s");
        };
        check(11, 0, 0);
        check(20, 3_600, 3_600);
        check(79, 3_600, 3_600);
        check(79, 0, 0); // set back
        check(80, -40, -40);
        check(100, 900, 900); // moved again: the minute begins anew
        check(159, 900, 900);
        check(160, 900, 0);
        check(161, 900, 0); // that is the time from now on
        check(162, 0, -900);
    }

    #[tokio::test]
    async fn where_nobody_can_judge_a_move_stops_bulk() {
        let check = async |is_one: bool, database_us: Option<i64>, expected: Verdict| {
            let faces = Faces::new(is_one);
            *faces.database.lock().unwrap() = database_us;
            let ctx = Ctx::test(Arc::clone(&faces) as _, "n1");
            let readiness = Readiness::default();
            let watch = ClockWatch { databases: vec![("sms", Arc::clone(&faces) as _)], readiness };
            let verdict = watch.compare(&ctx, 40 * SECOND_US, &mut BTreeMap::new()).await;
            let found = (verdict, ctx.clocks().agree(), watch.readiness.is_ready());
            assert_eq!(
                found,
                (expected, expected != Verdict::Stop, expected != Verdict::Stop),
                "{is_one} {database_us:?}"
            );
        };
        check(true, None, Verdict::Stop).await; // files: their clock moved with ours
        check(false, None, Verdict::Stop).await; // the database is away
        check(false, Some(NOW_US + 100_000), Verdict::Agree).await; // it says that we are right now
    }

    #[tokio::test]
    async fn a_move_is_compared_at_once() {
        let faces = Faces::new(true);
        let ctx = Ctx::test(Arc::clone(&faces) as _, "n1");
        let watch = ClockWatch { databases: Vec::new(), readiness: Readiness::default() };
        let mut changes = ctx.clocks().changed();
        let running = Box::new(watch).run(ctx.clone());
        let moving = async {
            faces.ours.lock().unwrap().0 += 3_600 * SECOND_US;
            changes.changed().await.unwrap();
            assert!(!ctx.clocks().agree());
            faces.ours.lock().unwrap().0 -= 3_600 * SECOND_US;
            changes.changed().await.unwrap();
            assert!(ctx.clocks().agree());
            ctx.stop();
        };
        let both = async { tokio::join!(biased; running, moving).0 };
        tokio::time::timeout(COMPARE_EVERY / 2, both).await.expect("it is seen at once").unwrap();
    }
}
