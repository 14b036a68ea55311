//! Whether what was read of a topic is recent enough to act on.
//!
//! A reader asks the log for the topic's end and notes *when it asked*; once its position has reached that end, what it
//! knows is as new as that moment. No clock of another machine is compared.
//!
//! Must stay true: `is_fresh` is true only if the position equalled the end given in answer to a question asked at most
//! 1.5 s ago.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loa_domain::limits::VIEW_AGE_MS_MAX;

/// How often the end is asked for.
pub const ASK_EVERY: Duration = Duration::from_millis(400);

/// The moment as of which a view is known to be complete.
#[derive(Debug)]
pub struct Freshness {
    /// Monotonic microseconds of the newest answered question; negative = never.
    verified_us: AtomicI64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { verified_us: AtomicI64::new(-1) }
    }
}

impl Freshness {
    /// The question asked at that moment is answered: the position has reached the end.
    pub fn verified(&self, asked_at: Duration) {
        self.verified_us.fetch_max(micros(asked_at), Ordering::Release);
    }

    /// Whether the newest answered question was asked at most 1.5 s before now.
    pub fn is_fresh(&self, now: Duration) -> bool {
        let verified = self.verified_us.load(Ordering::Acquire);
        let age_max = micros(Duration::from_millis(VIEW_AGE_MS_MAX));
        verified >= 0 && micros(now).saturating_sub(verified) <= age_max
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// An open question: asked when, and the end that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// When it was asked, monotonic.
    pub asked_at: Duration,
    /// The end at that time.
    pub end: i64,
}

impl Question {
    /// Marks the view fresh if the position has reached the end; returns whether it had.
    pub fn settle(self, position: i64, freshness: &Freshness) -> bool {
        let reached = position >= self.end;
        if reached {
            freshness.verified(self.asked_at);
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_for_a_second_and_a_half_after_the_question() {
        let freshness = Freshness::default();
        let at = Duration::from_secs;
        assert!(!freshness.is_fresh(at(0)), "nothing was asked yet");
        assert!(!Question { asked_at: at(10), end: 5 }.settle(4, &freshness));
        assert!(!freshness.is_fresh(at(10)), "one record is missing");
        assert!(Question { asked_at: at(10), end: 5 }.settle(5, &freshness));
        assert!(freshness.is_fresh(Duration::from_millis(11_500)));
        assert!(!freshness.is_fresh(Duration::from_millis(11_501)));
    }
}
