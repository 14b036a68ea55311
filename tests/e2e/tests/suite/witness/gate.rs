//! A gate in a proxy: while it is shut, what it is for is held; others pass.
//!
//! Must stay true: who waits for something at the gate sees only what came after it was shut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use loa_harness::proxy::{Frame, Proxy, Rule, Verdict};
use loa_harness::{Fault, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Gate {
    is_shut: AtomicBool,
    held: AtomicU64,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The rule of a proxy that has this gate for such messages.
    pub(crate) fn rule(self: &Arc<Self>, is_for: fn(&Frame<'_>) -> bool) -> Rule {
        let gate = Arc::clone(self);
        Arc::new(move |frame| {
            if gate.is_shut.load(Ordering::SeqCst) && is_for(&frame) {
                gate.held.fetch_add(1, Ordering::SeqCst);
                Verdict::Hold
            } else {
                Verdict::Pass
            }
        })
    }

    /// Shuts it.
    pub(crate) fn shut(&self) {
        self.held.store(0, Ordering::SeqCst);
        self.is_shut.store(true, Ordering::SeqCst);
    }

    /// Waits until something is held.
    pub(crate) async fn holds(&self, what: &str) -> Result<(), Fault> {
        wait_for(what, LIMIT, async || Ok((self.held.load(Ordering::SeqCst) > 0).then_some(()))).await
    }

    /// Opens it: what is held goes on.
    pub(crate) fn open(&self, proxy: &Proxy) {
        self.is_shut.store(false, Ordering::SeqCst);
        proxy.release();
    }

    /// Opens it, and what is held is gone with its connection.
    pub(crate) fn open_and_cut(&self, proxy: &Proxy) {
        proxy.cut_all();
        self.is_shut.store(false, Ordering::SeqCst);
    }
}
