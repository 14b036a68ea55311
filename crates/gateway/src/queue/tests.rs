//! The queue under a hand-turned bucket and hand-made looks.

use std::collections::HashMap;
use std::sync::Mutex;

use loa_contract::pb::event::v1 as event;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::HashKey;
use loa_domain::ids::{AccountId, CampaignId};
use loa_domain::mask::Mask;
use loa_domain::state::Returned;
use loa_ports::bucket::{Bucket, Taken};
use tokio::sync::watch;

use super::*;
use crate::look::Stops;
use crate::message::{Answer, Fate};

const NOW: i64 = 1_000_000;
const LATE: i64 = 2_000_000;

/// Gives what is in it.
#[derive(Debug, Default)]
struct Tokens(Mutex<u32>);

impl Bucket for Tokens {
    fn set_binds(&self, _: &AccountId, _: u32, _: u32) {}

    fn configure(&self, _: &AccountId, _: f64) {}
    fn take(&self, _: &AccountId, wanted: u32, _: bool) -> Taken {
        let mut there = self.0.lock().unwrap();
        let parts = wanted.min(*there);
        *there -= parts;
        Taken { parts, wait: Duration::from_millis(if parts < wanted { 2 } else { 0 }) }
    }
    fn give(&self, _: &AccountId, unused: u32) {
        *self.0.lock().unwrap() += unused;
    }
    fn slow_down(&self, _: &AccountId) {}
    fn rate(&self, _: &AccountId) -> f64 {
        1.0
    }
}

/// States by the first byte of the campaign.
#[derive(Debug, Default)]
struct States(HashMap<u8, CampaignState>);

impl Stops for States {
    fn state(&self, campaign: CampaignId) -> Option<CampaignState> {
        Some(self.0.get(&campaign.as_bytes()[0]).copied().unwrap_or(CampaignState::Running))
    }
    fn ends_at_us(&self, _: CampaignId) -> i64 {
        0
    }
    fn is_notice(&self, _: CampaignId) -> bool {
        false
    }
    fn is_fresh(&self) -> bool {
        true
    }
    fn changed(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// A queue with all it needs.
struct World {
    queue: Queue<()>,
    tokens: Tokens,
    states: States,
    blocks: crate::BlocksView,
    key: HashKey,
    now_us: i64,
    fresh: bool,
    clock_agrees: bool,
    finished: Vec<Begun<()>>,
}

impl World {
    fn new(window: u32, tokens: u32) -> Self {
        Self {
            queue: Queue::new(window),
            tokens: Tokens(Mutex::new(tokens)),
            states: States::default(),
            blocks: crate::BlocksView::default(),
            key: HashKey::new([1; 16]),
            now_us: NOW,
            fresh: true,
            clock_agrees: true,
            finished: Vec::new(),
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Queue<()>, &Moment<'_>, &Purse<'_>, &mut Vec<Begun<()>>) -> T) -> T {
        let account = AccountId::new("a").unwrap();
        let blocks = self.blocks.read();
        let Self { now_us, fresh, clock_agrees, .. } = *self;
        let moment = Moment { now_us, fresh, clock_agrees, stops: &self.states, blocks: &blocks, key: &self.key };
        let purse = Purse { account: &account, bucket: &self.tokens };
        f(&mut self.queue, &moment, &purse, &mut self.finished)
    }

    /// Pulls: the numbers and parts that left, with their handles, and what the pull said.
    fn pull(&mut self, room: usize) -> (Vec<(u64, u16)>, Vec<u64>, Pulled) {
        let (mut left, mut handles) = (Vec::new(), Vec::new());
        let pulled = self.with(|queue, moment, purse, finished| {
            let mut emit = |leaves: Leaves<'_, ()>| {
                let Addresses::Numbers(numbers) = &leaves.begun.offer.addresses else { panic!("numbers") };
                left.push((numbers[leaves.begun.recipient(leaves.at)], leaves.parts));
                handles.push(leaves.handle);
            };
            queue.pull(room, moment, purse, &mut emit, finished)
        });
        (left, handles, pulled)
    }

    fn word(&mut self, handle: u64, part: u8, answer: Answer) {
        let word = Word { handle, part, id: (answer == Answer::Accepted).then(|| format!("{handle}.{part}")), answer };
        self.queue.take_words([word].into_iter(), &mut self.finished);
    }

    fn fates(&self) -> Vec<Fate> {
        self.finished.iter().flat_map(|begun| begun.messages.iter().map(|message| message.fate(0, 0))).collect()
    }
}

use crate::offer::Addresses;

fn offer(lane: Lane, campaign: u8, numbers: std::ops::Range<u64>) -> Arc<Offer> {
    let count = u16::try_from(numbers.end - numbers.start).unwrap();
    let record = event::Release {
        chunk: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 1 }),
        release_no: 1,
        campaign_id: vec![campaign; 16],
        account: "a".to_owned(),
        lane: i32::from(lane.code()),
        class: event::Class::PublicInformation.into(),
        hand_over_by_us: LATE,
        slice_length: 100,
        mask: Mask::first(count.into()).to_vec(),
        msisdns: numbers.collect(),
        ..Default::default()
    };
    Arc::new(Offer::parse(Channel::Sms, record).unwrap())
}

fn begun(offer: Arc<Offer>, parts: u8) -> Begun<()> {
    let parts = vec![Ok(parts); offer.len()];
    Begun::new(offer, 0, (), &parts)
}

fn numbers(left: &[(u64, u16)]) -> Vec<u64> {
    left.iter().map(|(number, _)| *number).collect()
}

#[test]
fn urgent_leaves_before_normal_before_bulk() {
    let mut world = World::new(100, 100);
    for (lane, numbers) in [(Lane::Bulk, 30..33), (Lane::Normal, 20..22), (Lane::Urgent, 10..12)] {
        world.queue.begin(begun(offer(lane, 1, numbers), 1));
    }
    let (left, _, pulled) = world.pull(100);
    assert_eq!((numbers(&left), pulled), (vec![10, 11, 20, 21, 30, 31, 32], Pulled::Empty));
    assert!(!world.queue.is_pullable());
}

#[test]
fn bulk_leaves_urgent_its_room() {
    let mut world = World::new(20, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..60), 1));
    assert_eq!(world.pull(20).0.len(), 18, "a tenth of the window is urgent's");
    assert_eq!(world.pull(2).2, Pulled::Full);
    world.queue.begin(begun(offer(Lane::Urgent, 1, 10..15), 1));
    let (left, _, pulled) = world.pull(2);
    assert_eq!((numbers(&left), pulled), (vec![10, 11], Pulled::Full));
}

#[test]
fn a_long_text_gathers_all_its_tokens_first() {
    let mut world = World::new(100, 2);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..32), 3));
    assert_eq!(world.pull(100).0, []);
    *world.tokens.0.lock().unwrap() = 2;
    let (left, _, pulled) = world.pull(100);
    assert_eq!(left, [(30, 0b111)], "two tokens were kept, and one of two more taken");
    assert!(matches!(pulled, Pulled::Paced(_)));
    *world.tokens.0.lock().unwrap() = 50;
    assert_eq!(world.pull(100).0, [(31, 0b111)]);
    assert_eq!(*world.tokens.0.lock().unwrap(), 48, "what is not needed goes back");
}

#[test]
fn a_text_longer_than_the_window_leaves_piecemeal() {
    let mut world = World::new(2, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..31), 3));
    let (left, handles, pulled) = world.pull(2);
    assert_eq!((left, pulled), (vec![(30, 0b011)], Pulled::Full));
    world.word(handles[0], 0, Answer::Accepted);
    world.word(handles[0], 1, Answer::Accepted);
    assert_eq!(world.pull(2).0, [(30, 0b100)]);
    world.word(handles[0], 2, Answer::Accepted);
    assert_eq!(world.fates(), [Fate::Accepted]);
    assert_eq!(world.finished[0].ids.len(), 3);
}

#[test]
fn nothing_leaves_on_old_knowledge_but_urgent() {
    let mut world = World::new(100, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..33), 1));
    world.queue.begin(begun(offer(Lane::Urgent, 1, 10..12), 1));
    world.fresh = false;
    let (left, _, pulled) = world.pull(100);
    assert_eq!((numbers(&left), pulled), (vec![10, 11], Pulled::Empty));
    assert!(!world.queue.is_pullable(), "nobody asks in circles");
    world.fresh = true;
    world.with(|queue, moment, _, finished| queue.sweep(moment, finished));
    assert!(world.queue.is_pullable());
    assert_eq!(world.pull(100).0.len(), 3);
}

#[test]
fn no_bulk_leaves_by_a_wrong_clock() {
    let mut world = World::new(100, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..33), 1));
    world.queue.begin(begun(offer(Lane::Normal, 1, 20..22), 1));
    world.queue.begin(begun(offer(Lane::Urgent, 1, 10..12), 1));
    world.clock_agrees = false;
    let (left, _, pulled) = world.pull(100);
    assert_eq!((numbers(&left), pulled), (vec![10, 11, 20, 21], Pulled::Empty));
    assert!(!world.queue.is_pullable(), "nobody asks in circles");
    world.clock_agrees = true;
    world.with(|queue, moment, _, finished| queue.sweep(moment, finished));
    assert_eq!(numbers(&world.pull(100).0), [30, 31, 32]);
}

#[test]
fn a_pause_sends_back_what_has_not_left() {
    let mut world = World::new(100, 2);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..34), 1));
    let (left, handles, _) = world.pull(100);
    assert_eq!(left.len(), 2);
    world.states.0.insert(1, CampaignState::Paused);
    *world.tokens.0.lock().unwrap() = 50;
    assert_eq!(world.pull(100).0, []);
    assert!(world.finished.is_empty(), "two answers are awaited");
    world.word(handles[0], 0, Answer::Accepted);
    world.word(handles[1], 0, Answer::Again);
    assert_eq!(world.pull(100).0, [], "a throttled message does not leave after the pause");
    let back = || Fate::Returned { why: Returned::Paused, attempt: 0, not_before_us: 0, code: "".into() };
    assert_eq!(world.fates(), [Fate::Accepted, back(), back(), back()]);
    assert_eq!(world.queue.begun(), 0);
}

#[test]
fn the_deadline_is_looked_at_without_a_pull() {
    let mut world = World::new(100, 0);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..32), 1));
    world.now_us = LATE - 1;
    world.with(|queue, moment, _, finished| queue.sweep(moment, finished));
    assert!(world.finished.is_empty());
    world.now_us = LATE;
    world.with(|queue, moment, _, finished| queue.sweep(moment, finished));
    assert!(matches!(world.fates()[..], [Fate::Returned { why: Returned::Late, .. }, _]));
}

#[test]
fn a_block_sends_one_person_back() {
    use prost::Message as _;
    let mut world = World::new(100, 100);
    let block = event::Block { address_hash: world.key.number(31).0, ..Default::default() };
    let value = bytes::Bytes::from(event::Blocks { blocks: vec![block] }.encode_to_vec());
    let record =
        loa_ports::log::Record { partition: 0, offset: 0, at_us: 0, key: value.clone(), headers: Vec::new(), value };
    world.blocks.take(&[record], Duration::ZERO);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..33), 1));
    let (left, handles, _) = world.pull(100);
    assert_eq!(numbers(&left), [30, 32]);
    for handle in handles {
        world.word(handle, 0, Answer::Accepted);
    }
    assert!(matches!(
        world.fates()[..],
        [Fate::Accepted, Fate::Returned { why: Returned::Recheck, .. }, Fate::Accepted]
    ));
}

#[test]
fn a_message_with_the_mailer_may_be_called_back() {
    let mut world = World::new(100, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..31), 1));
    let handle = world.pull(100).1[0];
    assert!(world.with(|queue, moment, _, _| queue.may_leave(handle, moment)));
    world.states.0.insert(1, CampaignState::Paused);
    assert!(!world.with(|queue, moment, _, _| queue.may_leave(handle, moment)));
}

#[test]
fn the_rest_of_a_long_text_rests_and_goes_again_until_its_deadline() {
    let put_off = || Answer::Later { after: None, counted: true, code: "0x58".into() };
    let mut world = World::new(100, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..32), 2));
    let (_, handles, _) = world.pull(100);
    for handle in handles {
        world.word(handle, 0, Answer::Accepted);
        world.word(handle, 1, put_off());
    }
    let sweep = |world: &mut World, now_us| {
        world.now_us = now_us;
        world.with(|queue, moment, _, finished| queue.sweep(moment, finished));
    };
    sweep(&mut world, NOW);
    assert_eq!(world.pull(100).0, [], "the rest waits");
    sweep(&mut world, NOW + 999_000);
    assert_eq!(world.pull(100).0, []);
    assert!(world.finished.is_empty(), "a text that is half on the phone is not given up before its deadline");

    let mut world = World::new(100, 100);
    let mut long = Arc::into_inner(offer(Lane::Bulk, 1, 30..32)).unwrap();
    long.hand_over_by_us = 10 * LATE;
    world.queue.begin(begun(Arc::new(long), 2));
    let (_, handles, _) = world.pull(100);
    world.word(handles[0], 0, Answer::Accepted);
    world.word(handles[0], 1, put_off());
    world.word(handles[1], 1, Answer::Accepted);
    world.word(handles[1], 0, put_off());
    sweep(&mut world, NOW);
    sweep(&mut world, NOW + 1_000_000);
    let (left, handles, _) = world.pull(100);
    assert_eq!(left, [(30, 0b10), (31, 0b01)], "the rest alone, to the same account");
    world.word(handles[0], 1, Answer::Accepted);
    world.word(handles[1], 0, put_off());
    sweep(&mut world, 10 * LATE);
    assert_eq!(world.fates(), [Fate::Accepted, Fate::InDoubt { reason: loa_domain::state::Reason::Partial }]);
}

#[test]
fn a_handle_of_a_finished_slice_means_nothing() {
    let mut world = World::new(100, 100);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..31), 1));
    let old = world.pull(100).1[0];
    world.word(old, 0, Answer::Accepted);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 40..41), 1)); // takes the same place
    let new = world.pull(100).1[0];
    world.word(old, 0, Answer::Unanswered);
    world.word(new, 0, Answer::Accepted);
    assert_eq!(world.fates(), [Fate::Accepted, Fate::Accepted]);
    assert_ne!(old, new);
}

#[test]
fn a_stop_gives_back_what_has_not_left() {
    let mut world = World::new(100, 1);
    world.queue.begin(begun(offer(Lane::Bulk, 1, 30..33), 1));
    world.queue.offer(Pending { offer: offer(Lane::Bulk, 1, 40..42), slice: 0, place: (2, 0) });
    let handles = world.pull(100).1;
    let unclaimed = world.queue.close(&mut world.finished);
    assert_eq!(unclaimed.len(), 1, "what was never claimed is left to who reads it next");
    assert!(world.finished.is_empty());
    world.word(handles[0], 0, Answer::Again); // never written
    let back = || Fate::Returned { why: Returned::Retry, attempt: 0, not_before_us: 0, code: "".into() };
    assert_eq!(world.fates(), [back(), back(), back()]);
    let late = world.queue.begin(begun(offer(Lane::Bulk, 1, 50..51), 1));
    assert!(late.is_some_and(|begun| begun.messages[0].is_over()), "a claim that came too late is given back");
}

#[test]
fn claims_run_ahead_by_so_much_and_no_more() {
    let mut world = World::new(100, 100);
    let pending = |lane, from: u64| Pending { offer: offer(lane, 1, from..from + 100), slice: 0, place: (0, 0) };
    for at in 0..10 {
        world.queue.offer(pending(Lane::Bulk, at * 100));
    }
    let collect = |world: &mut World, ahead_max| {
        let mut out = Vec::new();
        world.queue.collect(ahead_max, false, 500, |_| Todo::Begin, &mut out);
        out.len()
    };
    assert_eq!(collect(&mut world, 10), 1, "one slice, however slow the account");
    let mut out = Vec::new();
    world.queue.collect(450, false, 500, |_| Todo::Begin, &mut out);
    assert_eq!(out.len(), 4);
    for (pending, _) in out {
        world.queue.begin(begun(pending.offer, 1));
    }
    assert_eq!(collect(&mut world, 450), 0);
    assert!(!world.queue.is_hungry(450));
    world.pull(100);
    assert_eq!(collect(&mut world, 450), 0, "more than half is left");
    *world.tokens.0.lock().unwrap() = 100;
    world.pull(200);
    assert!(world.queue.is_hungry(450));
    world.queue.offer(pending(Lane::Urgent, 9_000));
    let mut out = Vec::new();
    world.queue.collect(0, false, 500, |_| Todo::Begin, &mut out);
    assert_eq!(out.len(), 1, "urgent is claimed whatever bulk has ahead");
    assert_eq!(out[0].0.offer.lane, Lane::Urgent);
}

#[test]
fn what_goes_back_needs_no_room() {
    let mut world = World::new(100, 100);
    for campaign in [1, 2, 1, 2] {
        world.queue.offer(Pending { offer: offer(Lane::Bulk, campaign, 0..10), slice: 0, place: (0, 0) });
    }
    let mut out = Vec::new();
    let judge = |offer: &Arc<Offer>| match offer.campaign.as_bytes()[0] {
        1 => Todo::Wait,
        _ => Todo::GiveBack(Returned::Paused),
    };
    world.queue.collect(0, true, 500, judge, &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(world.queue.backlog(2), 20);
    assert_eq!(world.queue.drop_place((0, 0)).len(), 2);
    assert_eq!(world.queue.backlog(2), 0);
}
