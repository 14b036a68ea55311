//! The ledger: a projection of settlements and outcomes; decides nothing, and nothing waits for it.
//!
//! Must stay true: counts are computed from per-recipient states; reading any record again, in any order, changes nothing.

mod chunk;
mod chunks;
mod counts;
mod export;
mod halt;
mod ledger;
mod registry;
mod results;
mod rpc;
mod running;
mod service;
mod shard;
#[cfg(test)]
mod tests;
mod watch;

pub use chunks::{Chunks, Wanted};
pub use registry::Registry;
pub use rpc::ReportRpc;
pub use service::Report;
