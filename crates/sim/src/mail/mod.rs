//! A simulated mail world: real sockets, real SMTP, every fault a mail server has, and a log of what arrived.
//!
//! It stands for every mail server there is, as a relay that takes mail for everybody. It keeps the last mails for people
//! to look at, and misbehaves on request: refusing, greylisting, throttling, slow, closing at the worst moment.
//!
//! Must stay true: an accepted mail stands in the sink log before its 250 is written; one write answers one read, so it
//! is never the slow side; mails are hashed and copied, never parsed, before somebody looks at them.

mod config;
mod connection;
mod fingerprint;
mod inbox;
mod stats;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

pub use config::{Fault, Faults, MailConfig, Rule, Who};
pub use inbox::{Inbox, InboxMail};
pub use stats::Stats;

use crate::clock;
use crate::log::text_hash;
use crate::simulator::{Controls, Simulator, World};
use stats::Counters;

/// Addresses that greylisting remembers; above it nobody new is refused.
const GREYLIST_MAX: usize = 1_000_000;

/// A running mail world.
pub type MailWorld = Simulator<Shared>;

/// What all connections of a mail world share.
pub struct Shared {
    config: MailConfig,
    controls: Controls<Faults>,
    greylist: Mutex<HashSet<u64>>,
    inbox: Arc<Inbox>,
    counters: Counters,
    next_mail: AtomicU64,
    /// Recipients named so far: what `Who::Every` counts.
    recipients: AtomicU64,
}

impl World for Shared {
    type Config = MailConfig;
    type Faults = Faults;
    type Stats = Stats;
    type Inbox = Inbox;

    fn new(config: MailConfig) -> Self {
        Self {
            controls: Controls::new(config.faults.clone()),
            greylist: Mutex::default(),
            inbox: Arc::new(Inbox::new(config.inbox_max, config.inbox_octets_max)),
            counters: Counters::default(),
            // The time in microseconds: a restarted simulator never gives an id again.
            next_mail: AtomicU64::new(clock::unix_us()),
            recipients: AtomicU64::new(1),
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

impl Shared {
    /// Whether greylisting sees this address for the first time.
    fn is_new(&self, address: &str) -> bool {
        let mut seen = self.greylist.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() < GREYLIST_MAX && seen.insert(text_hash(address.to_lowercase().as_bytes()))
    }
}
