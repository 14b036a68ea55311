//! The correlator on a real log.
