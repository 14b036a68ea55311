//! What "stopped" means, for every test of it: nothing leaves later than two seconds after T0.

use std::time::Duration;

use loa_harness::clock::unix_us;
use loa_harness::{Fault, Site, wait_for};

/// The promise.
pub(crate) const STOP_US: u64 = 2_000_000;
/// A message that leaves against the promise is given so long to show itself.
const LOOK_US: u64 = 4_000_000;

/// Looks until well after T0 + 2 s; a fault if anything was accepted later than that. Answers how many were accepted.
pub(crate) async fn nothing_leaves_after(site: &Site, t0_us: u64) -> Result<u64, Fault> {
    let looked_long_enough = async || Ok((unix_us() > t0_us + LOOK_US).then_some(()));
    wait_for("the time in which a late message would show", Duration::from_secs(10), looked_long_enough).await?;
    let last_us = site.sims.last_us()?;
    if last_us > t0_us + STOP_US {
        return Err(format!("a message was accepted {} ms after T0", (last_us - t0_us) / 1_000).into());
    }
    let (sms, mail) = site.sims.accepted();
    Ok(sms + mail)
}
