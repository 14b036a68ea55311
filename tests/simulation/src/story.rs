//! One seed from its beginning to its end, inside the simulated machine.
//!
//! Must stay true: what is printed depends on the seed alone.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use loa_domain::campaign::CampaignState;
use loa_ports::clock::Clock as _;
use loa_testkit::dice::Dice;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::world::{NODES, Role, World};
use crate::{faults, promises};

/// Once the world is calm, everything is settled within this time: the longest is a try after five minutes.
const CALM_MAX: Duration = Duration::from_secs(1_200);
const LOOK_EVERY: Duration = Duration::from_secs(2);
const FAULTS_SHOWN: usize = 6;

/// Runs a seed; fails if a promise was broken.
pub(crate) fn run(seed: u64, log: bool) -> ExitCode {
    // What the log draws of chance, it draws on this thread alone: the seed's own begins anew with its thread.
    let _keys = std::hash::RandomState::new();
    if log {
        let ours = tracing_subscriber::filter::Targets::new().with_target("loa", tracing::Level::DEBUG);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        tracing_subscriber::registry().with(ours).with(lines).init();
    }
    let told = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let told = runtime.block_on(tell(seed));
        // Processes that were killed wait for ever for their answers.
        std::mem::forget(runtime);
        told
    });
    let Ok((broken, line)) = told.join() else { return ExitCode::FAILURE };
    println!("{line}");
    for fault in &broken {
        println!("  {fault}");
    }
    std::process::exit(i32::from(!broken.is_empty()));
}

async fn tell(seed: u64) -> (Vec<String>, String) {
    let mut dice = Dice::new(seed, 0);
    let world = World::new(seed, &mut dice);
    for role in Role::ALL {
        (0..NODES).for_each(|node| world.keep(role, node));
    }
    tokio::time::sleep(Duration::from_millis(dice.below(3_000))).await;
    world.operator.set(CampaignState::Running);
    faults::play(&world, &mut dice).await;
    let calm = world.clock.monotonic();
    let mut open = promises::ledger_faults(&world);
    while !open.is_empty() && world.clock.monotonic() < calm + CALM_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        open = promises::ledger_faults(&world);
    }
    let mut broken = promises::hand_over_faults(&world);
    broken.extend(open);
    broken.truncate(FAULTS_SHOWN);
    broken.extend(if broken.is_empty() { Vec::new() } else { promises::rows_of_first(&world) });
    let line = format!("seed {seed}: {}", summary(&world));
    (broken, line)
}

fn summary(world: &Arc<World>) -> String {
    let pages = world.smsc.book.pages();
    let arrivals: usize = pages.values().map(|page| page.arrivals.len()).sum();
    format!(
        "{} people, {arrivals} hand-overs, {} lives ended, {} rows, {:.3} s",
        world.operator.facts.people.len(),
        world.ended().len(),
        world.dispatch.tables().own.rows.len(),
        world.clock.monotonic().as_secs_f64(),
    )
}
