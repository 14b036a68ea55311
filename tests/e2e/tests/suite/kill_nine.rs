//! Loa is killed five times in mid-run: nobody gets anything twice, nobody is lost, and what is in doubt is only what was
//! claimed and not settled at the moment of a kill.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::ids::{ChunkKey, MessageId};
use loa_domain::state::RecipientState;
use loa_harness::claims::{Releases, unsettled};
use loa_harness::seed::dice;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult, say};

const PEOPLE: u64 = 5_000;
const KILLS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_still_adds_up() -> TestResult {
    let _turn = beside_others().await;
    let mut dice = dice("kill -9");
    let mut site = SiteOptions::process().rate(1_500).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;

    // Kills at random places of the run, by what the sinks have seen: messages are in the air at each.
    let mut places: Vec<u64> = (0..KILLS).map(|_| PEOPLE / 20 + dice.below(PEOPLE * 8 / 5)).collect();
    places.sort_unstable();
    let mut in_the_air = BTreeSet::new();
    for place in places {
        site.accepted(place).await?;
        site.process()?.kill().await?;
        let found = unsettled(&site.data()).await?;
        say(format!("killed at {place} messages: {} claims begun and not settled", found.len()));
        in_the_air.extend(found);
        site.process()?.start_again().await?;
    }
    site.finished(&id).await?;

    let books = site.compared().await?;
    site.process()?.stop().await?;
    let releases = Releases::read(&site.data()).await?;
    let mut may_be_in_doubt: BTreeSet<MessageId> = BTreeSet::new();
    for slice in in_the_air {
        may_be_in_doubt.extend(releases.messages(slice)?);
    }
    let in_doubt: BTreeSet<_> = books.page()?.in_state(RecipientState::InDoubt).map(|line| line.message).collect();
    say(format!("in doubt: {} of {} messages in the air at the kills", in_doubt.len(), may_be_in_doubt.len()));
    list(&in_doubt);
    let strange: Vec<_> = in_doubt.difference(&may_be_in_doubt).collect();
    assert!(strange.is_empty(), "in doubt without a claim that was begun and not settled: {strange:?}");
    site.process()?.start_again().await?;
    site.finish().await.map(drop)
}

/// One line a chunk.
fn list(in_doubt: &BTreeSet<MessageId>) {
    let mut chunks: BTreeMap<ChunkKey, Vec<u16>> = BTreeMap::new();
    in_doubt.iter().for_each(|message| chunks.entry(message.chunk).or_default().push(message.index));
    for (chunk, indices) in chunks {
        say(format!("  {}.{}.{}: {indices:?}", chunk.freeze, chunk.variant, chunk.chunk));
    }
}
