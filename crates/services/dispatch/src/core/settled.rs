//! A settlement as dispatch reads it: which index of which release was handed over, refused, given back or is in doubt.
//!
//! Must stay true: a record that cannot be read is an error of the whole partition, never skipped.

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::event::v1 as event;
use loa_domain::ids::ReleaseKey;
use loa_domain::state::Returned;

/// A slice's settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) release: ReleaseKey,
    /// The claimant's own word.
    pub(crate) own: bool,
    pub(crate) at_us: i64,
    pub(crate) words: Vec<(u16, Word)>,
}

/// What became of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Handed over or refused for good: nothing more for dispatch to do.
    Settled,
    /// The hand-over began and its result is not known.
    InDoubt,
    /// Not handed over.
    Returned(Back),
}

/// An index given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) why: Returned,
    pub(crate) not_before_us: i64,
    /// Tries used up, as the gateway counts them; 0 = it does not say.
    pub(crate) attempts: u8,
}

impl Settled {
    /// Reads a settlement record.
    pub(crate) fn read(slice: &event::SliceSettled) -> Result<Self, BadRecord> {
        let release = ReleaseKey { chunk: convert::chunk_key(slice.chunk.as_ref())?, release_no: slice.release_no };
        let mask = convert::mask(&slice.mask)?;
        let words = mask.iter().enumerate().map(|(at, index)| Ok((index, word(slice, at, index)?)));
        let words = words.collect::<Result<_, BadRecord>>()?;
        Ok(Self { release, own: slice.own, at_us: slice.at_us, words })
    }
}

fn word(slice: &event::SliceSettled, at: usize, index: u16) -> Result<Word, BadRecord> {
    use event::SliceOutcome as Outcome;
    match convert::outcome_at(slice, at)? {
        Outcome::Submitted | Outcome::Delivered | Outcome::Rejected | Outcome::Undelivered => Ok(Word::Settled),
        Outcome::InDoubt => Ok(Word::InDoubt),
        Outcome::Returned => back(slice, index).map(Word::Returned),
        Outcome::Unspecified => Err(BadRecord::new("outcomes", "unspecified")),
    }
}

fn back(slice: &event::SliceSettled, index: u16) -> Result<Back, BadRecord> {
    let detail = slice.details.iter().find(|detail| detail.index == u32::from(index));
    let detail =
        detail.ok_or_else(|| BadRecord::new("details", format!("index {index} was returned without a reason")))?;
    let why = Returned::from_code(detail.why).ok_or_else(|| BadRecord::new("details.why", detail.why))?;
    let attempts = u8::try_from(detail.attempt).unwrap_or(u8::MAX);
    Ok(Back { why, not_before_us: detail.not_before_us, attempts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::pb::event::v1::SliceOutcome;
    use loa_domain::mask::Mask;

    fn slice(outcomes: &[SliceOutcome], details: Vec<event::SettleDetail>) -> event::SliceSettled {
        event::SliceSettled {
            chunk: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 3 }),
            release_no: 2,
            own: true,
            at_us: 5,
            mask: [4, 9].into_iter().collect::<Mask>().to_vec(),
            outcomes: outcomes.iter().map(|&outcome| u8::try_from(outcome as i32).unwrap()).collect(),
            details,
            ..Default::default()
        }
    }

    #[test]
    fn reads_a_word_per_index() {
        let detail = event::SettleDetail {
            index: 9,
            why: event::ReturnWhy::Retry.into(),
            not_before_us: 7,
            attempt: 2,
            ..Default::default()
        };
        let read = Settled::read(&slice(&[SliceOutcome::Submitted, SliceOutcome::Returned], vec![detail])).unwrap();
        let back = Back { why: Returned::Retry, not_before_us: 7, attempts: 2 };
        assert_eq!(read.words, [(4, Word::Settled), (9, Word::Returned(back))]);
        let all = Settled::read(&slice(&[SliceOutcome::InDoubt], vec![])).unwrap();
        assert_eq!(all.words, [(4, Word::InDoubt), (9, Word::InDoubt)], "one byte alone stands for all");
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        #[track_caller]
        fn check(slice: event::SliceSettled, field: &str) {
            assert_eq!(Settled::read(&slice).unwrap_err().field, field);
        }
        check(slice(&[SliceOutcome::Returned], vec![]), "details");
        check(slice(&[SliceOutcome::Unspecified], vec![]), "outcomes");
        let unknown = (4..10).map(|index| event::SettleDetail { index, why: 99, ..Default::default() }).collect();
        check(slice(&[SliceOutcome::Returned], unknown), "details.why");
        check(event::SliceSettled { chunk: None, ..slice(&[SliceOutcome::Submitted], vec![]) }, "chunk");
    }
}
