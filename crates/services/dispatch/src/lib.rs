//! Dispatch: decides what may be offered to whom, and when.
//!
//! [`core`] holds the rules as a state machine without effects; [`work`] reads the log, commits what the rules decided for
//! many shards in one transaction, and publishes it; [`intake`] takes single sends in, from gRPC and from requests.v1.
//!
//! Must stay true: a release row is durable before its record is published; an index is in at most one unsettled release;
//! what was read is stored with what it led to, so who takes a shard over goes on exactly there.

mod chunks;
mod content;
mod core;
mod intake;
mod options;
mod rpc;
mod service;
#[cfg(test)]
mod tests;
mod work;

pub use chunks::{Chunks, ChunksError, Head, RemoteChunks};
pub use content::{Contents, ContentsError, RemoteContents};
pub use options::Options;
pub use rpc::DispatchCalls;
pub use service::Dispatch;
