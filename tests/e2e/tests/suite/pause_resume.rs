//! A paused campaign sends nothing later than two seconds after the reply, and resuming sends exactly the rest.

use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult};
use loa_real::Parts;

use crate::stopped::nothing_leaves_after;

const PEOPLE: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_sends_nothing() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_sends_nothing_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("pause in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_paused_campaign_sends_nothing_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let mut site = options.rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    site.pause(&id).await?;
    let t0_us = unix_us();
    let at_pause = nothing_leaves_after(&site, t0_us).await?;
    assert!(at_pause < 2 * PEOPLE, "the pause came too late to prove anything");
    assert_eq!(site.ledger(&id).await?.state, "paused");

    site.resume(&id).await?;
    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    let (sms, email) = site.sims.accepted();
    assert!(sms + email <= 2 * PEOPLE, "{sms} texts and {email} mails to {PEOPLE} people");
    site.finish().await.map(drop)
}
