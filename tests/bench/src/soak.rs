//! Many kills in one long run: 20 kill -9 during 50,000 recipients per channel, then both books compared.

use loa_harness::claims::unsettled;
use loa_harness::{Fault, Plan, SiteOptions, fault, say};
use loa_testkit::dice::Dice;

const PEOPLE: u64 = 50_000;
const KILLS: usize = 20;
/// Messages a second of each channel: slow enough that every kill meets messages in the air.
const RATE: u32 = 1_000;
/// Without a seed, this one.
const SEED: u64 = 1;

/// Runs it; the seed decides where the kills fall.
pub(crate) async fn run(seed: Option<u64>) -> Result<(), Fault> {
    let seed = seed.unwrap_or(SEED);
    say(format!("soak: {KILLS} kills, {PEOPLE} people, seed {seed}"));
    let mut dice = Dice::new(seed, 0);
    let mut site = SiteOptions::process().rate(RATE).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    let mut places: Vec<u64> = (0..KILLS).map(|_| PEOPLE / 50 + dice.below(PEOPLE * 18 / 10)).collect();
    places.sort_unstable();
    let mut claims = 0;
    for (number, place) in places.into_iter().enumerate() {
        site.accepted(place).await?;
        site.process()?.kill().await?;
        let found = unsettled(&site.data()).await?.len();
        claims += found;
        say(format!("kill {} at {place} messages: {found} claims begun and not settled", number + 1));
        site.process()?.start_again().await?;
    }
    let ledger = loop {
        match site.finished(&id).await {
            Ok(ledger) => break ledger,
            // A run of this length may take longer than one wait; what counts is that it goes on.
            Err(error) => {
                let now = site.ledger(&id).await?;
                let open: u64 = now.variants.iter().map(|one| one.open).sum();
                if open == 0 {
                    return Err(error);
                }
                say(format!("{open} open"));
            }
        }
    };
    for one in &ledger.variants {
        say(format!(
            "frozen {} delivered {} undelivered {} in doubt {} submitted {} repeated {}",
            one.frozen, one.delivered, one.undelivered, one.in_doubt, one.submitted, one.repeated
        ));
        if !one.adds_up || one.repeated > 0 || one.open > 0 {
            return Err(fault("the ledger does not add up"));
        }
    }
    say(format!("{claims} claims were in the air at the kills"));
    site.finish().await.map(drop)
}
