//! Whatever happens in whatever order: every recipient ends exactly once and is handed over at most once.

use loa_contract::pb::event::v1::ReturnWhy;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::state::RecipientState;
use proptest::prelude::*;

use super::gateway::Manner;
use super::world::{Fate, World};

/// What may happen.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Turn(Fate),
    /// The gateways read one of the records that were published, perhaps again.
    Gateway(usize, Manner),
    Settlements,
    /// An owner is taken over from after its commit, and publishes what it had to say all the same.
    Overlap,
    Wake,
    Seconds(u32),
    State(CampaignState),
    Block(u32, u64),
    Unbind(bool),
}

fn manner() -> impl Strategy<Value = Manner> {
    let why =
        prop_oneof![Just(ReturnWhy::Retry), Just(ReturnWhy::Late), Just(ReturnWhy::Paused), Just(ReturnWhy::Recheck)];
    prop_oneof![
        4 => Just(Manner::Send),
        1 => Just(Manner::Reject),
        2 => why.clone().prop_map(Manner::Half),
        2 => why.prop_map(Manner::Return),
        2 => Just(Manner::Freeze),
    ]
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let fate = prop_oneof![
        6 => Just(Fate::Lives),
        1 => Just(Fate::DiesBeforeCommit),
        1 => Just(Fate::DiesBeforePublish),
        2 => Just(Fate::LogIsSlow),
        1 => Just(Fate::DiesAfterPublish),
    ];
    prop_oneof![
        6 => fate.prop_map(Act::Turn),
        8 => (any::<usize>(), manner()).prop_map(|(record, manner)| Act::Gateway(record, manner)),
        4 => Just(Act::Settlements),
        1 => Just(Act::Overlap),
        1 => Just(Act::Wake),
        2 => (1..40_u32).prop_map(Act::Seconds),
        1 => prop_oneof![Just(CampaignState::Running), Just(CampaignState::Paused), Just(CampaignState::Halted)].prop_map(Act::State),
        1 => (0..2_u32, 0..12_u64).prop_map(|(chunk, at)| Act::Block(chunk, at)),
        1 => any::<bool>().prop_map(Act::Unbind),
    ]
}

/// Lets it happen.
pub(super) fn play(world: &mut World, act: Act) {
    match act {
        Act::Turn(fate) => drop(world.turn(fate)),
        Act::Gateway(record, manner) => world.gateway(record, manner),
        Act::Settlements => world.read_settlements(),
        Act::Overlap => world.overlap(),
        Act::Wake => world.wake_gateways(),
        Act::Seconds(seconds) => world.pass_time(seconds),
        Act::State(state) => world.set_state(state),
        Act::Block(chunk, at) => {
            let shard = World::shards()[chunk as usize];
            world.block(shard, u64::from(chunk) << 58 | u64::from(chunk) << 32 | at);
        }
        Act::Unbind(bound) => {
            world.account.bound = bound;
            world.tell();
        }
    }
}

/// Lets everything come to its end: gateways read every record, claimants may wake, time passes.
fn finish(world: &mut World, wake: bool) {
    world.account.bound = true;
    for round in 0..2_000 {
        world.settle_down();
        if round > 20 && world.engine.is_idle() && world.ends().values().all(Option::is_some) {
            break;
        }
        for record in 0..world.records.len() {
            world.gateway(record, Manner::Send);
        }
        if wake && round == 5 {
            world.wake_gateways();
        }
        world.read_settlements();
        world.pass_time(5);
    }
    world.settle_down();
}

/// Every recipient ended, once; what was handed over was handed over once; every word of ours was told.
fn check(world: &World) {
    for ((chunk, index), end) in world.ends() {
        let sent = world.gateways.sent.get(&(chunk, index)).copied().unwrap_or(0);
        assert!(sent <= 1, "{chunk:?} {index} was handed over {sent} times");
        let end = end.unwrap_or_else(|| panic!("{chunk:?} {index} is still open"));
        let told = world.words.get(&(chunk, index));
        match end {
            RecipientState::Submitted => assert!(told.is_none(), "{chunk:?} {index}"),
            RecipientState::InDoubt => {}
            decided => {
                assert_eq!(sent, 0, "{chunk:?} {index} is {decided} and was handed over");
                assert_eq!(
                    told.map(|told| told.iter().copied().collect::<Vec<_>>()),
                    Some(vec![decided]),
                    "{chunk:?} {index}"
                );
            }
        }
    }
    assert!(world.engine.is_idle(), "something is left in memory");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_recipient_ends_once(
        sizes in proptest::collection::vec(1..40_u16, 1..7),
        rate in prop_oneof![Just(4.0), Just(40.0), Just(400.0)],
        acts in proptest::collection::vec(act(), 0..80),
        wake: bool,
    ) {
        let mut world = World::new(Lane::Bulk, &sizes, rate);
        acts.into_iter().for_each(|act| play(&mut world, act));
        world.set_state(CampaignState::Running);
        finish(&mut world, wake);
        check(&world);
        assert_eq!(world.store.finished.len(), 2, "both shards know that the freeze is in rows");
    }

    #[test]
    fn a_cancelled_campaign_leaves_nobody_open(
        sizes in proptest::collection::vec(1..40_u16, 1..7),
        acts in proptest::collection::vec(act(), 0..40),
        end in prop_oneof![Just(CampaignState::Cancelled), Just(CampaignState::Done)],
        after in proptest::collection::vec(act(), 0..20),
    ) {
        let mut world = World::new(Lane::Normal, &sizes, 40.0);
        acts.into_iter().for_each(|act| play(&mut world, act));
        let offers = |world: &World| world.store.rows.values().filter(|row| !row.mask.is_empty()).count();
        let before = offers(&world);
        world.set_state(end);
        after.into_iter().filter(|act| !matches!(act, Act::State(_))).for_each(|act| play(&mut world, act));
        finish(&mut world, true);
        check(&world);
        assert_eq!(offers(&world), before, "nothing is released once the state is known");
    }
}
