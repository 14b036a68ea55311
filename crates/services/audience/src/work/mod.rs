//! Work in the background, each kind done by the instance that holds its lease: imports, freezes, the outbox.
//!
//! Must stay true: a lease is only permission to try; what is stored carries its fence. A job that is under way when the
//! process stops or the lease is lost is stopped, leaves nothing behind and is begun again by whoever goes on.

mod freezes;
mod imports;
mod job;
mod outbox;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_ports::lease::{Held, Leases};
use loa_runtime::lease::{LeaseKeeper, Want};
use loa_runtime::{Ctx, ServiceError};

use crate::core::Core;

/// How often the store is asked for work that nobody in this process has rung for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const IMPORT: &str = "import";
const FREEZE: &str = "freeze";
const OUTBOX: &str = "outbox";

/// What the loops share.
struct Work {
    ctx: Ctx,
    core: Arc<Core>,
    keeper: Mutex<LeaseKeeper>,
}

/// Works until the context stops and what was under way has stopped, then frees the leases.
pub(crate) async fn run(
    ctx: &Ctx,
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: &str,
) -> Result<(), ServiceError> {
    let wants = [IMPORT, FREEZE, OUTBOX].map(|kind| Want { kind: kind.to_owned(), count: 1 });
    let keeper = LeaseKeeper::start(ctx, leases, endpoint, wants.to_vec()).await?;
    let work = Work { ctx: ctx.clone(), core, keeper: Mutex::new(keeper) };
    tokio::join!(imports::run(&work), freezes::run(&work), outbox::run(&work));
    work.keeper.into_inner().unwrap_or_else(PoisonError::into_inner).stop().await;
    Ok(())
}

impl Work {
    fn with<R>(&self, f: impl FnOnce(&mut LeaseKeeper) -> R) -> R {
        f(&mut self.keeper.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lease of a kind, if this instance holds it.
    fn held(&self, kind: &str) -> Option<Held> {
        self.with(|keeper| {
            while keeper.try_change().is_some() {}
            keeper.held(kind).pop()
        })
    }

    /// Whether it may go on in the name of this lease.
    fn holds(&self, held: &Held) -> bool {
        self.with(|keeper| keeper.holds(held)) && !self.ctx.is_stopping()
    }

    /// Waits for a bell or for the next look; false when it is time to stop.
    async fn look(&self, bell: &mut tokio::sync::watch::Receiver<u64>) -> bool {
        tokio::select! {
            _rung = bell.changed() => true,
            () = tokio::time::sleep(LOOK_EVERY) => true,
            () = self.ctx.stopping() => false,
        }
    }
}
