//! Without Redis sending goes on, slower: each process gives the share of an account's rate that its binds are. It is said.

use loa_harness::TestResult;
use loa_harness::turns::alone;

use super::{Begun, accepted, under_way};

const PEOPLE: u64 = 2_000;
const CODE: &str = "LOA-007";
/// Messages that leave while Redis is away.
const WITHOUT: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn without_redis_sending_goes_on_and_says_so() -> TestResult {
    let _turn = alone().await;
    let (mut parts, site, id) = under_way(PEOPLE).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.redis.freeze()?;
    begun.is_named(&site, 200).await?;
    site.accepted(accepted(&site) + WITHOUT).await?;
    parts.redis.thaw()?;
    begun.is_gone(&site).await?;

    let begun = Begun::now(&site, CODE).await?;
    parts.redis.kill()?;
    begun.is_named(&site, 200).await?;
    site.accepted(accepted(&site) + WITHOUT).await?;
    assert!(accepted(&site) < 2 * PEOPLE, "too late to prove anything");
    parts.redis.start_again().await?;
    begun.is_gone(&site).await?;

    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "{ledger:?}");
    site.finish().await.map(drop)
}
