//! The rules of dispatch without any effect: what is known in memory, and what follows from it.
//!
//! The loop around it tells the engine what was read (controls, settlements, blocks, chunks), lets it [`Engine::run`],
//! commits what it wants stored, and publishes what it wants said. Time is an argument; there is no I/O.
//!
//! Must stay true: an index is in at most one unsettled release; what is published was committed before; memory holds
//! only what is under way, and the store can rebuild it at any moment.

mod account;
mod campaign;
mod changes;
mod chunk;
mod control;
mod data;
mod engine;
mod fetch;
mod outgoing;
mod over;
mod pick;
mod plan;
mod release;
mod row;
mod settle;
mod settled;
mod shard;
mod singles;
mod source;
mod status;
mod suppressed;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod turns;

use std::time::Duration;

use loa_domain::hours::DailyWindow;
use loa_domain::ids::{CampaignId, Shard};

pub(crate) use data::ChunkData;
pub(crate) use engine::Engine;
pub(crate) use fetch::Fetch;
pub use fetch::Head;
pub(crate) use outgoing::{Outgoing, Said};
pub(crate) use settled::Settled;
pub(crate) use singles::{NewChunk, SingleBody};
pub(crate) use status::Status;

/// Microseconds of a second.
pub(crate) const SECOND_US: i64 = 1_000_000;
/// Microseconds of a minute.
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;

/// What configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Tries of one message before it is rejected.
    pub(crate) tries_max: u8,
    /// Public information respects the do-not-call register too.
    pub(crate) respect_dnc_for_public: bool,
    /// Stands for the hours of every class and campaign; for demonstrations.
    pub(crate) hours_override: Option<DailyWindow>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { tries_max: 3, respect_dnc_for_public: true, hours_override: None }
    }
}

/// The two clocks, read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Wall time: microseconds since 1970.
    pub(crate) us: i64,
    /// Monotonic time of this process.
    pub(crate) mono: Duration,
}

/// An account's number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AccountNo(pub(crate) u16);

/// Where releases come from: the people of a variant in a shard that one account takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceKey {
    pub(crate) campaign: CampaignId,
    pub(crate) variant: u16,
    pub(crate) shard: Shard,
    pub(crate) account: AccountNo,
}
