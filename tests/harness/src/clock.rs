//! The machine's clock with a wall that a test can turn.
//!
//! Must stay true: monotonic time is the machine's, so leases and time-outs are not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loa_ports::clock::{Clock, SystemClock};

const HOUR_US: i64 = 3_600_000_000;
/// Việt Nam is seven hours ahead of UTC, all the year.
const LOCAL_US: i64 = 7 * HOUR_US;
const DAY_US: i64 = 24 * HOUR_US;

/// A clock that is ahead of the machine's, or behind it.
#[derive(Debug, Default)]
pub struct TurnedClock {
    machine: SystemClock,
    ahead_us: AtomicI64,
}

impl TurnedClock {
    /// As the machine's.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Turns the wall to that hour in Việt Nam, today.
    pub fn turn_to_local_hour(&self, hour: i64) {
        let now_us = self.machine.now_us();
        let of_day = (now_us + LOCAL_US).rem_euclid(DAY_US);
        self.ahead_us.store(hour * HOUR_US - of_day, Ordering::SeqCst);
    }

    /// Turns the wall ahead, or back.
    pub fn turn_by(&self, us: i64) {
        self.ahead_us.fetch_add(us, Ordering::SeqCst);
    }

    /// Turns the wall to that second of today in Việt Nam; a day has 86,400, those behind are tomorrow's.
    pub fn turn_to_local(&self, second: i64) {
        let of_day_us = (self.machine.now_us() + LOCAL_US).rem_euclid(DAY_US);
        self.ahead_us.store(second * 1_000_000 - of_day_us, Ordering::SeqCst);
    }

    /// The second of its day in Việt Nam.
    pub fn local_second(&self) -> i64 {
        (self.now_us() + LOCAL_US).rem_euclid(DAY_US) / 1_000_000
    }

    /// That second of its day in Việt Nam, microseconds since 1970.
    pub fn local_us(&self, second: i64) -> i64 {
        let now_us = self.now_us();
        now_us - (now_us + LOCAL_US).rem_euclid(DAY_US) + second * 1_000_000
    }

    /// How far it is ahead of the machine's; negative = behind.
    pub fn ahead_us(&self) -> i64 {
        self.ahead_us.load(Ordering::SeqCst)
    }
}

impl Clock for TurnedClock {
    fn now_us(&self) -> i64 {
        self.machine.now_us() + self.ahead_us()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

/// Microseconds since 1970 as the sinks' logs count them.
pub fn unix_us() -> u64 {
    u64::try_from(SystemClock::new().now_us()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_local() {
        let clock = TurnedClock::new();
        for hour in [3, 10, 23] {
            clock.turn_to_local_hour(hour);
            assert_eq!((clock.now_us() + LOCAL_US).rem_euclid(DAY_US) / HOUR_US, hour);
        }
        clock.turn_to_local(24 * 3_600 + 90);
        assert!((90..100).contains(&clock.local_second()), "tomorrow");
        assert_eq!(clock.local_us(90) / 1_000_000, clock.now_us() / 1_000_000 + 90 - clock.local_second());
    }
}
