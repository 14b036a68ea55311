//! What all readers share: the ends, the starts, the newest rows, and who is woken.
//!
//! Must stay true: a row is shown only after its COMMIT was synced; of each topic the rows in memory are the newest ones
//! without a hole, and `front` is the end of every partition before the first of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loa_ports::log::LogError;
use sqlx::SqlitePool;
use tokio::sync::watch;

use crate::error::{away, closed};
use crate::file::Loaded;
use crate::row::{Batch, index};

/// Rows handed to a reader at once, at most.
const LOOK_ROWS_MAX: usize = 512;
/// Bytes handed to a reader at once; the row that passes it is the last.
pub(crate) const LOOK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What all readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Readers' connections.
    pub(crate) pool: SqlitePool,
    tail: Mutex<Tail>,
    wakes: Vec<watch::Sender<()>>,
    statements: AtomicU64,
    recent_bytes_max: usize,
}

#[derive(Debug)]
struct Tail {
    topics: Vec<TopicTail>,
    /// The topics of the rows in memory, oldest first.
    order: VecDeque<u16>,
    bytes: usize,
    /// Why the log cannot be reached now.
    away: Option<String>,
    is_closed: bool,
}

#[derive(Debug)]
struct TopicTail {
    starts: Vec<i64>,
    ends: Vec<i64>,
    next_seq: i64,
    front: Vec<i64>,
    rows: VecDeque<Arc<Batch>>,
}

impl TopicTail {
    fn new(loaded: &Loaded) -> Self {
        let Loaded { starts, ends, next_seq, .. } = loaded.clone();
        Self { starts, front: ends.clone(), ends, next_seq, rows: VecDeque::new() }
    }

    fn front_seq(&self) -> i64 {
        self.rows.front().map_or(self.next_seq, |row| row.seq)
    }
}

/// What lies ahead of a reader.
pub(crate) enum Look {
    /// These rows; then go on at that number.
    Recent(Vec<Arc<Batch>>, i64),
    /// Only the file has it, up to that number.
    Stored { below: i64 },
    /// Nothing yet.
    End,
}

/// Where a reader begins.
pub(crate) enum Place {
    /// At that row.
    Row(i64),
    /// Only the file knows, before that row.
    Stored { below: i64 },
}

/// A position that cannot be read from.
pub(crate) struct Unreadable {
    pub(crate) partition: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) wanted: i64,
}

impl Shared {
    pub(crate) fn new(pool: SqlitePool, recent_bytes_max: usize, loaded: &[Loaded]) -> Self {
        let topics = loaded.iter().map(TopicTail::new).collect();
        let tail = Tail { topics, order: VecDeque::new(), bytes: 0, away: None, is_closed: false };
        let wakes = loaded.iter().map(|_| watch::Sender::new(())).collect();
        Self { pool, tail: Mutex::new(tail), wakes, statements: AtomicU64::new(0), recent_bytes_max }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Woken whenever the topic has got something.
    pub(crate) fn wakes(&self, topic: u16) -> watch::Receiver<()> {
        self.wakes[usize::from(topic)].subscribe()
    }

    fn wake_all(&self) {
        for wake in &self.wakes {
            wake.send_replace(());
        }
    }

    /// Counts a statement of a reader.
    pub(crate) fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether questions can be answered now.
    pub(crate) fn reachable(&self) -> Result<(), LogError> {
        let tail = self.tail();
        if tail.is_closed {
            return Err(closed());
        }
        tail.away.as_ref().map_or(Ok(()), |why| Err(away(why.clone())))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tail().is_closed
    }

    /// Says why the log cannot be reached, or that it can be again.
    pub(crate) fn set_away(&self, why: Option<String>) {
        self.tail().away = why;
    }

    pub(crate) fn set_closed(&self) {
        self.tail().is_closed = true;
        self.wake_all();
    }

    pub(crate) fn end(&self, topic: u16, partition: u32) -> i64 {
        self.tail().topics[usize::from(topic)].ends[index(partition)]
    }

    pub(crate) fn ends(&self, topic: u16) -> Vec<i64> {
        self.tail().topics[usize::from(topic)].ends.clone()
    }

    pub(crate) fn starts(&self, topic: u16) -> Vec<i64> {
        self.tail().topics[usize::from(topic)].starts.clone()
    }

    /// Raises the starts, before the rows below them are deleted.
    pub(crate) fn raise_starts(&self, topic: u16, starts: Vec<i64>) {
        self.tail().topics[usize::from(topic)].starts = starts;
    }

    /// Puts compacted rows in the place of those in memory, so that memory and file say the same.
    pub(crate) fn replace(&self, topic: u16, rows: &[Batch], gone: &[i64]) {
        let mut tail = self.tail();
        for row in rows {
            tail.replace(topic, row.clone());
        }
        for seq in gone {
            tail.replace(topic, Batch::empty(*seq));
        }
    }

    /// Shows rows that are durable now, and wakes who waits for them.
    pub(crate) fn publish(&self, rows: Vec<(u16, Arc<Batch>)>) {
        let mut woken = Vec::new();
        let mut tail = self.tail();
        for (topic, row) in rows {
            tail.push(topic, row);
            if woken.last() != Some(&topic) {
                woken.push(topic);
            }
        }
        tail.evict(self.recent_bytes_max);
        drop(tail);
        for topic in woken {
            self.wakes[usize::from(topic)].send_replace(());
        }
    }

    /// Takes what the file holds for true, after it is not certain what was committed.
    pub(crate) fn reset(&self, loaded: &[Loaded]) {
        let mut tail = self.tail();
        tail.topics = loaded.iter().map(TopicTail::new).collect();
        tail.order.clear();
        tail.bytes = 0;
        drop(tail);
        self.wake_all();
    }

    /// The first position that is below the start or past the end.
    pub(crate) fn unreadable(&self, topic: u16, wanted: &[Option<i64>]) -> Option<Unreadable> {
        let tail = self.tail();
        let TopicTail { starts, ends, .. } = &tail.topics[usize::from(topic)];
        (0..).zip(wanted).zip(starts.iter().zip(ends)).find_map(|((partition, wanted), (&start, &end))| {
            let wanted = (*wanted)?;
            (wanted < start || wanted > end).then_some(Unreadable { partition, start, end, wanted })
        })
    }

    /// Where a reader at these positions begins.
    pub(crate) fn place(&self, topic: u16, wanted: &[Option<i64>]) -> Place {
        let tail = self.tail();
        let topic = &tail.topics[usize::from(topic)];
        let is_past =
            |ends: &[i64]| wanted.iter().zip(ends).all(|(wanted, end)| wanted.is_none_or(|next| next >= *end));
        if is_past(&topic.ends) {
            Place::Row(topic.next_seq)
        } else if is_past(&topic.front) {
            Place::Row(topic.front_seq())
        } else {
            Place::Stored { below: topic.front_seq() }
        }
    }

    /// What a reader that has come up to a row has before it; at the end its positions move over what is not there.
    pub(crate) fn look(&self, topic: u16, cursor: i64, wanted: &mut [Option<i64>]) -> Look {
        let tail = self.tail();
        let topic = &tail.topics[usize::from(topic)];
        if cursor >= topic.next_seq {
            for (wanted, end) in wanted.iter_mut().zip(&topic.ends) {
                *wanted = wanted.map(|_| *end);
            }
            return Look::End;
        }
        let Ok(skip) = usize::try_from(cursor - topic.front_seq()) else {
            return Look::Stored { below: topic.front_seq() };
        };
        let (mut rows, mut bytes, mut next) = (Vec::new(), 0, cursor);
        for row in topic.rows.iter().skip(skip).take(LOOK_ROWS_MAX) {
            next = row.seq + 1;
            if row.directory.has_for(wanted) {
                bytes += row.directory.bytes();
                rows.push(Arc::clone(row));
            }
            if bytes >= LOOK_BYTES_MAX {
                break;
            }
        }
        Look::Recent(rows, next)
    }
}

impl Tail {
    fn push(&mut self, topic: u16, row: Arc<Batch>) {
        let tail = &mut self.topics[usize::from(topic)];
        for (partition, end) in row.directory.ends() {
            tail.ends[partition] = end;
        }
        tail.next_seq = row.seq + 1;
        self.bytes += row.memory();
        tail.rows.push_back(row);
        self.order.push_back(topic);
    }

    fn replace(&mut self, topic: u16, row: Batch) {
        let tail = &mut self.topics[usize::from(topic)];
        let place = usize::try_from(row.seq - tail.front_seq());
        if let Some(known) = place.ok().and_then(|place| tail.rows.get_mut(place)) {
            self.bytes = self.bytes + row.memory() - known.memory();
            *known = Arc::new(row);
        }
    }

    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(topic) = self.order.pop_front() else { return };
            let tail = &mut self.topics[usize::from(topic)];
            let Some(row) = tail.rows.pop_front() else { continue };
            for (partition, end) in row.directory.ends() {
                tail.front[partition] = end;
            }
            self.bytes -= row.memory();
        }
    }
}
