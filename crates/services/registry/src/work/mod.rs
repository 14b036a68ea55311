//! Work in the background, each kind done by the instance that holds its lease: freezing, schedules, the outbox; and the
//! look at control.v1, which every instance takes.
//!
//! Must stay true: a lease is only permission to try; changes carry its fence. What is half done when the process stops is
//! found again in the store by whoever goes on.

mod freeze;
mod manifest;
mod mend;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use loa_ports::lease::{Held, Leases};
use loa_ports::store::StoreError;
use loa_runtime::outbox::OUTBOX;
use loa_runtime::{Ctx, ServiceError};

use crate::change::NotChanged;
use crate::core::Core;

/// How often the store is asked for work that nobody has rung for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const FREEZE: &str = "freeze";
const SCHEDULE: &str = "schedule";

/// What the loops share.
type Work = loa_runtime::work::Work<Core>;

/// Works until the context stops, then frees the leases.
pub(crate) async fn run(
    ctx: &Ctx,
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: &str,
) -> Result<(), ServiceError> {
    let work = Work::start(ctx, core, leases, endpoint, &[FREEZE, SCHEDULE, OUTBOX]).await?;
    tokio::select! {
        () = ctx.stopping() => {}
        () = freeze::run(&work) => {}
        () = schedule::run(&work) => {}
        () = work.publish_left(&work.core.publisher) => {}
        () = mend::run(&work) => {}
    }
    work.stop().await;
    Ok(())
}

/// What a change in the name of a lease came to; nobody waits for it, so faults go to the log.
fn note(work: &Work, what: &str, id: &str, held: &Held, error: NotChanged) {
    match error {
        NotChanged::Store(StoreError::Fenced { .. }) => work.lost(held),
        NotChanged::Store(error) => tracing::warn!(campaign = id, %error, "{what} is tried again"),
        NotChanged::Refused(status) => tracing::warn!(campaign = id, status = status.message(), "{what}"),
    }
}

/// Whether the installation is held: nothing new begins. Not known is held.
async fn stands_still(work: &Work) -> bool {
    match work.core.held().await {
        Ok(held) => held.is_some(),
        Err(error) => {
            tracing::warn!(%error, "could not look whether the installation is held");
            true
        }
    }
}
