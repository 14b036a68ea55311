//! A store as a database of a PostgreSQL server, version 15 or later.
//!
//! Connections are made when they are needed and looked at before they are used after a rest, so a handle goes on by itself
//! once the server is back. Every wait has an end: the server gives up a statement, a lock and a transaction whose process
//! has stopped, and we give up a server that does not answer; such a connection is never used again.
//!
//! Must stay true: a transaction in which a statement failed does not commit; the URL is in no error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use loa_ports::store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{ConnectOptions, Connection as _, Error};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::{away, store_error};
use crate::migrations;

/// The oldest version that is served, as the server counts.
const VERSION_MIN: u32 = 150_000;
/// Connections that write, per handle; gateways and intake write side by side, and share the server's syncs that way.
const WRITERS_MAX: u32 = 8;
/// Connections that only read, per handle.
const READERS_MAX: u32 = 3;
/// How long a connection rests before it is closed.
const REST_MAX: Duration = Duration::from_secs(60);
/// How long a connection may have rested to be used without a look.
const REST_TRUSTED: Duration = Duration::from_secs(1);
/// How long the answer to that look is awaited.
const LOOK_WAIT: Duration = Duration::from_secs(2);
/// How long opening a store waits for the server.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);
/// How long an answer is awaited; longer than [`STATEMENT_MAX`], so that the server is asked to give up first.
const ANSWER_WAIT: Duration = Duration::from_secs(12);
/// How long the migrations may take.
const MIGRATE_MAX: Duration = Duration::from_secs(600);
/// How long the server works at a statement.
const STATEMENT_MAX: &str = "10s";
/// How long the server waits for a row that another transaction has changed.
const LOCK_WAIT: &str = "5s";
/// How long a transaction may do nothing: as long as a lease may be silent, so a stopped owner holds no row longer.
const SILENCE_MAX: &str = "4s";
/// A write transaction.
const BEGIN: &str = "begin isolation level read committed read write";
/// A write transaction that waits for those that began alike.
const BEGIN_IN_TURN: &str = "begin isolation level read committed read write; select pg_advisory_xact_lock(7026241)";
/// A read transaction that sees one state.
const BEGIN_SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// A database and its connections.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    writers: PgPool,
    readers: PgPool,
    options: Arc<PgConnectOptions>,
}

impl Server {
    pub(crate) async fn open(url: &str, role: &str) -> Result<Self, StoreError> {
        let server = Self::new(url, role)?;
        server.migrate(role).await?;
        Ok(server)
    }

    /// A database as it is: nothing is brought to this version.
    pub(crate) async fn attach(url: &str, role: &str) -> Result<Self, StoreError> {
        let server = Self::new(url, role)?;
        let mut connection = server.connect(&server.options).await?;
        server.is_fit(&mut connection).await?;
        drop(connection.close().await);
        Ok(server)
    }

    /// The database as it is now, for others to read by name as long as the connection is kept.
    pub(crate) async fn still(&self) -> Result<(PgConnection, String), StoreError> {
        let unhurried = ["statement_timeout", "idle_in_transaction_session_timeout"].map(|key| (key, "0"));
        let mut connection = self.connect(&(*self.options).clone().options(unhurried)).await?;
        let begun = in_time(sqlx::raw_sql(BEGIN_SNAPSHOT).execute(&mut connection)).await;
        begun.map_err(store_error)?;
        let named = in_time(sqlx::query_scalar("select pg_export_snapshot()").fetch_one(&mut connection)).await;
        Ok((connection, named.map_err(store_error)?))
    }

    /// The server's major version.
    pub(crate) async fn major_version(&self) -> Result<u32, StoreError> {
        let connection = self.connect(&self.options).await?;
        let version = connection.server_version_num().unwrap_or(0) / 10_000;
        drop(connection.close().await);
        Ok(version)
    }

    /// Whether the server answers and can be used; changes nothing.
    pub(crate) async fn reach(url: &str) -> Result<(), StoreError> {
        let server = Self::new(url, "check")?;
        let mut connection = server.connect(&server.options).await?;
        server.is_fit(&mut connection).await?;
        // What was asked is answered; a farewell that fails changes nothing.
        drop(connection.close().await);
        Ok(())
    }

    /// Connects to nothing yet.
    fn new(url: &str, role: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(|error| {
            away(format!("the URL of PostgreSQL is wrong ({error}); write postgres://user:password@host:port/database"))
        })?;
        let options = options
            .application_name(&format!("loa {role}"))
            .options([
                ("statement_timeout", STATEMENT_MAX),
                ("lock_timeout", LOCK_WAIT),
                ("idle_in_transaction_session_timeout", SILENCE_MAX),
                ("client_min_messages", "warning"),
            ])
            .disable_statement_logging();
        let readers =
            pool(READERS_MAX).connect_lazy_with(options.clone().options([("default_transaction_read_only", "on")]));
        let writers = pool(WRITERS_MAX).connect_lazy_with(options.clone());
        Ok(Self { writers, readers, options: Arc::new(options) })
    }

    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
        let connected = timeout(CONNECT_WAIT, options.connect()).await.unwrap_or_else(|_| Err(no_answer(CONNECT_WAIT)));
        connected.map_err(|error| self.unreachable(&error))
    }

    pub(crate) async fn begin(&self) -> Result<Session, StoreError> {
        self.started(&self.writers, BEGIN).await
    }

    pub(crate) async fn begin_in_turn(&self) -> Result<Session, StoreError> {
        self.started(&self.writers, BEGIN_IN_TURN).await
    }

    pub(crate) async fn snapshot(&self) -> Result<Session, StoreError> {
        self.started(&self.readers, BEGIN_SNAPSHOT).await
    }

    /// For one statement that reads.
    pub(crate) async fn reader(&self) -> Result<Session, StoreError> {
        self.session(&self.readers).await
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    async fn session(&self, pool: &PgPool) -> Result<Session, StoreError> {
        let connection = pool.acquire().await.map_err(|error| self.unreachable(&error))?;
        Ok(Session { connection: Some(connection), is_open: false, has_failed: false })
    }

    async fn started(&self, pool: &PgPool, how: &'static str) -> Result<Session, StoreError> {
        let mut session = self.session(pool).await?;
        session.is_open = true; // even if the answer is lost
        let answer = in_time(sqlx::raw_sql(how).execute(session.connection()?)).await;
        session.judged(answer)?;
        Ok(session)
    }

    /// On a connection of its own, which may wait longer: for others that do the same, and for indices of large tables.
    async fn migrate(&self, role: &str) -> Result<(), StoreError> {
        let options = (*self.options).clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
        let mut connection = self.connect(&options).await?;
        self.is_fit(&mut connection).await?;
        // The migrator holds an advisory lock of the database meanwhile; it goes with the connection.
        let migrator = migrations::of_postgres(role);
        timeout(MIGRATE_MAX, migrations::apply(&migrator, role, &mut connection))
            .await
            .unwrap_or_else(|_| Err(store_error(no_answer(MIGRATE_MAX))))?;
        // What was stored is stored; a farewell that fails changes nothing.
        drop(connection.close().await);
        Ok(())
    }

    /// A server that is too old, or forgets what it has said, is refused before anything is stored.
    async fn is_fit(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        const SQL: &str = "select current_setting('fsync'), current_setting('synchronous_commit'),
            cast(pg_is_in_recovery() as text)";
        let version = connection.server_version_num().unwrap_or(0);
        if version < VERSION_MIN {
            return Err(away(format!("{} is of version {version}; Loa needs PostgreSQL 15 or later", self.place())));
        }
        let asked = in_time(sqlx::query_as(SQL).fetch_one(connection)).await;
        let (fsync, commit, standby): (String, String, String) = asked.map_err(store_error)?;
        let fault = match (fsync.as_str(), commit.as_str(), standby.as_str()) {
            ("off", ..) => "does not write to its disk before it answers; set fsync = on",
            (_, "off", _) => "does not write to its disk before it answers; set synchronous_commit = on",
            (.., "true") => "is a standby and only reads; name the primary in the URL",
            _ => return Ok(()),
        };
        Err(away(format!("{} {fault}", self.place())))
    }

    /// Where it is, for people.
    fn place(&self) -> String {
        let database = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        let host = self.options.get_socket().map_or_else(
            || format!("{}:{}", self.options.get_host(), self.options.get_port()),
            |socket| socket.display().to_string(),
        );
        format!("database {database} of PostgreSQL at {host}")
    }

    /// Why there is no connection, and what helps.
    fn unreachable(&self, error: &Error) -> StoreError {
        let user = self.options.get_username();
        let code = error.as_database_error().and_then(|error| error.code());
        let cure = match (code.as_deref(), error) {
            (Some("3D000"), _) => "make the database, or correct its name in the URL".to_owned(),
            (Some("28P01" | "28000"), _) => {
                format!("correct user or password in the URL, or let user {user} in by pg_hba.conf")
            }
            (Some("42501"), _) => format!("grant user {user} the right to connect"),
            (Some("53300"), _) => "raise max_connections of the server".to_owned(),
            (Some("57P03"), _) => "wait until the server has started".to_owned(),
            (_, Error::Tls(_)) => "correct sslmode and sslrootcert in the URL, or the server's certificate".to_owned(),
            (_, Error::PoolTimedOut) => {
                format!(
                    "within {} s no connection was free or could be made; look at the server",
                    ACQUIRE_WAIT.as_secs()
                )
            }
            _ => "start the server, or correct host and port in the URL".to_owned(),
        };
        let words = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        away(format!("{}: {words}; {cure}", self.place()))
    }
}

/// A connection that is in use.
#[derive(Debug)]
pub struct Session {
    connection: Option<PoolConnection<Postgres>>,
    /// In a transaction.
    is_open: bool,
    /// A statement failed: PostgreSQL would answer COMMIT with a rollback, and not as an error.
    has_failed: bool,
}

impl Session {
    /// What statements are executed on.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or_else(|| away("the connection is closed"))
    }

    /// What an answer says about the session.
    pub(crate) fn judged<T>(&mut self, answer: sqlx::Result<T>) -> Result<T, StoreError> {
        answer.map_err(|error| {
            self.has_failed = true;
            if let (true, Some(connection)) = (is_lost(&error), &mut self.connection) {
                connection.close_on_drop();
                self.is_open = false;
            }
            store_error(error)
        })
    }

    /// Ends the transaction; what is nested inside is an end that is not known.
    pub(crate) async fn end(mut self, how: &'static str) -> Result<Result<(), StoreError>, StoreError> {
        if self.has_failed {
            return Err(away("a statement of the transaction failed before, so nothing was stored"));
        }
        let answer = in_time(sqlx::raw_sql(how).execute(self.connection()?)).await;
        let ended = self.judged(answer).map(|_| ());
        self.is_open &= ended.is_err();
        Ok(ended)
    }
}

impl Drop for Session {
    /// Rolls back what was not ended, before the next use.
    fn drop(&mut self) {
        if let (true, Some(mut connection), Ok(runtime)) = (self.is_open, self.connection.take(), Handle::try_current())
        {
            runtime.spawn(async move {
                if in_time(sqlx::raw_sql("rollback").execute(&mut *connection)).await.is_err() {
                    connection.close_on_drop();
                }
            });
        }
    }
}

/// Waits for an answer as long as it may take.
pub(crate) async fn in_time<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(ANSWER_WAIT, answer).await.unwrap_or_else(|_| Err(no_answer(ANSWER_WAIT)))
}

fn no_answer(wait: Duration) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {} s", wait.as_secs())))
}

/// Whether the connection is of no more use.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed)
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_WAIT)
        .idle_timeout(REST_MAX)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                Ok(about.idle_for < REST_TRUSTED || matches!(timeout(LOOK_WAIT, connection.ping()).await, Ok(Ok(()))))
            })
        })
}
