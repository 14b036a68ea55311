//! Chance with a seed (SplitMix64), so that a storm can be had again.
//!
//! Must stay true: the same seed and stream give the same throws, on every machine and in every release.

/// A stream of throws.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Stream `stream` of a seed; streams of one seed do not resemble each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self { state: seed };
        let mixed = dice.throw() ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self { state: mixed }
    }

    /// 64 bits.
    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw().checked_rem(limit).unwrap_or(0)
    }

    /// A place in a collection of that length, which must not be empty.
    pub fn index(&mut self, length: usize) -> usize {
        let limit = u64::try_from(length).expect("a length fits in 64 bits");
        usize::try_from(self.below(limit)).expect("a number below a length is an index")
    }

    /// True in this share of throws (0.0 never, 1.0 always).
    pub fn happens(&mut self, share: f64) -> bool {
        let bits = u32::try_from(self.throw() >> 32).expect("32 bits were left");
        f64::from(bits) < share * (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_can_be_had_again() {
        let throws = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            [dice.throw(), dice.throw(), dice.throw()]
        };
        assert_eq!(throws(7, 1), throws(7, 1));
        assert_ne!(throws(7, 1), throws(7, 2));
        assert_ne!(throws(7, 1), throws(8, 1));
    }

    #[test]
    fn shares_are_kept() {
        let mut dice = Dice::new(1, 0);
        assert!((0..1_000).all(|_| !dice.happens(0.0)));
        assert!((0..1_000).all(|_| dice.happens(1.0)));
        let hits = (0..10_000).filter(|_| dice.happens(0.25)).count();
        assert!((2_200..2_800).contains(&hits), "{hits} of 10,000 throws at a share of 0.25");
        assert!((0..1_000).all(|_| dice.below(3) < 3));
        assert_eq!(dice.below(0), 0);
    }
}
