//! A chunk's rows in memory, and which of its indices wait to be released again.
//!
//! Must stay true: the newest row that names an index decides about it; an index waits only if that row gave it back, so
//! it can never be in two unsettled rows.

use loa_domain::state::{Reason, RecipientState, Returned};
use loa_ports::store::dispatch::{Decided, ReturnedIndex};

use super::SourceKey;
use super::row::{Row, Taking};
use super::settled::Settled;

/// A chunk of which something is under way.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) source: SourceKey,
    /// By release number.
    pub(crate) rows: Vec<Row>,
    /// By index.
    pub(crate) waiting: Vec<Waiting>,
    /// When it has a timer.
    pub(crate) wake_at_us: Option<i64>,
}

/// An index that was given back and is in no later row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) index: u16,
    /// The row that it was offered in last.
    pub(crate) no: u32,
    pub(crate) back: ReturnedIndex,
}

/// What a settlement did to a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The row's progress changed.
    pub(crate) changed: bool,
    /// Parts of the row that were in use before and are now.
    pub(crate) used: (u64, u64),
    /// Indices that are never released again.
    pub(crate) decided: Vec<Decided>,
}

impl Chunk {
    pub(crate) fn new(source: SourceKey, mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|row| row.no);
        let mut chunk = Self { source, rows, waiting: Vec::new(), wake_at_us: None };
        let backs = chunk.rows.iter().flat_map(|row| row.returned.iter().map(|&back| (row.no, back)));
        chunk.waiting = backs
            .filter(|&(no, back)| chunk.newest(back.index) == Some(no))
            .map(|(no, back)| Waiting { index: back.index, no, back })
            .collect();
        chunk.waiting.sort_by_key(|waiting| waiting.index);
        chunk
    }

    pub(crate) fn row(&self, no: u32) -> Option<&Row> {
        self.rows.iter().find(|row| row.no == no)
    }

    pub(crate) fn row_mut(&mut self, no: u32) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.no == no)
    }

    /// The number of the next row.
    pub(crate) fn next_no(&self) -> u32 {
        self.rows.last().map_or(1, |row| row.no + 1)
    }

    fn newest(&self, index: u16) -> Option<u32> {
        self.rows.iter().rev().find(|row| row.names(index)).map(|row| row.no)
    }

    /// Parts in use by all its rows.
    pub(crate) fn in_use(&self) -> u64 {
        self.rows.iter().map(Row::in_use).sum()
    }

    /// Takes a settlement of one of its rows.
    pub(crate) fn settle(&mut self, settled: &Settled, taking: Taking, tries_max: u8) -> Effect {
        let mut effect = Effect::default();
        let Some(at) = self.rows.iter().position(|row| row.no == settled.release.release_no) else { return effect };
        effect.used.0 = self.rows[at].in_use();
        for &(index, word) in &settled.words {
            if !self.rows[at].take(index, word, settled.own, taking) {
                continue;
            }
            effect.changed = true;
            let no = self.rows[at].no;
            self.waiting.retain(|waiting| !(waiting.index == index && waiting.no == no));
            let back = self.rows[at].returned.iter().rev().find(|back| back.index == index).copied();
            if let Some(back) = back.filter(|_| self.newest(index) == Some(no)) {
                self.waiting.push(Waiting { index, no, back });
                effect.decided.extend(last_word(back, tries_max));
            }
        }
        self.waiting.sort_by_key(|waiting| waiting.index);
        effect.used.1 = self.rows[at].in_use();
        effect
    }

    /// Adds a row; what it names does not wait any more.
    pub(crate) fn push(&mut self, row: Row) {
        self.waiting.retain(|waiting| !row.names(waiting.index));
        self.rows.push(row);
    }

    /// Sets each row's `open` anew; the numbers of the rows where it changed.
    pub(crate) fn refresh_open(&mut self) -> Vec<u32> {
        let mut changed = Vec::new();
        for row in &mut self.rows {
            let waits = self.waiting.iter().any(|waiting| waiting.no == row.no);
            let open = waits || row.is_untold() || !row.unsettled().is_empty();
            if open != row.open {
                row.open = open;
                changed.push(row.no);
            }
        }
        changed
    }

    /// Whether nothing is under way any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.rows.iter().all(|row| !row.open)
    }

    /// Whether something waits that may be released now.
    pub(crate) fn has_due(&self, now_us: i64) -> bool {
        self.waiting.iter().any(|waiting| waiting.back.not_before_us <= now_us)
    }

    /// The rows whose records are to be published now.
    pub(crate) fn unpublished(&self, now_us: i64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| !row.outgoing && row.again_at_us <= now_us && !row.unsettled().is_empty())
    }

    /// When something of it is due next after now.
    pub(crate) fn next_wake_us(&self, now_us: i64) -> Option<i64> {
        let waits = self.waiting.iter().map(|waiting| waiting.back.not_before_us);
        let agains = self.rows.iter().filter(|row| !row.unsettled().is_empty()).map(|row| row.again_at_us);
        waits.chain(agains).filter(|&at| at > now_us).min()
    }
}

/// Given back for good.
fn last_word(back: ReturnedIndex, tries_max: u8) -> Option<Decided> {
    match back.why {
        Returned::Cancelled => {
            Some(Decided { index: back.index, state: RecipientState::Cancelled, reason: Reason::Cancelled })
        }
        Returned::Retry if back.attempts >= tries_max => {
            Some(Decided { index: back.index, state: RecipientState::Rejected, reason: Reason::TriesUsedUp })
        }
        Returned::Retry | Returned::Late | Returned::Paused | Returned::Recheck => None,
    }
}
