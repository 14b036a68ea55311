//! Closing what is over: a campaign that is cancelled, done or past its end leaves nobody open.
//!
//! Needs no recipients, no credit and no bound account.
//!
//! Must stay true: what is under way at a gateway is left alone until its settlement comes.

use loa_domain::state::{Reason, RecipientState};
use loa_ports::store::dispatch::Decided;

use super::campaign::Gate;
use super::engine::Engine;
use super::row::Row;
use super::source::Place;
use super::{Now, SourceKey};

/// Rows of one transaction that close what is over, at most.
const CLOSING_ROWS_MAX: usize = 64;

impl Engine {
    /// Closes sources whose campaign is over; whether more are left.
    pub(super) fn close_over(&mut self, now: Now) -> bool {
        let mut rows = 0;
        while rows < CLOSING_ROWS_MAX {
            let Some(key) = self.over.pop_front() else { break };
            let Some(source) = self.sources.get_mut(&key).filter(|source| source.place == Place::Over) else {
                continue;
            };
            source.place = Place::Nowhere;
            let gate = self.campaigns.get(&key.campaign).map(|campaign| campaign.gate(&self.rules, now.us));
            let Some(Gate::Over(state, reason)) = gate else { continue };
            rows += self.close_waiting(key, state, reason, now);
            rows += self.close_ahead(key, state, reason, CLOSING_ROWS_MAX.saturating_sub(rows), now);
            if self.sources.get(&key).is_some_and(|source| !source.plan.is_empty()) {
                self.enqueue(key, false, now);
            }
        }
        !self.over.is_empty()
    }

    /// What waits to be released again is not.
    fn close_waiting(&mut self, key: SourceKey, state: RecipientState, reason: Reason, now: Now) -> usize {
        let Some(core) = self.shards.get(&key.shard) else { return 0 };
        let waiting = core.chunks.iter().filter(|(_, chunk)| chunk.source == key && !chunk.waiting.is_empty());
        let decided = |index| Decided { index, state, reason };
        let closing: Vec<_> = waiting
            .map(|(&chunk, of)| (chunk, of.waiting.iter().map(|waiting| decided(waiting.index)).collect::<Vec<_>>()))
            .collect();
        let rows = closing.len();
        for (chunk, decided) in closing {
            self.add_row(key, chunk, now, |no| Row { decided, ..Row::new(no, now.us) });
        }
        rows
    }

    /// What the cursor has not reached is passed.
    fn close_ahead(
        &mut self,
        key: SourceKey,
        state: RecipientState,
        reason: Reason,
        rows_max: usize,
        now: Now,
    ) -> usize {
        let mut rows = 0;
        while rows < rows_max {
            let Some(source) = self.sources.get(&key) else { break };
            let Some(front) = source.plan.front().copied() else { break };
            let decided = (source.at..front.size).map(|index| Decided { index, state, reason }).collect();
            self.add_row(key, front.key, now, |no| Row { decided, ..Row::new(no, now.us) });
            self.pass(key, front.size);
            rows += 1;
        }
        rows
    }
}
