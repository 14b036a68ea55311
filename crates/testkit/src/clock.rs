//! A clock that stands still until a test turns it.
//!
//! Must stay true: wall and monotonic time move only by [`FakeClock::turn`]; [`FakeClock::set_wall`] moves the wall alone,
//! as a person or NTP would.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use loa_ports::clock::Clock;

/// Monday, 5 January 2026, 09:00 in Việt Nam: inside everybody's hours.
pub const MORNING_US: i64 = 1_767_578_400_000_000;

/// Wall and monotonic time as a test says.
#[derive(Debug)]
pub struct FakeClock {
    wall_us: AtomicI64,
    monotonic_us: AtomicU64,
}

impl FakeClock {
    /// Stands at [`MORNING_US`].
    pub fn new() -> Arc<Self> {
        Self::at(MORNING_US)
    }

    /// Stands at that wall time, microseconds since 1970.
    pub fn at(wall_us: i64) -> Arc<Self> {
        Arc::new(Self { wall_us: AtomicI64::new(wall_us), monotonic_us: AtomicU64::new(0) })
    }

    /// Lets that much time pass on both faces.
    pub fn turn(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).expect("a turn fits in 64 bits of microseconds");
        self.monotonic_us.fetch_add(us, Ordering::SeqCst);
        self.wall_us.fetch_add(i64::try_from(us).expect("a turn fits in 63 bits of microseconds"), Ordering::SeqCst);
    }

    /// Sets the wall time alone.
    pub fn set_wall(&self, wall_us: i64) {
        self.wall_us.store(wall_us, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now_us(&self) -> i64 {
        self.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_us.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_until_turned() {
        let clock = FakeClock::new();
        clock.turn(Duration::from_secs(2));
        assert_eq!((clock.now_us(), clock.monotonic()), (MORNING_US + 2_000_000, Duration::from_secs(2)));
        clock.set_wall(7);
        assert_eq!((clock.now_us(), clock.monotonic()), (7, Duration::from_secs(2)));
    }
}
