//! What every store does on whatever database: the suites of the ports, and what all roles share.
//!
//! Must stay true: nothing here knows which database it is; a store is opened twice wherever two processes may meet.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

pub(crate) mod base;
pub(crate) mod claims;
pub(crate) mod dispatch;
pub(crate) mod report;
pub(crate) mod worlds;

use loa_store::Db;

/// Makes stores.
pub(crate) trait Make {
    /// A fresh store of the role, opened twice.
    async fn open(&self, role: &'static str) -> [Db; 2];
}
