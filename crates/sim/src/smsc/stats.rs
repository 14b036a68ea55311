//! What a message centre has done, for tests and for people.

use std::sync::atomic::{AtomicU64, Ordering};

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
            $(pub(super) $name: AtomicU64,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Connections bound now.
    bound,
    /// Binds refused.
    binds_refused,
    /// Submits accepted; each stands in the sink log.
    accepted,
    /// Submits answered with RTHROTTLED or RMSGQFUL.
    throttled,
    /// Submits refused for another reason.
    refused,
    /// Receipts written, repetitions included.
    receipts_sent,
    /// Receipts the client has acknowledged with status 0.
    receipts_acknowledged,
    /// Receipts the client has refused for now; they come again.
    receipts_refused,
}

pub(super) fn add(counter: &AtomicU64, number: u64) {
    if number > 0 {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}
