//! A whole campaign in a storm: two instances of every role, records that come again and late, answers that are lost,
//! leases that are taken away, and one instance that stands still and wakes up again.

use std::time::Duration;

use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult, say, wait_for};
use loa_runtime::Role;
use loa_testkit::dice::Dice;

use crate::stopped::nothing_leaves_after;

/// More than can be handed over while one stands still.
const PEOPLE: u64 = 3_000;
/// Leases whose owner stands still are taken over after 4 s; in so long they certainly are.
const TAKEN_OVER: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_each_person_is_reached_at_most_once() -> TestResult {
    let _turn = beside_others().await;
    let seed = seed("storm");
    let mut dice = Dice::new(seed, 99);
    let mut site = SiteOptions::storm(seed).rate(200).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(PEOPLE / 10).await?;

    site.storm()?.freeze_second().await?;
    let frozen_us = unix_us();
    let long = u64::try_from(TAKEN_OVER.as_micros())?;
    wait_for("the other has taken over", TAKEN_OVER * 2, async || Ok((unix_us() > frozen_us + long).then_some(())))
        .await?;
    let before = site.sims.accepted();
    site.accepted(before.0 + before.1 + 50).await?;
    site.storm()?.thaw_second();

    for (role, kinds) in [(Role::Dispatch, &[("shard", 64)][..]), (Role::Report, &[("shard", 64)])] {
        let taken = site.storm()?.take_leases(role, kinds, &mut dice).await?;
        say(format!("{taken} leases of {role} were taken away"));
        assert!(taken > 0, "no lease of {role} could be taken away");
    }
    site.pause(&id).await?;
    let at_pause = nothing_leaves_after(&site, unix_us()).await?;
    assert!(at_pause < 2 * PEOPLE, "the pause came too late to prove anything");
    site.resume(&id).await?;

    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    say(loa_harness::books::counts(&ledger));
    site.finish().await.map(drop)
}
