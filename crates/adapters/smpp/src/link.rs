//! Keeps one bind of an account up: connect, drive, wait, again, until it is stopped.
//!
//! Must stay true: the gateway always knows where the bind stands and why; a stop is obeyed in every state.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use loa_ports::carrier::{BindState, SubmitSource};
use loa_ports::clock::Clock;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::account::Account;
use crate::backoff::{Backoff, explain};
use crate::driver::{Drive, asked_to_stop, run};
use crate::ended::Ended;
use crate::meters::Meters;
use crate::tls::Tls;

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One bind slot of an account.
pub(crate) struct Link {
    pub(crate) account: Account,
    pub(crate) slot: u32,
    pub(crate) source: Arc<dyn SubmitSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meters: Meters,
    pub(crate) in_flight: Arc<AtomicU32>,
    pub(crate) stopping: watch::Receiver<Option<Duration>>,
}

impl Link {
    /// Runs until stopped.
    pub(crate) async fn keep(self) {
        let mut backoff = Backoff::default();
        loop {
            self.source.bind_changed(self.slot, BindState::Opening);
            let (ended, was_bound) = self.once().await;
            if matches!(ended, Ended::Stopped) {
                break;
            }
            if was_bound {
                backoff.succeeded();
            }
            let wait = backoff.wait(&ended, chance());
            let why = explain(&self.account.name, &ended);
            tracing::warn!(slot = self.slot, wait_ms = wait.as_millis(), "{why}");
            self.source.bind_changed(self.slot, BindState::BackingOff { why, wait });
            let mut stopping = self.stopping.clone();
            tokio::select! {
                _ = asked_to_stop(&mut stopping) => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.source.bind_changed(self.slot, BindState::Closed);
    }

    async fn once(&self) -> (Ended, bool) {
        let tls = match self.account.tls.as_ref().map(Tls::new).transpose() {
            Ok(tls) => tls,
            Err(error) => return (Ended::Settings { why: error.to_string() }, false),
        };
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = asked_to_stop(&mut stopping) => (Ended::Stopped, false),
            connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.account.address)) => match connected {
                Ok(Ok(stream)) => return self.over(stream, tls).await,
                Ok(Err(error)) => (Ended::Unreachable { error }, false),
                Err(_) => (Ended::Unreachable { error: io::ErrorKind::TimedOut.into() }, false),
            },
        }
    }

    async fn over(&self, stream: TcpStream, tls: Option<Tls>) -> (Ended, bool) {
        let Some(tls) = tls else { return run(self.drive(false), stream).await };
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = asked_to_stop(&mut stopping) => (Ended::Stopped, false),
            shaken = tokio::time::timeout(CONNECT_TIMEOUT, tls.connect(stream)) => match shaken {
                Ok(Ok(stream)) => return run(self.drive(true), stream).await,
                Ok(Err(error)) => (Ended::Unreachable { error }, false),
                Err(_) => (Ended::Unreachable { error: io::ErrorKind::TimedOut.into() }, false),
            },
        }
    }

    fn drive(&self, writes_in_doubt: bool) -> Drive<'_> {
        Drive {
            account: &self.account,
            source: &*self.source,
            slot: self.slot,
            clock: &*self.clock,
            meters: &self.meters,
            in_flight: &self.in_flight,
            stopping: self.stopping.clone(),
            writes_in_doubt,
        }
    }
}

/// A connection that sends at once: Nagle's algorithm would hold a batch back until the peer acknowledged the last one.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A number from 0 to 1 that differs from bind to bind and from process to process.
fn chance() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}
