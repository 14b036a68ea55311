//! Receipts come in a burst while bulk goes out and urgent texts are asked for: urgent keeps flowing, memory stays bounded,
//! and no receipt is lost.
//!
//! The message centre is our own simulator, which alone here can hold receipts by the hundred thousand and send them at once.

use std::collections::HashMap;
use std::time::Duration;

use loa_harness::books::{self, Books};
use loa_harness::clock::unix_us;
use loa_harness::secrets::CANARY;
use loa_harness::{Fault, Plan, Site, TestResult, fault, kills, say, usage, wait_for};
use loa_sim::log::text_hash;
use loa_sim::smsc::Receipts;

use super::{World, count, texts};
use crate::single_sends::{approved_notice, request, send};

/// Receipts of the burst; a long run takes 5,000,000.
const BURST: u64 = 30_000;
/// Parts a second, or what hands over the burst's texts in 100 seconds.
const RATE: u32 = 4_000;
const BURST_SECONDS: u64 = 100;
/// Urgent texts during the burst.
const URGENT: u64 = 40;
/// Of the bulk's texts of a second, this share goes out between two of them.
const BETWEEN_SHARE: u32 = 40;
/// An urgent text is handed over so long after its acceptance, at most: everything is on one machine here.
const URGENT_US: u64 = 2_000_000;
const MEMORY_MIB: u64 = 512;
/// All texts are taken within this, or within a second for each so many if that is longer.
const LIMIT: Duration = Duration::from_secs(120);
const LIMIT_TEXTS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_burst_of_receipts_delays_nothing_urgent_and_is_not_lost() -> TestResult {
    let burst = count("LOA_RECEIPTS_BURST", BURST);
    let rate = RATE.max(u32::try_from(burst / BURST_SECONDS)?);
    let world = World::start().await?;
    let held = Receipts { held: true, ..Receipts::default() };
    let mut site = world.place.site().receipts(held).rate(rate).start().await?;
    let people = site.people(burst + URGENT).await?;
    let notice = approved_notice(site.users()).await?;
    let first = site.running(&texts()).await?;
    submitted(&site, &first, burst + URGENT).await?;
    assert_eq!(site.sims.smsc.stats().receipts_acknowledged, 0, "a receipt was not held");

    // Another text, so that nobody's two messages are alike.
    let other = format!("Tin thu hai: {{ten}} oi, moi ba con den du. {CANARY}");
    let bulk = site.running(&Plan { title: "Tin thu hai".to_owned(), sms: Some(other), ..texts() }).await?;
    site.accepted(burst + URGENT + u64::from(rate)).await?;
    site.sims.smsc.set_receipts(Receipts::default());
    let mut accepted_us = HashMap::new();
    for person in burst..burst + URGENT {
        send(site.users(), &request(&notice, &people, person)).await?;
        accepted_us.insert(people.msisdn(person).to_string(), unix_us());
        site.accepted(site.sims.accepted().0 + u64::from(rate / BETWEEN_SHARE)).await?;
    }
    let acknowledged = site.sims.smsc.stats().receipts_acknowledged;
    for id in [&first, &bulk] {
        say(books::counts(&kills::over(&site, id).await?));
    }
    let urgent = text_hash(format!("Ho so cua Lan da xong. {CANARY}").as_bytes());
    let lines = site.sims.sms_lines()?;
    let urgent = lines.iter().filter(|line| line.text_hash == urgent);
    let waits = urgent.filter_map(|line| Some(line.unix_us.saturating_sub(*accepted_us.get(&line.address)?)));
    let mut waits: Vec<u64> = waits.collect();
    waits.sort_unstable();
    assert_eq!(waits.len() as u64, URGENT, "each was handed over once");
    let longest = waits.last().copied().unwrap_or(0);
    let highest = memory_mib(&mut site)?;
    say(format!(
        "{burst} receipts at once, {acknowledged} taken by the last urgent text; longest wait {} ms, median {} ms; {highest} MiB",
        longest / 1_000,
        waits[waits.len() / 2] / 1_000
    ));
    assert!(longest <= URGENT_US, "an urgent text waited {} ms", longest / 1_000);
    assert!(highest <= MEMORY_MIB, "a process took {highest} MiB");

    let mut books = Books::new(site.sinks()).await?;
    for id in [&first, &bulk] {
        books.add(site.users(), id).await?;
    }
    (burst..burst + URGENT).for_each(|person| books.add_single("sms", people.msisdn(person)));
    books.check()?;
    assert!(books.pages.iter().all(|page| page.ledger.variants.iter().all(|one| one.delivered == burst + URGENT)));
    site.nobody_is_printed().await?;
    site.end().await
}

/// Waits until every text of a campaign was taken and has no receipt.
async fn submitted(site: &Site, id: &str, people: u64) -> Result<(), Fault> {
    let limit = LIMIT.max(Duration::from_secs(people / LIMIT_TEXTS));
    wait_for("every text was taken", limit, async || {
        let ledger = site.ledger(id).await?;
        let submitted: u64 = ledger.variants.iter().map(|one| one.submitted).sum();
        if submitted == people { Ok(Some(())) } else { Err(fault(books::counts(&ledger))) }
    })
    .await
}

/// What the larger of both processes took at its highest.
fn memory_mib(site: &mut Site) -> Result<u64, Fault> {
    let cluster = site.cluster()?;
    let pids = [cluster.first().pid(), cluster.second().pid()];
    let peaks = pids.map(|pid| usage::memory_kib(pid, "VmHWM"));
    peaks.into_iter().try_fold(0, |highest: u64, peak| Ok(highest.max(peak? / 1_024)))
}
