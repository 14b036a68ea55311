//! The file: its tables, its lock, its connections, and what of it is known at start.
//!
//! A mark stands before some rows of each topic (every [`MARK_ROWS`], or after a while): the end of every partition there
//! and the time of the newest record before it. Marks are where readers seek and retention cuts, and the first one is where
//! the topic begins.
//!
//! Must stay true: rows of a topic ascend from its base; rows before the first mark are gone for readers, whether already
//! deleted or not; one process holds the lock as long as any connection is open.

use std::fs::{File as StdFile, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use loa_contract::topics::{self, Keep, TopicSpec};
use loa_ports::log::LogError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection, SqlitePool};

use crate::error::{OpenError, damaged, log_error};
use crate::row::Directory;

/// Of the tables below.
const FORMAT: i64 = 1;
/// Rows between two marks, at most.
pub(crate) const MARK_ROWS: i64 = 128;
/// A mark is set when this share of what the topic keeps has passed, so retention is at most so late.
const MARK_SHARE: i64 = 24;
/// A topic's rows are numbered from topic number << 48.
const TOPIC_BITS: u32 = 48;
const PAGE_BYTES: u32 = 8 * 1024;
/// Pages after which a commit also checkpoints: small and often, so that no commit waits long.
const CHECKPOINT_PAGES: u32 = 1_000;
/// The write-ahead file is cut back to this after a checkpoint, in bytes.
const JOURNAL_BYTES: u32 = 64 * 1024 * 1024;
const READERS_MAX: u32 = 4;
/// Page cache of one reader, in KiB (negative = KiB, not pages): what is read is read once.
const READER_CACHE_KIB: &str = "-512";
pub(crate) const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
create table if not exists topic (number integer primary key, name text not null, partitions integer not null);
create table if not exists batch (id integer primary key, at_us integer not null, dir blob not null, data blob not null);
create table if not exists mark (id integer primary key, newest_us integer not null, ends blob not null);
create table if not exists trial (bytes blob not null)";

/// The id of a topic's first row.
pub(crate) fn base(topic: u16) -> i64 {
    i64::from(topic) << TOPIC_BITS
}

/// What is known of a topic's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) topic: u16,
    pub(crate) starts: Vec<i64>,
    pub(crate) ends: Vec<i64>,
    /// The number of the next row.
    pub(crate) next_seq: i64,
    /// The time of the newest record, microseconds since 1970; `i64::MIN` if there never was one.
    pub(crate) newest_us: i64,
    pub(crate) mark: Option<LastMark>,
}

/// The newest mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastMark {
    /// The row it stands before.
    pub(crate) seq: i64,
    /// The time of the first row after it.
    pub(crate) first_us: Option<i64>,
}

impl Loaded {
    pub(crate) fn spec(&self) -> &'static TopicSpec {
        topics::ALL[usize::from(self.topic)]
    }

    /// Whether the next row, of that time, needs a mark before it.
    pub(crate) fn needs_mark(&self, at_us: i64) -> bool {
        let Some(mark) = self.mark else { return true };
        let share_us = match self.spec().keep {
            Keep::Hours(hours) => i64::from(hours) * 3_600_000_000 / MARK_SHARE,
            Keep::Compacted => i64::MAX,
        };
        let is_long_ago = mark.first_us.is_some_and(|first_us| at_us.saturating_sub(first_us) >= share_us);
        is_long_ago || self.next_seq - mark.seq >= MARK_ROWS
    }
}

/// The file and the right to use it.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    bytes_max: u64,
    _lock: StdFile,
}

impl File {
    /// Takes the file for this process, by the lock of a file beside it.
    pub(crate) fn take(path: &Path, bytes_max: u64) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let lock = StdFile::options().create(true).truncate(false).write(true).open(name).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), bytes_max, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("journal_size_limit", JOURNAL_BYTES.to_string())
            .pragma("max_page_count", (self.bytes_max / u64::from(PAGE_BYTES)).max(1).to_string())
    }

    /// A connection for the writer.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnection::connect_with(&self.options().thread_name(|_| "log writer".to_owned())).await
    }

    /// Connections for readers, opened when needed.
    pub(crate) fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(
                self.options()
                    .pragma("cache_size", READER_CACHE_KIB)
                    .pragma("query_only", "on")
                    .thread_name(|n| format!("log reader {n}")),
            )
    }

    /// The writer's connection to a file with all tables and topics, and what it holds.
    pub(crate) async fn create(&self) -> Result<(SqliteConnection, Vec<Loaded>), OpenError> {
        let database = |source| OpenError::Database { path: self.path.clone(), source };
        let mut connection = self.connect().await.map_err(database)?;
        let found: i64 =
            sqlx::query_scalar("pragma user_version").fetch_one(&mut connection).await.map_err(database)?;
        if found > FORMAT {
            return Err(OpenError::Newer { path: self.path.clone(), found, known: FORMAT });
        }
        let mut transaction = connection.begin().await.map_err(database)?;
        sqlx::raw_sql(TABLES).execute(&mut *transaction).await.map_err(database)?;
        sqlx::raw_sql("pragma user_version = 1").execute(&mut *transaction).await.map_err(database)?;
        for (number, spec) in (0..).zip(topics::ALL) {
            declare(&mut transaction, number, spec).await.map_err(database)??;
        }
        transaction.commit().await.map_err(database)?;
        let loaded = load_all(&mut connection).await?;
        Ok((connection, loaded))
    }
}

/// Stores a topic's number, or compares it with the one stored.
async fn declare(
    connection: &mut SqliteConnection,
    number: u16,
    spec: &TopicSpec,
) -> Result<Result<(), OpenError>, sqlx::Error> {
    sqlx::query("insert into topic (number, name, partitions) values (?, ?, ?) on conflict do nothing")
        .bind(number)
        .bind(spec.name)
        .bind(spec.partitions)
        .execute(&mut *connection)
        .await?;
    let (name, partitions): (String, u32) = sqlx::query_as("select name, partitions from topic where number = ?")
        .bind(number)
        .fetch_one(connection)
        .await?;
    if (name.as_str(), partitions) == (spec.name, spec.partitions) {
        return Ok(Ok(()));
    }
    let stored = format!("`{name}` with {partitions} partitions");
    let declared = format!("`{}` with {} partitions", spec.name, spec.partitions);
    Ok(Err(OpenError::Topics { number, stored, declared }))
}

/// What the file holds of every topic.
pub(crate) async fn load_all(connection: &mut SqliteConnection) -> Result<Vec<Loaded>, LogError> {
    let mut all = Vec::with_capacity(topics::ALL.len());
    for (topic, spec) in (0..).zip(topics::ALL) {
        all.push(load(connection, topic, spec).await?);
    }
    Ok(all)
}

async fn load(connection: &mut SqliteConnection, topic: u16, spec: &'static TopicSpec) -> Result<Loaded, LogError> {
    let zeros = vec![0; crate::row::index(spec.partitions)];
    let mut loaded = Loaded { topic, starts: zeros.clone(), ends: zeros, next_seq: 0, newest_us: i64::MIN, mark: None };
    let first = "select id, newest_us, ends from mark where id >= ? and id < ? order by id limit 1";
    let last = "select id, newest_us, ends from mark where id >= ? and id < ? order by id desc limit 1";
    if spec.keep != Keep::Compacted
        && let Some((_, _, starts)) = mark(connection, &loaded, first).await?
    {
        loaded.starts = starts;
    }
    if let Some((seq, newest_us, ends)) = mark(connection, &loaded, last).await? {
        loaded.ends = ends;
        loaded.next_seq = seq;
        loaded.newest_us = newest_us;
        loaded.mark = Some(LastMark { seq, first_us: None });
    }
    rows_after_the_mark(connection, &mut loaded).await?;
    Ok(loaded)
}

async fn mark(
    connection: &mut SqliteConnection,
    topic: &Loaded,
    which: &'static str,
) -> Result<Option<(i64, i64, Vec<i64>)>, LogError> {
    let (from, to) = (base(topic.topic), base(topic.topic + 1));
    let row: Option<(i64, i64, Vec<u8>)> = sqlx::query_as(which)
        .bind(from)
        .bind(to)
        .fetch_optional(connection)
        .await
        .map_err(|error| log_error(&error))?;
    let Some((id, newest_us, ends)) = row else { return Ok(None) };
    Ok(Some((id - from, newest_us, decode_ends(topic.spec(), &ends)?)))
}

async fn rows_after_the_mark(connection: &mut SqliteConnection, loaded: &mut Loaded) -> Result<(), LogError> {
    let (from, name) = (base(loaded.topic), loaded.spec().name);
    let rows = sqlx::query("select id, at_us, dir from batch where id >= ? and id < ? order by id")
        .bind(from + loaded.next_seq)
        .bind(base(loaded.topic + 1))
        .fetch_all(connection)
        .await
        .map_err(|error| log_error(&error))?;
    for row in rows {
        let (id, at_us): (i64, i64) = (row.get(0), row.get(1));
        let is_damaged = || damaged(name, "a row");
        let directory = Directory::parse(row.get(2)).ok_or_else(is_damaged)?;
        for (partition, end) in directory.ends() {
            let known = loaded.ends.get_mut(partition).ok_or_else(is_damaged)?;
            *known = end;
        }
        loaded.next_seq = id - from + 1;
        loaded.newest_us = loaded.newest_us.max(at_us);
        if let Some(mark) = &mut loaded.mark {
            mark.first_us.get_or_insert(at_us);
        }
    }
    Ok(())
}

/// Ends of all partitions as a mark stores them.
pub(crate) fn encode_ends(ends: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ends.len() * 4);
    for end in ends {
        crate::varint::put(&mut out, u64::try_from(*end).expect("ends are not negative"));
    }
    out
}

/// Ends of all partitions from a mark.
pub(crate) fn decode_ends(spec: &TopicSpec, mut stored: &[u8]) -> Result<Vec<i64>, LogError> {
    let ends: Option<Vec<i64>> = (0..spec.partitions).map(|_| crate::varint::get_as(&mut stored)).collect();
    ends.filter(|_| stored.is_empty()).ok_or_else(|| damaged(spec.name, "a mark"))
}
