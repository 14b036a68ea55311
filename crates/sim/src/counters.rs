//! Numbers that many connections raise at once, and how a simulator tells them.
//!
//! Must stay true: a simulator's `Stats` has exactly the numbers that are counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes `Counters`, raised by connections, and `Stats`, the same numbers as they stand.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, counted by many connections at once.
        #[derive(Default)]
        pub(super) struct Counters {
            $(pub(super) $name: std::sync::atomic::AtomicU64,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(std::sync::atomic::Ordering::Relaxed),)* }
            }
        }
    };
}

pub(crate) use counters;

/// Raises a number.
pub(crate) fn add(counter: &AtomicU64, number: u64) {
    if number > 0 {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

/// Draws the next number.
pub(crate) fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
