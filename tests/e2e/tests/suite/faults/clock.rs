//! When a machine's clock jumps, no bulk is released or leaves by it; set right, it goes on. What was released by the wrong
//! time is not handed over by it. What was handed over before the jump was seen carries the wrong time, so its receipts seem
//! to be older than itself: it stays `submitted`.

use std::time::Duration;

use loa_harness::clock::TurnedClock;
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::beside_others;
use loa_harness::{Kind, Plan, SiteOptions, TestResult, books, fault, say, wait_for};

use super::Begun;

const PEOPLE: u64 = 1_000;
const RATE: u32 = 150;
/// Texts that may leave before the jump is seen: those of a second.
const SEEN_AFTER: u64 = 150;
const OVER_LIMIT: Duration = Duration::from_secs(120);
/// Far enough for a release of the wrong time to wait for hours in the right one.
const JUMP_US: i64 = 3 * 3_600 * 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_stops_bulk_ahead() -> TestResult {
    jumps(JUMP_US).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_stops_bulk_behind() -> TestResult {
    jumps(-JUMP_US).await
}

async fn jumps(by_us: i64) -> TestResult {
    let _turn = beside_others().await;
    let clock = TurnedClock::new();
    let weather = Weather::calm(seed("clock jump"));
    let options =
        SiteOptions { clock: clock.clone(), databases_keep_time: true, ..SiteOptions::of(Kind::Storm(weather)) };
    let mut site = options.rate(RATE).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    let begun = Begun::now(&site, "LOA-004").await?;
    clock.turn_by(by_us);
    begun.is_named(&site, 503).await?;
    let at_stop = begun.stops_everything(&site).await?;
    assert!(at_stop < 2 * PEOPLE, "the clock jumped too late to prove anything");
    assert_eq!(site.ledger(&id).await?.state, "running");
    clock.turn_by(-by_us);
    begun.is_gone(&site).await?;

    let ledger = wait_for("the campaign is over", OVER_LIMIT, async || {
        let ledger = site.ledger(&id).await?;
        let has_all = ledger.variants.iter().all(|one| one.delivered + SEEN_AFTER >= PEOPLE);
        if ledger.state == "done" && has_all { Ok(Some(ledger)) } else { Err(fault(books::counts(&ledger))) }
    })
    .await?;
    say(books::counts(&ledger));
    assert!(ledger.variants.iter().all(|one| one.delivered + one.submitted == PEOPLE), "{ledger:?}");
    site.finish().await.map(drop)
}
