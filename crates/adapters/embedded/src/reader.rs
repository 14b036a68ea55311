//! A reader: one walk over a topic's rows for all its partitions.
//!
//! Rows are passed once; each partition's position says which of a row's records are new to it, so partitions that were
//! stored at different offsets share the walk, which begins at the one furthest behind.
//!
//! Must stay true: a position moves only in the moment its record is returned, never across an await, so a dropped `next`
//! loses nothing; a position below the start is looked for after rows were read and before they are returned.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use loa_contract::topics::TopicSpec;
use loa_ports::log::{LogError, Position, Reader, Record};
use tokio::sync::watch;

use crate::error::closed;
use crate::row::{Batch, Taken, index};
use crate::scan;
use crate::tail::{LOOK_BYTES_MAX, Look, Place, Shared};

/// Bytes of one answer after which no further record is added.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads some partitions of a topic.
pub(crate) struct EmbeddedReader {
    shared: Arc<Shared>,
    topic: &'static TopicSpec,
    topic_number: u16,
    woken: watch::Receiver<()>,
    /// By partition: the next offset to return; `None` = not read.
    wanted: Vec<Option<i64>>,
    /// A partition that was assigned and that the topic does not have.
    no_partition: Option<u32>,
    /// The next row to look at.
    cursor: i64,
    /// Whether `cursor` must be found anew, because a partition was assigned.
    is_lost: bool,
    /// Rows looked at and not yet returned whole.
    ahead: VecDeque<Arc<Batch>>,
}

impl EmbeddedReader {
    /// A reader of nothing yet.
    pub(crate) fn new(shared: Arc<Shared>, topic: &'static TopicSpec, topic_number: u16) -> Self {
        let woken = shared.wakes(topic_number);
        let wanted = vec![None; index(topic.partitions)];
        let ahead = VecDeque::new();
        Self { shared, topic, topic_number, woken, wanted, no_partition: None, cursor: 0, is_lost: true, ahead }
    }

    /// Refuses to go on from where nothing can be read.
    fn check(&self) -> Result<(), LogError> {
        let topic = self.topic.name;
        if let Some(partition) = self.no_partition {
            return Err(LogError::NoPartition { topic, partition });
        }
        let Some(at) = self.shared.unreadable(self.topic_number, &self.wanted) else { return Ok(()) };
        if at.wanted < at.start {
            return Err(LogError::Gap { topic, partition: at.partition, start: at.start, wanted: at.wanted });
        }
        let why = format!(
            "`{topic}` partition {} ends at {} and {} was to be read; the file is older than the stored offset: restore the newer one",
            at.partition, at.end, at.wanted
        );
        Err(LogError::Damaged { why })
    }

    /// Finds the row to begin at.
    async fn find(&mut self) -> Result<(), LogError> {
        let cursor = match self.shared.place(self.topic_number, &self.wanted) {
            Place::Row(seq) => seq,
            Place::Stored { below } => scan::seek(&self.shared, self.topic_number, &self.wanted, below).await?,
        };
        self.ahead.clear();
        self.cursor = cursor;
        self.is_lost = false;
        Ok(())
    }

    /// Returns what is new of the rows ahead.
    fn take(&mut self, records_max: usize) -> Vec<Record> {
        let records_max = records_max.max(1);
        let mut taken = Taken { records: Vec::new(), bytes: 0, records_max, bytes_max: READ_BYTES_MAX };
        while let Some(batch) = self.ahead.front() {
            if !batch.give(&mut self.wanted, &mut taken) {
                break;
            }
            self.ahead.pop_front();
        }
        taken.records
    }

    /// Looks further; `false` if nothing is there yet.
    async fn look(&mut self) -> Result<bool, LogError> {
        match self.shared.look(self.topic_number, self.cursor, &mut self.wanted) {
            Look::End => Ok(false),
            Look::Recent(rows, next) => {
                self.ahead.extend(rows);
                self.cursor = next;
                Ok(true)
            }
            Look::Stored { below } => {
                let (rows, next) = self.stored(below).await?;
                self.ahead.extend(rows);
                self.cursor = next;
                Ok(true)
            }
        }
    }

    /// Rows from the file that have something new, and the number to go on at.
    async fn stored(&self, below: i64) -> Result<(Vec<Arc<Batch>>, i64), LogError> {
        let directories = scan::directories(&self.shared, self.topic_number, self.cursor, below).await?;
        if directories.is_empty() {
            return Ok((Vec::new(), below));
        }
        let (mut seqs, mut bytes, mut next) = (Vec::new(), 0, self.cursor);
        for (seq, _, directory) in &directories {
            next = seq + 1;
            if directory.has_for(&self.wanted) {
                seqs.push(*seq);
                bytes += directory.bytes();
            }
            if bytes >= LOOK_BYTES_MAX {
                break;
            }
        }
        let rows = scan::batches(&self.shared, self.topic_number, &seqs).await?;
        Ok((rows.into_iter().map(Arc::new).collect(), next))
    }
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        loop {
            self.woken.borrow_and_update();
            if self.shared.is_closed() {
                return Err(closed());
            }
            self.check()?;
            if self.is_lost {
                self.find().await?;
            }
            let records = self.take(records_max);
            if !records.is_empty() {
                return Ok(records);
            }
            if !self.look().await? {
                self.woken.changed().await.map_err(|_| closed())?;
            }
        }
    }

    fn assign(&mut self, position: Position) {
        match self.wanted.get_mut(index(position.partition)) {
            Some(wanted) => *wanted = Some(position.offset),
            None => self.no_partition = Some(position.partition),
        }
        self.is_lost = true;
    }

    fn unassign(&mut self, partition: u32) {
        match self.wanted.get_mut(index(partition)) {
            Some(wanted) => *wanted = None,
            None => self.no_partition = self.no_partition.filter(|bad| *bad != partition),
        }
    }

    fn position(&self, partition: u32) -> Option<i64> {
        self.wanted.get(index(partition)).copied().flatten()
    }
}
