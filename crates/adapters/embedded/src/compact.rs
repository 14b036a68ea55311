//! Compaction: of records with the same key only the newest stays, once that one is old enough.
//!
//! The age is asked of the record that drops the others: until then a reader sees both, so whoever must answer a record
//! that came late (an older version behind a newer one) has had the time to.
//!
//! Must stay true: the newest record of a key and records without a key are never dropped; offsets keep their numbers.

use std::collections::HashMap;

use bytes::Bytes;
use loa_ports::log::LogError;

use crate::EmbeddedLog;
use crate::error::log_error;
use crate::file::base;
use crate::retain::Upkeep;
use crate::row::Batch;
use crate::scan;
use crate::tail::LOOK_BYTES_MAX;
use crate::writer::Change;

/// Rows rewritten in one transaction, at most.
const BITE_ROWS_MAX: usize = 32;

/// How far a topic is compacted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compacted {
    /// Rows below this number are.
    below: i64,
    /// How many of them are left.
    rows: i64,
}

/// The newest offset of each key of each partition.
type Newest = HashMap<(u32, Bytes), i64>;

impl EmbeddedLog {
    /// Compacts a topic's rows up to the first one that is younger, if it is worth the walk: half as many new rows as old.
    pub(crate) async fn compact(&self, topic: u16, at_us_max: i64, upkeep: &mut Upkeep) -> Result<(), LogError> {
        let known = upkeep.compacted.iter().find(|(number, _)| *number == topic);
        let done = known.map_or_else(Compacted::default, |(_, done)| *done);
        let below = self.first_younger(topic, at_us_max).await?;
        if below <= done.below || below - done.below < done.rows / 2 {
            return Ok(());
        }
        let newest = self.newest(topic, below).await?;
        let rows = self.drop_older(topic, below, &newest).await?;
        self.order(Change::DeleteMarks { topic, below }).await?;
        upkeep.compacted.retain(|(number, _)| *number != topic);
        upkeep.compacted.push((topic, Compacted { below, rows }));
        Ok(())
    }

    /// The number of the first row that is younger; the next row's if none is.
    async fn first_younger(&self, topic: u16, at_us_max: i64) -> Result<i64, LogError> {
        let sql =
            "select coalesce(min(case when at_us > ? then id end), max(id) + 1, ?) from batch where id >= ? and id < ?";
        let id: i64 = sqlx::query_scalar(sql)
            .bind(at_us_max)
            .bind(base(topic))
            .bind(base(topic))
            .bind(base(topic + 1))
            .fetch_one(&self.shared.pool)
            .await
            .map_err(|error| log_error(&error))?;
        Ok(id - base(topic))
    }

    async fn newest(&self, topic: u16, below: i64) -> Result<Newest, LogError> {
        let (mut newest, mut from) = (Newest::new(), 0);
        while let Some((rows, next)) = self.stretch(topic, from, below).await? {
            for (partition, key, offset) in rows.iter().flat_map(Batch::keys) {
                newest.insert((partition, Bytes::copy_from_slice(&key)), offset);
            }
            from = next;
        }
        Ok(newest)
    }

    /// Rewrites the rows that hold something dropped; how many rows are left.
    async fn drop_older(&self, topic: u16, below: i64, newest: &Newest) -> Result<i64, LogError> {
        let stays = |partition, key: &Bytes, offset| {
            key.is_empty() || newest.get(&(partition, key.clone())).is_none_or(|newest| *newest <= offset)
        };
        let (mut left, mut from) = (0, 0);
        while let Some((stretch, next)) = self.stretch(topic, from, below).await? {
            for bite in stretch.chunks(BITE_ROWS_MAX) {
                let (mut rows, mut gone) = (Vec::new(), Vec::new());
                for row in bite {
                    match row.only(stays) {
                        Some(kept) if kept.len() < row.len() => rows.push(kept),
                        Some(_) => {}
                        None => gone.push(row.seq),
                    }
                }
                left += i64::try_from(bite.len() - gone.len()).unwrap_or(i64::MAX);
                if !rows.is_empty() || !gone.is_empty() {
                    self.order(Change::Replace { topic, rows, gone }).await?;
                }
            }
            from = next;
        }
        Ok(left)
    }

    /// The next rows of a walk, about [`LOOK_BYTES_MAX`], and the number to go on at; `None` at its end.
    async fn stretch(&self, topic: u16, from: i64, below: i64) -> Result<Option<(Vec<Batch>, i64)>, LogError> {
        let directories = scan::directories(&self.shared, topic, from, below).await?;
        let (mut seqs, mut bytes) = (Vec::new(), 0);
        for (seq, _, directory) in &directories {
            seqs.push(*seq);
            bytes += directory.bytes();
            if bytes >= LOOK_BYTES_MAX {
                break;
            }
        }
        let Some(last) = seqs.last() else { return Ok(None) };
        Ok(Some((scan::batches(&self.shared, topic, &seqs).await?, last + 1)))
    }
}
