//! The demo users, each with a client of their own.

use std::net::SocketAddr;
use std::path::PathBuf;

use loa::cli::client::Client;
use loa::keys::Keys;

use crate::{Fault, fault};

/// Clients by right.
#[derive(Clone)]
pub struct Users {
    /// Writes.
    pub author: Client,
    /// Approves.
    pub approver: Client,
    /// Starts, stops, imports, looks up.
    pub operator: Client,
    /// Reads counts.
    pub viewer: Client,
    /// What roles call each other with.
    pub system: Client,
}

/// Somebody with a key of their own.
pub fn client(grpc: SocketAddr, key: &str) -> Result<Client, Fault> {
    Client::to(&format!("http://{grpc}"), key, None).map_err(|failure| fault(failure.to_string()))
}

impl Users {
    /// Of a Loa that listens there; with a CA over TLS.
    pub fn of(grpc: SocketAddr, keys: &Keys, ca: Option<&PathBuf>) -> Result<Self, Fault> {
        let scheme = if ca.is_some() { "https" } else { "http" };
        let client = |user: &str| {
            let key = keys.of(user).ok_or_else(|| fault(format!("no key of `{user}`")))?;
            Client::to(&format!("{scheme}://{grpc}"), key, ca).map_err(|failure| fault(failure.to_string()))
        };
        Ok(Self {
            author: client("author")?,
            approver: client("approver")?,
            operator: client("operator")?,
            viewer: client("viewer")?,
            system: client("system")?,
        })
    }
}
