//! Outside the hours of its class a running campaign holds; when they begin, it goes on, and nobody is dropped.

use loa_harness::clock::{TurnedClock, unix_us};
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::beside_others;
use loa_harness::{Kind, Plan, SiteOptions, TestResult};
use loa_sim::smsc::Receipts;

use crate::stopped::nothing_leaves_after;

const PEOPLE: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn at_night_a_campaign_holds() -> TestResult {
    let _turn = beside_others().await;
    let clock = TurnedClock::new();
    clock.turn_to_local_hour(3);
    let weather = Weather::rough(seed("quiet hours"));
    let options = SiteOptions { clock: clock.clone(), ..SiteOptions::of(Kind::Storm(weather)) };
    let mut site = options.legal_hours().start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;

    let started_us = unix_us();
    assert_eq!(nothing_leaves_after(&site, started_us).await?, 0, "messages left at three in the night");
    let ledger = site.ledger(&id).await?;
    assert_eq!(ledger.state, "running");
    assert!(ledger.variants.iter().all(|one| one.open == PEOPLE), "who is held is open: {ledger:?}");

    clock.turn_to_local_hour(10);
    // The carrier lives in the same day.
    site.sims.smsc.set_receipts(Receipts { clock_ahead_us: clock.ahead_us(), ..Receipts::default() });
    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.skipped == 0 && one.delivered + one.in_doubt == PEOPLE), "{ledger:?}");
    site.finish().await.map(drop)
}
