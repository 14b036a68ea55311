//! Cutting new rows: whose turn it is, what waits first, then what stands at the cursor.
//!
//! Must stay true: urgent before normal before bulk, each with credit of its own; a row is cut only for an account that is
//! bound, a campaign that runs within its hours, and a shard whose suppression list is complete; no bulk while this
//! machine's clock is wrong; nothing but urgent while stored rows wait for the log.

use std::sync::Arc;

use loa_domain::channel::Lane;
use loa_domain::ids::ChunkKey;
use loa_domain::limits::HAND_OVER_S;
use loa_domain::mask::Mask;
use loa_domain::state::Reason;

use super::account::Room;
use super::campaign::{Campaign, Gate, WINDOW_MARGIN_US};
use super::chunk::Chunk;
use super::data::ChunkData;
use super::engine::Engine;
use super::pick::{Picked, Picking};
use super::row::Row;
use super::source::Place;
use super::{AccountNo, Now, SECOND_US, SourceKey};

/// Rows of one transaction, at most: a larger one would keep urgent waiting.
const ROWS_MAX: usize = 256;
/// Rows of one account and lane in one transaction, at most.
const ROWS_OF_RING_MAX: usize = 64;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A row was cut.
    Row,
    /// The next message does not fit the room.
    Full,
    /// Nothing can be done now; something will put the source back.
    Idle,
}

/// The open gate of a campaign, as far as a row needs it.
#[derive(Debug, Clone, Copy)]
struct Open {
    closes_at_us: Option<i64>,
    suppressed: Option<Reason>,
    room: Room,
    now: Now,
}

impl Engine {
    /// Does what can be done now; whether there is more to do at once.
    pub(crate) fn run(&mut self, now: Now) -> bool {
        self.fire(now);
        let mut rows = 0;
        let (holds_bulk, log_is_behind) = (self.holds_bulk, self.log_is_behind);
        let is_held = |lane| (lane == Lane::Bulk && holds_bulk) || (lane != Lane::Urgent && log_is_behind);
        for &lane in Lane::ALL.iter().filter(|&&lane| !is_held(lane)) {
            let bound =
                self.accounts.iter().filter(|(_, account)| account.is_bound(now.mono)).map(|(number, _)| number);
            for account in bound.collect::<Vec<_>>() {
                rows += self.serve(account, lane, ROWS_OF_RING_MAX.min(ROWS_MAX.saturating_sub(rows)), now);
            }
        }
        let more = self.close_over(now);
        rows >= ROWS_OF_RING_MAX || more
    }

    /// Gives turns to the sources of one account and lane; how many rows were cut.
    fn serve(&mut self, account: AccountNo, lane: Lane, rows_max: usize, now: Now) -> usize {
        let mut rows = 0;
        while rows < rows_max {
            let Some(room) = self.accounts.get(account).room(lane, self.shards.len()) else { break };
            let Some(key) = self.rings.get_mut(&(account, lane)).and_then(super::turns::Ring::pop) else { break };
            let Some(source) = self.sources.get_mut(&key).filter(|source| source.place == Place::Ring) else {
                continue;
            };
            source.place = Place::Nowhere;
            match self.turn(key, room, now) {
                Turn::Row => {
                    rows += 1;
                    self.enqueue(key, false, now);
                }
                Turn::Full => {
                    self.enqueue(key, true, now);
                    break;
                }
                Turn::Idle => {}
            }
        }
        rows
    }

    fn turn(&mut self, key: SourceKey, room: Room, now: Now) -> Turn {
        let Some(campaign) = self.campaigns.get(&key.campaign) else { return Turn::Idle };
        let Gate::Open { closes_at_us, suppressed } = campaign.gate(&self.rules, now.us) else {
            self.enqueue(key, false, now);
            return Turn::Idle;
        };
        if campaign.synthetic && !self.accounts.get(key.account).simulator {
            tracing::warn!(campaign = %key.campaign, account = %self.accounts.get(key.account).id, "synthetic people are held: the account is no simulator");
            return Turn::Idle;
        }
        if !self.shards.get(&key.shard).is_some_and(|core| core.ready) {
            return Turn::Idle;
        }
        let open = Open { closes_at_us, suppressed, room, now };
        let due = self.sources.get(&key).and_then(|source| source.due.first().copied());
        match due {
            Some(chunk) => self.release_waiting(key, chunk, open),
            None => self.release_next(key, open),
        }
    }

    /// Releases what was given back of a chunk.
    fn release_waiting(&mut self, key: SourceKey, chunk_key: ChunkKey, open: Open) -> Turn {
        let single = self.campaigns.get(&key.campaign).is_some_and(Campaign::is_notice);
        let Some(data) = self.library.get(chunk_key).cloned() else {
            self.library.want_chunk(chunk_key, key.shard, single);
            return Turn::Idle;
        };
        let chunk = self.shards.get(&key.shard).and_then(|core| core.chunks.get(&chunk_key));
        let due = chunk.map(|chunk| chunk.waiting.iter().filter(|waiting| waiting.back.not_before_us <= open.now.us));
        let due: Vec<_> = due.into_iter().flatten().map(|waiting| (waiting.index, waiting.back.attempts)).collect();
        if due.is_empty() {
            self.sources.get_mut(&key).map(|source| source.due.remove(&chunk_key));
            return self.release_next(key, open);
        }
        let picked = self.pick(key, &data, open, due.into_iter());
        self.cut(key, &data, picked, open)
    }

    /// Releases what stands at the cursor.
    fn release_next(&mut self, key: SourceKey, open: Open) -> Turn {
        let single = self.campaigns.get(&key.campaign).is_some_and(Campaign::is_notice);
        let Some(source) = self.sources.get(&key) else { return Turn::Idle };
        let Some(front) = source.plan.front().copied() else { return Turn::Idle };
        self.library.want_ahead(source, key.shard, single);
        let at = source.at;
        let Some(data) = self.library.get(front.key).cloned() else { return Turn::Idle };
        if data.size() != front.size {
            // Freezes never change; a chunk of another size is another chunk.
            tracing::error!(code = "LOA-114", chunk = ?front.key, "a chunk is not as it was when its campaign was planned; its route stands still");
            return Turn::Idle;
        }
        let picked = self.pick(key, &data, open, (at..front.size).map(|index| (index, 0)));
        let next = picked.stopped_at.unwrap_or(front.size);
        let turn = self.cut(key, &data, picked, open);
        if turn == Turn::Row {
            self.pass(key, next);
        }
        turn
    }

    fn pick(&self, key: SourceKey, data: &ChunkData, open: Open, indices: impl Iterator<Item = (u16, u8)>) -> Picked {
        let campaign = self.campaigns.get(&key.campaign);
        let suppressed = match (open.suppressed, campaign, self.shards.get(&key.shard)) {
            (Some(_), Some(campaign), Some(core)) => core.suppressed.among(&data.hashes, &campaign.scopes),
            _ => Mask::EMPTY,
        };
        let campaign_ends_us = campaign.map_or(i64::MAX, |campaign| campaign.ends_at_us);
        let Open { suppressed: reason, room, now, .. } = open;
        Picking { data, suppressed, reason, campaign_ends_us, now_us: now.us, room }.pick(indices)
    }

    /// Makes the row of what was picked.
    fn cut(&mut self, key: SourceKey, data: &Arc<ChunkData>, picked: Picked, open: Open) -> Turn {
        if picked.mask.is_empty() && picked.decided.is_empty() {
            return if picked.stopped_at.is_some() { Turn::Full } else { Turn::Idle };
        }
        let Some(lane) = self.sources.get(&key).map(|source| source.lane) else { return Turn::Idle };
        let each = picked.parts.div_ceil(u32::try_from(picked.mask.len()).unwrap_or(1).max(1));
        let slice_length = self.accounts.get(key.account).slice_length(each);
        let hand_over_by_us = hand_over_by(lane, picked.expires_us, open.closes_at_us, open.now.us);
        let Picked { mask, attempts, parts, decided, .. } = picked;
        self.add_row(key, data.key, open.now, |no| Row {
            mask,
            attempts,
            parts,
            decided,
            slice_length,
            hand_over_by_us,
            ..Row::new(no, open.now.us)
        });
        Turn::Row
    }

    /// Adds a row to a chunk, which comes into memory with it.
    pub(super) fn add_row(&mut self, source: SourceKey, key: ChunkKey, now: Now, row: impl FnOnce(u32) -> Row) {
        let known = self.shards.get(&source.shard).is_some_and(|core| core.chunks.contains_key(&key));
        if !known {
            self.put_chunk(source.shard, key, Chunk::new(source, Vec::new()));
        }
        let Some(chunk) = self.shards.get_mut(&source.shard).and_then(|core| core.chunks.get_mut(&key)) else { return };
        let row = row(chunk.next_no());
        let (no, used) = (row.no, row.in_use());
        chunk.push(row);
        let due = chunk.has_due(now.us);
        self.changes.rows.insert((source.shard, key, no));
        self.changes.touched.insert((source.shard, key));
        let Some(known) = self.sources.get_mut(&source) else { return };
        if !due {
            known.due.remove(&key);
        }
        let lane = known.lane;
        self.use_changed(source, lane, 0, used);
    }

    /// Moves a cursor; notes the end of a plan.
    pub(super) fn pass(&mut self, key: SourceKey, next: u16) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let front = source.plan.front().copied();
        let ended = source.advance(next);
        if self.campaigns.get(&key.campaign).is_some_and(Campaign::is_notice) {
            if let Some(front) = front {
                self.single_passed(front.key, next);
            }
            return;
        }
        self.changes.cursors.insert(key);
        if ended {
            self.source_ended(key);
        }
    }
}

/// The time after which nothing of a release is handed over.
fn hand_over_by(lane: Lane, expires_us: i64, closes_at_us: Option<i64>, now_us: i64) -> i64 {
    let of_lane = if lane == Lane::Urgent { expires_us } else { expires_us.min(now_us + HAND_OVER_S * SECOND_US) };
    of_lane.min(closes_at_us.map_or(i64::MAX, |closes| closes - WINDOW_MARGIN_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_over_ends_with_the_first_of_lane_window_and_campaign() {
        #[track_caller]
        fn check(lane: Lane, expires_s: i64, closes_s: Option<i64>, by_s: i64) {
            let closes = closes_s.map(|closes| closes * SECOND_US);
            assert_eq!(hand_over_by(lane, expires_s * SECOND_US, closes, 0), by_s * SECOND_US);
        }
        check(Lane::Bulk, 3_600, None, 20);
        check(Lane::Bulk, 7, None, 7);
        check(Lane::Bulk, 3_600, Some(15), 10);
        check(Lane::Urgent, 3_600, None, 3_600);
        check(Lane::Urgent, 3_600, Some(60), 55);
    }
}
