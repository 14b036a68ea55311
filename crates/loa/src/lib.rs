//! The library half of the binary: composition, so that tests can start a cluster in their own process.
