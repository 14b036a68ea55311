//! The storm inside a store: COMMITs that fail, most of them after they took effect.
//!
//! A file in the same process never loses the answer to a COMMIT, a database over a network does. Tests turn this on, so
//! that every caller's way through [`StoreError::Uncertain`](loa_ports::store::StoreError::Uncertain) is walked.
//!
//! Must stay true: the same seed and the same order of COMMITs give the same faults.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which COMMITs fail.
#[derive(Debug)]
pub struct Faults {
    state: AtomicU64,
    /// Share of failing COMMITs, in millionths.
    share: AtomicU64,
}

/// What happens to one COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It takes effect and says so.
    Answered,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// It does not take effect, and the answer is lost.
    Lost,
}

impl Faults {
    /// `share` of the COMMITs fail, from 0 to 1.
    pub fn new(seed: u64, share: f64) -> Self {
        let faults = Self { state: AtomicU64::new(seed), share: AtomicU64::new(0) };
        faults.set_share(share);
        faults
    }

    /// Changes the share, so a test can end in calm weather.
    pub fn set_share(&self, share: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1,000,000")]
        let millionths = (share.clamp(0.0, 1.0) * 1e6) as u64;
        self.share.store(millionths, Ordering::Relaxed);
    }

    pub(crate) fn next(&self) -> Fate {
        let drawn = splitmix64(self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
        if drawn % 1_000_000 >= self.share.load(Ordering::Relaxed) {
            Fate::Answered
        } else if drawn >> 62 == 0 {
            Fate::Lost
        } else {
            Fate::AnswerLost
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix64(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_seed_decide() {
        let draw = |seed, share| {
            let faults = Faults::new(seed, share);
            (0..10_000).map(|_| faults.next()).collect::<Vec<_>>()
        };
        let count = |fates: &[Fate], fate| fates.iter().filter(|found| **found == fate).count();

        assert_eq!(draw(1, 0.3), draw(1, 0.3));
        assert_ne!(draw(1, 0.3), draw(2, 0.3));
        assert_eq!(count(&draw(1, 0.0), Fate::Answered), 10_000);
        assert_eq!(count(&draw(1, 1.0), Fate::Answered), 0);
        let stormy = draw(7, 0.3);
        assert!((2_700..3_300).contains(&(10_000 - count(&stormy, Fate::Answered))));
        assert!(count(&stormy, Fate::AnswerLost) > count(&stormy, Fate::Lost)); // most took effect
        assert!(count(&stormy, Fate::Lost) > 500);
    }
}
