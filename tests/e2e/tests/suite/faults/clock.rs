//! When a machine's clock jumps, no bulk is released or leaves by it; set right, it goes on. What was released by the wrong
//! time is not handed over by it.

use loa_harness::clock::TurnedClock;
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::beside_others;
use loa_harness::{Kind, Plan, SiteOptions, TestResult};

use super::Begun;

const PEOPLE: u64 = 1_000;
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
    let mut site = options.rate(150).start().await?;
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

    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "{ledger:?}");
    site.finish().await.map(drop)
}
