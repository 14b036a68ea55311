//! Many kills in one long run: 20 kill -9 during 50,000 recipients per channel, then both books compared. On real parts 40
//! over Loa's processes, Kafka's, PostgreSQL and Redis, and each process frozen, and everything restarted in good order.

use std::sync::Arc;

use loa_harness::kills::Kills;
use loa_harness::{Fault, SiteOptions, say};
use loa_real::soak::Soak;
use loa_real::{Parts, ThirdParty};
use loa_testkit::dice::Dice;

const RUN: Kills = Kills { people: 50_000, kills: 20, rate: 1_000 };
/// On real parts: slow enough that it outlasts all that is done to it, about a quarter of an hour.
const REAL: Soak = Soak { people: 50_000, rate: 65, kills: 40, freezes: true, rolls: true };
const BROKERS: usize = 3;
/// Without a seed, this one.
const SEED: u64 = 1;

/// Runs it; the seed decides where the kills fall.
pub(crate) async fn run(seed: Option<u64>) -> Result<(), Fault> {
    let seed = seed.unwrap_or(SEED);
    say(format!("soak: {} kills, {} people, seed {seed}", RUN.kills, RUN.people));
    RUN.run(SiteOptions::process(), &mut Dice::new(seed, 0)).await
}

/// The same on real parts, two processes for each group of roles, and not only Loa is killed. What was sent is told by sinks
/// of others: node-smpp and Postfix.
pub(crate) async fn run_real(seed: Option<u64>) -> Result<(), Fault> {
    let seed = seed.unwrap_or(SEED);
    say(format!("soak on real parts: {} kills, {} people, seed {seed}", REAL.kills, REAL.people));
    let parts = Parts::start(BROKERS).await?;
    let options = parts.site_apart()?.sinks(Arc::new(ThirdParty::start().await?));
    REAL.run(parts, options, &mut Dice::new(seed, 1)).await
}
