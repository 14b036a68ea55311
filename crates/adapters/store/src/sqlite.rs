//! One store: a SQLite file with one writer and a few readers.
//!
//! WAL and synchronous=full: what COMMIT has answered survives a power cut, and readers never wait for the writer. Two
//! handles on one file, in one process or two, take turns at BEGIN IMMEDIATE, so a write transaction never finds at its
//! end that somebody else was faster.
//!
//! Must stay true: everything a transaction changes is either all there or not at all; [`StoreError::Uncertain`] comes from
//! [`Tx::commit`] and from nowhere else.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use loa_ports::store::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, SqliteConnection, Transaction};

use crate::error::store_error;
use crate::faults::{Fate, Faults};
use crate::migrations;

/// Connections that only read, per handle.
const READERS: u32 = 3;
/// How long a writer waits for another process's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of its own process.
const ACQUIRE_WAIT: Duration = Duration::from_secs(10);
/// Page cache of one connection, in KiB (negative = KiB, not pages).
const CACHE_KIB: &str = "-4096";
/// Attempts at opening a file that another process is just making.
const OPEN_TRIES: u32 = 20;

/// A role's store.
#[derive(Debug, Clone)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    path: Arc<PathBuf>,
    shared: Arc<Shared>,
}

/// What all transactions of a handle share.
#[derive(Debug)]
struct Shared {
    faults: Option<Arc<Faults>>,
    /// The last three digits of every number this handle gives, so that hardly any other handle gives the same.
    salt: i64,
    last_number: AtomicI64,
}

/// Numbers of one handle are this far apart.
const NUMBER_STEP: i64 = 1_000;

impl Shared {
    fn new(faults: Option<Arc<Faults>>) -> Arc<Self> {
        static HANDLES: AtomicI64 = AtomicI64::new(0);
        let salt = (i64::from(std::process::id()) * 31 + HANDLES.fetch_add(1, Ordering::Relaxed)) % NUMBER_STEP;
        Arc::new(Self { faults, salt, last_number: AtomicI64::new(salt) })
    }
}

impl Db {
    /// Opens the file, making it (and its directory) if need be, and applies the role's migrations.
    pub async fn open(path: &Path, role: &str) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Away {
                why: format!("could not make {}: {error}", directory.display()),
            })?;
        }
        let options = connect_options(path);
        let writer = pool(1).connect_lazy_with(options.clone());
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "on"));
        let db = Self { writer, readers, path: Arc::new(path.to_owned()), shared: Shared::new(None) };
        let mut tries = 1;
        while let Err(error) = db.migrate(role).await {
            if !error.is_away() || tries == OPEN_TRIES {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(db)
    }

    /// The same store in a storm: `share` (0 to 1) of its COMMITs lose their answer; most of those took effect.
    #[must_use]
    pub fn with_faults(self, seed: u64, share: f64) -> Self {
        Self { shared: Shared::new(Some(Arc::new(Faults::new(seed, share)))), ..self }
    }

    /// The storm, if there is one.
    pub fn faults(&self) -> Option<&Arc<Faults>> {
        self.shared.faults.as_ref()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a write transaction; dropped without [`Tx::commit`] it changes nothing.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let inner = self.writer.begin_with("begin immediate").await.map_err(store_error)?;
        Ok(Tx { inner, shared: Arc::clone(&self.shared) })
    }

    /// Where single statements that only read are executed: `query.fetch_all(db.readers())`.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins a read transaction: its statements all see the same state, whatever is written meanwhile.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(store_error)
    }

    /// Closes the connections; what is under way ends first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self, role: &str) -> Result<(), StoreError> {
        let mut tx = self.writer.begin_with("begin immediate").await.map_err(store_error)?;
        migrations::apply(role, &mut tx).await?;
        tx.commit().await.map_err(store_error)
    }
}

/// A write transaction; statements are executed on `&mut *tx` (`&mut **tx` behind a reference).
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    shared: Arc<Shared>,
}

impl Tx {
    /// Ends the transaction. After [`StoreError::Uncertain`] it may or may not have taken effect: read again what it touched.
    pub async fn commit(self) -> Result<(), StoreError> {
        let fate = self.shared.faults.as_ref().map_or(Fate::Answered, |faults| faults.next());
        let uncertain = |why: String| StoreError::Uncertain { why };
        if fate == Fate::Lost {
            self.inner.rollback().await.map_err(|error| uncertain(error.to_string()))?;
        } else {
            self.inner.commit().await.map_err(|error| uncertain(error.to_string()))?;
        }
        if fate == Fate::Answered { Ok(()) } else { Err(uncertain("the storm took the answer".to_owned())) }
    }

    /// A number above every other this handle has given, near the time in nanoseconds: numbers of different processes
    /// ascend alike and hardly ever meet (a meeting is a conflict, and the transaction is tried again).
    pub(crate) fn next_number(&self, now_us: i64) -> i64 {
        let Shared { salt, last_number, .. } = &*self.shared;
        let wanted = now_us.saturating_mul(NUMBER_STEP).saturating_add(*salt);
        let next = |last: i64| wanted.max(last.saturating_add(NUMBER_STEP));
        let last = last_number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
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
