//! Loa was away for longer than the log keeps records: what it had not read is gone. Every reader says so, the campaign is
//! marked and halted, what dispatch does not know of is answered from the claims, and nothing is sent twice.

use std::sync::Arc;
use std::time::Duration;

use loa_embedded::{EmbeddedLog, Options};
use loa_harness::turns::beside_others;
use loa_harness::{Plan, Site, SiteOptions, TestResult, books, fault, say, wait_for};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::Log as _;

const PEOPLE: u64 = 1_000;
/// Longer than any topic keeps its records.
const AWAY_US: i64 = 15 * 24 * 3_600 * 1_000_000;
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_dropped_unread_is_marked_and_rebuilt() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::process().rate(300).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(PEOPLE / 2).await?;

    site.process()?.kill().await?;
    let clock = Arc::new(SystemClock::new());
    let log = EmbeddedLog::open(&site.data().join("log.db"), clock.clone(), Options::default()).await?;
    log.retain(clock.now_us() + AWAY_US).await?;
    log.close().await;
    site.process()?.start_again().await?;

    wait_for("the campaign is halted for what was missed", LIMIT, async || {
        let campaign = site.campaign(&id).await?;
        let why = format!("{} {}", campaign.state, campaign.halt_reason);
        if why.starts_with("halted LOA-021: ") { Ok(Some(())) } else { Err(fault(why)) }
    })
    .await?;
    for code in ["LOA-021", "LOA-111"] {
        assert!(site.printed().await?.contains(code), "{code} was not told");
    }
    assert!(site.ledger(&id).await?.records_missed > 0, "the ledger does not say that it missed records");

    site.resume(&id).await?;
    is_over(&site, &id).await?;
    let ledger = site.ledger(&id).await?;
    say(books::counts(&ledger));
    assert!(ledger.records_missed > 0, "the mark stays");
    site.finish().await.map(drop)
}

/// Done, though the receipts that were dropped leave their messages `submitted`.
async fn is_over(site: &Site, id: &str) -> TestResult {
    wait_for("the campaign is done", LIMIT, async || {
        let ledger = site.ledger(id).await?;
        let open: u64 = ledger.variants.iter().map(|one| one.open).sum();
        let is_done = open == 0 && ledger.complete && site.campaign(id).await?.state == "done";
        if is_done { Ok(Some(())) } else { Err(fault(books::counts(&ledger))) }
    })
    .await
}
