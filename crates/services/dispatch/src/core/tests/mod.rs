//! Histories: the engine with a store, a log, gateways and audience that are models, and time that is turned by hand.

mod cases;
mod gateway;
mod history;
mod store;
mod world;
