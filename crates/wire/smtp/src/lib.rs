//! SMTP without I/O: a client's session, a server's cutter, verdicts on replies, and the writing of messages.
//!
//! Drivers (the mailer's adapter, the simulator) only move octets; everything that decides is here, where a table can
//! test it. Must stay true: no socket, clock or randomness; whatever a peer sends, no panic and no growth beyond the
//! named limits; and for every message it is known at any moment whether the server may hold it.
#![warn(missing_docs)]

mod base;
mod capabilities;
pub mod compose;
pub mod dot;
pub mod limits;
pub mod mailbox;
pub mod reply;
mod scan;
pub mod server;
pub mod session;
pub mod verdict;
pub mod verp;

pub use capabilities::Capabilities;
pub use reply::{Enhanced, Reply};
pub use session::{Event, Fate, Mail, Session, SessionError, Step, TlsPolicy, Unfit};
pub use verdict::Verdict;
