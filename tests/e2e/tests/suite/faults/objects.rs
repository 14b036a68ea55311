//! The store of objects goes away: who asks it for something new is told so by its name, what is under way loses nothing, and
//! it all goes on by itself.

use loa_harness::turns::alone;
use loa_harness::{Plan, TestResult, plan, say};
use loa_real::Parts;
use loa_real::objects::Objects;
use loa_real::parts::Place;

const PEOPLE: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn without_objects_nothing_new_is_frozen_and_nothing_is_lost() -> TestResult {
    let _turn = alone().await;
    let parts = Parts::shared().await?;
    let mut objects = Objects::start().await?;
    let place = Place { objects: objects.settings("away"), ..parts.place()? };
    let mut site = place.site().rate(150).start().await?;
    site.people(PEOPLE).await?;
    let under_way = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    objects.kill()?;
    let sms = Some("Hop to: {ten} oi, moi ba con den du.".to_owned());
    let other = Plan { title: "Hop to".to_owned(), sms, email: None, ..Plan::default() };
    let other = other.draft(site.users(), "hop-to").await?;
    let refused = plan::submit(site.users(), &other).await.err().ok_or("it was frozen without its dataset")?;
    say(&refused);
    assert!(refused.to_string().contains("in the object store"), "{refused}");

    objects.start_again().await?;
    plan::submit(site.users(), &other).await?;
    plan::approved(site.users(), &other).await?;
    plan::start(site.users(), &other).await?;
    site.adopt(other.clone());
    for id in [&under_way, &other] {
        assert_eq!(site.finished(id).await?.state, "done");
    }
    let (texts, mails) = site.sims.accepted();
    assert_eq!((texts, mails), (2 * PEOPLE, PEOPLE));
    site.finish().await.map(drop)
}
