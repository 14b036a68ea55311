//! Why a connection ended before its time.
//!
//! Must stay true: no message names a recipient; each says what to look at.

use std::io;

use loa_wire_smtp::{SessionError, Step};

/// What went wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("could not connect to {address}; check that the relay runs and that its address is right")]
    Connect { address: String, source: io::Error },
    #[error("{address} did not take the connection in time; check the address and the firewall")]
    ConnectTimeout { address: String },
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the connection with {codes}")]
    SentAway { codes: String },
    #[error("the server did not answer in time while {step:?} was awaited")]
    Silent { step: Step },
    #[error("the server took nothing more in time")]
    Stuck,
    #[error("could not go on with the server")]
    Session(#[from] SessionError),
    #[error("could not agree on TLS; check the relay's certificate, `server_name` and CA file")]
    Tls(#[source] io::Error),
    #[error("the TLS settings of the relay are not usable: {0}")]
    TlsSettings(String),
    #[error("a mail might no longer leave")]
    Withheld,
    #[error("this process stopped before the server answered")]
    Cut,
}

impl Broken {
    /// The error and its causes on one line.
    pub(crate) fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
