//! A gateway's engine on a real log and a real claim store, with a carrier that follows a script.
//!
//! Must stay true: every test ends with the books: what reached the sink, and what the settlements say.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ReferencesTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::ids::Incarnation;
use loa_domain::state::{Reason, Returned};
use loa_gateway::Answer;
use loa_ports::store::claims::{Claim, Claims as _, Intent};
use loa_runtime::clocks::Verdict;
use loa_store::SqlClaims;
use loa_testkit::eventually::eventually;
use loa_testkit::storm::log::{StormConfig, StormLog};
use uuid::Uuid;
use world::{CAMPAIGN, PARTITION, Sink, World, release};

use event::SliceOutcome::{InDoubt, Rejected, Returned as GivenBack, Submitted};

async fn settled(world: &World, recipients: usize) {
    eventually("every recipient is settled", async || world.settled().await >= recipients).await;
}

async fn stored(world: &World, next: i64) {
    let claims = world.claims();
    eventually("the watermark has passed every record", async || {
        claims.watermarks("gateway").await.unwrap().iter().any(|mark| mark.partition == PARTITION && mark.next == next)
    })
    .await;
}

fn counts(pairs: &[(event::SliceOutcome, usize)]) -> BTreeMap<event::SliceOutcome, usize> {
    pairs.iter().copied().collect()
}

#[tokio::test]
async fn hands_over_once_and_settles() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..110)).await;
    let node = world.node("one").await;
    settled(&world, 10).await;
    stored(&world, 1).await;
    assert_eq!(world.counts().await, counts(&[(Submitted, 10)]));
    assert_eq!((world.sink.count(), world.sink.repeated()), (10, vec![]));
    assert_eq!(world.claims().unsettled(10).await.unwrap(), []);
    let mut references = 0;
    for partition in 0..ReferencesTopic::SPEC.partitions {
        let records: Vec<event::References> = world.read(ReferencesTopic::SPEC, partition).await;
        references += records.iter().map(|record| record.references.len()).sum::<usize>();
    }
    assert_eq!(references, 10, "every accepted part has its reference");
    node.stop().await;
}

#[tokio::test]
async fn a_record_read_again_is_settled_again_and_not_sent_again() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..110)).await;
    let node = world.node("one").await;
    settled(&world, 10).await;
    stored(&world, 1).await;
    let before = world.settlements().await;
    world.release(&release(1, 100..110)).await;
    eventually("the settlements are said again", async || world.settlements().await.len() == 2 * before.len()).await;
    let sorted = |slices: &[event::SliceSettled]| {
        let mut slices = slices.to_vec();
        slices.sort_by_key(|settled| settled.slice);
        slices
    };
    let all = world.settlements().await;
    assert_eq!(sorted(&all[..3]), sorted(&all[3..]), "a repeat is equal");
    stored(&world, 2).await;
    assert_eq!(world.sink.count(), 10);
    node.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_had_begun_is_in_doubt() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    let release = release(1, 100..112);
    world.release(&release).await;
    // Another process began slice 0, gave back slice 1, and died.
    let dead = Incarnation(Uuid::from_u128(99));
    let key = |slice| {
        let release = loa_contract::convert::release_key(&release).unwrap();
        loa_domain::ids::SliceKey { release, slice }
    };
    let claim = |slice, intent| Claim { slice: key(slice), campaign: CAMPAIGN, intent };
    let left = [claim(0, Intent::Begun), claim(1, Intent::Returning(Returned::Late))];
    world.claims().claim(dead, 1, 0, &left).await.unwrap();

    let node = world.node("one").await;
    settled(&world, 12).await;
    let ledger = world.ledger().await;
    assert_eq!(world.counts().await, counts(&[(InDoubt, 4), (GivenBack, 4), (Submitted, 4)]));
    let (doubt, back) = (&ledger[&key(0)], &ledger[&key(1)]);
    assert_eq!((doubt.own, doubt.claimant.as_slice()), (false, &dead.as_bytes()[..]));
    assert_eq!((back.own, back.details[0].why()), (true, event::ReturnWhy::Late));
    assert_eq!(world.sink.lines.lock().unwrap().iter().filter(|number| **number < 108).count(), 0);
    stored(&world, 1).await;
    let open = world.claims().unsettled(10).await.unwrap();
    assert_eq!(open, [key(0)], "its claimant's own word may still come");
    node.stop().await;
}

#[tokio::test]
async fn a_killed_gateway_leaves_only_what_it_had_begun_in_doubt() {
    let mut world = World::new(Sink::new(|number, _| (number < 108).then_some(Answer::Accepted))).await;
    world.rate = 40.0;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..140)).await;
    let node = world.node("one").await;
    eventually("some were answered and some are out", async || world.sink.count() >= 10).await;
    node.kill();
    let begun: usize = 4 * world.claims().unsettled(100).await.unwrap().len();
    assert!(begun >= 4, "{begun}");
    let first = std::mem::replace(&mut world.sink, Sink::accepts());
    world.rate = 10_000.0;
    let node = world.node("one").await;
    settled(&world, 40).await;
    let counts = world.counts().await;
    assert!(counts[&InDoubt] <= begun, "{counts:?} of {begun}");
    assert_eq!(counts[&InDoubt] + counts[&Submitted], 40);
    let first: BTreeSet<u64> = first.lines.lock().unwrap().iter().copied().collect();
    let second: BTreeSet<u64> = world.sink.lines.lock().unwrap().iter().copied().collect();
    assert_eq!(first.intersection(&second).count(), 0, "nobody is reached twice");
    assert_eq!(world.sink.count(), second.len());
    assert!(first.len() + second.len() <= 40 && first.len() + second.len() >= counts[&Submitted]);
    node.stop().await;
}

#[tokio::test]
async fn a_pause_gives_back_the_rest() {
    let mut world = World::new(Sink::accepts()).await;
    world.rate = 50.0;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..160)).await;
    let node = world.node("one").await;
    eventually("some have left", async || world.sink.count() >= 5).await;
    world.campaign(CampaignState::Paused).await;
    settled(&world, 60).await;
    let sent = world.sink.count();
    assert_eq!(world.counts().await, counts(&[(Submitted, sent), (GivenBack, 60 - sent)]));
    let ledger = world.ledger().await;
    let whys = ledger.values().flat_map(|settled| settled.details.iter().map(|detail| detail.why()));
    assert!(whys.into_iter().all(|why| why == event::ReturnWhy::Paused));
    // What was released before the pause was known goes back too, and nothing leaves any more.
    world.release(&release(2, 200..208)).await;
    settled(&world, 68).await;
    assert_eq!(world.sink.count(), sent);
    node.stop().await;
}

#[tokio::test]
async fn late_ones_go_back_under_a_claim() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    world.release(&event::Release { hand_over_by_us: 1, ..release(1, 100..110) }).await;
    let node = world.node("one").await;
    settled(&world, 10).await;
    stored(&world, 1).await;
    assert_eq!(world.counts().await, counts(&[(GivenBack, 10)]));
    assert_eq!(world.sink.count(), 0);
    // The claim decides: the same release, had it been in time, is not sent any more.
    world.release(&release(1, 100..110)).await;
    stored(&world, 2).await;
    assert_eq!(world.sink.count(), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_block_of_the_last_hour_is_found() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    world.block(102).await;
    world.release(&release(1, 100..104)).await;
    world.release(&event::Release { class: event::Class::Emergency.into(), ..release(2, 102..103) }).await;
    let node = world.node("one").await;
    settled(&world, 5).await;
    assert_eq!(world.counts().await, counts(&[(Submitted, 4), (GivenBack, 1)]));
    let ledger = world.ledger().await;
    let detail = ledger.values().flat_map(|settled| &settled.details).next().unwrap();
    assert_eq!((detail.index, detail.why()), (2, event::ReturnWhy::Recheck));
    assert_eq!(
        world.sink.lines.lock().unwrap().iter().filter(|number| **number == 102).count(),
        1,
        "the emergency alone"
    );
    node.stop().await;
}

#[tokio::test]
async fn without_the_log_nothing_of_bulk_leaves() {
    let mut world = World::new(Sink::accepts()).await;
    world.rate = 20.0;
    world.campaign(CampaignState::Running).await;
    let log = StormLog::new(Arc::clone(&world.log), StormConfig::calm(1));
    world
        .release(&event::Release {
            hand_over_by_us: release(0, 0..0).hand_over_by_us - 12_000_000,
            ..release(1, 100..400)
        })
        .await;
    let node = world.start("one", log.clone(), world.claims()).await;
    eventually("some have left", async || world.sink.count() >= 5).await;
    log.away(true);
    tokio::time::sleep(Duration::from_millis(1_900)).await;
    let sent = world.sink.count();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(world.sink.count(), sent, "what is known is too old to act on");
    log.away(false);
    eventually("it goes on", async || world.sink.count() > sent).await;
    settled(&world, 300).await;
    let counts = world.counts().await;
    assert_eq!(counts[&Submitted], world.sink.count());
    assert_eq!(counts[&Submitted] + counts[&GivenBack], 300, "the rest was late");
    assert_eq!(world.sink.repeated(), Vec::<u64>::new());
    node.stop().await;
}

#[tokio::test]
async fn bulk_waits_for_a_clock_that_is_set_right() {
    let world = World::new(Sink::accepts()).await;
    world.campaign(CampaignState::Running).await;
    let node = world.node("one").await;
    node.ctx.clocks().set(Verdict::Stop);
    world.release(&release(1, 100..110)).await;
    world.release(&event::Release { lane: Lane::Urgent.code().into(), ..release(2, 200..205) }).await;
    settled(&world, 5).await;
    let left: BTreeSet<u64> = world.sink.lines.lock().unwrap().iter().copied().collect();
    assert_eq!(left, (200..205).collect(), "urgent goes on");
    node.ctx.clocks().set(Verdict::Agree);
    settled(&world, 15).await;
    assert_eq!((world.sink.count(), world.sink.repeated()), (15, vec![]));
    node.stop().await;
}

#[tokio::test]
async fn words_of_the_carrier_become_settlements() {
    let sink = Sink::new(|number, try_no| {
        let code = || "0x45".into();
        Some(match number {
            100 if try_no < 2 => Answer::Again,
            101 => Answer::Later { after: None, counted: true, code: code() },
            102 => Answer::Refused { undelivered: false, reason: Reason::Refused, code: code() },
            103 => Answer::Unanswered,
            _ => Answer::Accepted,
        })
    });
    let world = World::new(sink).await;
    world.campaign(CampaignState::Running).await;
    world.release(&event::Release { attempts: vec![1; 4], ..release(1, 100..104) }).await;
    let node = world.node("one").await;
    settled(&world, 4).await;
    assert_eq!(world.counts().await, counts(&[(Submitted, 1), (GivenBack, 1), (Rejected, 1), (InDoubt, 1)]));
    assert_eq!(world.sink.repeated(), [100], "the throttled one went again");
    let ledger = world.ledger().await;
    let settled = ledger.values().next().unwrap();
    let later = &settled.details[0];
    assert_eq!((later.index, later.why(), later.attempt, later.code.as_str()), (1, event::ReturnWhy::Retry, 2, "0x45"));
    assert!((29_000_000..=31_000_000).contains(&(later.not_before_us - settled.at_us)), "the second wait is 30 s");
    assert!(settled.own, "in doubt by the claimant's own word");
    node.stop().await;
}

#[tokio::test]
async fn a_stop_gives_back_and_the_next_goes_on() {
    let mut world = World::new(Sink::accepts()).await;
    world.rate = 50.0;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..160)).await;
    let node = world.node("one").await;
    eventually("some have left", async || world.sink.count() >= 6).await;
    node.stop().await;
    assert_eq!(world.claims().unsettled(100).await.unwrap(), [], "whatever was begun is settled");
    let sent = world.sink.count();
    let counts_then = world.counts().await;
    assert_eq!(counts_then[&Submitted], sent);
    assert_eq!(counts_then.get(&InDoubt), None);
    world.rate = 10_000.0;
    let node = world.node("two").await; // the leases are free: it need not wait for a silence
    settled(&world, 60).await;
    let counts = world.counts().await;
    assert_eq!(counts[&Submitted], world.sink.count());
    assert_eq!(counts.values().sum::<usize>(), 60);
    assert_eq!(world.sink.repeated(), Vec::<u64>::new());
    node.stop().await;
}

#[tokio::test]
async fn synthetic_people_reach_simulators_alone() {
    let mut world = World::new(Sink::accepts()).await;
    world.simulator = false;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 100..104)).await;
    let broken = event::Release { content_hash: b"not a number".to_vec(), synthetic: false, ..release(2, 200..204) };
    world.release(&broken).await;
    let node = world.node("one").await;
    settled(&world, 8).await;
    assert_eq!(world.counts().await, counts(&[(Rejected, 8)]));
    let ledger = world.ledger().await;
    let reasons: Vec<_> = ledger.values().map(|settled| settled.details[0].reason).collect();
    assert_eq!(reasons, [u32::from(Reason::NoRoute.code()), u32::from(Reason::Render.code())]);
    assert_eq!(world.sink.count(), 0);
    node.stop().await;
}

#[tokio::test]
async fn urgent_overtakes_bulk() {
    let mut world = World::new(Sink::accepts()).await;
    world.rate = 100.0;
    world.campaign(CampaignState::Running).await;
    world.release(&release(1, 1_000..1_400)).await;
    let node = world.node("one").await;
    eventually("bulk saturates the account", async || world.sink.count() >= 20).await;
    world.release(&event::Release { lane: i32::from(Lane::Urgent.code()), ..release(2, 1..3) }).await;
    eventually("urgent has left", async || world.sink.lines.lock().unwrap().contains(&2)).await;
    let lines = world.sink.lines.lock().unwrap().clone();
    let urgent = lines.iter().position(|number| *number == 2).unwrap();
    assert!(urgent < 60, "after {urgent} lines");
    node.kill();
}

#[tokio::test]
async fn a_storm_changes_nothing_in_the_books() {
    let mut world = World::new(Sink::accepts()).await;
    world.lines = 2;
    world.rate = 2_000.0;
    world.campaign(CampaignState::Running).await;
    let storm = |seed| {
        let mut config = StormConfig::rough(seed);
        config.append_uncertain_share = 0.1;
        (StormLog::new(Arc::clone(&world.log), config), SqlClaims::new(world.db.clone().with_faults(seed, 0.2)))
    };
    let ((log_a, claims_a), (log_b, claims_b)) = (storm(11), storm(12));
    let (one, two) = (world.start("one", log_a, claims_a).await, world.start("two", log_b, claims_b).await);
    for chunk in 0..20_u32 {
        let first = 1_000 + u64::from(chunk) * 50;
        world.release(&release(chunk, first..first + 50)).await;
        if chunk % 3 == 0 {
            world.release(&release(chunk, first..first + 50)).await;
        }
    }
    settled(&world, 1_000).await;
    eventually("every slice has its claimant's word", async || {
        world.ledger().await.values().all(|settled| settled.own)
    })
    .await;
    let counts = world.counts().await;
    assert_eq!(counts, self::counts(&[(Submitted, 1_000)]));
    assert_eq!((world.sink.count(), world.sink.repeated()), (1_000, vec![]));
    one.stop().await;
    two.stop().await;
}
