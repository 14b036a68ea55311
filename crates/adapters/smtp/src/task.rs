//! One connection's life: wait for work, connect, secure, drive, wait a little after a failure, again.
//!
//! Must stay true: it ends only when it was stopped, and then every mail it pulled is answered; after a failure it connects
//! again without waiting for work, for nobody gives work to connections that are known to fail.

use std::sync::Arc;

use loa_ports::mailer::{MailSource, Relay, TlsPolicy};
use loa_wire_smtp::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::driver::{Driver, Ended, Settings};
use crate::error::Broken;
use crate::timeouts::Timeouts;
use crate::tls::Secure;

/// What one connection task needs.
pub(crate) struct Task {
    pub(crate) relay: Relay,
    pub(crate) slot: u32,
    pub(crate) source: Arc<dyn MailSource>,
    pub(crate) timeouts: Timeouts,
    /// Pull nothing more, end in good order.
    pub(crate) stop: CancellationToken,
    /// End now.
    pub(crate) cut: CancellationToken,
}

/// How a connection went.
pub(crate) struct Outcome {
    /// Some mail was answered.
    pub(crate) worked: bool,
    pub(crate) ended: Result<(), Broken>,
}

impl Task {
    pub(crate) async fn run(self) {
        let mut secure = match Secure::of(&self.relay.tls, &self.relay.address) {
            Ok(secure) => secure,
            Err(error) => return self.report_until_stopped(&error).await,
        };
        let mut backoff = Backoff::new();
        let mut has_failed = false;
        while has_failed || self.has_work().await {
            let Outcome { worked, ended } = self.connection(secure.as_ref()).await;
            if worked {
                backoff.reset();
            }
            has_failed = ended.is_err();
            let Err(error) = ended else { continue };
            if self.stop.is_cancelled() {
                break;
            }
            if matches!(error, Broken::Tls(_)) && matches!(self.relay.tls, TlsPolicy::Opportunistic) {
                tracing::warn!(relay = %self.relay.id, error = error.chain(), "goes on without TLS");
                secure = None;
                continue;
            }
            self.report(&error);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        }
    }

    /// Resolves to whether there is something to send before the stop.
    async fn has_work(&self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.source.ready() => true,
        }
    }

    fn report(&self, error: &Broken) {
        tracing::warn!(relay = %self.relay.id, slot = self.slot, error = error.chain(), "smtp connection ended");
        self.source.connection_changed(self.slot, Err(error.chain()));
    }

    /// Settings that cannot work do not get better by trying.
    async fn report_until_stopped(&self, error: &Broken) {
        self.report(error);
        self.stop.cancelled().await;
    }

    async fn connection(&self, secure: Option<&Secure>) -> Outcome {
        let connected = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Broken::Cut),
            connected = self.connect() => connected,
        };
        match connected {
            Ok(stream) => self.serve(stream, secure).await,
            Err(error) => Outcome { worked: false, ended: Err(error) },
        }
    }

    async fn connect(&self) -> Result<TcpStream, Broken> {
        let address = || self.relay.address.clone();
        let connect = tokio::time::timeout(self.timeouts.connect, TcpStream::connect(&self.relay.address));
        let connected = connect.await.map_err(|_| Broken::ConnectTimeout { address: address() })?;
        let stream = connected.map_err(|source| Broken::Connect { address: address(), source })?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends over a connection until it ends; whatever was pulled is answered.
    pub(crate) async fn serve<S>(&self, stream: S, secure: Option<&Secure>) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let session = match Session::new(&self.relay.hello, self.policy(secure)) {
            Ok(session) => session,
            Err(error) => return Outcome { worked: false, ended: Err(error.into()) },
        };
        let settings = Settings {
            slot: self.slot,
            source: self.source.as_ref(),
            timeouts: self.timeouts,
            stop: &self.stop,
            mails_max: self.relay.mails_per_connection_max,
            ahead: self.relay.pipeline > 0,
        };
        let mut driver = Driver::new(session, settings);
        let ended = tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(Broken::Cut),
            ended = self.drive(&mut driver, stream, secure) => ended,
        };
        let worked = driver.worked();
        driver.finish(&ended.as_ref().err().map_or_else(|| "the connection ended".to_owned(), Broken::chain));
        Outcome { worked, ended }
    }

    /// What the session is to ask for: nothing that cannot be done here.
    fn policy(&self, secure: Option<&Secure>) -> loa_wire_smtp::TlsPolicy {
        match (&self.relay.tls, secure) {
            (TlsPolicy::Required(_), _) => loa_wire_smtp::TlsPolicy::Required,
            (TlsPolicy::Opportunistic, Some(_)) => loa_wire_smtp::TlsPolicy::Opportunistic,
            (TlsPolicy::Opportunistic, None) | (TlsPolicy::Off, _) => loa_wire_smtp::TlsPolicy::Off,
        }
    }

    async fn drive<S>(&self, driver: &mut Driver<'_>, mut stream: S, secure: Option<&Secure>) -> Result<(), Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match (driver.drive(&mut stream).await?, secure) {
            (Ended::StartTls, Some(Secure { connector, name })) => {
                let handshake = connector.connect(name.clone(), stream);
                let secured = tokio::time::timeout(self.timeouts.connect, handshake).await;
                let mut stream =
                    secured.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(Broken::Tls)?;
                driver.secured();
                driver.drive(&mut stream).await?;
                goodbye(stream).await;
            }
            _ => goodbye(stream).await,
        }
        Ok(())
    }
}

/// Closes in good order; both sides have said goodbye, so a failure changes nothing.
async fn goodbye<S: AsyncWrite + Unpin>(mut stream: S) {
    if let Err(error) = stream.shutdown().await {
        tracing::debug!(%error, "could not close an smtp connection in good order");
    }
}
