//! Reading the file: directories of a stretch of rows, whole rows by number, and the mark to begin at.
//!
//! Must stay true: rows are returned as one statement saw them, directory and data together, so a compaction between two
//! statements cannot mix them.

use loa_contract::topics;
use loa_ports::log::LogError;
use sqlx::Row;

use crate::error::{damaged, log_error};
use crate::file::{base, decode_ends};
use crate::row::{Batch, Directory};
use crate::tail::Shared;

/// Directories read at once.
pub(crate) const DIRECTORIES_MAX: u32 = 128;

fn name(topic: u16) -> &'static str {
    topics::ALL[usize::from(topic)].name
}

/// The numbers, times and directories of rows of a topic from one number up to another (exclusive), oldest first, at most
/// [`DIRECTORIES_MAX`].
pub(crate) async fn directories(
    shared: &Shared,
    topic: u16,
    from: i64,
    below: i64,
) -> Result<Vec<(i64, i64, Directory)>, LogError> {
    shared.count_statement();
    let rows = sqlx::query("select id, at_us, dir from batch where id >= ? and id < ? order by id limit ?")
        .bind(base(topic) + from)
        .bind(base(topic) + below)
        .bind(DIRECTORIES_MAX)
        .fetch_all(&shared.pool)
        .await
        .map_err(|error| log_error(&error))?;
    let directory = |row: sqlx::sqlite::SqliteRow| {
        let directory = Directory::parse(row.get(2)).ok_or_else(|| damaged(name(topic), "a row"))?;
        Ok((row.get::<i64, _>(0) - base(topic), row.get(1), directory))
    };
    rows.into_iter().map(directory).collect()
}

/// The rows of those numbers that are still there, oldest first.
pub(crate) async fn batches(shared: &Shared, topic: u16, seqs: &[i64]) -> Result<Vec<Batch>, LogError> {
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    shared.count_statement();
    let ids: Vec<String> = seqs.iter().map(|seq| (base(topic) + seq).to_string()).collect();
    let rows =
        sqlx::query("select id, at_us, dir, data from batch where id in (select value from json_each(?)) order by id")
            .bind(format!("[{}]", ids.join(",")))
            .fetch_all(&shared.pool)
            .await
            .map_err(|error| log_error(&error))?;
    let batch = |row: sqlx::sqlite::SqliteRow| {
        let seq = row.get::<i64, _>(0) - base(topic);
        Batch::parse(seq, row.get(1), row.get(2), row.get(3)).ok_or_else(|| damaged(name(topic), "a row"))
    };
    rows.into_iter().map(batch).collect()
}

/// The number of a row, below the one given, from which a reader at these positions finds everything: that of the last
/// mark that is past none of them.
pub(crate) async fn seek(shared: &Shared, topic: u16, wanted: &[Option<i64>], below: i64) -> Result<i64, LogError> {
    let spec = topics::ALL[usize::from(topic)];
    let (mut found, mut low, mut high) = (0, 0, below);
    while low < high {
        let middle = low + (high - low) / 2;
        shared.count_statement();
        let mark: Option<(i64, Vec<u8>)> =
            sqlx::query_as("select id, ends from mark where id >= ? and id <= ? order by id desc limit 1")
                .bind(base(topic) + low)
                .bind(base(topic) + middle)
                .fetch_optional(&shared.pool)
                .await
                .map_err(|error| log_error(&error))?;
        let Some((id, ends)) = mark else {
            low = middle + 1;
            continue;
        };
        let ends = decode_ends(spec, &ends)?;
        if wanted.iter().zip(&ends).all(|(wanted, end)| wanted.is_none_or(|next| next >= *end)) {
            found = id - base(topic);
            low = middle + 1;
        } else {
            high = id - base(topic);
        }
    }
    Ok(found)
}
