//! The one task that writes the file: groups of calls, and changes of upkeep between two groups.
//!
//! It takes whatever queued up during its last commit, up to [`GROUP_BYTES_MAX`], and never waits for more. After any
//! failure it trusts nothing it remembers: it opens the file anew and reads what is there, so a COMMIT of unknown outcome
//! is either wholly there or not at all. While the log is away it tries by itself until a trial can be written.
//!
//! Must stay true: rows are shown to readers after COMMIT and before the call is answered; one transaction at a time.

use std::sync::Arc;
use std::time::Duration;

use loa_ports::clock::Clock;
use loa_ports::log::{Append, LogError};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::{away, log_error};
use crate::file::{File, LastMark, Loaded, base, load_all};
use crate::plan::{Mark, Plan, plan};
use crate::row::Batch;
use crate::tail::Shared;

/// Bytes after which a group takes no further call.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows of one statement that is kept prepared.
const PREPARED_ROWS_MAX: usize = 16;
/// How long to wait between trials while the log is away.
const TRIAL: Duration = Duration::from_millis(200);
/// What a trial writes and takes back: about what a small group needs.
const TRIAL_SQL: &str =
    "begin immediate; insert into trial (bytes) values (zeroblob(65536)); delete from trial; commit";

/// An append that waits for its commit.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) records: Vec<Append>,
    /// The topic's number of each record.
    pub(crate) numbers: Vec<u16>,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Vec<i64>, LogError>>,
    /// Its share of the queue.
    pub(crate) room: OwnedSemaphorePermit,
}

/// A change of upkeep that waits for its turn.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) change: Change,
    pub(crate) reply: oneshot::Sender<Result<(), LogError>>,
}

/// What upkeep changes, each small enough to stand between two groups.
#[derive(Debug)]
pub(crate) enum Change {
    /// Sets a mark at the end of a topic whose records are all that old, so that they can be cut off.
    MarkEnd { topic: u16, newest_us_max: i64 },
    /// Begins the topic at a mark.
    Begin { topic: u16, seq: i64, starts: Vec<i64> },
    /// Deletes rows of a topic up to one (inclusive).
    Delete { topic: u16, up_to: i64 },
    /// Puts rows in the place of those of the same number, and deletes others.
    Replace { topic: u16, rows: Vec<Batch>, gone: Vec<i64> },
    /// Deletes the marks of a topic below a row between which no row is left.
    DeleteMarks { topic: u16, below: i64 },
}

/// The writer.
pub(crate) struct Writer {
    file: File,
    /// `None` after a failure, until the file was read again.
    connection: Option<SqliteConnection>,
    topics: Vec<Loaded>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    is_away: bool,
}

impl Writer {
    pub(crate) fn new(
        file: File,
        connection: SqliteConnection,
        topics: Vec<Loaded>,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { file, connection: Some(connection), topics, shared, clock, is_away: false }
    }

    /// Writes until it is stopped and nothing is queued, then closes the file.
    pub(crate) async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        mut orders: mpsc::Receiver<Order>,
        stop: Arc<Notify>,
    ) {
        loop {
            tokio::select! {
                biased;
                () = stop.notified() => { calls.close(); orders.close(); }
                call = calls.recv() => {
                    let Some(call) = call else { break };
                    self.group(call, &mut calls).await;
                    if let Ok(order) = orders.try_recv() {
                        self.obey(order).await;
                    }
                }
                Some(order) = orders.recv() => self.obey(order).await,
                () = tokio::time::sleep(TRIAL), if self.is_away => self.trial().await,
            }
        }
        self.shared.set_closed();
        self.shared.pool.close().await;
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the log's file did not close well");
        }
    }

    /// Commits a call and whatever has queued behind it, and answers all.
    async fn group(&mut self, first: Call, calls: &mut mpsc::Receiver<Call>) {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX
            && let Ok(call) = calls.try_recv()
        {
            bytes += call.bytes;
            group.push(call);
        }
        match self.append(&group).await {
            Ok(plan) => {
                self.shared.publish(plan.rows);
                for (call, offsets) in group.into_iter().zip(plan.offsets) {
                    drop(call.room);
                    answer(call.reply, Ok(offsets));
                }
            }
            Err(why) => group.into_iter().for_each(|call| answer(call.reply, Err(again(&why)))),
        }
    }

    async fn append(&mut self, group: &[Call]) -> Result<Plan, LogError> {
        let mut connection = self.connected().await?;
        let calls = group.iter().map(|call| (call.records.as_slice(), call.numbers.as_slice()));
        let plan = plan(calls, &mut self.topics, self.clock.now_us());
        let done = commit(&mut connection, &plan).await;
        self.done(connection, done).await?;
        self.arrived();
        Ok(plan)
    }

    async fn obey(&mut self, order: Order) {
        let done = self.change(&order.change).await;
        answer(order.reply, done);
    }

    async fn change(&mut self, change: &Change) -> Result<(), LogError> {
        let mut connection = self.connected().await?;
        let done = execute(&mut connection, change, &mut self.topics).await;
        self.done(connection, done).await?;
        match change {
            Change::Begin { topic, starts, .. } => {
                self.topics[usize::from(*topic)].starts.clone_from(starts);
                self.shared.raise_starts(*topic, starts.clone());
            }
            Change::Replace { topic, rows, gone } => self.shared.replace(*topic, rows, gone),
            Change::MarkEnd { .. } | Change::Delete { .. } | Change::DeleteMarks { .. } => {}
        }
        Ok(())
    }

    async fn trial(&mut self) {
        let Ok(mut connection) = self.connected().await else { return };
        let done = (&mut connection).execute(TRIAL_SQL).await.map(drop);
        if self.done(connection, done).await.is_ok() {
            self.arrived();
        }
    }

    /// The connection; after a failure a new one, and what the file really holds.
    async fn connected(&mut self) -> Result<SqliteConnection, LogError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let mut connection = self.file.connect().await.map_err(|error| log_error(&error))?;
        self.topics = load_all(&mut connection).await?;
        self.shared.reset(&self.topics);
        Ok(connection)
    }

    /// Keeps the connection, or after a failure gives it up with all that is remembered.
    async fn done(&mut self, connection: SqliteConnection, done: Result<(), sqlx::Error>) -> Result<(), LogError> {
        let Err(error) = done else {
            self.connection = Some(connection);
            return Ok(());
        };
        let why = log_error(&error);
        if !self.is_away {
            tracing::error!(%error, "the log cannot be written");
        }
        self.is_away = true;
        self.shared.set_away(Some(error.to_string()));
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "the failed connection did not close well");
        }
        Err(why)
    }

    /// Something was written: the log is there.
    fn arrived(&mut self) {
        if self.is_away {
            tracing::info!("the log can be written again");
            self.is_away = false;
            self.shared.set_away(None);
        }
    }
}

/// The same failure for one more caller.
fn again(failure: &LogError) -> LogError {
    match failure {
        LogError::Damaged { why } => LogError::Damaged { why: why.clone() },
        LogError::Away { why } => away(why.clone()),
        other => away(other.to_string()),
    }
}

/// Tells a caller, if it still waits.
fn answer<T>(reply: oneshot::Sender<T>, with: T) {
    if reply.send(with).is_err() {
        tracing::trace!("nobody waits for this answer of the log");
    }
}

/// Writes a group as one statement text, so that it costs one trip to the connection's thread.
async fn commit(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let insert = |table: &str, row: &str, rows: usize| {
        if rows == 0 { String::new() } else { format!("insert into {table} values {};", vec![row; rows].join(",")) }
    };
    let marks = insert("mark (id, newest_us, ends)", "(?,?,?)", plan.marks.len());
    let rows = insert("batch (id, at_us, dir, data)", "(?,?,?,?)", plan.rows.len());
    let mut query = sqlx::query(AssertSqlSafe(format!("begin immediate;{marks}{rows}commit")));
    for Mark { id, newest_us, ends } in &plan.marks {
        query = query.bind(*id).bind(*newest_us).bind(ends.clone());
    }
    for (topic, row) in &plan.rows {
        let id = base(*topic) + row.seq;
        query = query.bind(id).bind(row.at_us).bind(row.directory.encode()).bind(row.data().to_vec());
    }
    let is_common = plan.marks.is_empty() && plan.rows.len() <= PREPARED_ROWS_MAX;
    query.persistent(is_common).execute(connection).await.map(drop)
}

async fn execute(connection: &mut SqliteConnection, change: &Change, topics: &mut [Loaded]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    match change {
        Change::MarkEnd { topic, newest_us_max } => {
            let topic = &mut topics[usize::from(*topic)];
            let is_marked = topic.mark.is_none_or(|mark| mark.seq == topic.next_seq);
            if !is_marked && topic.newest_us <= *newest_us_max {
                mark_end(&mut transaction, topic).await?;
            }
        }
        Change::Begin { topic, seq, .. } => {
            let below = base(*topic) + seq;
            delete(&mut transaction, "delete from mark where id >= ? and id < ?", base(*topic), below).await?;
        }
        Change::Delete { topic, up_to } => {
            let up_to = base(*topic) + up_to;
            delete(&mut transaction, "delete from batch where id >= ? and id <= ?", base(*topic), up_to).await?;
        }
        Change::Replace { topic, rows, gone } => replace(&mut transaction, base(*topic), rows, gone).await?,
        Change::DeleteMarks { topic, below } => {
            const EMPTY: &str = "delete from mark where id >= ? and id < ? and not exists (select 1 from batch \
                where batch.id >= mark.id and batch.id < coalesce(\
                    (select min(next.id) from mark as next where next.id > mark.id), 9223372036854775807))";
            delete(&mut transaction, EMPTY, base(*topic), base(*topic) + below).await?;
        }
    }
    transaction.commit().await
}

async fn mark_end(connection: &mut SqliteConnection, topic: &mut Loaded) -> Result<(), sqlx::Error> {
    let Mark { id, newest_us, ends } = Mark::before_next(topic);
    let insert = sqlx::query("insert into mark (id, newest_us, ends) values (?, ?, ?)");
    insert.bind(id).bind(newest_us).bind(ends).execute(connection).await?;
    topic.mark = Some(LastMark { seq: topic.next_seq, first_us: None });
    Ok(())
}

async fn delete(connection: &mut SqliteConnection, sql: &'static str, from: i64, to: i64) -> Result<(), sqlx::Error> {
    sqlx::query(sql).bind(from).bind(to).execute(connection).await.map(drop)
}

async fn replace(
    connection: &mut SqliteConnection,
    base: i64,
    rows: &[Batch],
    gone: &[i64],
) -> Result<(), sqlx::Error> {
    for row in rows {
        sqlx::query("update batch set dir = ?, data = ? where id = ?")
            .bind(row.directory.encode())
            .bind(row.data().to_vec())
            .bind(base + row.seq)
            .execute(&mut *connection)
            .await?;
    }
    for seq in gone {
        sqlx::query("delete from batch where id = ?").bind(base + seq).execute(&mut *connection).await?;
    }
    Ok(())
}
