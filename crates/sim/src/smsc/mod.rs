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

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::{Faults, Receipts, Refusal, SmscConfig};
pub use inbox::{Inbox, InboxMessage};
pub use stats::Stats;

use crate::clock;
use receipts::Exchange;
use stats::Counters;
use submit::Bucket;

/// A running message centre.
pub struct Smsc {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// The accept loop; it owns the connections.
    tasks: JoinSet<()>,
}

/// What all connections of a message centre share.
struct Shared {
    config: SmscConfig,
    faults: RwLock<Arc<Faults>>,
    receipts: RwLock<Arc<Receipts>>,
    bucket: Mutex<Bucket>,
    exchange: Exchange,
    inbox: Arc<Inbox>,
    counters: Counters,
    next_connection: AtomicU64,
    next_message: AtomicU64,
    hang_ups: watch::Sender<u64>,
    stopping: CancellationToken,
}

impl Smsc {
    /// Starts to accept connections.
    pub fn start(listener: TcpListener, config: SmscConfig) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            faults: RwLock::new(Arc::new(config.faults.clone())),
            receipts: RwLock::new(Arc::new(config.receipts.clone())),
            bucket: Mutex::default(),
            exchange: Exchange::default(),
            inbox: Arc::new(Inbox::new(config.inbox_max)),
            counters: Counters::default(),
            next_connection: AtomicU64::new(1),
            // The time in microseconds: a restarted simulator never gives an id again.
            next_message: AtomicU64::new(clock::unix_us()),
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

    /// The last messages, decoded when looked at.
    pub fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.shared.inbox)
    }

    /// Misbehaves from now on as told.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(faults);
    }

    /// Sends receipts from now on as told; those already due are not changed.
    pub fn set_receipts(&self, receipts: Receipts) {
        *self.shared.receipts.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(receipts);
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

    fn receipts(&self) -> Arc<Receipts> {
        Arc::clone(&self.receipts.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_PATIENCE, all_ended).await.is_err() {
        connections.shutdown().await; // a client that does not read cannot keep us
    }
}

/// How long a stop waits for connections to say goodbye.
const STOP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Out of file descriptors, accepting at once again would only burn the processor.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Draws the number of the next connection.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
