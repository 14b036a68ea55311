//! A gateway stands still with releases in its hand that it has not claimed; the campaign is paused, and resumed on the other
//! gateway; then the first one wakes and finds that what it holds is decided.

use std::time::Duration;

use loa_harness::claims::{Releases, unsettled};
use loa_harness::kills::in_doubt_within;
use loa_harness::leases::Owners;
use loa_harness::{Fault, TestResult, books, fault, say, wait_for};

use super::{World, texts};
use crate::cluster::is_shared;

const PEOPLE: u64 = 2_000;
const RATE: u32 = 300;
const LIMIT: Duration = Duration::from_secs(30);
/// So many looks that find the same claims: the gateway that moves has nothing left to give back.
const SAME: usize = 5;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_gateway_that_stood_still_sends_nothing_twice() -> TestResult {
    let world = World::start().await?;
    let mut site = world.site().rate(RATE).start().await?;
    let owners = Owners::of(&site.cluster()?.first().config()?).await?;
    is_shared(&owners).await?;
    owners.close().await;
    site.people(PEOPLE).await?;
    let id = site.running(&texts()).await?;
    site.accepted(PEOPLE / 5).await?;

    let second = site.cluster()?.second();
    second.freeze()?;
    let config = second.config()?;
    let in_the_air = unsettled(&config).await?;
    site.pause(&id).await?;
    // Of a campaign that does not run the gateway that moves gives back all that it holds, so what stays without a claim is
    // in the hand of the one that does not, until it is taken over from. Nothing new comes on the log meanwhile.
    let claims = "select count(*) from claim";
    let (mut last, mut times) = (0, 0);
    let claimed = wait_for("what is not claimed is the frozen gateway's alone", LIMIT, async || {
        let claimed: usize = world.parts.postgres.answer(&world.place.database("sms"), claims)?.parse()?;
        times = if claimed == last { times + 1 } else { 0 };
        last = claimed;
        Ok((times == SAME).then_some(claimed))
    })
    .await?;
    let waiting = Releases::read(&config).await?.slices().saturating_sub(claimed);
    say(format!("frozen with {waiting} slices that nobody had claimed, and {} claimed", in_the_air.len()));
    assert!(waiting > 0, "it held nothing that could go out twice");

    site.resume(&id).await?;
    let before = accepted(&site)?;
    site.accepted(before + PEOPLE / 5).await?;
    site.cluster()?.second().thaw()?;
    say(books::counts(&site.finished(&id).await?));
    in_doubt_within(&mut site, in_the_air).await?;
    site.start_stopped().await?;
    site.finish().await.map(drop)
}

fn accepted(site: &loa_harness::Site) -> Result<u64, Fault> {
    let (texts, mails) = site.sinks().accepted()?;
    texts.checked_add(mails).ok_or_else(|| fault("too many messages"))
}
