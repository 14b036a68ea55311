//! What calls and background work share.

use std::sync::Arc;

use loa_domain::hash::HashKey;
use loa_domain::segment::{Rule, RuleError};
use loa_ports::audience::{DatasetError, Datasets, Router};
use loa_ports::store::audience::AudienceStore;
use loa_runtime::Ctx;
use loa_runtime::outbox::Publisher;
use tokio::sync::{Semaphore, watch};

/// Counts that run at the same time, at most; others wait.
const COUNTS_MAX: usize = 2;
/// The rule of a segment without words.
const EVERYBODY: &str = "sample 100%";

/// The shared parts.
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) datasets: Arc<dyn Datasets>,
    pub(crate) store: Arc<dyn AudienceStore>,
    pub(crate) publisher: Publisher,
    pub(crate) router: Router,
    pub(crate) respect_dnc_for_public: bool,
    pub(crate) counts: Semaphore,
    bell: watch::Sender<u64>,
}

impl Core {
    pub(crate) fn new(
        ctx: Ctx,
        datasets: Arc<dyn Datasets>,
        store: Arc<dyn AudienceStore>,
        publisher: Publisher,
        router: Router,
        respect_dnc_for_public: bool,
    ) -> Self {
        let (counts, bell) = (Semaphore::new(COUNTS_MAX), watch::channel(0).0);
        Self { ctx, datasets, store, publisher, router, respect_dnc_for_public, counts, bell }
    }

    /// Tells everybody in this process that a job was added or has ended.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|rung| *rung += 1);
    }

    /// Changes when [`Core::ring`] is called; take it before looking, so that nothing is missed.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.ctx.now_us()
    }

    pub(crate) fn hash_key(&self) -> &HashKey {
        self.ctx.hash_key()
    }

    /// Runs heavy work of the engine beside the runtime. It begins at the call, not when its end is first awaited: others may
    /// wait for what it takes or makes before they ask for its end.
    pub(crate) fn heavy<T: Send + 'static, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, DatasetError>> + use<T, F>
    where
        F: FnOnce(&dyn Datasets) -> Result<T, DatasetError> + Send + 'static,
    {
        let datasets = Arc::clone(&self.datasets);
        let running = tokio::task::spawn_blocking(move || work(datasets.as_ref()));
        async move {
            running.await.unwrap_or_else(|error| {
                let source = std::io::Error::other(error.to_string());
                Err(DatasetError::Storage { doing: "finish the work: its thread was lost".to_owned(), source })
            })
        }
    }
}

/// The rule of a segment; nothing selects everybody.
pub(crate) fn rule(segment: &str) -> Result<Rule, RuleError> {
    Rule::parse(if segment.trim().is_empty() { EVERYBODY } else { segment })
}
