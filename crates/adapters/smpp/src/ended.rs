//! Why a bind ended; what the wait before the next try and the words for the operator are made of.

use std::io;

use loa_wire_smpp::session::Closed;

/// Why a connection, or the try to make one, ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("could not connect to the carrier: {error}")]
    Unreachable { error: io::Error },
    #[error("the account's settings cannot be used: {why}")]
    Settings { why: String },
    #[error("{0}")]
    Closed(Closed),
    #[error("the connection broke: {error}")]
    Socket { error: io::Error },
    #[error("the carrier answered a message with status {status:#06x}, which stops the bind")]
    Refused { status: u32 },
    #[error("the receipts could not be stored")]
    NotStored,
    #[error("stopped")]
    Stopped,
}
