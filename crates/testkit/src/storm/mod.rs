//! What one process on good parts cannot show: repeats, delays, answers that are lost, parts that are away.
//!
//! A storm wraps a port and speaks that port, so services do not know that they are in one. Seeds are printed by who
//! starts a storm and accepted again.
//!
//! Must stay true: a storm does nothing that the port does not allow its adapters to do.

pub mod log;
