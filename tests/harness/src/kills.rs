//! Loa is killed again and again in mid-run: nobody gets anything twice, nobody is lost, and what is in doubt is only what
//! was claimed and not settled at the moment of a kill.
//!
//! Must stay true: claims are read from the store after each kill, before Loa starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use loa_contract::pb::report::v1 as report;
use loa_domain::ids::{ChunkKey, MessageId, SliceKey};
use loa_domain::state::RecipientState;
use loa_testkit::dice::Dice;

use crate::claims::{Releases, unsettled};
use crate::{Fault, Plan, Site, SiteOptions, fault, say};

/// A run with kills.
#[derive(Debug, Clone, Copy)]
pub struct Kills {
    /// Recipients of each channel.
    pub people: u64,
    /// How often Loa is killed.
    pub kills: usize,
    /// Messages a second of each channel: slow enough that every kill meets messages in the air.
    pub rate: u32,
}

impl Kills {
    /// Runs it at a site of processes; the dice decide where the kills fall, and whom they meet.
    pub async fn run(self, options: SiteOptions, dice: &mut Dice) -> Result<(), Fault> {
        let mut site = options.rate(self.rate).start().await?;
        site.people(self.people).await?;
        let id = site.running(&Plan::default()).await?;
        let in_the_air = self.kill(&mut site, dice).await?;
        for one in &over(&site, &id).await?.variants {
            say(format!(
                "frozen {} delivered {} undelivered {} in doubt {} repeated {}",
                one.frozen, one.delivered, one.undelivered, one.in_doubt, one.repeated
            ));
        }
        in_doubt_within(&mut site, in_the_air).await?;
        site.start_stopped().await?;
        site.finish().await.map(drop)
    }

    /// Kills at random places of the run, by what the sinks have seen; the claims begun and not settled at each.
    async fn kill(self, site: &mut Site, dice: &mut Dice) -> Result<BTreeSet<SliceKey>, Fault> {
        let mut places: Vec<u64> =
            (0..self.kills).map(|_| self.people / 20 + dice.below(self.people * 8 / 5)).collect();
        places.sort_unstable();
        let mut in_the_air = BTreeSet::new();
        for (number, place) in (1..).zip(places) {
            site.accepted(place).await?;
            let victim = site.victim(dice)?;
            victim.kill().await?;
            let found = unsettled(&victim.config()?).await?;
            say(format!("kill {number} at {place} messages: {} claims begun and not settled", found.len()));
            in_the_air.extend(found);
            victim.start_again().await?;
        }
        Ok(in_the_air)
    }
}

/// Waits for the end; a long run may take longer than one wait, as long as it goes on.
pub async fn over(site: &Site, id: &str) -> Result<report::CampaignLedger, Fault> {
    let mut left = u64::MAX;
    loop {
        let error = match site.finished(id).await {
            Ok(ledger) => return Ok(ledger),
            Err(error) => error,
        };
        let open: u64 = site.ledger(id).await?.variants.iter().map(|one| one.open).sum();
        if open == 0 || open >= left {
            return Err(error);
        }
        say(format!("{open} open"));
        left = open;
    }
}

/// Compares the books with what was in the air; Loa is stopped for that.
pub async fn in_doubt_within(site: &mut Site, in_the_air: BTreeSet<SliceKey>) -> Result<(), Fault> {
    let books = site.compared().await?;
    let config = site.stop_all().await?;
    let releases = Releases::read(&config).await?;
    let mut may_be_in_doubt: BTreeSet<MessageId> = BTreeSet::new();
    for slice in in_the_air {
        may_be_in_doubt.extend(releases.messages(slice)?);
    }
    let in_doubt: BTreeSet<_> = books.page()?.in_state(RecipientState::InDoubt).map(|line| line.message).collect();
    say(format!("in doubt: {} of {} messages in the air at the kills", in_doubt.len(), may_be_in_doubt.len()));
    list(&in_doubt);
    let strange: Vec<_> = in_doubt.difference(&may_be_in_doubt).collect();
    if strange.is_empty() {
        Ok(())
    } else {
        Err(fault(format!("in doubt without a claim that was begun and not settled: {strange:?}")))
    }
}

/// One line a chunk: `freeze.variant.chunk: 0-99 300-399`.
fn list(in_doubt: &BTreeSet<MessageId>) {
    let mut chunks: BTreeMap<ChunkKey, Vec<RangeInclusive<u16>>> = BTreeMap::new();
    for message in in_doubt {
        let runs = chunks.entry(message.chunk).or_default();
        match runs.last_mut() {
            Some(run) if run.end().checked_add(1) == Some(message.index) => *run = *run.start()..=message.index,
            _ => runs.push(message.index..=message.index),
        }
    }
    for (chunk, runs) in chunks {
        let runs: Vec<String> = runs.iter().map(|run| format!("{}-{}", run.start(), run.end())).collect();
        say(format!("  {}.{}.{}: {}", chunk.freeze, chunk.variant, chunk.chunk, runs.join(" ")));
    }
}
