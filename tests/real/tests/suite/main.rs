//! What holds on the embedded parts holds on real ones. Started by `make test-real`, which installs the servers first.
//!
//! Must stay true: every test is `#[ignore]`d, so that `make test` needs no server; one whose server cannot start fails.

mod bucket;
mod stores;
