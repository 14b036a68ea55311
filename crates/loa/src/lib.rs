//! The binary's parts: command line, composition, the sample run. A library so that tests can start a cluster in their
//! own process.

pub mod backup;
pub mod cli;
pub mod compose;
pub mod dev;
pub mod exit;
pub mod keys;
pub mod place;
pub mod sample;
