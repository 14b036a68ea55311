//! A paused campaign stays paused over a stop and over a kill, and resuming sends exactly the rest: the process alone, and
//! in a storm one instance after the other, so that the pause outlives everybody who took it.

use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, Site, SiteOptions, TestResult};
use loa_real::Parts;

use crate::stopped::nothing_leaves_after;

const PEOPLE: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_paused_stays_paused() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_while_paused_stay_paused_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("restarts in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn restarts_while_paused_stay_paused_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let mut site = options.rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(60).await?;
    site.pause(&id).await?;
    let t0_us = unix_us();

    restart(&mut site, &id).await?;
    let at_pause = nothing_leaves_after(&site, t0_us).await?;
    // And from here on, too: this look begins after the last start.
    nothing_leaves_after(&site, unix_us()).await?;
    assert_eq!(site.sims.accepted().0 + site.sims.accepted().1, at_pause, "nothing left after the restarts");
    assert!(at_pause < 2 * PEOPLE, "the pause came too late to prove anything");

    site.resume(&id).await?;
    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}

/// Everybody is stopped and started once, and killed and started once.
async fn restart(site: &mut Site, id: &str) -> TestResult {
    site.stop_and_start().await?;
    assert_eq!(site.campaign(id).await?.state, "paused");
    site.kill_and_start().await?;
    assert_eq!(site.campaign(id).await?.state, "paused");
    Ok(())
}
