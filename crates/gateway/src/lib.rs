//! What the gateways share: partitions, claims, the last look, results, settlements, buckets.
//!
//! A gateway reads releases, decides each slice by one claim, hands its messages over through lines (binds, connections)
//! that pull, and says what became of them. What differs by channel (how a content becomes octets, how a server's words
//! are read) is in the services.
//!
//! Must stay true: nothing is written to a carrier before a durable claim `begun`; nothing is given back that has neither a
//! durable claim `returning` nor was begun here and not handed over; right before each message its deadline, its campaign,
//! the age of what is known and the blocks of the last hour are looked at.
#![warn(missing_docs)]

pub mod account;
pub mod blocks;
pub mod bucket;
mod claim;
pub mod content;
mod decide;
pub mod engine;
mod forget;
pub mod gateway;
mod live;
pub mod look;
pub mod message;
mod meters;
pub mod offer;
pub mod partition;
pub mod progress;
mod publish;
mod queue;
mod read;
mod settle;

pub use account::{Account, AccountSpec, LineState, Opening};
pub use blocks::BlocksView;
pub use bucket::LocalBucket;
pub use content::{PeerRegistry, Registry, RegistryAway};
pub use engine::{Engine, Medium, Parts, Slice};
pub use gateway::{DRAIN, Line, Lines, Others, run};
pub use message::Answer;
pub use meters::Meters;
pub use offer::{Addresses, Offer};
pub use queue::{Begun, Leaves, Word};
