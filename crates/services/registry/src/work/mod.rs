//! Work in the background, each kind done by the instance that holds its lease: freezing, schedules, the outbox; and the
//! look at control.v1, which every instance takes.
//!
//! Must stay true: a lease is only permission to try; changes carry its fence. What is half done when the process stops is
//! found again in the store by whoever goes on.

mod freeze;
mod manifest;
mod mend;
mod outbox;
mod schedule;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_ports::lease::{Held, Leases};
use loa_ports::store::StoreError;
use loa_runtime::lease::{LeaseKeeper, Want};
use loa_runtime::{Ctx, ServiceError};

use crate::change::NotChanged;
use crate::core::Core;

/// How often the store is asked for work that nobody has rung for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const FREEZE: &str = "freeze";
const SCHEDULE: &str = "schedule";
const OUTBOX: &str = "outbox";

/// What the loops share.
struct Work {
    ctx: Ctx,
    core: Arc<Core>,
    keeper: Mutex<LeaseKeeper>,
}

/// Works until the context stops, then frees the leases.
pub(crate) async fn run(
    ctx: &Ctx,
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: &str,
) -> Result<(), ServiceError> {
    let wants = [FREEZE, SCHEDULE, OUTBOX].map(|kind| Want { kind: kind.to_owned(), count: 1 });
    let keeper = LeaseKeeper::start(ctx, leases, endpoint, wants.to_vec()).await?;
    let work = Work { ctx: ctx.clone(), core, keeper: Mutex::new(keeper) };
    tokio::select! {
        () = ctx.stopping() => {}
        () = freeze::run(&work) => {}
        () = schedule::run(&work) => {}
        () = outbox::run(&work) => {}
        () = mend::run(&work) => {}
    }
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

    /// What a change in the name of a lease came to; nobody waits for it, so faults go to the log.
    fn note(&self, what: &str, id: &str, held: &Held, error: NotChanged) {
        match error {
            NotChanged::Store(StoreError::Fenced { .. }) => self.with(|keeper| keeper.lost(held)),
            NotChanged::Store(error) => tracing::warn!(campaign = id, %error, "{what} is tried again"),
            NotChanged::Refused(status) => tracing::warn!(campaign = id, status = status.message(), "{what}"),
        }
    }
}
