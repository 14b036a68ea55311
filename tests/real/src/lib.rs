//! Servers of others for tests: installed by `tests/real/install`, started here on loopback, stopped by their process id.
//!
//! Must stay true: a server runs as an unprivileged user in a folder of its own and never outlives its [`Server`]; one that
//! cannot start is a fault that shows what it printed.

pub mod jsmpp;
pub mod kafka;
pub mod node_smpp;
pub mod objects;
pub mod parts;
pub mod postfix;
pub mod postgres;
pub mod redis;
pub mod server;
pub mod sink;
pub mod soak;
pub mod tail;
pub mod third_party;

pub use parts::Parts;
pub use server::Server;
pub use third_party::ThirdParty;
