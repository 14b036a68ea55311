//! A paused campaign stays paused over a stop and over a kill -9, and resuming sends exactly the rest.

use loa_harness::clock::unix_us;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult};

use crate::stopped::nothing_leaves_after;

const PEOPLE: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_paused_stays_paused() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::process().rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(60).await?;
    site.pause(&id).await?;
    let t0_us = unix_us();

    let ended = site.process()?.stop().await?;
    assert!(ended.success(), "a stop settles what is in flight: {ended}");
    site.process()?.start_again().await?;
    assert_eq!(site.campaign(&id).await?.state, "paused");
    site.process()?.kill().await?;
    site.process()?.start_again().await?;
    assert_eq!(site.campaign(&id).await?.state, "paused");
    let at_pause = nothing_leaves_after(&site, t0_us).await?;
    // And from here on, too: this look begins after the second start.
    nothing_leaves_after(&site, unix_us()).await?;
    assert_eq!(site.sims.accepted().0 + site.sims.accepted().1, at_pause, "nothing left after the restarts");
    assert!(at_pause < 2 * PEOPLE, "the pause came too late to prove anything");

    site.resume(&id).await?;
    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}
