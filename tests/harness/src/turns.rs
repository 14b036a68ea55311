//! Who may run beside whom: tests that measure time run alone.
//!
//! Must stay true: a test that measures holds the machine for itself among the tests of this program.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// A test that shares the machine.
pub async fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// A test that measures.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
