//! One conformance suite per port, run on every adapter and every fake of it.
//!
//! Must stay true: a suite knows the port alone, so what passes here is what a service may rely on.

pub mod audience;
pub mod lease;
pub mod log;
pub mod registry;
