//! What a dead process had goes on within six seconds: its shards, its partitions, its binds.

use std::collections::BTreeSet;

use loa_domain::ids::Shard;
use loa_harness::clock::unix_us;
use loa_harness::leases::{SHARED, hand_overs, longest_pause};
use loa_harness::{TestResult, say};

use super::{PEOPLE, World, has_all};

const RATE: u32 = 200;
/// The promise.
const GOES_ON_US: u64 = 6_000_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn what_a_dead_process_had_goes_on() -> TestResult {
    let World { mut site, owners, id, _parts, _turn } = World::start(RATE).await?;

    let mut of_the_dead = BTreeSet::new();
    for number in owners.numbers(SHARED[0], "loa-1").await? {
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
    // The other gateway still hands over what was released of them, so the pause need not begin with the kill.
    let (from_us, pause_us) = longest_pause(killed_us, of_their_shards);
    let began_us = from_us - killed_us;
    say(format!("its shards paused for {} ms at most, {} ms after the kill", pause_us / 1_000, began_us / 1_000));
    assert!(taken_us <= GOES_ON_US && pause_us <= GOES_ON_US, "{taken_us} {pause_us}");

    site.cluster()?.second().start_again().await?;
    let ledger = site.finished(&id).await?;
    assert_eq!(ledger.state, "done");
    say(loa_harness::books::counts(&ledger));
    site.finish().await.map(drop)
}
