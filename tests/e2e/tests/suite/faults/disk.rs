//! When the disk is full nothing can be written, so nothing leaves; with room again everything goes on by itself. Of the
//! process alone: it is the machine that refuses it.

use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult};

use super::Begun;

const PEOPLE: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_nothing_leaves() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions { fills_disk: true, ..SiteOptions::process() }.rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    let begun = Begun::now(&site, "LOA-008").await?;
    site.process()?.fill_disk()?;
    begun.is_named(&site, 503).await?;
    let at_stop = begun.stops_everything(&site).await?;
    assert!(at_stop < 2 * PEOPLE, "the disk was full too late to prove anything");
    // What does not answer because of it says so too.
    let said = site.ready().await?.into_iter().map(|(_, text)| text).collect::<String>();
    assert!(said.contains("LOA-005") && said.contains("LOA-006"), "{said}");
    site.process()?.free_disk()?;
    begun.is_gone(&site).await?;

    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    site.finish().await.map(drop)
}
