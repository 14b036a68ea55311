//! A campaign to sinks of others alone: theirs are the books that the ledger is compared with.

use loa_domain::state::RecipientState;
use loa_harness::{Plan, TestResult, books, say};

use super::World;

const PEOPLE: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_sinks_of_others_have_everybody_once() -> TestResult {
    let world = World::start().await?;
    let mut site = world.site().start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    let ledger = site.finished(&id).await?;
    say(books::counts(&ledger));
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "nothing stood in the way");

    let books = site.finish().await?;
    assert_eq!(books.page()?.in_state(RecipientState::Delivered).count() as u64, 2 * PEOPLE);
    Ok(())
}
