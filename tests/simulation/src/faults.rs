//! What goes wrong in a seed, and when.
//!
//! Must stay true: everything that begins ends again, so that in the end the world is calm and what is promised can be seen.

use std::sync::Arc;
use std::time::Duration;

use loa_domain::campaign::CampaignState;
use loa_testkit::dice::Dice;

use crate::gate::Life;
use crate::world::{NODES, Role, World};

/// Faults begin within this time.
const SPAN_MS: u64 = 40_000;
/// None lasts longer.
const LONGEST_MS: u64 = 25_000;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// At one of its next calls.
    Kill(Role, usize, u64),
    Freeze(Role, usize, u64),
    Stop(Role, usize),
    Rob(Role),
    StoreAway(Role),
    LogAway,
    CarrierClosed,
    LinesBreak,
    Throttling,
    Stalling,
    Pause,
    /// And the log goes away right behind it.
    PauseUnheard,
    Cancel,
    OptOut(usize),
}

fn draw(dice: &mut Dice, people: usize) -> Fault {
    let (role, node) = ([Role::Dispatch, Role::Sms, Role::Sms, Role::Report][dice.index(4)], dice.index(NODES));
    let calls = if dice.happens(0.3) { 0 } else { dice.below(40) };
    match dice.below(30) {
        0..6 => Fault::Kill(role, node, calls),
        6..9 => Fault::Freeze(role, node, calls),
        9..11 => Fault::Stop(role, node),
        11..13 => Fault::Rob(role),
        13..15 => Fault::StoreAway(role),
        15..17 => Fault::LogAway,
        17 => Fault::CarrierClosed,
        18..20 => Fault::LinesBreak,
        20 => Fault::Throttling,
        21 => Fault::Stalling,
        22..24 => Fault::Pause,
        24 => Fault::PauseUnheard,
        25 if dice.happens(0.3) => Fault::Cancel,
        _ => Fault::OptOut(dice.index(people)),
    }
}

/// Lets everything happen, and ends when the world is calm.
pub(crate) async fn play(world: &Arc<World>, dice: &mut Dice) {
    let share = if dice.happens(0.5) { 0.02 } else { 0.0 };
    uncertain(world, share);
    let mut plan: Vec<(u64, u64, Fault)> = (0..dice.below(14))
        .map(|_| {
            let (at_ms, draw_ms) = (dice.below(SPAN_MS), dice.below(LONGEST_MS));
            (
                at_ms,
                20 + if dice.happens(0.6) { draw_ms % 6_000 } else { draw_ms },
                draw(dice, world.operator.facts.people.len()),
            )
        })
        .collect();
    plan.sort_by_key(|(at_ms, _, _)| *at_ms);
    let mut tasks = Vec::new();
    for (at_ms, lasts_ms, fault) in plan {
        tracing::info!(at_ms, lasts_ms, ?fault, "planned");
        let inner = Arc::clone(world);
        tasks.push(world.ctx.spawn("fault", async move {
            tokio::time::sleep(Duration::from_millis(at_ms)).await;
            tracing::info!(?fault, "begins");
            happen(&inner, fault, Duration::from_millis(lasts_ms)).await;
            tracing::info!(?fault, "is over");
        }));
    }
    for task in tasks {
        task.await.expect("a fault does not fail");
    }
    uncertain(world, 0.0);
    world.smsc.set(|mood| *mood = crate::carrier::Mood { calm: true, ..Default::default() });
    world.operator.set(CampaignState::Running);
}

fn uncertain(world: &World, share: f64) {
    world.dispatch.set(|manners| manners.uncertain_share = share);
    world.claims.set(|manners| manners.uncertain_share = share);
    world.report.set(|manners| manners.uncertain_share = share);
}

async fn happen(world: &World, fault: Fault, lasts: Duration) {
    match fault {
        Fault::Kill(role, node, calls) => {
            if let Some(process) = world.process(role, node) {
                process.gate.set_within(calls, Life::Dead);
            }
        }
        Fault::Freeze(role, node, calls) => {
            if let Some(process) = world.process(role, node) {
                process.gate.set_within(calls, Life::Frozen);
                process.gate.stops_within(lasts).await;
                tokio::time::sleep(lasts).await;
                process.gate.wake();
            }
        }
        Fault::Stop(role, node) => {
            if let Some(process) = world.process(role, node) {
                process.ctx.stop();
            }
        }
        Fault::Rob(role) => {
            let mut dice = Dice::new(world.seed, u64::try_from(lasts.as_millis()).unwrap_or(0));
            let share = [0.1, 0.5, 1.0][dice.index(3)];
            let is_robbed = || dice.happens(share);
            match role {
                Role::Dispatch => world.dispatch.tables().leases.rob(is_robbed),
                Role::Sms => world.claims.tables().leases.rob(is_robbed),
                Role::Report => world.report.tables().leases.rob(is_robbed),
            }
        }
        Fault::StoreAway(role) => {
            let set = |away: bool| match role {
                Role::Dispatch => world.dispatch.set(|manners| manners.away = away),
                Role::Sms => world.claims.set(|manners| manners.away = away),
                Role::Report => world.report.set(|manners| manners.away = away),
            };
            set(true);
            tokio::time::sleep(lasts).await;
            set(false);
        }
        Fault::LogAway => {
            world.records.away(true);
            tokio::time::sleep(lasts).await;
            world.records.away(false);
        }
        Fault::CarrierClosed => {
            world.smsc.set(|mood| mood.closed = true);
            tokio::time::sleep(lasts).await;
            world.smsc.set(|mood| mood.closed = false);
        }
        Fault::LinesBreak => world.smsc.drop_binds(),
        Fault::Throttling => {
            world.smsc.set(|mood| mood.throttles = true);
            tokio::time::sleep(lasts).await;
            world.smsc.set(|mood| mood.throttles = false);
        }
        Fault::Stalling => {
            world.smsc.set(|mood| mood.stalls = true);
            tokio::time::sleep(lasts).await;
            world.smsc.set(|mood| mood.stalls = false);
        }
        Fault::Pause => pause(world, lasts).await,
        Fault::PauseUnheard => {
            world.operator.set(CampaignState::Paused);
            world.records.away(true);
            tokio::time::sleep(lasts).await;
            world.records.away(false);
            go_on(world).await;
        }
        Fault::Cancel => drop(world.operator.set(CampaignState::Cancelled)),
        Fault::OptOut(person) => {
            world.operator.opt_out(world.operator.facts.people[person].number);
        }
    }
}

async fn pause(world: &World, lasts: Duration) {
    if world.operator.set(CampaignState::Paused) {
        tokio::time::sleep(lasts).await;
        go_on(world).await;
    }
}

async fn go_on(world: &World) {
    while world.operator.state() == CampaignState::Paused && !world.operator.set(CampaignState::Running) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
