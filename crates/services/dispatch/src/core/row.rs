//! One release row in memory, and how a word about one of its indices is taken.
//!
//! Must stay true: a word that was taken changes nothing when it comes again; what the claimant itself said of an index is
//! never overridden by what somebody else found.

use loa_domain::mask::Mask;
use loa_domain::state::Returned;
use loa_ports::store::dispatch::{Decided, Progress, ReleaseRow, ReturnedIndex};

use super::settled::Word;
use super::{MINUTE_US, SECOND_US};
use loa_domain::limits::UNSETTLED_AGAIN_S;

/// An urgent message in doubt may be sent again after so long, if its campaign says so.
pub(crate) const IN_DOUBT_RESEND_US: i64 = 30 * SECOND_US;
/// A message given back since its campaign was not running waits at least so long: the news may reach us later.
const PAUSED_WAIT_US: i64 = SECOND_US / 2;
/// A message given back since its address was blocked waits for suppression.v1 at least so long.
const RECHECK_WAIT_US: i64 = SECOND_US / 5;
/// The longest wait between two repetitions of an unsettled row.
const AGAIN_WAIT_MAX_US: i64 = 10 * MINUTE_US;

/// A release row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) no: u32,
    pub(crate) mask: Mask,
    pub(crate) slice_length: u16,
    pub(crate) parts: u32,
    pub(crate) attempts: Vec<u8>,
    pub(crate) released_at_us: i64,
    pub(crate) hand_over_by_us: i64,
    pub(crate) decided: Vec<Decided>,
    pub(crate) settled: Mask,
    pub(crate) in_doubt: Mask,
    pub(crate) returned: Vec<ReturnedIndex>,
    pub(crate) told: bool,
    /// As last computed by the chunk.
    pub(crate) open: bool,
    /// When its record is published (again), if it is still unsettled then.
    pub(crate) again_at_us: i64,
    /// How often it was published after it had become late.
    pub(crate) agains: u32,
    /// Its record is on its way to the log.
    pub(crate) outgoing: bool,
    /// Its words are on their way to the log.
    pub(crate) telling: bool,
}

/// How words are taken for a campaign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    /// Urgent, and its campaign allows to send again what is in doubt.
    pub(crate) resend_in_doubt: bool,
    pub(crate) now_us: i64,
}

impl Row {
    /// A row as stored; its record is published again.
    pub(crate) fn stored(row: ReleaseRow) -> Self {
        let Progress { settled, in_doubt, returned, told, open } = row.progress;
        Self {
            no: row.key.release_no,
            mask: row.mask,
            slice_length: row.slice_length,
            parts: row.parts,
            attempts: row.attempts,
            released_at_us: row.released_at_us,
            hand_over_by_us: row.hand_over_by_us,
            decided: row.decided,
            settled,
            in_doubt,
            returned,
            told,
            open,
            again_at_us: i64::MIN,
            agains: 0,
            outgoing: false,
            telling: false,
        }
    }

    /// A new row that offers nothing yet.
    pub(crate) fn new(no: u32, now_us: i64) -> Self {
        Self {
            no,
            mask: Mask::EMPTY,
            slice_length: 1,
            parts: 0,
            attempts: Vec::new(),
            released_at_us: now_us,
            hand_over_by_us: now_us,
            decided: Vec::new(),
            settled: Mask::EMPTY,
            in_doubt: Mask::EMPTY,
            returned: Vec::new(),
            told: false,
            open: true,
            again_at_us: i64::MIN,
            agains: 0,
            outgoing: false,
            telling: false,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            settled: self.settled,
            in_doubt: self.in_doubt,
            returned: self.returned.clone(),
            told: self.told,
            open: self.open,
        }
    }

    /// Indices offered of which nothing was heard.
    pub(crate) fn unsettled(&self) -> Mask {
        let heard = self.settled.union(&self.in_doubt);
        self.mask.difference(&heard).difference(&self.returned.iter().map(|back| back.index).collect())
    }

    /// Parts that count against the credit: the unsettled share of the row.
    pub(crate) fn in_use(&self) -> u64 {
        let (open, all) = (self.unsettled().len() as u64, self.mask.len() as u64);
        (u64::from(self.parts) * open).div_ceil(all.max(1))
    }

    /// Whether the row says something of the index.
    pub(crate) fn names(&self, index: u16) -> bool {
        self.mask.contains(index) || self.decided.iter().any(|decided| decided.index == index)
    }

    /// Words about indices that are never sent are still to be published.
    pub(crate) fn is_untold(&self) -> bool {
        !self.told && !self.decided.is_empty()
    }

    /// Tries so far of an index, as offered.
    pub(crate) fn attempts_of(&self, index: u16) -> u8 {
        if self.attempts.is_empty() {
            return 0;
        }
        let at = self.mask.iter().position(|offered| offered == index);
        at.and_then(|at| self.attempts.get(at)).copied().unwrap_or(0)
    }

    /// Takes a word about an offered index; whether it changed anything.
    pub(crate) fn take(&mut self, index: u16, word: Word, own: bool, taking: Taking) -> bool {
        let doubted = self.in_doubt.contains(index);
        let heard = self.settled.contains(index) || (!doubted && self.returned.iter().any(|back| back.index == index));
        if !self.mask.contains(index) || heard || (doubted && !own) {
            return false;
        }
        match word {
            Word::InDoubt if doubted && taking.resend_in_doubt => return false,
            Word::InDoubt if !own || taking.resend_in_doubt => self.doubt(index, taking),
            Word::Settled | Word::InDoubt => {
                self.forget(index);
                self.settled.insert(index);
            }
            Word::Returned(back) => {
                self.forget(index);
                let tried = self.attempts_of(index);
                let attempts =
                    if back.why == Returned::Retry { back.attempts.max(tried.saturating_add(1)) } else { tried };
                let wait_us = match back.why {
                    Returned::Retry | Returned::Late | Returned::Cancelled => 0,
                    Returned::Paused => PAUSED_WAIT_US,
                    Returned::Recheck => RECHECK_WAIT_US,
                };
                let not_before_us = back.not_before_us.max(if wait_us > 0 { taking.now_us + wait_us } else { 0 });
                self.returned.push(ReturnedIndex { index, why: back.why, attempts, not_before_us });
            }
        }
        true
    }

    /// Marks an index as in doubt; it waits for a repetition if its campaign allows one.
    fn doubt(&mut self, index: u16, taking: Taking) {
        self.in_doubt.insert(index);
        if taking.resend_in_doubt {
            let attempts = self.attempts_of(index).saturating_add(1);
            let not_before_us = taking.now_us + IN_DOUBT_RESEND_US;
            self.returned.push(ReturnedIndex { index, why: Returned::Retry, attempts, not_before_us });
        }
    }

    /// A doubt is overridden.
    fn forget(&mut self, index: u16) {
        self.in_doubt.remove(index);
        self.returned.retain(|back| back.index != index);
    }

    /// Its record was published: when to publish it again, should it stay unsettled.
    pub(crate) fn published(&mut self, now_us: i64) {
        let first = self.hand_over_by_us.saturating_add(UNSETTLED_AGAIN_S * SECOND_US);
        self.again_at_us = if now_us < first {
            first
        } else {
            self.agains = self.agains.saturating_add(1);
            now_us + MINUTE_US.saturating_mul(1 << (self.agains - 1).min(10)).min(AGAIN_WAIT_MAX_US)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::settled::Back;
    use super::*;

    const BACK: Back = Back { why: Returned::Late, not_before_us: 0, attempts: 0 };
    const PLAIN: Taking = Taking { resend_in_doubt: false, now_us: 1_000 };

    fn row() -> Row {
        Row { mask: Mask::first(2), parts: 3, attempts: vec![0, 2], hand_over_by_us: 0, ..Row::new(1, 0) }
    }

    #[test]
    fn own_words_override_those_of_others() {
        // (words about index 0, settled, in doubt, returned)
        #[track_caller]
        fn check(words: &[(Word, bool)], settled: bool, in_doubt: bool, returned: bool) {
            let mut row = row();
            for &(word, own) in words {
                row.take(0, word, own, PLAIN);
            }
            let is =
                (row.settled.contains(0), row.in_doubt.contains(0), row.returned.iter().any(|back| back.index == 0));
            assert_eq!(is, (settled, in_doubt, returned), "{words:?}");
            let before = format!("{row:?}");
            assert!(
                !words.last().is_some_and(|&(word, own)| row.take(0, word, own, PLAIN)),
                "a repeat changes nothing"
            );
            assert_eq!(format!("{row:?}"), before);
        }
        let returned = Word::Returned(BACK);
        check(&[(Word::Settled, true)], true, false, false);
        check(&[(Word::InDoubt, false)], false, true, false);
        check(&[(Word::InDoubt, true)], true, false, false); // its own doubt is its last word
        check(&[(Word::InDoubt, false), (returned, true)], false, false, true); // releasable again
        check(&[(Word::InDoubt, false), (Word::Settled, true)], true, false, false);
        check(&[(Word::InDoubt, false), (returned, false)], false, true, false); // only the claimant may say so
        check(&[(returned, false)], false, false, true); // late, without a claim
        check(&[(returned, true), (Word::InDoubt, false)], false, false, true);
        check(&[(Word::Settled, true), (returned, true)], true, false, false);
        check(&[(Word::Settled, true), (Word::InDoubt, false)], true, false, false);
    }

    #[test]
    fn urgent_in_doubt_waits_for_another_try() {
        let taking = Taking { resend_in_doubt: true, now_us: 1_000 };
        let mut row = row();
        assert!(row.take(1, Word::InDoubt, true, taking));
        assert_eq!(
            row.returned,
            [ReturnedIndex { index: 1, why: Returned::Retry, attempts: 3, not_before_us: 1_000 + IN_DOUBT_RESEND_US }]
        );
        assert!(!row.take(1, Word::InDoubt, true, taking));
        assert!(row.take(1, Word::Settled, true, taking), "its answer came after all");
        assert!(row.returned.is_empty());
    }

    #[test]
    fn retries_count_and_wait() {
        let mut row = row();
        row.take(1, Word::Returned(Back { why: Returned::Retry, not_before_us: 9_000, attempts: 0 }), true, PLAIN);
        assert_eq!((row.returned[0].attempts, row.returned[0].not_before_us), (3, 9_000));
        row.take(0, Word::Returned(Back { why: Returned::Paused, ..BACK }), true, PLAIN);
        assert_eq!((row.returned[1].attempts, row.returned[1].not_before_us), (0, 1_000 + PAUSED_WAIT_US));
    }

    #[test]
    fn the_unsettled_share_is_in_use() {
        let mut row = row();
        assert_eq!(row.in_use(), 3);
        row.take(0, Word::Settled, true, PLAIN);
        assert_eq!(row.in_use(), 2);
        row.take(1, Word::InDoubt, false, PLAIN);
        assert_eq!(row.in_use(), 0, "in doubt is settled");
    }

    #[test]
    fn a_late_row_is_repeated_more_and_more_seldom() {
        let mut row = row();
        let late = UNSETTLED_AGAIN_S * SECOND_US;
        row.published(0);
        assert_eq!(row.again_at_us, late);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let now_us = row.again_at_us;
            row.published(now_us);
            waits.push((row.again_at_us - now_us) / MINUTE_US);
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
    }
}
