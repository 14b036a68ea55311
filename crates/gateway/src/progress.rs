//! How far one partition is finished: records are read in order and finished in any order.
//!
//! Must stay true: the watermark never passes a record of which something is left, and never goes back.

use std::collections::VecDeque;

/// The progress of one partition.
#[derive(Debug)]
pub struct Progress {
    /// Records read and not finished, and finished ones behind them: offset, how much is left.
    records: VecDeque<(i64, u32)>,
    watermark: i64,
    /// The offset after the last record read.
    next: i64,
    risen: bool,
}

impl Progress {
    /// Begins at a watermark.
    pub fn from(watermark: i64) -> Self {
        Self { records: VecDeque::new(), watermark, next: watermark, risen: false }
    }

    /// Whether the record was read before: it is counted where it came first.
    pub fn has_read(&self, offset: i64) -> bool {
        offset < self.next
    }

    /// A record was read of which so much is to be finished.
    pub fn read(&mut self, offset: i64, left: u32) {
        if self.has_read(offset) {
            return;
        }
        self.next = offset + 1;
        self.records.push_back((offset, left));
        self.advance();
    }

    /// One thing of a record is finished.
    pub fn finish_one(&mut self, offset: i64) {
        let at = self.records.partition_point(|&(known, _)| known < offset);
        if let Some((_, left)) = self.records.get_mut(at).filter(|(known, _)| *known == offset) {
            *left = left.saturating_sub(1);
        }
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(&(offset, 0)) = self.records.front() {
            self.records.pop_front();
            self.watermark = offset + 1;
            self.risen = true;
        }
    }

    /// The watermark, if it has risen since it was last taken.
    pub fn take_risen(&mut self) -> Option<i64> {
        std::mem::take(&mut self.risen).then_some(self.watermark)
    }
}
