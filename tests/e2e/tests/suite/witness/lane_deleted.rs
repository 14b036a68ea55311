//! The topic of a lane is deleted under released records, and made again by `loa topics apply`: rows whose records are gone
//! are published again 30 s after their time, come back as late, and are released anew. The readers of the lane go on by
//! themselves, though the topic begins at its start again. Takes as long as those times are.

use loa_harness::{TestResult, books, kills, say};

use super::{World, texts};

const PEOPLE: u64 = 1_000;
const RATE: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_lane_that_was_deleted_and_made_again_loses_nobody() -> TestResult {
    let world = World::start().await?;
    let mut site = world.site().rate(RATE).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&texts()).await?;
    site.accepted(PEOPLE / 4).await?;

    world.parts.kafka.delete_topic("sms.bulk.v1").await?;
    site.cluster()?.first().tool(&["topics", "apply"]).await?;
    let ledger = kills::over(&site, &id).await?;
    say(books::counts(&ledger));
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "no process died, so nobody is in doubt");
    site.finish().await.map(drop)
}
