//! One account's tokens on one node: what to hand out, when to ask Redis, when to go on without it. No clock, no socket.
//!
//! | State | Parts come from |
//! |---|---|
//! | counted | blocks that Redis sold: time that has passed, sold once |
//! | away | this node's share of the rate, since nothing was answered for 300 ms |
//!
//! A node that comes back stays with its share until Redis opens the cell, so that nobody takes from Redis what others still
//! take from their shares.
//!
//! Must stay true: over any span, all nodes together hand out at most the rate times the span and one [`burst`]; every
//! part of a sold block has ended before a node goes by its share; who is not asked for parts asks Redis for nothing.

mod left;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use loa_ports::bucket::Taken;

use left::Left;
pub(crate) use left::{LEFT_MIN, RECOVERY_PER_S, SLOW_DOWN_EVERY};
use store::{Blocks, Filling, whole};

/// A hungry node asks once in this time, at most.
pub const BLOCK: Duration = Duration::from_millis(50);
/// Time that Redis keeps for askers: a block, and how late an asker may be. Older time is never sold.
pub const GATHERS: Duration = Duration::from_millis(60);
/// How long after its question a block may be handed out. An answer that took longer is none.
pub const LIFE: Duration = Duration::from_millis(100);
/// Without an answer for this long, a node goes by its share.
pub const AWAY_AFTER: Duration = Duration::from_millis(300);
/// How long after the first question of a node that was away Redis sells again: everybody has asked by then.
pub const OPENS_AFTER: Duration = Duration::from_millis(300);
/// What all shares together are of the rate: some of it is left for those that still hear Redis.
pub const ALL_SHARES: f64 = 0.9;
/// Parts become takable in steps of this length, so that a bind writes many at once.
pub const STEP: Duration = Duration::from_millis(2);
/// What may become takable at once: the parts of this long, or one.
pub const STEP_BURST: Duration = Duration::from_millis(5);
/// A node lets its blocks out this much faster than the account's rate, so that a late answer costs nothing.
const PACE: f64 = 1.5;
/// The urgent share is what may become takable at once, divided by this; at least one part.
const URGENT_SHARE: f64 = 4.0;
/// A question comes this much earlier than a block after the last one, at most: nodes in step would starve one another.
const EARLY_MAX: Duration = Duration::from_millis(20);
/// Takers that were not served look again within this time.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// Parts that an account may have above its rate in any span, over so many nodes.
pub fn burst(rate: f64, nodes: u32) -> f64 {
    let gathered = (rate * GATHERS.as_secs_f64()).max(1.0);
    // Each node: its urgent share, the part it keeps of a block, the part it has gathered of its share.
    let held = f64::from(nodes) * (f64::from(urgent_share(rate)) + 2.0);
    gathered + rate * LIFE.as_secs_f64() + held
}

/// Parts that each node keeps for urgent.
pub fn urgent_share(rate: f64) -> u32 {
    whole(rate * STEP_BURST.as_secs_f64() / URGENT_SHARE).max(1)
}

/// What a node asks Redis about an account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Question {
    /// Parts a second, as configured.
    pub(crate) rate: f64,
    /// Parts.
    pub(crate) wanted: u32,
    /// What this node believes is left of the rate.
    pub(crate) left: f64,
    /// The carrier said so.
    pub(crate) slow_down: bool,
    /// The node has gone by its share and hears Redis for the first time.
    pub(crate) was_away: bool,
    /// When it was asked.
    pub(crate) at: Duration,
}

/// What Redis answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    /// Parts sold.
    pub(crate) sold: u32,
    /// When one more will be there.
    pub(crate) wait: Duration,
    /// What is left of the rate, 0 to 1.
    pub(crate) left: f64,
    /// Nothing is sold yet: others still go by their shares.
    pub(crate) closed: bool,
}

/// The cell.
#[derive(Debug)]
pub(crate) struct Cell {
    configured: f64,
    left: Left,
    /// Parts for urgent alone.
    reserve: u32,
    blocks: Blocks,
    /// Lets blocks out evenly.
    gate: Filling,
    share: f64,
    /// What has gathered of the share.
    own: Filling,
    /// The last take: it may be undone.
    last: Option<(u32, Duration)>,
    demand: Demand,
    asking: Asking,
    dice: u64,
}

/// What takers wanted since the last question.
#[derive(Debug, Default)]
struct Demand {
    unmet: u32,
    taken: u32,
}

#[derive(Debug, Default)]
struct Asking {
    /// Not before.
    next_at: Duration,
    under_way: bool,
    /// Since when an answer is due.
    due_since: Option<Duration>,
    away: bool,
    /// Away, but Redis has said when it opens.
    heard: bool,
}

impl Cell {
    /// Empty; the seed makes nodes ask at different times.
    pub(crate) fn new(rate: f64, now: Duration, seed: u64) -> Self {
        Self {
            configured: rate,
            left: Left::all(now),
            reserve: 0,
            blocks: Blocks::default(),
            gate: Filling::empty(now),
            share: 0.0,
            own: Filling::empty(now),
            last: None,
            demand: Demand::default(),
            asking: Asking { next_at: now, ..Asking::default() },
            dice: seed | 1,
        }
    }

    /// A new rate begins empty; the same again changes nothing.
    pub(crate) fn configure(&mut self, rate: f64, now: Duration) {
        if (self.configured - rate).abs() > f64::EPSILON {
            *self = Self { share: self.share, ..Self::new(rate, now, self.dice) };
        }
    }

    /// This node's share of the account, 0 to 1, for when Redis is away.
    pub(crate) fn set_share(&mut self, share: f64) {
        self.share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    }

    pub(crate) fn is_away(&self) -> bool {
        self.asking.away
    }

    pub(crate) fn rate(&self, now: Duration) -> f64 {
        self.configured * self.left.now(now)
    }

    pub(crate) fn take(&mut self, now: Duration, wanted: u32, urgent: bool) -> Taken {
        self.turn(now);
        let open = if self.asking.away { self.own.whole() } else { self.gate.whole().min(self.blocks.total()) };
        let plain = open.min(wanted);
        let spared = if urgent { self.reserve.min(wanted - plain) } else { 0 };
        let parts = plain + spared;
        self.reserve -= spared;
        if self.asking.away {
            self.own.take(plain);
            self.last = Some((parts, now + LIFE));
        } else {
            self.gate.take(plain);
            self.last = Some((parts, self.blocks.take(plain, now)));
        }
        self.demand.taken = self.demand.taken.saturating_add(parts);
        self.demand.unmet = self.demand.unmet.max(wanted - parts);
        if self.wanted(now) > 0 && now >= self.asking.next_at {
            self.asking.due_since.get_or_insert(now);
        }
        Taken { parts, wait: if parts == wanted { Duration::ZERO } else { self.look_again(now) } }
    }

    /// Undoes the last take, in part or whole; older parts were used or are lost.
    pub(crate) fn give(&mut self, now: Duration, unused: u32) {
        self.turn(now);
        let Some((parts, ends)) = self.last.take() else { return };
        let back = unused.min(parts);
        self.demand.taken = self.demand.taken.saturating_sub(back);
        if self.asking.away {
            self.own.give(back, self.own_rate(now));
        } else if ends > now {
            let left = self.spare(back);
            self.blocks.add(left, ends);
            self.gate.give(left, PACE * self.rate(now));
        }
    }

    /// The carrier wants less; true if Redis has to hear it.
    pub(crate) fn slow_down(&mut self, now: Duration) -> bool {
        self.left.slow_down(now)
    }

    /// When Redis should be asked next; nothing = when somebody takes.
    pub(crate) fn asks_at(&self, now: Duration) -> Option<Duration> {
        if self.asking.under_way || self.configured <= 0.0 {
            None
        } else if self.left.is_news(now) || self.wanted(now) > 0 {
            Some(self.asking.next_at)
        } else {
            None
        }
    }

    /// The question that is due now.
    pub(crate) fn question(&mut self, now: Duration) -> Option<Question> {
        self.turn(now);
        if self.asks_at(now).is_none_or(|at| at > now) {
            return None;
        }
        let question = Question {
            rate: self.configured,
            wanted: self.wanted(now),
            left: self.left.now(now),
            slow_down: self.left.untold,
            was_away: self.asking.away && !self.asking.heard,
            at: now,
        };
        self.left.untold = false;
        self.demand = Demand::default();
        self.asking.under_way = true;
        self.asking.due_since.get_or_insert(now);
        Some(question)
    }

    /// Takes the answer; one that is late counts as none.
    pub(crate) fn answered(&mut self, now: Duration, question: &Question, answer: &Answer) {
        if now.saturating_sub(question.at) >= LIFE {
            return self.unanswered(now, Some(question));
        }
        self.turn(now);
        self.left.told(answer.left, now);
        self.asking.under_way = false;
        self.asking.due_since = None;
        self.asking.next_at = self.next_question(now, question, answer);
        if answer.closed {
            self.asking.heard = self.asking.away;
            return;
        }
        if self.asking.away {
            self.asking.away = false;
            self.asking.heard = false;
            self.last = None;
            self.gate = Filling::empty(now);
        }
        let plain = self.spare(answer.sold);
        self.blocks.add(plain, question.at + LIFE);
    }

    /// Nothing was answered to this question, or it could not even be asked.
    pub(crate) fn unanswered(&mut self, now: Duration, question: Option<&Question>) {
        if question.is_none() && self.asks_at(now).is_none_or(|at| at > now) {
            return;
        }
        self.left.untold |= question.is_some_and(|question| question.slow_down);
        self.asking.under_way = false;
        self.asking.heard = false;
        self.asking.due_since.get_or_insert(now);
        self.asking.next_at = now + BLOCK;
        // Whoever still wants something will say so again.
        self.demand = Demand::default();
        self.turn(now);
    }

    fn next_question(&mut self, now: Duration, question: &Question, answer: &Answer) -> Duration {
        let regular = question.at + BLOCK - self.up_to(EARLY_MAX);
        if answer.sold >= question.wanted {
            return regular;
        }
        let there = now + answer.wait.clamp(STEP, LOOK_AGAIN_MAX) + self.up_to(STEP_BURST);
        // Who got nothing, since the cell is new or another was faster, asks as soon as it is worth it.
        if answer.sold == 0 { there } else { there.max(regular) }
    }

    fn turn(&mut self, now: Duration) {
        let asking = &mut self.asking;
        if !asking.away && asking.due_since.is_some_and(|since| now.saturating_sub(since) >= AWAY_AFTER) {
            asking.away = true;
            self.last = None;
            self.blocks.clear();
            self.own = Filling::empty(now);
        }
        self.blocks.expire(now);
        self.gate.fill(now, PACE * self.rate(now));
        if self.asking.away {
            self.own.fill(now, self.own_rate(now));
            let there = self.own.whole();
            let plain = self.spare(there);
            self.own.take(there - plain);
        }
    }

    /// The rate of this node's share.
    fn own_rate(&self, now: Duration) -> f64 {
        self.rate(now) * self.share * ALL_SHARES
    }

    /// Fills the urgent share; says what is over.
    fn spare(&mut self, parts: u32) -> u32 {
        let spared = parts.min(self.reserve_missing());
        self.reserve += spared;
        parts - spared
    }

    fn reserve_missing(&self) -> u32 {
        urgent_share(self.configured).saturating_sub(self.reserve)
    }

    /// Parts to ask for: what takers did not get and what they will take until the next question, as they did until this. If
    /// one was not served, twice as many: of many who take one at a time each misses but one.
    fn wanted(&self, now: Duration) -> u32 {
        let most = whole((self.rate(now) * GATHERS.as_secs_f64()).ceil());
        let Demand { unmet, taken } = self.demand;
        let missed = if unmet > 0 { unmet.max(taken) } else { 0 };
        let need = taken.saturating_add(missed).min(most.max(1));
        if need == 0 { 0 } else { need.saturating_sub(self.blocks.total()) + self.reserve_missing() }
    }

    /// How long a taker that was not served may wait.
    fn look_again(&self, now: Duration) -> Duration {
        let at = if self.configured <= 0.0 {
            now + LOOK_AGAIN_MAX
        } else if self.asking.away {
            // Redis may open at any time.
            self.own.one_more_at(self.own_rate(now)).min(now + BLOCK)
        } else if self.blocks.total() > 0 {
            self.gate.one_more_at(PACE * self.rate(now))
        } else if self.asking.under_way {
            now + STEP
        } else {
            self.asking.next_at.max(now + STEP)
        };
        at.saturating_sub(now).clamp(Duration::from_micros(100), LOOK_AGAIN_MAX)
    }

    /// A random time below the limit.
    fn up_to(&mut self, limit: Duration) -> Duration {
        // xorshift64
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros((self.dice >> 11) % micros)
    }
}
