//! Simulators of the world: SMSC, mail server, synthetic people.
//!
//! They are part of the product: a demonstration, a training day and every end-to-end test need carriers that answer,
//! misbehave on request and keep an honest book of what arrived.
//!
//! Must stay true: they speak over real sockets and know nothing of Loa's ledger, so the two books can be compared.

mod clock;
mod counters;
pub mod log;
pub mod mail;
pub mod people;
pub mod simulator;
pub mod smsc;
