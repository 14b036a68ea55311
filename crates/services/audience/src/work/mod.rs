//! Work in the background, each kind done by the instance that holds its lease: imports, freezes, the outbox.
//!
//! Must stay true: a lease is only permission to try; what is stored carries its fence. A job that is under way when the
//! process stops or the lease is lost is stopped, leaves nothing behind and is begun again by whoever goes on.

mod freezes;
mod imports;
mod job;

use std::sync::Arc;
use std::time::Duration;

use loa_ports::lease::Leases;
use loa_runtime::outbox::OUTBOX;
use loa_runtime::{Ctx, ServiceError};

use crate::core::Core;

/// How often the store is asked for work that nobody in this process has rung for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const IMPORT: &str = "import";
const FREEZE: &str = "freeze";

/// What the loops share.
type Work = loa_runtime::work::Work<Core>;

/// Works until the context stops and what was under way has stopped, then frees the leases.
pub(crate) async fn run(
    ctx: &Ctx,
    core: Arc<Core>,
    leases: Arc<dyn Leases>,
    endpoint: &str,
) -> Result<(), ServiceError> {
    let work = Work::start(ctx, core, leases, endpoint, &[IMPORT, FREEZE, OUTBOX]).await?;
    tokio::join!(imports::run(&work), freezes::run(&work), work.publish_left(&work.core.publisher));
    work.stop().await;
    Ok(())
}

/// Waits for a bell or for the next look; false when it is time to stop.
async fn look(work: &Work, bell: &mut tokio::sync::watch::Receiver<u64>) -> bool {
    tokio::select! {
        _rung = bell.changed() => true,
        () = work.ctx.beat(LOOK_EVERY) => true,
        () = work.ctx.stopping() => false,
    }
}
