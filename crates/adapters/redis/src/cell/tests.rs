//! Nodes, a Redis that can be slow, emptied and away, and whoever takes; time is turned by hand.

use super::*;
use proptest::prelude::*;

const TURN: Duration = Duration::from_micros(500);

/// What `count.lua` does.
#[derive(Debug, Default)]
struct Redis {
    cell: Option<Count>,
    away: bool,
    questions: u32,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    sold_until: f64,
    left: f64,
    left_at: f64,
    slowed_at: f64,
}

impl Redis {
    fn answer(&mut self, at: Duration, question: &Question) -> Answer {
        self.questions += 1;
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let now = us(at) + 1e12;
        let mut cell = match self.cell {
            Some(mut cell) => {
                cell.left = (cell.left + (now - cell.left_at) / 1e6 * RECOVERY_PER_S).min(1.0);
                if question.slow_down && now - cell.slowed_at >= us(SLOW_DOWN_EVERY) {
                    (cell.left, cell.slowed_at) = ((cell.left / 2.0).max(LEFT_MIN), now);
                }
                cell
            }
            None => {
                let slowed_at = if question.slow_down { now } else { 0.0 };
                Count { sold_until: now, left: question.left, left_at: now, slowed_at }
            }
        };
        cell.left_at = now;
        if question.was_away && (self.cell.is_none() || cell.sold_until < now - us(AWAY_AFTER)) {
            cell.sold_until = now + us(OPENS_AFTER);
        }
        let per_us = question.rate * cell.left / 1e6;
        let closed = cell.sold_until > now;
        cell.sold_until = cell.sold_until.max(now - us(GATHERS).max(1.0 / per_us));
        let sold = whole((now - cell.sold_until) * per_us).min(question.wanted);
        cell.sold_until = (cell.sold_until + f64::from(sold) / per_us).ceil();
        let wait = Duration::from_secs_f64((cell.sold_until + 1.0 / per_us - now).max(0.0) / 1e6);
        self.cell = Some(cell);
        Answer { sold, wait, left: cell.left, closed }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Taker {
    Idle,
    /// Takes whatever it gets, as soon as told.
    Hungry,
    /// So many lines that take one part each, as soon as told.
    OneByOne(u32),
    /// One now and then.
    Sometimes,
    Urgent,
    /// Takes much and gives most of it back.
    Fickle,
}

struct Node {
    cell: Cell,
    /// Asked, reaches Redis at, is back at.
    asked: Option<(Question, Duration, Duration, Option<Answer>)>,
    look_at: Duration,
    taker: Taker,
    taken: u32,
}

struct World {
    now: Duration,
    redis: Redis,
    nodes: Vec<Node>,
    rate: f64,
    /// What has been taken above the rate: the fullest of all spans that end now.
    level: f64,
    level_max: f64,
    taken: u32,
    dice: u64,
}

impl World {
    fn new(rate: f64, nodes: u32) -> Self {
        let node = |number: u32| {
            let mut cell = Cell::new(rate, Duration::ZERO, 0x9E37_79B9 * u64::from(number + 1));
            cell.set_share(1.0 / f64::from(nodes));
            Node { cell, asked: None, look_at: Duration::ZERO, taker: Taker::Hungry, taken: 0 }
        };
        Self {
            now: Duration::from_secs(7),
            redis: Redis::default(),
            nodes: (0..nodes).map(node).collect(),
            rate,
            level: 0.0,
            level_max: 0.0,
            taken: 0,
            dice: 77,
        }
    }

    fn rest(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    fn run(&mut self, time: Duration, delay_us_max: u64) {
        let end = self.now + time;
        while self.now < end {
            self.now += TURN;
            self.level = (self.level - self.rate * TURN.as_secs_f64()).max(0.0);
            for number in 0..self.nodes.len() {
                self.talk(number, delay_us_max);
                self.serve(number);
            }
            self.level_max = self.level_max.max(self.level);
        }
    }

    fn talk(&mut self, number: usize, delay_us_max: u64) {
        let now = self.now;
        let delays = [self.rest(delay_us_max), self.rest(delay_us_max)].map(Duration::from_micros);
        let node = &mut self.nodes[number];
        if let Some((question, reaches_at, back_at, mut answer)) = node.asked.take() {
            if answer.is_none() && now >= reaches_at && !self.redis.away {
                answer = Some(self.redis.answer(now, &question));
            }
            match answer {
                Some(answer) if now >= back_at => node.cell.answered(now, &question, &answer),
                _ if now >= question.at + LIFE => node.cell.unanswered(now, Some(&question)),
                _ => node.asked = Some((question, reaches_at, back_at, answer)),
            }
        } else if self.redis.away && node.cell.asks_at(now).is_some_and(|at| at <= now) {
            node.cell.unanswered(now, None); // refused
        } else if let Some(question) = node.cell.question(now) {
            node.asked = Some((question, now + delays[0], now + delays[0] + delays[1], None));
        }
    }

    fn serve(&mut self, number: usize) {
        let (now, die) = (self.now, self.rest(40));
        if let Taker::OneByOne(lines) = self.nodes[number].taker {
            return (0..lines).for_each(|_| self.take(number, 1, false, 0));
        }
        let node = &self.nodes[number];
        let (wanted, urgent, given_back) = match node.taker {
            Taker::Hungry if now >= node.look_at => (1_000, false, 0),
            Taker::Urgent if now >= node.look_at => (1_000, true, 0),
            Taker::Sometimes if die == 0 => (1, true, 0),
            Taker::Fickle if die < 4 => (500, die == 0, 499),
            _ => return,
        };
        self.take(number, wanted, urgent, given_back);
    }

    fn take(&mut self, number: usize, wanted: u32, urgent: bool, given_back: u32) {
        let (now, node) = (self.now, &mut self.nodes[number]);
        let taken = node.cell.take(now, wanted, urgent);
        assert!(taken.parts <= wanted && (taken.parts == wanted || taken.wait > Duration::ZERO));
        node.look_at = now + taken.wait;
        let given_back = given_back.min(taken.parts);
        if given_back > 0 {
            node.cell.give(now, given_back);
        }
        let used = taken.parts - given_back;
        node.taken += used;
        self.taken += used;
        self.level += f64::from(used);
    }

    #[track_caller]
    fn within_burst(&self) {
        let most = burst(self.rate, u32::try_from(self.nodes.len()).unwrap()) + 1.0;
        assert!(self.level_max <= most, "{} above the rate, of {most} at {}/s", self.level_max, self.rate);
    }

    /// Takes for so long, and says how much of the rate was taken.
    fn share_of_rate(&mut self, time: Duration) -> f64 {
        let before = self.taken;
        self.run(time, 1_000);
        f64::from(self.taken - before) / self.rate / time.as_secs_f64()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hungry_nodes_take_the_rate_and_no_more() {
    #[track_caller]
    fn check(rate: f64, nodes: u32) {
        let mut world = World::new(rate, nodes);
        world.run(30 * SECOND, 1_000); // a slow account fills the urgent share of every node first
        let share = world.share_of_rate(20 * SECOND);
        world.within_burst();
        assert!((0.95..=1.03).contains(&share), "{share} of {rate}/s over {nodes} nodes");
        let fair = f64::from(world.taken) / f64::from(nodes);
        let least = world.nodes.iter().map(|node| node.taken).min().unwrap();
        assert!(rate < 10.0 || f64::from(least) > 0.5 * fair, "{least} of {fair} at {rate}/s over {nodes} nodes");
    }
    for nodes in [1, 3, 8] {
        check(1.0, nodes);
        check(10.0, nodes);
        check(1_000.0, nodes);
        check(50_000.0, nodes);
    }
}

#[test]
fn who_takes_one_at_a_time_has_what_it_can_use_within_a_second() {
    #[track_caller]
    fn check(rate: f64, nodes: u32, lines: u32) {
        let mut world = World::new(rate, nodes);
        world.nodes.iter_mut().for_each(|node| node.taker = Taker::OneByOne(lines));
        world.run(SECOND, 1_000);
        let can_use = (f64::from(nodes * lines) / TURN.as_secs_f64()).min(rate);
        let used = world.share_of_rate(5 * SECOND) * rate;
        world.within_burst();
        assert!(
            used >= 0.9 * can_use,
            "{used} of {can_use} parts a second, {nodes} nodes of {lines} lines at {rate}/s"
        );
        let least = world.nodes.iter().map(|node| node.taken).min().unwrap();
        assert!(least * nodes * 2 > world.taken, "{least} of {} on {nodes} nodes at {rate}/s", world.taken);
    }
    for nodes in [1, 3] {
        check(1_000_000.0, nodes, 20);
        check(1_000_000.0, nodes, 1);
        check(5_000.0, nodes, 20);
        check(500.0, nodes, 20);
    }
}

#[test]
fn a_new_cell_is_empty() {
    let mut world = World::new(1_000.0, 1);
    world.run(Duration::from_millis(3), 1_000);
    assert!(world.taken <= 3, "{} in the first 3 ms", world.taken);
    world.run(SECOND, 1_000);
    world.redis.cell = None;
    let before = world.taken;
    world.run(Duration::from_millis(200), 1_000);
    assert!(world.taken - before > 150, "it goes on after it was emptied");
    world.within_burst();
}

#[test]
fn idle_nodes_ask_nothing() {
    let mut world = World::new(1_000.0, 3);
    world.run(SECOND, 1_000);
    world.nodes.iter_mut().for_each(|node| node.taker = Taker::Idle);
    world.run(SECOND, 1_000);
    let before = world.redis.questions;
    world.run(60 * SECOND, 1_000);
    assert_eq!(world.redis.questions, before);
    world.redis.away = true;
    for node in &mut world.nodes {
        while node.cell.take(world.now, 1, true).parts > 0 {}
    }
    world.run(SECOND, 1_000);
    assert!(world.nodes.iter().all(|node| node.cell.asks_at(world.now).is_none()), "nor while Redis is away");
}

#[test]
fn without_redis_each_goes_by_its_share_and_comes_back() {
    for lost in [false, true] {
        let mut world = World::new(1_000.0, 3);
        world.run(2 * SECOND, 1_000);
        world.redis.away = true;
        world.run(Duration::from_millis(350), 1_000);
        let share = world.share_of_rate(5 * SECOND);
        assert!((0.88..=0.91).contains(&share), "{share} of the rate by shares");
        world.redis.away = false;
        if lost {
            world.redis.cell = None;
        }
        let share = world.share_of_rate(SECOND);
        assert!((0.85..=1.01).contains(&share), "{share} while coming back");
        assert!(world.nodes.iter().all(|node| !node.cell.asking.away), "all count again");
        let share = world.share_of_rate(5 * SECOND);
        assert!((0.97..=1.01).contains(&share), "{share} of the rate again");
        world.within_burst();
        assert!(world.level_max < 80.0, "{} above the rate", world.level_max);
    }
}

#[test]
fn a_node_without_binds_sends_nothing_without_redis() {
    let mut world = World::new(1_000.0, 2);
    world.nodes[1].cell.set_share(0.0);
    world.redis.away = true;
    world.run(5 * SECOND, 1_000);
    assert_eq!(world.nodes[1].taken, 0);
    assert!(world.nodes[0].taken > 1_900);
}

#[test]
fn one_who_sends_little_comes_back_too() {
    let mut world = World::new(1_000.0, 1);
    world.nodes[0].taker = Taker::Idle;
    world.redis.away = true;
    let seconds = |world: &mut World, count| {
        for _ in 0..count {
            let taken = world.nodes[0].cell.take(world.now, 1, false);
            world.run(taken.wait, 1_000);
            world.nodes[0].cell.take(world.now, 1, false);
            world.run(SECOND, 1_000);
        }
    };
    seconds(&mut world, 3);
    assert!(world.nodes[0].cell.asking.away);
    world.redis.away = false;
    seconds(&mut world, 3);
    assert!(!world.nodes[0].cell.asking.away);
}

#[test]
fn urgent_has_its_share_while_bulk_takes_all() {
    let mut world = World::new(1_000.0, 2);
    world.run(5 * SECOND, 1_000);
    for node in &mut world.nodes {
        while node.cell.take(world.now, 1_000, false).parts > 0 {}
        assert_eq!(node.cell.take(world.now, 1, true).parts, 1, "the urgent share");
    }
}

#[test]
fn a_word_to_slow_down_is_heard_by_all_and_outlives_redis() {
    let near = |world: &World, number: usize, rate: f64| {
        let found = world.nodes[number].cell.rate(world.now);
        assert!((found - rate).abs() < 10.0, "node {number}: {found}, not {rate}");
    };
    let mut world = World::new(1_000.0, 2);
    world.run(SECOND, 1_000);
    assert!(world.nodes[0].cell.slow_down(world.now));
    assert!(!world.nodes[0].cell.slow_down(world.now), "one window of throttled answers is one word");
    near(&world, 0, 500.0);
    world.run(Duration::from_millis(100), 1_000);
    near(&world, 1, 505.0);
    world.nodes[1].cell.slow_down(world.now); // of the same second
    world.run(Duration::from_millis(100), 1_000);
    near(&world, 0, 510.0);
    near(&world, 1, 510.0);
    world.redis.cell = None;
    let share = world.share_of_rate(2 * SECOND);
    assert!((0.5..0.6).contains(&share), "{share} of the rate is left");
    near(&world, 0, 610.0);
    world.run(20 * SECOND, 1_000);
    near(&world, 0, 1_000.0);
}

#[test]
fn an_answer_that_is_late_is_none() {
    let mut cell = Cell::new(1_000.0, SECOND, 1);
    cell.take(SECOND, 10, false);
    let question = cell.question(SECOND).unwrap();
    let answer = Answer { sold: 10, wait: Duration::ZERO, left: 1.0, closed: false };
    cell.answered(SECOND + LIFE, &question, &answer);
    assert_eq!(cell.take(SECOND + LIFE, 10, true).parts, 0);
}

/// A cell of 1,000/s that was sold 50 parts at 7 s, as much as it asked for.
fn served() -> Cell {
    let at = 7 * SECOND;
    let mut cell = Cell::new(1_000.0, at - SECOND, 1);
    cell.take(at, 49, false);
    let question = cell.question(at).unwrap();
    assert_eq!(question.wanted, 50, "and one for urgent");
    cell.answered(at, &question, &Answer { sold: 50, wait: Duration::ZERO, left: 1.0, closed: false });
    cell
}

#[test]
fn what_is_not_taken_in_time_is_gone() {
    let all = |cell: &mut Cell, at: Duration| {
        (0..30).map(|step| cell.take(at + step * STEP, 1_000, false).parts).sum::<u32>()
    };
    assert_eq!(all(&mut served(), 7 * SECOND), 49);
    assert_eq!(all(&mut served(), 7 * SECOND + LIFE), 1, "one part may be kept");
}

#[test]
fn given_back_is_what_was_taken_last_and_only_while_it_lives() {
    let (at, mut cell) = (7 * SECOND, served());
    assert_eq!(cell.take(at, 5, false).parts, 5);
    cell.give(at, 1_000);
    assert_eq!(cell.take(at, 1_000, false).parts, 7, "what becomes takable at once");
    cell.give(at, 3);
    cell.give(at, 3);
    assert_eq!(cell.blocks.total(), 45, "the last take is undone once");
    cell.take(at + 5 * STEP, 5, false);
    cell.give(at + LIFE, 5);
    assert_eq!(cell.blocks.total(), 1);
}

#[test]
fn a_word_that_redis_has_not_heard_is_said_again() {
    let (at, mut cell) = (7 * SECOND, served());
    cell.slow_down(at);
    let question = cell.question(at + BLOCK).unwrap();
    assert!(question.slow_down && question.wanted == 0, "it needs no taker");
    cell.unanswered(at + BLOCK, Some(&question));
    let later = at + SECOND - STEP;
    let question = cell.question(later).unwrap();
    assert!(question.slow_down);
    cell.slow_down(later + STEP); // while the question is under way
    let answer = Answer { sold: 0, wait: Duration::ZERO, left: 1.0, closed: false };
    cell.answered(later + 2 * STEP, &question, &answer);
    let rate = cell.rate(later + 2 * STEP);
    assert!(rate < 280.0, "{rate}: an answer to an older question does not undo it");
}

fn taker() -> impl Strategy<Value = Taker> {
    prop::sample::select(vec![
        Taker::Idle,
        Taker::Hungry,
        Taker::Hungry,
        Taker::Sometimes,
        Taker::Urgent,
        Taker::Fickle,
    ])
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Nothing,
    Away,
    Back,
    Emptied,
    SlowDown,
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop::sample::select(vec![E::Nothing, E::Nothing, E::Away, E::Away, E::Back, E::Back, E::Emptied, E::SlowDown])
}

proptest! {
    /// Whatever becomes of Redis, whoever takes and gives back: never more than the rate and one burst.
    #[test]
    fn never_more_than_the_rate(
        rate in prop::sample::select(vec![0.5, 3.0, 40.0, 700.0, 20_000.0]),
        nodes in 1..5_u32,
        delay_us_max in 1..40_000_u64,
        story in prop::collection::vec((event(), 1..700_u64, prop::collection::vec(taker(), 4)), 1..12),
    ) {
        let mut world = World::new(rate, nodes);
        for (event, ms, takers) in story {
            match event {
                Event::Nothing => {}
                Event::Away => world.redis.away = true,
                Event::Back => world.redis.away = false,
                Event::Emptied => world.redis.cell = None,
                Event::SlowDown => {
                    let now = world.now;
                    world.nodes[0].cell.slow_down(now);
                }
            }
            for (node, taker) in world.nodes.iter_mut().zip(takers) {
                node.taker = taker;
            }
            world.run(Duration::from_millis(ms), delay_us_max);
        }
        world.within_burst();
    }
}
