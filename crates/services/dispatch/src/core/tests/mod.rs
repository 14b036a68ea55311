//! Histories: the engine with a store, a log, gateways and audience that are models, and time that is turned by hand.

mod cases;
pub(crate) mod gateway;
mod history;
mod recovery;
mod singles;
mod store;
pub(crate) mod world;
