//! A store as a SQLite file: one writer, a few readers.
//!
//! WAL and synchronous=full: what COMMIT has answered survives a power cut, and readers never wait for the writer. Two
//! handles on one file, in one process or two, take turns at BEGIN IMMEDIATE, so a write transaction never finds at its
//! end that somebody else was faster.
//!
//! Must stay true: every write transaction begins as a writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use loa_ports::store::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Error, Sqlite, Transaction};

use crate::error::store_error;
use crate::migrations;

/// Connections that only read, per handle.
const READERS: u32 = 3;
/// How long a writer waits for another process's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of its own process.
const ACQUIRE_WAIT: Duration = Duration::from_secs(10);
/// Page cache of the writer, in KiB (negative = KiB, not pages).
const CACHE_KIB: &str = "-4096";
/// Page cache of one reader: few rows are read twice, and the machine keeps the file's pages for all connections.
const READER_CACHE_KIB: &str = "-512";
/// Attempts at opening a file that another process is just making.
const OPEN_TRIES: u32 = 20;

/// A file and its connections.
#[derive(Debug, Clone)]
pub(crate) struct File {
    writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    pub(crate) path: Arc<PathBuf>,
}

impl File {
    pub(crate) async fn open(path: &Path, role: &str) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Away {
                why: format!("could not make {}: {error}", directory.display()),
            })?;
        }
        let file = Self::of(path, connect_options(path));
        let mut tries = 1;
        while let Err(error) = file.migrate(role).await {
            if !error.is_away() || tries == OPEN_TRIES {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(file)
    }

    /// A file that is there, as it is: nothing is made or brought to this version.
    pub(crate) fn attach(path: &Path) -> Self {
        Self::of(path, connect_options(path).create_if_missing(false))
    }

    fn of(path: &Path, options: SqliteConnectOptions) -> Self {
        let writer = pool(1).connect_lazy_with(options.clone());
        let readers =
            pool(READERS).connect_lazy_with(options.pragma("cache_size", READER_CACHE_KIB).pragma("query_only", "on"));
        Self { writer, readers, path: Arc::new(path.to_owned()) }
    }

    /// Writes a copy of the file as it is now, without a gap in it; others go on meanwhile.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let to = path.display().to_string();
        sqlx::query("vacuum into $1").bind(to).execute(&self.writer).await.map_err(store_error).map(drop)
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        started(&self.writer, "begin immediate").await
    }

    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        started(&self.readers, "begin").await
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The transaction keeps a second process out meanwhile.
    async fn migrate(&self, role: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        migrations::apply(&migrations::of_sqlite(role), role, &mut *tx).await?;
        tx.commit().await.map_err(store_error)
    }
}

/// Begins a transaction. Where the disk is full, SQLite ends one whose COMMIT has failed by itself; the pool's connection
/// believes to be in it still, for ever, and is replaced.
async fn started(pool: &SqlitePool, how: &'static str) -> Result<Transaction<'static, Sqlite>, StoreError> {
    for _ in 0..pool.options().get_max_connections() {
        match pool.begin_with(how).await {
            Err(Error::InvalidSavePointStatement) => {}
            begun => return begun.map_err(store_error),
        }
        // Any that rests may be the one; a good one that is closed is made again when it is needed.
        pool.acquire().await.map_err(store_error)?.close_on_drop();
    }
    pool.begin_with(how).await.map_err(store_error)
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_WAIT)
        .foreign_keys(true)
        .pragma("cache_size", CACHE_KIB)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}
