//! What holds on the embedded parts holds on real ones. Started by `make test-real`, which installs the servers first.
//!
//! Must stay true: `make test` runs none of these, so it needs no server; one whose server cannot start fails.

mod bucket;
mod log;
mod sinks;
mod stores;
