//! How long to wait before the next connection: twice as long each time, never the same for two tasks.
//!
//! Must stay true: between half of the step and the step, so that connections that failed together do not come back
//! together; at most [`WAIT_MAX`].

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first step.
pub(crate) const WAIT_FIRST: Duration = Duration::from_millis(250);
/// The longest step.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

/// Steps of waiting.
#[derive(Debug)]
pub(crate) struct Backoff {
    step: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { step: WAIT_FIRST }
    }

    /// A connection did some work: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.step = WAIT_FIRST;
    }

    /// How long to wait now.
    pub(crate) fn wait(&mut self) -> Duration {
        // The standard library's randomly keyed hasher: this needs to differ, not to be unpredictable.
        let random = RandomState::new().hash_one(0u8) % 1_000;
        let step = self.step;
        self.step = (step * 2).min(WAIT_MAX);
        step / 2 + (step / 2).mul_f64(f64::from(u32::try_from(random).unwrap_or_default()) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_up_to_the_most() {
        let mut backoff = Backoff::new();
        let mut step = WAIT_FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
            step = (step * 2).min(WAIT_MAX);
        }
        assert_eq!(step, WAIT_MAX);
        backoff.reset();
        assert!(backoff.wait() <= WAIT_FIRST);
    }
}
