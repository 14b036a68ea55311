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
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::{Fault, Faults, MailConfig, Rule, Who};
pub use inbox::{Inbox, InboxMail};
pub use stats::Stats;

use crate::clock;
use crate::log::text_hash;
use stats::Counters;

/// Out of file descriptors, accepting at once again would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Addresses that greylisting remembers; above it nobody new is refused.
const GREYLIST_MAX: usize = 1_000_000;

/// A running mail world.
pub struct MailWorld {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// The accept loop; it owns the connections.
    tasks: JoinSet<()>,
}

/// What all connections share.
struct Shared {
    config: MailConfig,
    faults: RwLock<Arc<Faults>>,
    greylist: Mutex<HashSet<u64>>,
    inbox: Arc<Inbox>,
    counters: Counters,
    next_connection: AtomicU64,
    next_mail: AtomicU64,
    /// Recipients named so far: what `Who::Every` counts.
    recipients: AtomicU64,
    hang_ups: watch::Sender<u64>,
    stopping: CancellationToken,
}

impl MailWorld {
    /// Starts to accept connections.
    pub fn start(listener: TcpListener, config: MailConfig) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            faults: RwLock::new(Arc::new(config.faults.clone())),
            greylist: Mutex::default(),
            inbox: Arc::new(Inbox::new(config.inbox_max, config.inbox_octets_max)),
            counters: Counters::default(),
            next_connection: AtomicU64::new(1),
            // The time in microseconds: a restarted simulator never gives an id again.
            next_mail: AtomicU64::new(clock::unix_us()),
            recipients: AtomicU64::new(1),
            hang_ups: watch::Sender::new(0),
            stopping: CancellationToken::new(),
            config,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// The last mails, decoded when looked at.
    pub fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.shared.inbox)
    }

    /// Misbehaves from now on as told.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(faults);
    }

    /// Closes every connection at once, without a word; new ones are accepted.
    pub fn hang_up(&self) {
        self.shared.hang_ups.send_modify(|times| *times += 1);
    }

    /// Serves one connection that was accepted elsewhere (TLS, in memory); returns when it has ended.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        connection::serve(Arc::clone(&self.shared), stream)
    }

    /// Accepts nothing more and closes every connection; what is in the sink log stays.
    pub async fn stop(mut self) {
        self.shared.stopping.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Shared {
    fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Whether greylisting sees this address for the first time.
    fn is_new(&self, address: &str) -> bool {
        let mut seen = self.greylist.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.len() < GREYLIST_MAX && seen.insert(text_hash(address.to_lowercase().as_bytes()))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if stream.set_nodelay(true).is_ok() => {
                    connections.spawn(connection::serve(Arc::clone(&shared), stream));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Draws the next number.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
