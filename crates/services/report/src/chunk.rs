//! One chunk of the ledger: where each of its recipients stands.
//!
//! Columns, not rows, so that a chunk of 500 packs into about 1 kB (zstd-1) and an update rewrites little. In memory too a
//! chunk is packed while nobody speaks of it: a process knows every campaign's chunks, and most of them rest. Who its
//! recipients are is asked only for a receipt that belongs to nothing, so of frozen chunks the store alone keeps it.
//!
//! Must stay true: applying a word again changes nothing; counts follow from the states, never the other way round.

mod keys;

use std::borrow::Cow;
use std::collections::BTreeMap;

use loa_domain::state::{Known, Reason, RecipientState, Word};
use loa_ports::store::report::ChunkFacts;

use crate::counts::Counts;

/// Bytes per recipient of the packed form before compression.
const WIDTH: usize = 17;
const FORMAT: u8 = 1;
const OWN: u8 = 1;
const REPEATED: u8 = 2;
const LEVEL: i32 = 1;

/// What is kept of one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The state in force.
    pub known: Known,
    /// Why.
    pub reason: Reason,
    /// A second hand-over was told.
    pub repeated: bool,
    /// Parts submitted.
    pub parts: u8,
    /// Bit i = part i + 1 delivered.
    pub parts_delivered: u16,
    /// When it was submitted, microseconds since 1970; 0 = not.
    pub submitted_at_us: i64,
    /// When it became final, microseconds since 1970; 0 = not.
    pub final_at_us: i64,
}

impl Entry {
    const START: Self = Self {
        known: Known::START,
        reason: Reason::None,
        repeated: false,
        parts: 0,
        parts_delivered: 0,
        submitted_at_us: 0,
        final_at_us: 0,
    };
}

/// A word with what the ledger keeps beside the state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// The word.
    pub word: Word,
    /// Why.
    pub reason: Reason,
    /// When it happened.
    pub at_us: i64,
    /// Parts submitted; 0 = the word does not tell.
    pub parts: u8,
}

/// A chunk and its recipients.
#[derive(Debug, Clone)]
pub(crate) struct ChunkLedger {
    /// What never changes; without keys while these are in the store alone.
    pub facts: ChunkFacts,
    stored_keys: Option<keys::Stored>,
    body: Body,
    counts: Counts,
}

/// A chunk's recipients in memory.
#[derive(Debug, Clone)]
enum Body {
    /// Nobody has spoken of any of so many.
    Untold(usize),
    /// One by one.
    Open(Vec<Entry>),
    /// As in the store.
    Packed(Box<[u8]>),
}

/// The stored blob cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a chunk's state blob cannot be read: {0}")]
pub(crate) struct BadBlob(String);

impl ChunkLedger {
    /// A chunk nobody has spoken of yet.
    pub(crate) fn new(facts: ChunkFacts) -> Self {
        let body = Body::Untold(facts.keys.len());
        let mut chunk = Self { facts, stored_keys: None, body, counts: Counts::default() };
        chunk.recount();
        chunk
    }

    /// A chunk as stored.
    pub(crate) fn from_blob(facts: ChunkFacts, blob: &[u8]) -> Result<Self, BadBlob> {
        let mut chunk = Self::new(facts);
        if !blob.is_empty() {
            let mut entries = unpack(blob)?;
            let (stored, known) = (entries.len(), chunk.facts.keys.len());
            entries.resize(stored.max(known), Entry::START);
            chunk.note_nobody(stored);
            chunk.body = Body::Open(entries);
            chunk.recount();
            if stored == chunk.facts.keys.len() {
                chunk.body = Body::Packed(blob.into());
            }
        }
        Ok(chunk)
    }

    /// The packed states.
    pub(crate) fn blob(&self) -> Result<Vec<u8>, BadBlob> {
        match &self.body {
            Body::Packed(blob) => Ok(blob.to_vec()),
            Body::Untold(_) | Body::Open(_) => pack(&self.entries()),
        }
    }

    /// Nobody has spoken of it for a while: it takes less room until somebody does.
    pub(crate) fn rest(&mut self) {
        if let Body::Open(entries) = &self.body
            && let Ok(blob) = pack(entries)
        {
            self.body = Body::Packed(blob.into());
        }
    }

    /// All recipients, by index.
    pub(crate) fn entries(&self) -> Cow<'_, [Entry]> {
        match &self.body {
            Body::Untold(count) => vec![Entry::START; *count].into(),
            Body::Open(entries) => entries.into(),
            Body::Packed(blob) => unpack(blob).expect("it was packed here, or unpacked when it was read").into(),
        }
    }

    /// All recipients, to be changed.
    fn opened(&mut self) -> &mut Vec<Entry> {
        if !matches!(self.body, Body::Open(_)) {
            self.body = Body::Open(self.entries().into_owned());
        }
        match &mut self.body {
            Body::Open(entries) => entries,
            Body::Untold(_) | Body::Packed(_) => unreachable!("it was opened just before"),
        }
    }

    /// Counts of this chunk.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One recipient.
    pub(crate) fn entry(&self, index: u16) -> Option<Entry> {
        self.entries().get(usize::from(index)).copied()
    }

    /// Takes a word; whether anything changed.
    pub(crate) fn tell(&mut self, index: u16, told: Told) -> bool {
        let Some(entry) = self.opened().get(usize::from(index)).copied() else { return false };
        let mut next = entry;
        next.repeated |= entry.known.repeated_by(told.word);
        if let Some(known) = entry.known.merge(told.word) {
            next.known = known;
            next.reason = told.reason;
            if told.word.state == RecipientState::Submitted
                || (known.state.is_final() && !told.word.receipt && told.parts > 0)
            {
                next.submitted_at_us = told.at_us;
            }
            if known.state.is_final() {
                next.final_at_us = told.at_us;
            }
        }
        // A receipt may overtake the word that tells of the submit: parts and time are worth keeping even then.
        if told.parts > 0 && !told.word.receipt {
            next.parts = told.parts;
            if next.submitted_at_us == 0 && told.word.state == RecipientState::Submitted {
                next.submitted_at_us = told.at_us;
            }
        }
        self.replace(index, next)
    }

    /// A receipt of one part: final for the message when all parts are delivered, or at the first that failed.
    pub(crate) fn tell_part(&mut self, index: u16, part: u8, parts: u8, told: Told) -> bool {
        let Some(entry) = self.opened().get(usize::from(index)).copied() else { return false };
        if parts <= 1 || told.word.state != RecipientState::Delivered {
            let mut changed = false;
            if parts <= 1 && told.word.state == RecipientState::Delivered {
                changed = self.replace(index, Entry { parts_delivered: 1, ..entry });
            }
            return self.tell(index, told) || changed;
        }
        let bit = 1_u16.checked_shl(u32::from(part.saturating_sub(1))).unwrap_or(0);
        let next = Entry { parts_delivered: entry.parts_delivered | bit, ..entry };
        let all = u32::from(parts) <= next.parts_delivered.count_ones();
        let changed = self.replace(index, next);
        if all { self.tell(index, told) || changed } else { changed }
    }

    /// Whoever waits longer than that for a receipt is unknown; whether anything changed.
    pub(crate) fn give_up_waiting(&mut self, submitted_before_us: i64, now_us: i64) -> bool {
        let waiting = |entry: &Entry| {
            entry.known.state == RecipientState::Submitted && entry.submitted_at_us < submitted_before_us
        };
        let late: Vec<u16> =
            (0..).zip(&*self.entries()).filter(|(_, entry)| waiting(entry)).map(|(index, _)| index).collect();
        let word = Word { state: RecipientState::Unknown, release_no: 0, own: false, receipt: true };
        let told = Told { word, reason: Reason::NoReceipt, at_us: now_us, parts: 0 };
        late.into_iter().map(|index| self.tell(index, told)).max().unwrap_or(false)
    }

    fn replace(&mut self, index: u16, next: Entry) -> bool {
        let before = std::mem::replace(&mut self.opened()[usize::from(index)], next);
        if before == next {
            return false;
        }
        self.counts.remove(&before);
        self.counts.add(&next);
        true
    }

    /// Makes room for an index that was spoken of before its address was told (single sends).
    pub(crate) fn make_room(&mut self, index: u16) {
        self.grow(usize::from(index) + 1);
    }

    fn grow(&mut self, len: usize) {
        self.note_nobody(len);
        let known = self.len();
        if known < len {
            self.opened().resize(len, Entry::START);
            (known..len).for_each(|_| self.counts.add(&Entry::START));
        }
    }

    fn len(&self) -> usize {
        match &self.body {
            Body::Untold(count) => *count,
            Body::Open(entries) => entries.len(),
            // Each has an address, if only one that is not told yet.
            Body::Packed(_) => self.recipients(),
        }
    }

    fn recount(&mut self) {
        let mut counts = Counts::default();
        self.entries().iter().for_each(|entry| counts.add(entry));
        self.counts = counts;
    }
}

/// Column by column: equal bytes stand together.
fn pack(entries: &[Entry]) -> Result<Vec<u8>, BadBlob> {
    let times = entries.iter().flat_map(|entry| [entry.submitted_at_us, entry.final_at_us]).filter(|&us| us > 0);
    let base_us = times.min().unwrap_or(0);
    // Milliseconds after the chunk's first word plus one; zero = no time. 49 days fit.
    let delta = |us: i64| if us == 0 { 0 } else { u32::try_from((us - base_us) / 1_000 + 1).unwrap_or(u32::MAX) };
    let mut raw = Vec::with_capacity(9 + entries.len() * WIDTH);
    raw.push(FORMAT);
    raw.extend(base_us.to_le_bytes());
    raw.extend(entries.iter().map(|entry| entry.known.state.code()));
    raw.extend(entries.iter().map(|entry| u8::from(entry.known.own) * OWN + u8::from(entry.repeated) * REPEATED));
    raw.extend(entries.iter().map(|entry| entry.reason.code()));
    raw.extend(entries.iter().map(|entry| entry.parts));
    raw.extend(entries.iter().flat_map(|entry| entry.parts_delivered.to_le_bytes()));
    raw.extend(
        entries.iter().flat_map(|entry| u16::try_from(entry.known.release_no).unwrap_or(u16::MAX).to_le_bytes()),
    );
    raw.extend(entries.iter().flat_map(|entry| delta(entry.submitted_at_us).to_le_bytes()));
    raw.extend(entries.iter().flat_map(|entry| delta(entry.final_at_us).to_le_bytes()));
    raw.extend(entries.iter().map(|_| 0)); // room for one more column of a byte
    zstd::bulk::compress(&raw, LEVEL).map_err(|error| BadBlob(error.to_string()))
}

fn unpack(blob: &[u8]) -> Result<Vec<Entry>, BadBlob> {
    const RAW_BYTES_MAX: usize = 9 + (1 << 16) * WIDTH;
    let wrong = |what: &str| BadBlob(what.to_owned());
    let raw = zstd::bulk::decompress(blob, RAW_BYTES_MAX).map_err(|error| BadBlob(error.to_string()))?;
    let (head, columns) = raw.split_first_chunk::<9>().ok_or_else(|| wrong("too short"))?;
    if head[0] != FORMAT || columns.len() % WIDTH != 0 {
        return Err(wrong("unknown format"));
    }
    let base_us = i64::from_le_bytes(head[1..].try_into().map_err(|_| wrong("no base time"))?);
    let count = columns.len() / WIDTH;
    let byte = |column: usize, at: usize| columns[column * count + at];
    let two = |column: usize, at: usize| {
        u16::from_le_bytes([columns[column * count + 2 * at], columns[column * count + 2 * at + 1]])
    };
    let time = |column: usize, at: usize| {
        let four = &columns[column * count + 4 * at..column * count + 4 * at + 4];
        match u32::from_le_bytes([four[0], four[1], four[2], four[3]]) {
            0 => 0,
            delta => base_us + (i64::from(delta) - 1) * 1_000,
        }
    };
    (0..count)
        .map(|at| {
            Ok(Entry {
                known: Known {
                    state: RecipientState::from_code(i32::from(byte(0, at))).ok_or_else(|| wrong("unknown state"))?,
                    release_no: u32::from(two(6, at)),
                    own: byte(1, at) & OWN != 0,
                },
                reason: Reason::from_code(i32::from(byte(2, at))).ok_or_else(|| wrong("unknown reason"))?,
                repeated: byte(1, at) & REPEATED != 0,
                parts: byte(3, at),
                parts_delivered: two(4, at),
                submitted_at_us: time(8, at),
                final_at_us: time(12, at),
            })
        })
        .collect()
}

/// Reasons with their counts, for reading.
pub(crate) fn reasons(counts: &Counts) -> BTreeMap<String, u64> {
    let named = counts.reasons().filter(|(reason, _)| *reason != Reason::None);
    named.map(|(reason, count)| (reason.name().to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::hash::AddressHash;
    use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn chunk(recipients: u64) -> ChunkLedger {
        let key = ChunkKey { freeze: FreezeId(Uuid::from_u128(1)), variant: 0, chunk: 0 };
        let keys = (0..recipients).map(AddressHash).collect();
        let campaign = CampaignId(Uuid::from_u128(2));
        ChunkLedger::new(ChunkFacts { key, campaign, shard: 0, account: "a".to_owned(), channel: 1, keys })
    }

    fn told(state: RecipientState, release_no: u32, receipt: bool, parts: u8) -> Told {
        Told {
            word: Word { state, release_no, own: true, receipt },
            reason: Reason::None,
            at_us: 1_000_000 * i64::from(release_no),
            parts,
        }
    }

    #[test]
    fn a_long_text_is_delivered_with_its_last_part() {
        let mut chunk = chunk(1);
        chunk.tell(0, told(RecipientState::Submitted, 1, false, 3));
        for part in [3, 1, 1] {
            chunk.tell_part(0, part, 3, told(RecipientState::Delivered, 1, true, 0));
        }
        assert_eq!(chunk.entry(0).unwrap().known.state, RecipientState::Submitted);
        chunk.tell_part(0, 2, 3, told(RecipientState::Delivered, 1, true, 0));
        assert_eq!(chunk.entry(0).unwrap().known.state, RecipientState::Delivered);
        assert_eq!(chunk.entry(0).unwrap().parts_delivered, 0b111);
    }

    #[test]
    fn one_failed_part_fails_the_message() {
        let mut chunk = chunk(1);
        chunk.tell_part(0, 2, 3, told(RecipientState::Undelivered, 1, true, 0));
        chunk.tell_part(0, 1, 3, told(RecipientState::Delivered, 1, true, 0));
        assert_eq!(chunk.entry(0).unwrap().known.state, RecipientState::Undelivered);
    }

    #[test]
    fn who_waits_too_long_is_unknown() {
        let mut chunk = chunk(2);
        chunk.tell(0, told(RecipientState::Submitted, 1, false, 1));
        chunk.tell(1, told(RecipientState::Submitted, 9, false, 1));
        assert!(chunk.give_up_waiting(5_000_000, 6_000_000));
        assert_eq!(chunk.entry(0).unwrap().known.state, RecipientState::Unknown);
        assert_eq!(chunk.entry(1).unwrap().known.state, RecipientState::Submitted);
    }

    #[test]
    fn a_second_hand_over_is_counted_once_per_recipient() {
        let mut chunk = chunk(1);
        for release_no in [1, 2, 1, 2] {
            chunk.tell(0, told(RecipientState::Submitted, release_no, false, 1));
        }
        assert_eq!(chunk.counts().repeated, 1);
    }

    fn any_told() -> impl Strategy<Value = (u16, Told)> {
        let state = proptest::sample::select(RecipientState::ALL);
        (0..20_u16, state, 1..5_u32, any::<bool>(), 0..4_u8)
            .prop_map(|(index, state, no, receipt, parts)| (index, told(state, no, receipt, parts)))
    }

    proptest! {
        #[test]
        fn counts_are_the_states_and_survive_storing(words in proptest::collection::vec(any_told(), 0..200)) {
            let mut ledger = chunk(20);
            for &(index, word) in &words {
                ledger.tell(index, word);
            }
            prop_assert_eq!(ledger.counts().total(), 20);
            let again = ChunkLedger::from_blob(ledger.facts.clone(), &ledger.blob().unwrap()).unwrap();
            prop_assert_eq!(again.counts(), ledger.counts());
            for index in 0..20 {
                let (kept, read) = (ledger.entry(index).unwrap(), again.entry(index).unwrap());
                prop_assert_eq!(kept, read);
            }
        }

        #[test]
        fn who_rests_between_words_knows_the_same(words in proptest::collection::vec((any_told(), any::<bool>()), 0..100)) {
            let (mut awake, mut rested) = (chunk(20), chunk(20));
            for ((index, word), rests) in words {
                if rests {
                    rested.rest();
                }
                prop_assert_eq!(rested.tell(index, word), awake.tell(index, word));
                prop_assert_eq!(rested.give_up_waiting(2_000_000, 9_000_000), awake.give_up_waiting(2_000_000, 9_000_000));
                prop_assert_eq!(rested.entries(), awake.entries());
                prop_assert_eq!(rested.counts(), awake.counts());
                prop_assert_eq!(rested.blob().unwrap(), awake.blob().unwrap());
            }
        }

        #[test]
        fn a_blob_of_anything_is_read_or_refused(blob in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = ChunkLedger::from_blob(chunk(3).facts, &blob);
            prop_assert!(read.is_err() || blob.is_empty() || read.is_ok_and(|ledger| ledger.counts().total() >= 3));
        }
    }

    #[test]
    fn a_full_chunk_stays_small() {
        let mut ledger = chunk(500);
        for index in 0..500_u16 {
            let at_us = 1_764_000_000_000_000 + i64::from(index) * 7_301;
            let word = Word { state: RecipientState::Submitted, release_no: 1, own: true, receipt: false };
            ledger.tell(index, Told { word, reason: Reason::None, at_us, parts: 1 });
            let word = Word { state: RecipientState::Delivered, receipt: true, ..word };
            ledger.tell(
                index,
                Told {
                    word,
                    reason: Reason::Receipt,
                    at_us: at_us + 3_000_000 + i64::from(index % 97) * 41_000,
                    parts: 0,
                },
            );
        }
        let bytes = ledger.blob().unwrap().len();
        assert!(bytes <= 3_000, "{bytes} bytes");
    }
}
