//! What a node holds: blocks of parts that end, and tokens that appear with time.
//!
//! Must stay true: a part of a block is not handed out after the block's end, but for one part that a node may keep, so
//! that an account slower than one part per block sends at all.

use std::collections::VecDeque;
use std::time::Duration;

use super::{STEP, STEP_BURST};

/// Parts sold by Redis, the earliest end first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    living: VecDeque<Block>,
    kept: bool,
}

#[derive(Debug)]
struct Block {
    parts: u32,
    ends: Duration,
}

impl Blocks {
    pub(super) fn total(&self) -> u32 {
        self.living.iter().map(|block| block.parts).sum::<u32>() + u32::from(self.kept)
    }

    /// Adds parts; blocks are few, since a node asks once in a block's time.
    pub(super) fn add(&mut self, parts: u32, ends: Duration) {
        if parts > 0 {
            let at = self.living.partition_point(|block| block.ends < ends);
            self.living.insert(at, Block { parts, ends });
        }
    }

    /// Forgets what has ended.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(block) = self.living.pop_front_if(|block| block.ends <= now || block.parts == 0) {
            self.kept |= block.parts > 0;
        }
    }

    /// Takes so many parts, which must be there; says until when they could have been taken.
    pub(super) fn take(&mut self, parts: u32, now: Duration) -> Duration {
        let mut missing = parts;
        if missing > 0 && self.kept {
            self.kept = false;
            missing -= 1;
        }
        let ends = self.living.front().map_or(now, |block| block.ends);
        for block in &mut self.living {
            let taken = block.parts.min(missing);
            block.parts -= taken;
            missing -= taken;
        }
        debug_assert_eq!(missing, 0, "more was taken than is there");
        ends
    }

    pub(super) fn clear(&mut self) {
        self.living.clear();
        self.kept = false;
    }
}

/// Tokens that appear at a rate, in steps, up to a burst.
#[derive(Debug, Default)]
pub(super) struct Filling {
    tokens: f64,
    filled_at: Duration,
}

impl Filling {
    /// An empty one.
    pub(super) fn empty(now: Duration) -> Self {
        Self { tokens: 0.0, filled_at: step_of(now) }
    }

    pub(super) fn fill(&mut self, now: Duration, rate: f64) {
        let step = step_of(now);
        let passed = step.saturating_sub(self.filled_at).as_secs_f64();
        if passed > 0.0 {
            self.tokens = (self.tokens + passed * rate).min(burst(rate));
            self.filled_at = step;
        }
    }

    pub(super) fn whole(&self) -> u32 {
        whole(self.tokens)
    }

    pub(super) fn take(&mut self, parts: u32) {
        self.tokens -= f64::from(parts);
    }

    pub(super) fn give(&mut self, parts: u32, rate: f64) {
        self.tokens = (self.tokens + f64::from(parts)).min(burst(rate));
    }

    /// When there is a whole one more, at the end of a step.
    pub(super) fn one_more_at(&self, rate: f64) -> Duration {
        const HOUR_S: f64 = 3_600.0;
        let missing = (1.0 - self.tokens).max(0.0);
        let seconds = if rate > 0.0 { (missing / rate).min(HOUR_S) } else { HOUR_S };
        ceil_to_step(self.filled_at + Duration::from_secs_f64(seconds))
    }
}

fn burst(rate: f64) -> f64 {
    (rate * STEP_BURST.as_secs_f64()).max(1.0)
}

fn step_of(now: Duration) -> Duration {
    nanos(now.as_nanos() / STEP.as_nanos() * STEP.as_nanos())
}

fn ceil_to_step(time: Duration) -> Duration {
    nanos(time.as_nanos().div_ceil(STEP.as_nanos()) * STEP.as_nanos())
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Whole tokens; a hair below a whole one counts as whole, since they appear in fractions.
pub(super) fn whole(tokens: f64) -> u32 {
    let floor = (tokens + 1e-6).floor().clamp(0.0, f64::from(u32::MAX));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32 just before")]
    let whole = floor as u32;
    whole
}
