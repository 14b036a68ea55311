//! A process that stands still loses what it has to the others; when it wakes, in the middle of what it was doing, it is
//! fenced: nothing is repeated, and it gets a share again.

use loa_harness::{TestResult, say};

use super::{World, has_all, is_shared};

const RATE: u32 = 150;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn who_wakes_late_is_fenced() -> TestResult {
    let World { mut site, owners, id, _parts, _turn } = World::start(RATE).await?;

    site.cluster()?.second().freeze()?;
    has_all(&owners, "loa-0").await?;
    let (sms, mail) = site.sims.accepted();
    site.accepted(sms + mail + u64::from(RATE)).await?;
    site.cluster()?.second().thaw()?;
    is_shared(&owners).await?;
    owners.close().await;
    assert_eq!(site.ledger(&id).await?.state, "running", "it woke too late to prove anything");

    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    say(loa_harness::books::counts(&ledger));
    site.finish().await.map(drop)
}
