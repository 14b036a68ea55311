//! Retention by age: a topic's oldest rows are cut off at a mark, then deleted in small bites between the writer's groups.
//!
//! Must stay true: the start is raised before the first row below it is deleted, so no reader passes a hole without being
//! told; what is deleted is older than the topic keeps; rows left by a crash in between are deleted by the next run.

use std::time::Duration;

use loa_contract::topics::{self, Keep};
use loa_ports::log::LogError;

use crate::EmbeddedLog;
use crate::error::log_error;
use crate::file::{base, decode_ends};
use crate::writer::Change;

/// Rows deleted in one transaction, at most.
const BITE_ROWS_MAX: u32 = 64;
/// Bytes after which a bite takes no further row.
const BITE_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// What upkeep remembers between two runs.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// By topic number, compacted ones only.
    pub(crate) compacted: Vec<(u16, crate::compact::Compacted)>,
}

impl EmbeddedLog {
    /// Applies each topic's keep.
    pub(crate) async fn retain_all(&self, now_us: i64) -> Result<(), LogError> {
        let mut upkeep = self.upkeep.lock().await;
        for (topic, spec) in (0..).zip(topics::ALL) {
            match spec.keep {
                Keep::Hours(hours) => {
                    let keep = Duration::from_secs(u64::from(hours) * 3_600);
                    self.cut(topic, before(now_us, keep)).await?;
                }
                Keep::Compacted => {
                    self.compact(topic, before(now_us, self.options.compaction_lag), &mut upkeep).await?;
                }
            }
        }
        Ok(())
    }

    /// Drops the rows before the last mark behind which everything is that old.
    async fn cut(&self, topic: u16, newest_us_max: i64) -> Result<(), LogError> {
        if self.shared.starts(topic) != self.shared.ends(topic) {
            self.order(Change::MarkEnd { topic, newest_us_max }).await?;
        }
        let Some(first) = self.mark_id("select min(id) from mark where id >= ? and id < ?", topic, i64::MAX).await?
        else {
            return Ok(());
        };
        let old = "select max(id) from mark where id >= ? and id < ? and newest_us <= ?";
        let begin = self.mark_id(old, topic, newest_us_max).await?.unwrap_or(first).max(first);
        if begin > first {
            let starts = self.ends_of(topic, begin).await?;
            self.order(Change::Begin { topic, seq: begin - base(topic), starts }).await?;
        }
        self.delete_below(topic, begin).await
    }

    async fn mark_id(&self, sql: &'static str, topic: u16, newest_us_max: i64) -> Result<Option<i64>, LogError> {
        sqlx::query_scalar(sql)
            .bind(base(topic))
            .bind(base(topic + 1))
            .bind(newest_us_max)
            .fetch_one(&self.shared.pool)
            .await
            .map_err(|error| log_error(&error))
    }

    async fn ends_of(&self, topic: u16, mark: i64) -> Result<Vec<i64>, LogError> {
        let ends: Vec<u8> = sqlx::query_scalar("select ends from mark where id = ?")
            .bind(mark)
            .fetch_one(&self.shared.pool)
            .await
            .map_err(|error| log_error(&error))?;
        decode_ends(topics::ALL[usize::from(topic)], &ends)
    }

    async fn delete_below(&self, topic: u16, id: i64) -> Result<(), LogError> {
        while let Some(last) = self.bite(topic, id).await? {
            self.order(Change::Delete { topic, up_to: last - base(topic) }).await?;
        }
        Ok(())
    }

    /// The last row of the next bite below a row.
    async fn bite(&self, topic: u16, below: i64) -> Result<Option<i64>, LogError> {
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("select id, length(data) from batch where id >= ? and id < ? order by id limit ?")
                .bind(base(topic))
                .bind(below)
                .bind(BITE_ROWS_MAX)
                .fetch_all(&self.shared.pool)
                .await
                .map_err(|error| log_error(&error))?;
        let (mut bytes, mut last) = (0, None);
        for (id, length) in rows {
            last = Some(id);
            bytes += length;
            if bytes >= BITE_BYTES_MAX {
                break;
            }
        }
        Ok(last)
    }
}

fn before(now_us: i64, age: Duration) -> i64 {
    now_us.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}
