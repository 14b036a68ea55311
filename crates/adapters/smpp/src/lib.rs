//! The carrier port over SMPP: every bind is one task that pulls work, fills its window, writes once and reads once.
//!
//! | Module | Does |
//! |---|---|
//! | [`link`] | keeps one bind up: connect, bind, drive, back off, again |
//! | [`driver`] | moves messages and receipts over one connection |
//! | [`account`] | turns an account's settings into templates, verdicts and identifiers |
//! | [`engine`] | measures all of this without the rest of Loa |
//!
//! Must stay true: a part that was pulled is settled exactly once, whatever happens to the socket; it is `NotWritten` only
//! if no octet of it can have left; a receipt is acknowledged only after it was stored.

mod account;
mod backoff;
mod driver;
mod ended;
pub mod engine;
mod exchange;
mod link;
mod meters;
mod routes;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loa_ports::carrier::{Bind, Carrier, CarrierAccount, SubmitSource};
use loa_runtime::Ctx;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use account::Account;
use link::Link;
use meters::Meters;

/// Opens binds over SMPP.
pub struct SmppCarrier {
    ctx: Ctx,
    meters: Meters,
}

impl SmppCarrier {
    /// Binds run as tasks of this context.
    pub fn new(ctx: &Ctx) -> Self {
        Self { ctx: ctx.clone(), meters: Meters::new(ctx.metrics()) }
    }
}

impl fmt::Debug for SmppCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmppCarrier")
    }
}

impl Carrier for SmppCarrier {
    fn open(&self, account: &CarrierAccount, slot: u32, source: Arc<dyn SubmitSource>) -> Box<dyn Bind> {
        let (stop, stopping) = watch::channel(None);
        let in_flight = Arc::new(AtomicU32::new(0));
        let link = Link {
            account: Account::new(account),
            slot,
            source,
            clock: Arc::clone(self.ctx.clock()),
            meters: self.meters.clone(),
            in_flight: Arc::clone(&in_flight),
            stopping,
        };
        let task = self.ctx.spawn("smpp bind", link.keep());
        Box::new(SmppBind { stop, in_flight, task })
    }
}

/// One bind under way; dropping it stops it without patience.
struct SmppBind {
    stop: watch::Sender<Option<Duration>>,
    in_flight: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

#[async_trait]
impl Bind for SmppBind {
    async fn stop(self: Box<Self>, drain: Duration) {
        self.stop.send_replace(Some(drain));
        if self.task.await.is_err() {
            tracing::error!("a bind's task ended in a panic"); // the context stops the process
        }
    }

    fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
