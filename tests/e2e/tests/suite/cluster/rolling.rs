//! Processes are restarted one after the other, as for an upgrade, and nobody notices: no pause, nothing repeated, and
//! since each settles what it has, nothing is in doubt.

use loa_harness::clock::unix_us;
use loa_harness::leases::{hand_overs, longest_pause};
use loa_harness::{TestResult, say};

use super::{PEOPLE, World, is_shared};

const RATE: u32 = 150;
/// No pause is longer: shards and partitions that are freed are taken at the next look of somebody.
const PAUSE_US: u64 = 3_000_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_rolling_restart_makes_no_gap() -> TestResult {
    let World { mut site, owners, id, _parts, _turn } = World::start(RATE).await?;

    let from_us = unix_us();
    site.cluster()?.first().stop_and_start().await?;
    is_shared(&owners).await?;
    site.cluster()?.second().stop_and_start().await?;
    is_shared(&owners).await?;
    let until_us = unix_us();
    owners.close().await;
    site.accepted(PEOPLE * 9 / 5).await?;

    let times = hand_overs(&site.sims, &site.data())?;
    let (at_us, pause_us) = longest_pause(from_us, times.iter().map(|(at_us, _)| *at_us).filter(|at| *at <= until_us));
    say(format!(
        "both were restarted in {} ms; the longest pause was {} ms, {} ms after the first stop",
        (until_us - from_us) / 1_000,
        pause_us / 1_000,
        (at_us - from_us) / 1_000
    ));
    assert!(pause_us <= PAUSE_US, "a pause of {} ms", pause_us / 1_000);
    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "{}", loa_harness::books::counts(&ledger));
    site.finish().await.map(drop)
}
