//! Many kills in one long run: 20 kill -9 during 50,000 recipients per channel, then both books compared.

use loa_harness::SiteOptions;
use loa_harness::kills::Kills;
use loa_harness::{Fault, say};
use loa_testkit::dice::Dice;

const RUN: Kills = Kills { people: 50_000, kills: 20, rate: 1_000 };
/// Without a seed, this one.
const SEED: u64 = 1;

/// Runs it; the seed decides where the kills fall.
pub(crate) async fn run(seed: Option<u64>) -> Result<(), Fault> {
    let seed = seed.unwrap_or(SEED);
    say(format!("soak: {} kills, {} people, seed {seed}", RUN.kills, RUN.people));
    RUN.run(SiteOptions::process(), &mut Dice::new(seed, 0)).await
}
