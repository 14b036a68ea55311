//! The roles split over processes, two for each group, as an operator configures them: each finds the others by
//! `[endpoints]`.

use loa_harness::turns::alone;
use loa_harness::{Plan, TestResult, http};
use loa_real::Parts;

const PEOPLE: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_campaign_runs_over_split_roles() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = alone().await;
    let mut site = parts.site_apart()?.rate(500).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "{ledger:?}");
    // The console asks gateways in another process.
    let (status, page) = http::get(site.addresses()[0].console, "/carriers").await?;
    assert!(status == 200 && page.contains("sim-a") && page.contains("sim-mail"), "{status}");
    site.finish().await.map(drop)
}
