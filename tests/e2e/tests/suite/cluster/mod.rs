//! The life of a cluster: processes are restarted one after the other, die, stand still and wake, or have some roles each.
//! On real parts, where several processes share what they own.

mod frozen;
mod roles;
mod rolling;
mod takeover;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use loa_harness::leases::{Owners, SHARED};
use loa_harness::turns::alone;
use loa_harness::{Fault, Plan, Site, TestResult, fault, wait_for};
use loa_real::Parts;
use tokio::sync::RwLockWriteGuard;

/// Recipients of each channel.
const PEOPLE: u64 = 3_000;

/// How long the processes may take to share what there is.
const SHARED_LIMIT: Duration = Duration::from_secs(40);

/// A campaign under way at two processes that share everything.
struct World {
    site: Site,
    owners: Owners,
    id: String,
    /// They stop when nobody has them any more.
    _parts: Arc<Parts>,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl World {
    /// At so many messages a second of each channel; some have left.
    async fn start(rate: u32) -> Result<Self, Fault> {
        let parts = Parts::shared().await?;
        let turn = alone().await;
        let mut site = parts.site()?.rate(rate).start().await?;
        let owners = Owners::of(&site.cluster()?.first().config()?).await?;
        is_shared(&owners).await?;
        site.people(PEOPLE).await?;
        let id = site.running(&Plan::default()).await?;
        site.accepted(u64::from(rate) * 2).await?;
        Ok(Self { site, owners, id, _parts: parts, _turn: turn })
    }
}

/// Waits until both nodes have a part of each kind.
pub(crate) async fn is_shared(owners: &Owners) -> TestResult {
    wait_for("both processes own something of each kind", SHARED_LIMIT, async || {
        let (first, second) = (owners.counts("loa-0").await?, owners.counts("loa-1").await?);
        let all = first.iter().zip(&second).zip(&SHARED);
        let is_dealt =
            all.into_iter().all(|((one, two), (.., count))| *one > 0 && *two > 0 && one + two == *count as usize);
        if is_dealt { Ok(Some(())) } else { Err(fault(format!("{first:?} {second:?}"))) }
    })
    .await
}

/// Waits until a node has everything.
async fn has_all(owners: &Owners, node: &str) -> TestResult {
    wait_for("one process owns everything", SHARED_LIMIT, async || {
        let counts = owners.counts(node).await?;
        let has_all = counts.iter().zip(&SHARED).all(|(held, (.., count))| *held == *count as usize);
        if has_all { Ok(Some(())) } else { Err(fault(format!("{counts:?}"))) }
    })
    .await
}
