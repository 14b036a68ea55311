//! Redis forgets everything while receipts are open: it is a cache, so nobody gets anything twice, nobody is lost, and every
//! receipt finds its message.

use std::time::Duration;

use loa_harness::{Fault, TestResult, books, fault, say, wait_for};

use super::{World, count, texts};

/// Receipts that are open; a long run takes 100,000.
const OPEN: u64 = 5_000;
const RATE: u32 = 2_000;
/// How often Redis is emptied while texts go out.
const TIMES: u64 = 4;
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_redis_is_emptied_under_open_receipts() -> TestResult {
    let people = count("LOA_OPEN_RECEIPTS", OPEN);
    let world = World::start().await?;
    world.sinks.carrier(0).hold_receipts()?;
    let mut site = world.site().rate(RATE).start().await?;
    site.people(people).await?;
    let id = site.running(&texts()).await?;
    for time in 1..=TIMES {
        site.accepted(people * time / (TIMES + 1)).await?;
        world.parts.redis.ask("FLUSHALL").await?;
    }
    wait_for("every text was taken and has no receipt", LIMIT, async || {
        let ledger = site.ledger(&id).await?;
        let submitted: u64 = ledger.variants.iter().map(|one| one.submitted).sum();
        if submitted == people { Ok(Some(())) } else { Err(fault(books::counts(&ledger))) }
    })
    .await?;
    world.parts.redis.ask("FLUSHALL").await?;
    assert_eq!(world.sinks.carrier(0).acknowledged()?, 0, "a receipt was not held");
    world.sinks.carrier(0).release_receipts()?;
    let ledger = loa_harness::kills::over(&site, &id).await?;
    say(books::counts(&ledger));
    assert!(ledger.variants.iter().all(|one| one.delivered == people), "every receipt found its message");
    let highest = busiest_second(&world.sinks.carrier(0).lines()?)?;
    say(format!("at most {highest} texts in a second at a rate of {RATE}"));
    site.finish().await.map(drop)
}

/// Texts of the second with most.
fn busiest_second(lines: &[loa_sim::log::LogLine]) -> Result<u64, Fault> {
    let mut seconds = std::collections::HashMap::new();
    lines.iter().for_each(|line| *seconds.entry(line.unix_us / 1_000_000).or_insert(0_u64) += 1);
    seconds.into_values().max().ok_or_else(|| fault("nothing was taken"))
}
