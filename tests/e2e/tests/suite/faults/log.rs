//! While the log is away nothing can be confirmed, so bulk stops by itself within two seconds; a pause asked meanwhile says
//! that it is stored and not yet in force, and holds once the log is back.

use std::time::Duration;

use loa_contract::pb::registry::v1::PauseCampaignRequest;
use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::{alone, beside_others};
use loa_harness::{Kind, Plan, SiteOptions, TestResult, wait_for};
use tonic::Code;

use super::{Begun, under_way};
use crate::stopped::nothing_leaves_after;

const PEOPLE: u64 = 1_000;
const CODE: &str = "LOA-005";

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_bulk_stops_by_itself() -> TestResult {
    let _turn = beside_others().await;
    let weather = Weather::calm(seed("log stopped"));
    let mut site = SiteOptions::of(Kind::Storm(weather)).rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    let begun = Begun::now(&site, CODE).await?;
    site.storm()?.log.away(true);
    let pause = PauseCampaignRequest { id: id.clone() };
    let said = site.users().operator.registry().pause_campaign(pause.clone()).await;
    let said = said.err().ok_or("a pause was confirmed that no process could read")?;
    assert_eq!(said.code(), Code::Unavailable);
    assert!(said.message().contains("stored; in force as soon as the log is back"), "{}", said.message());
    let at_stop = begun.stops_everything(&site).await?;
    assert!(at_stop < 2 * PEOPLE, "the log stopped too late to prove anything");
    begun.is_named(&site, 503).await?;

    site.storm()?.log.away(false);
    // Asked again, the pause is confirmed as soon as it is in force: T0.
    wait_for("the pause is confirmed", Duration::from_secs(20), async || {
        let answer = site.users().operator.registry().pause_campaign(pause.clone()).await;
        Ok(answer.map(Some)?)
    })
    .await?;
    let t0_us = unix_us();
    let at_pause = nothing_leaves_after(&site, t0_us).await?;
    assert!(at_pause < 2 * PEOPLE, "the pause did not hold");

    site.resume(&id).await?;
    begun.is_gone(&site).await?;
    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}

/// The broker keeps its connections and answers nothing; then it is killed and started again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn without_its_broker_bulk_stops_by_itself() -> TestResult {
    let _turn = alone().await;
    let (mut parts, site, id) = under_way(PEOPLE).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.kafka.freeze(0)?;
    begun.is_named(&site, 503).await?;
    let at_stop = begun.stops_everything(&site).await?;
    parts.kafka.thaw(0)?;
    begun.is_gone(&site).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.kafka.kill(0)?;
    begun.is_named(&site, 503).await?;
    let at_kill = begun.stops_everything(&site).await?;
    assert!(at_stop < at_kill && at_kill < 2 * PEOPLE, "{at_stop}, {at_kill}: too late to prove anything");
    parts.kafka.start_again(0).await?;
    begun.is_gone(&site).await?;

    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}
