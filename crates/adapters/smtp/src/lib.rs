//! The mailer port over SMTP: one task per connection to a relay.
//!
//! A task pulls a mail whenever its connection has room, so nothing waits in a queue between the gateway's decision and
//! the socket. With PIPELINING a mail costs one round trip: its content and the next envelope leave in one write.
//!
//! Must stay true: every mail pulled is answered exactly once, whatever happens to the connection, the relay or this
//! task; `InDoubt` is said if and only if the final dot may have left and no reply came; nothing is connected before the
//! source has something.

mod backoff;
mod compose;
mod driver;
mod error;
mod task;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_ports::mailer::{Connection, MailSource, Mailer, Relay};
use loa_runtime::Ctx;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use compose::MimeComposer;
use task::Task;
pub use timeouts::Timeouts;

/// Opens connections to relays.
#[derive(Clone)]
pub struct SmtpMailer {
    ctx: Ctx,
    timeouts: Timeouts,
}

impl SmtpMailer {
    /// A mailer whose tasks run under `ctx`, with the time-outs of RFC 5321.
    pub fn new(ctx: Ctx) -> Self {
        Self { ctx, timeouts: Timeouts::default() }
    }

    /// The same with other time-outs; a relay's own `reply_timeout` shortens them further.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }
}

impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpMailer").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Mailer for SmtpMailer {
    fn open(&self, relay: &Relay, slot: u32, source: Arc<dyn MailSource>) -> Box<dyn Connection> {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let task = Task {
            relay: relay.clone(),
            slot,
            source,
            timeouts: self.timeouts.within(relay.reply_timeout),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        let running = self.ctx.spawn("smtp connection", task.run());
        Box::new(Handle { running, stop: stop.drop_guard(), cut: cut.drop_guard() })
    }
}

/// A connection under way; dropped, it ends at once and its mails are still answered.
struct Handle {
    running: JoinHandle<()>,
    stop: DropGuard,
    cut: DropGuard,
}

#[async_trait]
impl Connection for Handle {
    async fn stop(self: Box<Self>, drain: Duration) {
        let Self { mut running, stop, cut } = *self;
        drop(stop);
        if tokio::time::timeout(drain, &mut running).await.is_ok() {
            return;
        }
        drop(cut);
        if let Err(error) = running.await {
            tracing::error!(%error, "an smtp connection ended badly");
        }
    }
}
