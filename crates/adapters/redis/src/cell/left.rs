//! How much of its rate is left to an account that was told to slow down.
//!
//! Redis holds the word that counts; this is what a node knows of it between two answers, and what it goes by without any.
//! Must stay true: words within a second are one; at least 1/64 is left, and it comes back by 5 % of the rate a second.

use std::time::Duration;

/// A slowed account gains this much of its configured rate each second.
pub(crate) const RECOVERY_PER_S: f64 = 0.05;
/// However often it is told to slow down, this much of the configured rate is left.
pub(crate) const LEFT_MIN: f64 = 1.0 / 64.0;
/// Words to slow down within this time are one: they answer the same window.
pub(crate) const SLOW_DOWN_EVERY: Duration = Duration::from_secs(1);

/// A share of the configured rate, and whether Redis has still to hear that it was halved.
#[derive(Debug)]
pub(super) struct Left {
    share: f64,
    at: Duration,
    slowed_at: Option<Duration>,
    pub(super) untold: bool,
}

impl Left {
    pub(super) fn all(now: Duration) -> Self {
        Self { share: 1.0, at: now, slowed_at: None, untold: false }
    }

    pub(super) fn now(&self, now: Duration) -> f64 {
        (self.share + now.saturating_sub(self.at).as_secs_f64() * RECOVERY_PER_S).min(1.0)
    }

    /// Whether Redis should be told even if nobody takes.
    pub(super) fn is_news(&self, now: Duration) -> bool {
        self.untold && self.slowed_at.is_some_and(|at| now.saturating_sub(at) < SLOW_DOWN_EVERY)
    }

    /// Halves it; true if this was a new word.
    pub(super) fn slow_down(&mut self, now: Duration) -> bool {
        let new = self.slowed_at.is_none_or(|at| now.saturating_sub(at) >= SLOW_DOWN_EVERY);
        if new {
            *self = Self { share: (self.now(now) / 2.0).max(LEFT_MIN), at: now, slowed_at: Some(now), untold: true };
        }
        new
    }

    /// What Redis says; our own word that it has not heard yet still counts.
    pub(super) fn told(&mut self, share: f64, now: Duration) {
        let share = share.clamp(LEFT_MIN, 1.0);
        self.share = if self.untold { share.min(self.now(now)) } else { share };
        self.at = now;
    }
}
