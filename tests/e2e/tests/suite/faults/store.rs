//! Without its store a role stands still: nothing is claimed, so nothing leaves, whether the store keeps silent or is gone.

use loa_harness::TestResult;
use loa_harness::turns::alone;

use super::{Begun, under_way};

const PEOPLE: u64 = 1_000;
const CODE: &str = "LOA-006";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn without_the_store_nothing_leaves() -> TestResult {
    let _turn = alone().await;
    let (mut parts, site, id) = under_way(PEOPLE).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.postgres.freeze()?;
    begun.is_named(&site, 503).await?;
    let at_stop = begun.stops_everything(&site).await?;
    parts.postgres.thaw()?;
    begun.is_gone(&site).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.postgres.kill()?;
    begun.is_named(&site, 503).await?;
    let at_kill = begun.stops_everything(&site).await?;
    assert!(at_stop < at_kill && at_kill < 2 * PEOPLE, "{at_stop}, {at_kill}: too late to prove anything");
    parts.postgres.start_again().await?;
    begun.is_gone(&site).await?;

    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}
