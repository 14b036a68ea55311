//! What a dead process had goes on within six seconds: its shards, its partitions, its binds.

use std::collections::BTreeSet;

use loa_domain::ids::Shard;
use loa_harness::clock::unix_us;
use loa_harness::leases::{Owners, hand_overs, longest_pause};
use loa_harness::turns::alone;
use loa_harness::{Plan, TestResult, say};
use loa_real::Parts;
use loa_runtime::Role;

use super::{has_all, is_shared};

const PEOPLE: u64 = 3_000;
const RATE: u32 = 200;
/// The promise.
const GOES_ON_US: u64 = 6_000_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn what_a_dead_process_had_goes_on() -> TestResult {
    let _turn = alone().await;
    let parts = Parts::shared().await?;
    let mut site = parts.site()?.rate(RATE).start().await?;
    let owners = Owners::of(&site.cluster()?.first().config()?).await?;
    is_shared(&owners).await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(u64::from(RATE) * 2).await?;

    let mut of_the_dead = BTreeSet::new();
    for number in owners.numbers(Role::Dispatch, "shard", "loa-1").await? {
        of_the_dead.insert(Shard::new(number)?);
    }
    site.cluster()?.second().kill().await?;
    let killed_us = unix_us();
    has_all(&owners, "loa-0").await?;
    let taken_us = unix_us() - killed_us;
    say(format!("everything is taken over {} ms after the kill", taken_us / 1_000));
    owners.close().await;

    site.accepted(PEOPLE * 9 / 5).await?;
    let times = hand_overs(&site.sims, &site.data())?;
    let of_their_shards = times.iter().filter(|(_, shard)| of_the_dead.contains(shard)).map(|(at_us, _)| *at_us);
    let (from_us, pause_us) = longest_pause(killed_us, of_their_shards);
    let on_us = from_us + pause_us - killed_us;
    say(format!("its shards go on {} ms after the kill, after a pause of {} ms", on_us / 1_000, pause_us / 1_000));
    assert!(taken_us <= GOES_ON_US && on_us <= GOES_ON_US, "{taken_us} {on_us}");

    site.cluster()?.second().start_again().await?;
    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    say(loa_harness::books::counts(&ledger));
    site.finish().await.map(drop)
}
