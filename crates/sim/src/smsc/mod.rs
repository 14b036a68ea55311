//! A simulated message centre: real sockets, real SMPP, every fault a carrier has, and a log of what arrived.
//!
//! Loa's promises are about what leaves it, so they are checked at the other end of the wire. The simulator accepts
//! submits, writes the sink log before it answers, sends receipts, keeps the last messages for people to look at, and
//! misbehaves on request: too fast, silent, slow, closing, refusing.
//!
//! Must stay true: an accepted message stands in the sink log before its answer is written; a receipt that was not
//! acknowledged comes again, on the next bind if need be; one write answers one read, so it is never the slow side.

mod config;
mod connection;
mod inbox;
mod receipts;
mod stats;
mod submit;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

pub use config::{Faults, Receipts, Refusal, SmscConfig};
pub use inbox::{Inbox, InboxMessage};
pub use stats::Stats;

use crate::clock;
use crate::simulator::{Controls, Simulator, Swap, World};
use receipts::Exchange;
use stats::Counters;
use submit::Bucket;

/// A running message centre.
pub type Smsc = Simulator<Shared>;

/// What all connections of a message centre share.
pub struct Shared {
    config: SmscConfig,
    controls: Controls<Faults>,
    receipts: Swap<Receipts>,
    bucket: Mutex<Bucket>,
    exchange: Exchange,
    inbox: Arc<Inbox>,
    counters: Counters,
    next_message: AtomicU64,
}

impl World for Shared {
    type Config = SmscConfig;
    type Faults = Faults;
    type Stats = Stats;
    type Inbox = Inbox;

    fn new(config: SmscConfig) -> Self {
        Self {
            controls: Controls::new(config.faults.clone()),
            receipts: Swap::new(config.receipts.clone()),
            bucket: Mutex::default(),
            exchange: Exchange::default(),
            inbox: Arc::new(Inbox::new(config.inbox_max)),
            counters: Counters::default(),
            // The time in microseconds: a restarted simulator never gives an id again.
            next_message: AtomicU64::new(clock::unix_us()),
            config,
        }
    }

    fn controls(&self) -> &Controls<Faults> {
        &self.controls
    }

    fn stats(&self) -> Stats {
        self.counters.read()
    }

    fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    fn serve<S>(self: Arc<Self>, stream: S) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        connection::serve(self, stream)
    }
}

impl Simulator<Shared> {
    /// Sends receipts from now on as told; those already due are not changed.
    pub fn set_receipts(&self, receipts: Receipts) {
        self.world().receipts.set(receipts);
    }
}

impl Shared {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
