//! References of one partition in memory, and the receipts that wait for theirs.
//!
//! About forty bytes for each part that waits for its receipt: chunks are named by a number, ids by their keyed hash.
//!
//! Must stay true: of two references under one id the newer counts; a receipt older than its submission by more than an hour
//! belongs to an earlier use of the id; a receipt finds its reference whichever of them comes first; one that waits is told
//! to the ledger after each of [`TELL_AFTER`] and given up at the last.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_domain::limits::RECEIPT_HOURS_MAX;

/// A receipt that finds no reference is told without it after so long; after the last time nobody waits any more. The
/// ledger may learn late that its message is in doubt, so it is told more than once.
pub(crate) const TELL_AFTER: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)];
/// Receipts of one partition that go on waiting after they were told once, at most; over it the oldest are given up early.
/// Before that nobody is: while references are read behind their receipts, many wait for a moment.
const TOLD_WAITING_MAX: usize = 10_000;
/// Places in the waiting lines of receipts that have found their reference since, at most beside as many as wait. A carrier
/// that answers at once has most of its receipts wait for a moment, and a line is a minute long.
const FOUND_IN_LINE_MAX: usize = 1_024;
/// Carriers' clocks may differ from ours by this much.
const CLOCK_SLACK_US: i64 = 3_600 * 1_000_000;
const REFERENCE_US_MAX: i64 = RECEIPT_HOURS_MAX * 3_600 * 1_000_000;

/// A part that waits for its receipt.
#[derive(Debug, Clone, Copy)]
struct Entry {
    chunk: u32,
    submitted_at_s: u32,
    release_no: u32,
    index: u16,
    part: u8,
    parts: u8,
}

/// A receipt as it waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// What it says.
    pub(crate) said: Said,
    /// The record it stands in.
    pub(crate) offset: i64,
    /// The account, by its place in the configuration; `None` if it is not there any more.
    pub(crate) account: Option<usize>,
}

/// What is left of a receipt beside its id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// Code of the state.
    pub(crate) state: u32,
    /// The carrier's error code.
    pub(crate) error: String,
    /// When it became so, microseconds since 1970.
    pub(crate) done_at_us: i64,
    /// Hash of the number, 0 = not readable.
    pub(crate) address_hash: u64,
    /// The message's sender.
    pub(crate) sender: String,
}

impl From<event::Receipt> for Said {
    fn from(receipt: event::Receipt) -> Self {
        let event::Receipt { state, error, done_at_us, address_hash, sender, .. } = receipt;
        Self { state, error, done_at_us, address_hash, sender }
    }
}

/// A receipt with its message.
#[derive(Debug)]
pub(crate) struct Match {
    /// Whose.
    pub(crate) chunk: Arc<event::ReferenceChunk>,
    /// What is said of it; `chunk` is filled in by who writes the record.
    pub(crate) outcome: event::Outcome,
    /// The record it stands in.
    pub(crate) offset: i64,
}

/// A table by keys that are hashes already.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Already>>;

#[derive(Debug, Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys are u64; whatever else comes is folded in, which is slow and right.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// References and waiting receipts of a partition.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: ByHash<Entry>,
    /// Receipts that wait for their reference: the first under a key, with its ticket and since when it waits.
    parked: ByHash<(u64, Duration, Waiting)>,
    /// Further ones under the same keys; a carrier rarely says two things before we know of the first.
    more: Vec<(Duration, u64, Waiting)>,
    /// Since when it waits, key and ticket, for each time of telling; in order, since all wait equally long.
    parking: [VecDeque<(Duration, u64, u64)>; TELL_AFTER.len()],
    tickets: u64,
}

/// A receipt whose reference has not come.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// What it says.
    pub(crate) waiting: Waiting,
    /// Nobody waits for its reference any more.
    pub(crate) given_up: bool,
}

/// Chunks by number, shared by all partitions.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    slots: Vec<(Arc<event::ReferenceChunk>, u32)>,
    free: Vec<u32>,
    places: HashMap<Vec<u8>, u32>,
}

impl Chunks {
    fn name(chunk: &event::ReferenceChunk) -> Vec<u8> {
        let key = chunk.chunk.clone().unwrap_or_default();
        [&key.freeze_id[..], &key.variant.to_le_bytes(), &key.chunk.to_le_bytes()].concat()
    }

    /// The chunk's number, held once until it is released.
    pub(crate) fn hold(&mut self, chunk: &event::ReferenceChunk) -> u32 {
        let name = Self::name(chunk);
        if let Some(&at) = self.places.get(&name) {
            self.slots[at as usize].1 += 1;
            return at;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Default::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.slots[at as usize] = (Arc::new(chunk.clone()), 1);
        self.places.insert(name, at);
        at
    }

    /// Holds a chunk that is held already.
    fn hold_again(&mut self, at: u32) {
        self.slots[at as usize].1 += 1;
    }

    /// Lets go of it once.
    pub(crate) fn release(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.1 -= 1;
        if slot.1 == 0 {
            self.places.remove(&Self::name(&slot.0));
            slot.0 = Arc::default();
            self.free.push(at);
        }
    }

    /// Chunks in use.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.len()
    }
}

impl Book {
    /// Takes a reference to a chunk that is held; gives the receipts that waited for it.
    pub(crate) fn reference(
        &mut self,
        key: u64,
        reference: &event::Reference,
        chunk: u32,
        chunks: &mut Chunks,
    ) -> Vec<Match> {
        let submitted_at_s = seconds(reference.submitted_at_us);
        if self.entries.get(&key).is_some_and(|known| known.submitted_at_s > submitted_at_s) {
            return Vec::new();
        }
        let entry = Entry {
            chunk,
            submitted_at_s,
            release_no: reference.release_no,
            index: u16::try_from(reference.index).unwrap_or(u16::MAX),
            part: u8::try_from(reference.part).unwrap_or(u8::MAX),
            parts: u8::try_from(reference.parts).unwrap_or(u8::MAX),
        };
        chunks.hold_again(chunk);
        if let Some(before) = self.entries.insert(key, entry) {
            chunks.release(before.chunk);
        }
        let Some((_, since, waiting)) = self.parked.remove(&key) else { return Vec::new() };
        let more = self.more.extract_if(.., |(_, known, _)| *known == key).collect::<Vec<_>>();
        let mut found = Vec::with_capacity(1);
        for (since, _, waiting) in std::iter::once((since, key, waiting)).chain(more) {
            match self.receipt(key, waiting, chunks) {
                Ok(matched) => found.push(matched),
                // About an earlier use of the id, or said twice: it is given up in its time.
                Err(waiting) => self.more.push((since, key, waiting)),
            }
        }
        found
    }

    /// Takes a receipt: its match, or the receipt itself if its reference is not here.
    pub(crate) fn receipt(&mut self, key: u64, waiting: Waiting, chunks: &mut Chunks) -> Result<Match, Waiting> {
        let Some(entry) = self.entries.get(&key).copied() else { return Err(waiting) };
        let submitted_at_us = i64::from(entry.submitted_at_s) * 1_000_000;
        if waiting.said.done_at_us < submitted_at_us - CLOCK_SLACK_US {
            return Err(waiting);
        }
        let chunk = Arc::clone(&chunks.slots[entry.chunk as usize].0);
        self.entries.remove(&key);
        chunks.release(entry.chunk);
        let outcome = event::Outcome {
            chunk: 0,
            index: entry.index.into(),
            part: entry.part.into(),
            parts: entry.parts.into(),
            state: waiting.said.state,
            reason: loa_domain::state::Reason::Receipt.code().into(),
            error: waiting.said.error,
            at_us: waiting.said.done_at_us,
            release_no: entry.release_no,
            receipt: true,
        };
        Ok(Match { chunk, outcome, offset: waiting.offset })
    }

    /// A receipt without a reference waits for it.
    pub(crate) fn park(&mut self, key: u64, waiting: Waiting, now: Duration) {
        if self.parked.contains_key(&key) {
            return self.more.push((now, key, waiting));
        }
        self.tickets += 1;
        self.parked.insert(key, (self.tickets, now, waiting));
        self.parking[0].push_back((now, key, self.tickets));
        self.close_ranks();
    }

    /// Takes those out of the lines who have found their reference, once they are the greater part.
    fn close_ranks(&mut self) {
        let Self { parked, parking, .. } = self;
        for line in parking.iter_mut().filter(|line| line.len() > 2 * parked.len() + FOUND_IN_LINE_MAX) {
            line.retain(|(_, key, ticket)| parked.get(key).is_some_and(|(known, ..)| known == ticket));
            line.shrink_to(2 * line.len() + FOUND_IN_LINE_MAX);
        }
    }

    /// Receipts that have waited long enough to be told, or to be given up.
    pub(crate) fn overdue(&mut self, now: Duration) -> Vec<Overdue> {
        let over = |since: Duration| now.saturating_sub(since) >= TELL_AFTER[0];
        let more = self.more.extract_if(.., |(since, ..)| over(*since));
        let mut overdue: Vec<_> = more.map(|(_, _, waiting)| Overdue { waiting, given_up: true }).collect();
        // The longest waiting first.
        for (step, after) in TELL_AFTER.into_iter().enumerate().rev() {
            while let Some(&(since, key, ticket)) = self.parking[step].front() {
                let is_crowded = step > 0 && self.told_waiting() > TOLD_WAITING_MAX;
                if now.saturating_sub(since) < after && !is_crowded {
                    break;
                }
                self.parking[step].pop_front();
                let Some((_, _, waiting)) = self.parked.get(&key).filter(|(known, ..)| *known == ticket) else {
                    continue;
                };
                match self.parking.get_mut(step + 1).filter(|_| !is_crowded) {
                    Some(next) => {
                        next.push_back((since, key, ticket));
                        overdue.push(Overdue { waiting: waiting.clone(), given_up: false });
                    }
                    None => {
                        let given_up =
                            self.parked.remove(&key).map(|(_, _, waiting)| Overdue { waiting, given_up: true });
                        overdue.extend(given_up);
                    }
                }
            }
        }
        overdue
    }

    fn told_waiting(&self) -> usize {
        self.parking[1..].iter().map(VecDeque::len).sum()
    }

    /// Drops references whose receipt is not awaited any more.
    pub(crate) fn expire(&mut self, now_us: i64, chunks: &mut Chunks) {
        let oldest = seconds(now_us.saturating_sub(REFERENCE_US_MAX));
        self.entries.retain(|_, entry| {
            let keep = entry.submitted_at_s >= oldest;
            if !keep {
                chunks.release(entry.chunk);
            }
            keep
        });
    }

    /// Lets go of everything: the partition is somebody else's.
    pub(crate) fn close(self, chunks: &mut Chunks) {
        self.entries.values().for_each(|entry| chunks.release(entry.chunk));
    }
}

fn seconds(us: i64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBMITTED: i64 = 1_800_000_000_000_000;

    fn chunk(number: u32) -> event::ReferenceChunk {
        let key = event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: number };
        event::ReferenceChunk { chunk: Some(key), shard: 5, campaign_id: vec![2; 16] }
    }

    fn reference(index: u32, submitted_at_us: i64) -> event::Reference {
        event::Reference { index, part: 1, parts: 1, release_no: 3, submitted_at_us, ..Default::default() }
    }

    fn receipt(offset: i64, done_at_us: i64) -> Waiting {
        let said = Said { state: 4, done_at_us, ..Said::default() };
        Waiting { said, offset, account: Some(0) }
    }

    fn refer(book: &mut Book, chunks: &mut Chunks, key: u64, reference: &event::Reference, of: u32) -> Vec<Match> {
        let held = chunks.hold(&chunk(of));
        let found = book.reference(key, reference, held, chunks);
        chunks.release(held);
        found
    }

    #[test]
    fn a_receipt_finds_its_reference_whichever_comes_first() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        assert!(refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1).is_empty());
        let found = book.receipt(7, receipt(10, SUBMITTED), &mut chunks).unwrap();
        assert_eq!((found.outcome.index, found.outcome.release_no, found.offset), (1, 3, 10));
        assert_eq!(*found.chunk, chunk(1));

        let early = book.receipt(8, receipt(11, SUBMITTED), &mut chunks).unwrap_err();
        book.park(8, early, Duration::ZERO);
        let found = refer(&mut book, &mut chunks, 8, &reference(2, SUBMITTED), 1);
        assert_eq!((found.len(), found[0].outcome.index, found[0].offset), (1, 2, 11));
        assert_eq!(chunks.len(), 0, "nothing is kept of what is done");
        assert!(book.overdue(TELL_AFTER[0]).is_empty());
    }

    #[test]
    fn the_newer_reference_counts() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1);
        refer(&mut book, &mut chunks, 7, &reference(2, SUBMITTED + 5_000_000), 2);
        refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1);
        let found = book.receipt(7, receipt(1, SUBMITTED + 6_000_000), &mut chunks).unwrap();
        assert_eq!((found.outcome.index, &*found.chunk), (2, &chunk(2)));
        assert_eq!(chunks.len(), 0);
    }

    #[test]
    fn a_receipt_of_an_earlier_use_of_the_id_is_none_of_ours() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1);
        let earlier = SUBMITTED - CLOCK_SLACK_US;
        assert!(book.receipt(7, receipt(1, earlier - 1_000_000), &mut chunks).is_err());
        assert!(book.receipt(7, receipt(1, earlier), &mut chunks).is_ok(), "clocks and zones differ");
    }

    /// Offsets of what is told, and whether it is given up by that.
    fn told(book: &mut Book, seconds: u64) -> Vec<(i64, bool)> {
        let overdue = book.overdue(Duration::from_secs(seconds));
        overdue.iter().map(|one| (one.waiting.offset, one.given_up)).collect()
    }

    #[test]
    fn who_waits_is_told_three_times_and_then_given_up() {
        let mut book = Book::default();
        book.park(7, receipt(1, SUBMITTED), Duration::from_secs(10));
        book.park(7, receipt(2, SUBMITTED), Duration::from_secs(30)); // a second one under the same id
        assert_eq!(told(&mut book, 69), []);
        assert_eq!(told(&mut book, 70), [(1, false)]);
        assert_eq!(told(&mut book, 90), [(2, true)]);
        assert_eq!(told(&mut book, 609), []);
        assert_eq!(told(&mut book, 610), [(1, false)]);
        assert_eq!(told(&mut book, 3_610), [(1, true)]);
        assert!(book.parked.is_empty() && book.more.is_empty() && book.parking.iter().all(VecDeque::is_empty));
    }

    #[test]
    fn a_reference_that_comes_late_is_still_found() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        book.park(7, receipt(1, SUBMITTED), Duration::ZERO);
        assert_eq!(told(&mut book, 60), [(1, false)]);
        assert_eq!(refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1).len(), 1);
        assert_eq!(told(&mut book, 9_999), []);
    }

    #[test]
    fn who_found_its_reference_keeps_no_place_in_line() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        book.park(0, receipt(0, SUBMITTED), Duration::ZERO);
        for key in 1..5_000 {
            book.park(key, receipt(1, SUBMITTED), Duration::ZERO);
            refer(&mut book, &mut chunks, key, &reference(1, SUBMITTED), 1);
            assert!(book.parking[0].len() <= 2 * book.parked.len() + FOUND_IN_LINE_MAX + 2);
        }
        assert_eq!(told(&mut book, 60), [(0, false)], "who waits keeps its own");
    }

    #[test]
    fn a_crowd_is_bounded() {
        let mut book = Book::default();
        let offsets = 0..i64::try_from(TOLD_WAITING_MAX).unwrap() + 3;
        for (key, offset) in (0..).zip(offsets) {
            book.park(key, receipt(offset, SUBMITTED), Duration::ZERO);
        }
        assert_eq!(told(&mut book, 59), [], "their references may just be read later");
        assert_eq!(told(&mut book, 60).iter().filter(|(_, given_up)| !given_up).count(), TOLD_WAITING_MAX + 3);
        assert_eq!(told(&mut book, 61), [(0, true), (1, true), (2, true)], "the oldest");
        assert_eq!(book.parked.len(), TOLD_WAITING_MAX);
    }

    #[test]
    fn of_two_receipts_the_one_that_fits_is_taken() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        book.park(7, receipt(1, SUBMITTED - 2 * CLOCK_SLACK_US), Duration::ZERO);
        book.park(7, receipt(2, SUBMITTED), Duration::from_secs(1));
        let found = refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1);
        assert_eq!(found.iter().map(|found| found.offset).collect::<Vec<_>>(), [2]);
        assert_eq!(told(&mut book, 61), [(1, true)]);
    }

    #[test]
    fn old_references_are_dropped() {
        let (mut book, mut chunks) = (Book::default(), Chunks::default());
        refer(&mut book, &mut chunks, 7, &reference(1, SUBMITTED), 1);
        refer(&mut book, &mut chunks, 8, &reference(2, SUBMITTED + 10_000_000), 1);
        book.expire(SUBMITTED + REFERENCE_US_MAX + 1_000_000, &mut chunks);
        assert_eq!((book.entries.len(), chunks.len()), (1, 1));
        book.close(&mut chunks);
        assert_eq!(chunks.len(), 0);
    }
}
