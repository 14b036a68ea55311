//! Reads the rows of a file on several threads: people to the spill, the others to the rejects.
//!
//! One thread cuts blocks, some read rows, one writes the rejects in the order of the file. The queues between them are
//! short, so the slowest sets the pace and memory stays small.
//!
//! Must stay true: `rows = taken + rejected`; blank lines are no rows; the rejects stand in order of the file.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use loa_domain::hash::HashKey;
use loa_ports::audience::{DatasetError, Progress, Stage, Watch};

use super::blocks::{Block, Cutter};
use super::check::Checker;
use super::dictionary::{Communes, Tags};
use super::header::Header;
use super::rejects::{Rejected, RejectsWriter};
use super::rows::{ROW_BYTES_MAX, RowEnd, cells, row_end};
use crate::error::storage;
use crate::spill::{Spill, SpillWriter};

/// Blocks that wait for a reader, at most.
const BLOCKS_WAITING_MAX: usize = 2;
/// Blocks whose rejects wait for their turn, at most, beside those being read.
const RESULTS_WAITING_MAX: usize = 4;

/// What every reader needs.
pub(super) struct Sources<'a> {
    pub(super) header: &'a Header,
    pub(super) key: &'a HashKey,
    pub(super) communes: &'a Communes,
    pub(super) tags: &'a Tags,
    pub(super) spill: &'a Spill,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) rows: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) migrated: AtomicU64,
}

/// The rejects of one block.
struct BlockRejects {
    number: u64,
    rejected: Vec<Rejected>,
}

/// Stops all threads at the first fault.
#[derive(Default)]
struct Fate {
    is_over: AtomicBool,
    error: Mutex<Option<DatasetError>>,
}

impl Fate {
    fn fail(&self, error: DatasetError) {
        self.is_over.store(true, Ordering::Relaxed);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take<T>(&self, result: Result<T, DatasetError>) -> Option<T> {
        result.map_err(|error| self.fail(error)).ok()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Reads everything behind the header.
pub(super) fn read<R: Read>(
    mut cutter: Cutter<R>,
    sources: &Sources<'_>,
    rejects: &mut RejectsWriter,
    threads: usize,
    watch: &dyn Watch,
) -> Result<(Totals, u64), DatasetError> {
    let (fate, totals) = (Fate::default(), Totals::default());
    let (block_sender, blocks) = sync_channel(BLOCKS_WAITING_MAX);
    let (result_sender, results) = sync_channel(RESULTS_WAITING_MAX);
    let blocks = Mutex::new(blocks);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let result_sender = result_sender.clone();
            let (fate, totals, blocks) = (&fate, &totals, &blocks);
            scope.spawn(move || fate.take(read_blocks(sources, blocks, &result_sender, totals, fate)));
        }
        drop(result_sender);
        let fate = &fate;
        scope.spawn(move || write_rejects(&results, rejects, fate));
        fate.take(cut(&mut cutter, &block_sender, &totals, fate, watch));
        drop(block_sender);
    });
    match fate.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok((totals, cutter.read)),
    }
}

fn cut<R: Read>(
    cutter: &mut Cutter<R>,
    sender: &SyncSender<Block>,
    totals: &Totals,
    fate: &Fate,
    watch: &dyn Watch,
) -> Result<(), DatasetError> {
    while let Some(block) = cutter.next().map_err(storage("read the spooled file"))? {
        if fate.is_over() || sender.send(block).is_err() {
            return Ok(());
        }
        let progress = Progress {
            stage: Stage::Reading,
            bytes: cutter.read,
            rows: totals.rows.load(Ordering::Relaxed),
            rejected: totals.rejected.load(Ordering::Relaxed),
        };
        if !watch.go_on(progress) {
            return Err(DatasetError::Stopped);
        }
    }
    Ok(())
}

fn read_blocks(
    sources: &Sources<'_>,
    blocks: &Mutex<Receiver<Block>>,
    results: &SyncSender<BlockRejects>,
    totals: &Totals,
    fate: &Fate,
) -> Result<(), DatasetError> {
    let mut reader = BlockReader {
        checker: Checker::new(sources.header, sources.key, sources.communes, sources.tags),
        key: sources.key,
        delimiter: sources.header.delimiter,
        spill: sources.spill.writer(),
        rejected: Vec::new(),
        rows: 0,
        migrated: 0,
    };
    loop {
        let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // After a fault the queue is still emptied, so that nobody is stuck on a full one.
        let Ok(block) = next else { break };
        if fate.is_over() || fate.take(reader.block(&block)).is_none() {
            continue;
        }
        let rejected = std::mem::take(&mut reader.rejected);
        totals.rows.fetch_add(std::mem::take(&mut reader.rows), Ordering::Relaxed);
        totals.migrated.fetch_add(std::mem::take(&mut reader.migrated), Ordering::Relaxed);
        totals.rejected.fetch_add(u64::try_from(rejected.len()).unwrap_or(0), Ordering::Relaxed);
        if results.send(BlockRejects { number: block.number, rejected }).is_err() {
            return Ok(());
        }
    }
    reader.spill.finish()
}

fn write_rejects(results: &Receiver<BlockRejects>, rejects: &mut RejectsWriter, fate: &Fate) {
    let (mut next, mut early) = (0, BTreeMap::new());
    for result in results {
        early.insert(result.number, result.rejected);
        while let Some(rejected) = early.remove(&next) {
            fate.take(rejected.iter().try_for_each(|row| rejects.reject(row)));
            next += 1;
        }
    }
}

/// A row without its line end.
#[derive(Clone, Copy)]
struct Row<'a> {
    bytes: &'a [u8],
    /// The same as text, where it is known to be text without NUL.
    text: Option<&'a str>,
    is_bad_quote: bool,
}

/// Reads the rows of blocks, one thread's part.
struct BlockReader<'a> {
    checker: Checker<'a>,
    key: &'a HashKey,
    delimiter: u8,
    spill: SpillWriter<'a>,
    rejected: Vec<Rejected>,
    rows: u64,
    migrated: u64,
}

impl BlockReader<'_> {
    fn block(&mut self, block: &Block) -> Result<(), DatasetError> {
        let bytes = block.bytes.as_slice();
        // Looked at once for all rows; only where one of them is odd is each row looked at by itself.
        let text = std::str::from_utf8(bytes).ok().filter(|_| !bytes.contains(&0));
        let has_quotes = bytes.contains(&b'"');
        let (mut at, mut line) = (0, block.first_line);
        let mut found = Vec::new();
        while at < bytes.len() {
            let (end, next, is_bad_quote) = match row_end(bytes, at, self.delimiter, true) {
                RowEnd::Row { end, next } => (end, next, false),
                RowEnd::BadQuote { end, next } => (end, next, true),
                RowEnd::Incomplete => break,
            };
            if at < end {
                self.rows += 1;
                let row = Row { bytes: &bytes[at..end], text: text.and_then(|text| text.get(at..end)), is_bad_quote };
                self.row(&row, line, block.is_too_long, &mut found)?;
            }
            line += if is_bad_quote || !has_quotes { 1 } else { lines(&bytes[at..next]) };
            at = next;
        }
        Ok(())
    }

    fn row<'r>(
        &mut self,
        row: &Row<'r>,
        line: u64,
        is_too_long: bool,
        found: &mut Vec<std::borrow::Cow<'r, str>>,
    ) -> Result<(), DatasetError> {
        self.checker.clear();
        let Row { bytes: row, text, is_bad_quote } = *row;
        let text = match text.map_or_else(|| std::str::from_utf8(row), Ok) {
            _ if is_too_long || row.len() > ROW_BYTES_MAX => {
                self.checker.refuse(
                    "row_too_long",
                    format!("a row has at most {ROW_BYTES_MAX} bytes; check the line's end and its quotes"),
                );
                None
            }
            _ if text.is_none() && row.contains(&0) => {
                self.checker.refuse("nul", "the row has a NUL byte; save the file again as CSV UTF-8");
                None
            }
            Err(error) => {
                let at = error.valid_up_to() + 1;
                self.checker
                    .refuse("encoding", format!("byte {at} of the row is not UTF-8; save the file again as CSV UTF-8"));
                None
            }
            Ok(_) if is_bad_quote => {
                self.checker.refuse(
                    "open_quote",
                    "a quote is not closed, or text follows the closing one; write a quote inside a cell twice",
                );
                None
            }
            Ok(text) => Some(text),
        };
        let is_taken = text.is_some_and(|text| {
            cells(text, self.delimiter, found);
            self.checker.check(found)
        });
        if is_taken {
            return self.take(line);
        }
        let faults = std::mem::take(&mut self.checker.faults);
        self.rejected.push(Rejected::new(line, faults, row));
        Ok(())
    }

    fn take(&mut self, line: u64) -> Result<(), DatasetError> {
        let person = &self.checker.person;
        self.migrated += u64::from(self.checker.is_migrated);
        let key = self.key.hash(person.account_id.as_bytes());
        person.encode(key, line, self.spill.buffer(key));
        self.spill.appended(key)
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
