//! Single behaviours, one by one.

use loa_contract::pb::event::v1 as event;
use loa_contract::pb::event::v1::ReturnWhy;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::ids::FreezeId;
use loa_domain::state::RecipientState;
use uuid::Uuid;

use super::gateway::Manner;
use super::world::{Fate, World, chunk};
use crate::core::SECOND_US;

fn serve_all(world: &mut World, manner: Manner) {
    for record in 0..world.records.len() {
        world.gateway(record, manner);
    }
    world.read_settlements();
    world.settle_down();
}

fn offered(world: &World) -> usize {
    world.store.rows.values().map(|row| row.mask.len()).sum()
}

#[test]
fn releases_as_much_as_the_credit_allows_and_goes_on_when_it_is_settled() {
    let mut world = World::new(Lane::Bulk, &[40, 40], 40.0); // 20 parts of credit; messages of 1 and 2 parts
    world.settle_down();
    let first = offered(&world);
    assert!((12..=14).contains(&first), "{first} messages of 20 parts");
    serve_all(&mut world, Manner::Send);
    assert!(offered(&world) > first);
    (0..20).for_each(|_| serve_all(&mut world, Manner::Send));
    assert_eq!(world.count(RecipientState::Submitted), 80);
}

#[test]
fn nothing_goes_to_an_account_that_is_not_bound() {
    let mut world = World::new(Lane::Bulk, &[5], 40.0);
    world.account.bound = false;
    world.tell();
    world.settle_down();
    assert_eq!(offered(&world), 0);
    world.account.bound = true;
    world.tell();
    world.settle_down();
    assert_eq!(offered(&world), 5, "bound late, released then");
}

#[test]
fn a_wrong_clock_releases_no_bulk() {
    for (lane, meanwhile) in [(Lane::Bulk, 0), (Lane::Normal, 5), (Lane::Urgent, 5)] {
        let mut world = World::new(lane, &[5], 40.0);
        world.engine.hear_clock(false);
        world.settle_down();
        assert_eq!(offered(&world), meanwhile, "{lane}");
        world.engine.hear_clock(true);
        world.settle_down();
        assert_eq!(offered(&world), 5, "{lane}: set right, released then");
    }
}

#[test]
fn while_the_log_is_behind_only_urgent_rows_are_stored_ahead_of_it() {
    for (lane, runs_ahead) in [(Lane::Bulk, false), (Lane::Normal, false), (Lane::Urgent, true)] {
        let mut world = World::new(lane, &[5; 20], 100_000.0);
        while world.records.is_empty() {
            world.turn(Fate::LogIsSlow);
        }
        // The rows after those that the log is taking.
        while offered(&world) == 5 * world.records.len() {
            world.turn(Fate::LogIsSlow);
        }
        let before = offered(&world);
        for _ in 0..20 {
            world.turn(Fate::LogIsSlow);
        }
        assert_eq!(offered(&world) > before, runs_ahead, "{lane}");
        world.settle_down();
        assert_eq!(offered(&world), 100, "{lane}: the log is there, the rest is released");
    }
}

#[test]
fn an_account_that_fell_silent_gets_nothing() {
    let mut world = World::new(Lane::Bulk, &[5], 40.0);
    world.now.mono += std::time::Duration::from_secs(16); // no announcement since
    world.settle_down();
    assert_eq!(offered(&world), 0);
}

#[test]
fn a_pause_stops_and_a_resume_sends_exactly_the_rest() {
    let mut world = World::new(Lane::Bulk, &[40, 40], 40.0);
    world.settle_down();
    serve_all(&mut world, Manner::Send);
    world.set_state(CampaignState::Paused);
    let before = offered(&world);
    serve_all(&mut world, Manner::Return(ReturnWhy::Paused));
    world.pass_time(5);
    world.settle_down();
    assert_eq!(offered(&world), before, "a paused campaign releases nothing");
    world.restart();
    world.settle_down();
    assert_eq!(offered(&world), before, "a restart while paused stays paused");
    world.set_state(CampaignState::Running);
    (0..20).for_each(|_| {
        world.pass_time(1);
        world.settle_down();
        serve_all(&mut world, Manner::Send);
    });
    assert_eq!(world.count(RecipientState::Submitted), 80);
    assert!(world.gateways.sent.values().all(|&times| times == 1));
}

#[test]
fn tries_are_counted_and_used_up() {
    let mut world = World::new(Lane::Bulk, &[2], 40.0);
    let mut attempts = Vec::new();
    for _ in 0..5 {
        world.settle_down();
        serve_all(&mut world, Manner::Return(ReturnWhy::Retry));
        attempts.extend(world.records.last().map(|record| record.attempts.clone()));
        world.pass_time(3);
    }
    assert_eq!(world.records.iter().map(|record| record.attempts[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(world.count(RecipientState::Rejected), 2);
    assert_eq!(world.words.len(), 2, "report is told");
}

#[test]
fn a_retry_waits_for_its_time() {
    let mut world = World::new(Lane::Bulk, &[2], 40.0);
    world.settle_down();
    serve_all(&mut world, Manner::Return(ReturnWhy::Retry)); // not before 2 s from now
    assert_eq!(world.records.len(), 1);
    world.pass_time(1);
    world.settle_down();
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.engine.next_wake_us().map(|at| (at - world.now.us) / SECOND_US), Some(1), "it wakes by itself");
    world.pass_time(1);
    world.settle_down();
    assert_eq!(
        (world.records.len(), world.records[1].release_no, world.records[1].attempts.clone()),
        (2, 2, vec![1, 1])
    );
}

#[test]
fn the_suppressed_are_skipped_and_told() {
    let mut world = World::new(Lane::Bulk, &[3], 40.0);
    world.block(World::shards()[0], 1);
    world.settle_down();
    assert_eq!((offered(&world), world.count(RecipientState::Skipped)), (2, 1));
    assert_eq!(world.words.len(), 1);
}

#[test]
fn a_recheck_decides_again() {
    let mut world = World::new(Lane::Bulk, &[3], 40.0);
    world.settle_down();
    world.block(World::shards()[0], 1);
    serve_all(&mut world, Manner::Return(ReturnWhy::Recheck));
    world.pass_time(1);
    world.settle_down();
    assert_eq!(world.count(RecipientState::Skipped), 1);
    assert_eq!(world.records.last().map(|record| record.msisdns.len()), Some(2));
}

#[test]
fn nothing_is_released_before_the_suppression_list_is_complete() {
    let mut world = World::new(Lane::Bulk, &[3], 40.0);
    let shard = World::shards()[0];
    let held = loa_ports::lease::Held { kind: "shard".to_owned(), number: 0, epoch: 2 };
    world.engine.gain(shard, held, world.store.shard(shard), world.now);
    world.settle_down();
    assert_eq!(offered(&world), 0);
    world.engine.set_ready(shard, world.now);
    world.settle_down();
    assert_eq!(offered(&world), 3);
}

#[test]
fn an_unsettled_row_is_published_again_when_it_is_late() {
    let mut world = World::new(Lane::Bulk, &[3], 40.0);
    world.settle_down();
    assert_eq!(world.records.len(), 1);
    world.pass_time(49);
    world.settle_down();
    assert_eq!(world.records.len(), 1);
    world.pass_time(1); // 20 s to hand over, 30 s of silence
    world.settle_down();
    assert_eq!(world.records.len(), 2);
    assert_eq!(world.records[0], world.records[1], "a record is a function of row and chunk");
    serve_all(&mut world, Manner::Send); // too late to be sent: the gateways give it back
    assert!(world.gateways.sent.is_empty());
    assert_eq!(world.records.last().map(|record| record.release_no), Some(2));
}

#[test]
fn a_new_owner_publishes_what_is_unsettled_and_goes_on() {
    let mut world = World::new(Lane::Bulk, &[40], 40.0);
    world.settle_down();
    let (first, before) = (world.records[0].clone(), offered(&world));
    world.restart();
    world.settle_down();
    assert_eq!(world.records.iter().filter(|&record| *record == first).count(), 2);
    assert_eq!(offered(&world), before, "the credit is still in use");
}

#[test]
fn the_end_of_a_campaign_skips_the_rest() {
    let mut world = World::new(Lane::Bulk, &[40], 40.0);
    world.settle_down();
    serve_all(&mut world, Manner::Send);
    let sent = world.gateways.sent.len();
    world.set_state(CampaignState::Paused);
    world.pass_time(86_400);
    world.settle_down();
    serve_all(&mut world, Manner::Send);
    assert_eq!(world.count(RecipientState::Skipped), 40 - sent, "even while it is paused");
}

#[test]
fn late_words_of_a_chunk_that_left_memory_are_taken() {
    let mut world = World::new(Lane::Bulk, &[2], 40.0);
    world.settle_down();
    world.gateway(0, Manner::Freeze);
    world.gateway(0, Manner::Send); // another process finds the claim: in doubt
    world.read_settlements();
    world.settle_down();
    assert_eq!(world.count(RecipientState::InDoubt), 2);
    assert!(world.engine.is_idle(), "nothing is under way");
    world.wake_gateways(); // the claimant says: one handed over, one not
    world.read_settlements();
    world.pass_time(1);
    world.settle_down();
    serve_all(&mut world, Manner::Send);
    assert_eq!(world.count(RecipientState::Submitted), 2);
    assert!(world.gateways.sent.values().all(|&times| times == 1));
}

#[test]
fn urgent_has_credit_of_its_own_and_its_own_deadline() {
    let mut world = World::new(Lane::Bulk, &[40, 40], 40.0);
    world.settle_down();
    let before = world.records.len(); // bulk has used up its credit
    let freeze = FreezeId(Uuid::from_u128(8));
    world.chunks.extend([chunk(freeze, 0, 2)]);
    let urgent = event::CampaignControl {
        campaign_id: vec![7; 16],
        lane: i32::from(Lane::Urgent.code()),
        freeze_id: freeze.to_vec(),
        ..world.control.clone()
    };
    world.engine.hear_campaign(&urgent, world.now).unwrap();
    world.settle_down();
    let released = &world.records[before..];
    assert_eq!((released.len(), released[0].lane, released[0].msisdns.len()), (1, urgent.lane, 2));
    assert_eq!(released[0].hand_over_by_us, world.control.ends_at_us);
}

#[test]
fn urgent_in_doubt_is_sent_again_if_its_campaign_says_so() {
    let mut world = World::new(Lane::Urgent, &[1], 40.0);
    world.control.resend_in_doubt = true;
    world.tell();
    world.settle_down();
    world.gateway(0, Manner::Freeze);
    world.gateway(0, Manner::Send); // in doubt
    world.read_settlements();
    world.settle_down();
    assert_eq!(world.records.len(), 1);
    world.pass_time(31);
    world.settle_down();
    assert_eq!(world.records.len(), 2, "offered again after the time-out");
}
