//! One store: a SQLite file, or a database of a PostgreSQL server.
//!
//! Both keep what COMMIT has answered through a power cut, and their readers never wait for writers. They differ in who
//! waits for whom: all write transactions of a SQLite file take turns, from [`Db::begin`] on; those of PostgreSQL run side
//! by side (READ COMMITTED) and wait for each other at the rows that both change. So one that decides by what it has read
//! must hold what the decision rests on: its fence, a row it has just changed, or the turn of [`Db::begin_in_turn`].
//!
//! Must stay true: everything a transaction changes is either all there or not at all; [`StoreError::Uncertain`] comes from
//! [`Tx::commit`] and from nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use loa_ports::store::StoreError;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use crate::error::store_error;
use crate::faults::{Fate, Faults};
use crate::{postgres, sqlite};

/// A role's store.
#[derive(Debug, Clone)]
pub struct Db {
    pub(crate) engine: Engine,
    shared: Arc<Shared>,
}

/// Which database it is.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Sqlite(sqlite::File),
    Postgres(postgres::Server),
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
        // Drawn, since process ids of containers are all alike.
        let salt = i64::from(Uuid::new_v4().as_fields().0) % NUMBER_STEP;
        Arc::new(Self { faults, salt, last_number: AtomicI64::new(salt) })
    }
}

impl Db {
    /// Opens the file, making it (and its directory) if need be, and applies the role's migrations.
    pub async fn open(path: &Path, role: &str) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::Sqlite(sqlite::File::open(path, role).await?), shared: Shared::new(None) })
    }

    /// Opens a database of a PostgreSQL server, which must be there, and applies the role's migrations.
    ///
    /// The URL is `postgres://user:password@host:port/database?sslmode=verify-full`; it is never shown.
    pub async fn open_postgres(url: &str, role: &str) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::Postgres(postgres::Server::open(url, role).await?), shared: Shared::new(None) })
    }

    /// A file that others work on, as it is; the migrations must be the ones of this version.
    pub async fn attach(path: &Path, role: &str) -> Result<Self, StoreError> {
        Self { engine: Engine::Sqlite(sqlite::File::attach(path)), shared: Shared::new(None) }
            .of_this_version(role)
            .await
    }

    /// A database that others work on, as it is; the migrations must be the ones of this version.
    pub async fn attach_postgres(url: &str, role: &str) -> Result<Self, StoreError> {
        let engine = Engine::Postgres(postgres::Server::attach(url, role).await?);
        Self { engine, shared: Shared::new(None) }.of_this_version(role).await
    }

    /// A database as it is, whatever is in it.
    pub(crate) async fn unopened_postgres(url: &str) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::Postgres(postgres::Server::attach(url, "check").await?), shared: Shared::new(None) })
    }

    /// Whether a database of a PostgreSQL server answers and can be used; makes and changes nothing.
    pub async fn reach_postgres(url: &str) -> Result<(), StoreError> {
        postgres::Server::reach(url).await
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

    /// Where the file is, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.engine {
            Engine::Sqlite(file) => Some(&file.path),
            Engine::Postgres(_) => None,
        }
    }

    /// Begins a write transaction; dropped without [`Tx::commit`] it changes nothing.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let session = match &self.engine {
            Engine::Sqlite(file) => Session::Sqlite(file.begin().await?),
            Engine::Postgres(server) => Session::Postgres(server.begin().await?),
        };
        Ok(Tx { session, shared: Arc::clone(&self.shared) })
    }

    /// Begins a write transaction that has the store's turn: it sees all that others did in their turn, and they all that
    /// it does. For what is decided by reading first, by people and seldom.
    pub(crate) async fn begin_in_turn(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => self.begin().await,
            Engine::Postgres(server) => {
                let session = Session::Postgres(server.begin_in_turn().await?);
                Ok(Tx { session, shared: Arc::clone(&self.shared) })
            }
        }
    }

    /// Begins a read transaction: its statements all see the same state, whatever is written meanwhile.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot(match &self.engine {
            Engine::Sqlite(file) => Session::Sqlite(file.snapshot().await?),
            Engine::Postgres(server) => Session::Postgres(server.snapshot().await?),
        }))
    }

    /// Closes the connections; what is under way ends first.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(file) => file.close().await,
            Engine::Postgres(server) => server.close().await,
        }
    }
}

/// What is under way on one connection.
#[derive(Debug)]
pub enum Session {
    /// On the file.
    Sqlite(Transaction<'static, Sqlite>),
    /// On the server.
    Postgres(postgres::Session),
}

/// A read transaction; statements are executed on `&mut snapshot`.
#[derive(Debug)]
pub struct Snapshot(pub(crate) Session);

/// A write transaction; statements are executed on `&mut tx`.
#[derive(Debug)]
pub struct Tx {
    pub(crate) session: Session,
    shared: Arc<Shared>,
}

impl Tx {
    /// Ends the transaction. After [`StoreError::Uncertain`] it may or may not have taken effect: read again what it touched.
    pub async fn commit(self) -> Result<(), StoreError> {
        let fate = self.shared.faults.as_ref().map_or(Fate::Answered, |faults| faults.next());
        let uncertain = |why: String| StoreError::Uncertain { why };
        let ended = match (self.session, fate) {
            (Session::Sqlite(transaction), Fate::Lost) => transaction.rollback().await.map_err(store_error),
            (Session::Sqlite(transaction), _) => transaction.commit().await.map_err(store_error),
            (Session::Postgres(session), Fate::Lost) => session.end("rollback").await?,
            (Session::Postgres(session), _) => session.end("commit").await?,
        };
        ended.map_err(|error| uncertain(error.to_string()))?;
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
