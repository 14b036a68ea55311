//! Every store on PostgreSQL: the suites that hold on SQLite, and what only a server can show.
//!
//! Must stay true: what a COMMIT has answered is there after a kill -9; a handle goes on by itself once the server is back.

#[path = "../../../../crates/adapters/store/tests/conformance/mod.rs"]
mod conformance;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conformance::{Make, base, claims, dispatch, report, worlds};
use loa_harness::turns::beside_others;
use loa_harness::{TestResult, fault, say, wait_for};
use loa_ports::lease::Leases as _;
use loa_ports::store::{Outbox as _, OutboxRecord, StoreError};
use loa_real::postgres::Postgres;
use loa_store::{Db, SqlLeases, SqlOutbox, put_outbox, sql};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Who commits while the server is killed.
const WRITERS: i64 = 6;
/// Kills in a row.
const KILLS: usize = 3;
/// Commits between two kills, at least.
const COMMITS_BETWEEN: usize = 200;
/// How long a handle may need to go on after the server is back.
const LIMIT: Duration = Duration::from_secs(30);

/// Databases of one server.
struct Databases {
    server: Postgres,
    made: AtomicU32,
}

impl Databases {
    async fn start() -> TestResult<Self> {
        Ok(Self { server: Postgres::start().await?, made: AtomicU32::new(0) })
    }

    fn fresh(&self) -> TestResult<String> {
        self.server.database(&format!("store_{}", self.made.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Make for Databases {
    async fn open(&self, role: &'static str) -> [Db; 2] {
        let url = self.fresh().expect("a database is made");
        let open = async || Db::open_postgres(&url, role).await.expect("a store is opened");
        [open().await, open().await]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn every_suite_holds_on_postgres() -> TestResult {
    let _turn = beside_others().await;
    let databases = Databases::start().await?;
    base::holds(&databases).await;
    worlds::leases_hold(&databases).await;
    claims::hold(&databases).await;
    dispatch::holds(&databases).await;
    report::holds(&databases).await;
    worlds::registry_holds(&databases).await;
    worlds::audience_holds(&databases).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn stores_are_opened_side_by_side_or_say_the_cure() -> TestResult {
    let _turn = beside_others().await;
    let mut databases = Databases::start().await?;
    let url = databases.fresh()?;
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        starts.spawn(async move { Db::open_postgres(&url, "sms").await });
    }
    for opened in starts.join_all().await {
        opened?.close().await;
    }

    let refused = async |url: &str, role: &str, cure: &str| {
        let error = Db::open_postgres(url, role).await.err().map(|error| error.to_string()).unwrap_or_default();
        if error.contains(cure) && !error.contains("secret") { Ok(()) } else { Err(fault(format!("{cure}: {error}"))) }
    };
    refused(&databases.server.url("nowhere"), "sms", "make the database").await?;
    refused(&url, "dispatch", "a store of its own").await?;
    refused(&url.replace("postgres@", "nobody:secret@"), "sms", "correct user or password").await?;
    refused(&format!("{url}?sslmode=require"), "sms", "correct sslmode").await?;
    databases.server.ask("postgres", "alter database store_0 set synchronous_commit = off")?;
    refused(&url, "sms", "set synchronous_commit = on").await?;
    databases.server.kill()?;
    refused(&url, "sms", "start the server").await
}

/// Whoever sees the same epoch, one takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn one_of_many_takes_a_lease() -> TestResult {
    let _turn = beside_others().await;
    const TAKERS: usize = 8;
    let databases = Databases::start().await?;
    let url = databases.fresh()?;
    let mut nodes = Vec::new();
    for _ in 0..TAKERS {
        nodes.push(SqlLeases::new(Db::open_postgres(&url, "role").await?));
    }
    nodes[0].rows("raced", 1).await?;
    for epoch in 0..50 {
        let mut takes = JoinSet::new();
        for (number, leases) in nodes.iter().cloned().enumerate() {
            takes.spawn(async move { leases.take("raced", 0, epoch, &format!("node-{number}")).await });
        }
        let taken = takes.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(taken.iter().flatten().collect::<Vec<_>>(), [&(epoch + 1)], "exactly one");
    }
    Ok(())
}

/// What became of numbered commits, by their own word.
#[derive(Debug, Default)]
struct Book {
    stored: Mutex<BTreeSet<i64>>,
    uncertain: Mutex<BTreeSet<i64>>,
    nothing: Mutex<BTreeSet<i64>>,
}

impl Book {
    fn note(&self, number: i64, result: Result<(), StoreError>) -> TestResult {
        let list = match result {
            Ok(()) => &self.stored,
            Err(StoreError::Uncertain { .. }) => &self.uncertain,
            Err(StoreError::Away { .. }) => &self.nothing,
            Err(error) => return Err(error.into()),
        };
        list.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        Ok(())
    }

    fn list(list: &Mutex<BTreeSet<i64>>) -> BTreeSet<i64> {
        list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One transaction of two rows that names its number.
async fn write(db: &Db, number: i64) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let record =
        OutboxRecord { topic: number.to_string(), partition: 0, key: vec![0; 16].into(), value: vec![7; 2_000].into() };
    put_outbox(&mut tx, 1, &[record]).await?;
    sql("insert into node (node, endpoint, beat) values ($1, '', 1)").bind(number.to_string()).execute(&mut tx).await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn what_was_acknowledged_outlives_a_kill() -> TestResult {
    let _turn = beside_others().await;
    let mut databases = Databases::start().await?;
    let db = Db::open_postgres(&databases.fresh()?, "role").await?;
    let (book, numbers, stop) = (Arc::new(Book::default()), Arc::new(AtomicI64::new(0)), CancellationToken::new());
    let mut writers: JoinSet<TestResult> = JoinSet::new();
    for _ in 0..WRITERS {
        let (db, book, numbers, stop) = (db.clone(), Arc::clone(&book), Arc::clone(&numbers), stop.clone());
        writers.spawn(async move {
            while !stop.is_cancelled() {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                book.note(number, write(&db, number).await)?;
            }
            Ok(())
        });
    }
    for kill in 0..=KILLS {
        let before = Book::list(&book.stored).len();
        let goes_on = async || Ok((Book::list(&book.stored).len() >= before + COMMITS_BETWEEN).then_some(()));
        wait_for("commits go on by themselves", LIMIT, goes_on).await?;
        if kill < KILLS {
            databases.server.kill()?;
            databases.server.start_again().await?;
        }
    }
    stop.cancel();
    for written in writers.join_all().await {
        written?;
    }

    let words: Vec<String> = sql("select topic from outbox").fetch_all(&db).await?;
    let twins: Vec<String> = sql("select node from node").fetch_all(&db).await?;
    let numbers = |texts: &[String]| texts.iter().map(|text| text.parse::<i64>()).collect::<Result<BTreeSet<_>, _>>();
    let (there, twins) = (numbers(&words)?, numbers(&twins)?);
    let [stored, uncertain, nothing] = [&book.stored, &book.uncertain, &book.nothing].map(Book::list);
    assert_eq!(there, twins, "a transaction is there as a whole");
    assert!(stored.is_subset(&there), "acknowledged and gone: {:?}", stored.difference(&there).collect::<Vec<_>>());
    assert!(there.is_disjoint(&nothing), "said to be nothing and there: {:?}", there.intersection(&nothing).next());
    let took_effect = uncertain.intersection(&there).count();
    say(format!(
        "{} commits stored, {} uncertain of which {took_effect} took effect, {} changed nothing",
        stored.len(),
        uncertain.len(),
        nothing.len()
    ));
    assert_eq!(SqlOutbox(db).outbox_left(i64::MAX, u32::MAX).await?.len(), there.len());
    Ok(())
}

/// A process that stops in the middle of a transaction does not keep the next owner waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn a_stopped_owner_holds_a_row_only_for_a_while() -> TestResult {
    let _turn = beside_others().await;
    let databases = Databases::start().await?;
    let url = databases.fresh()?;
    let (stopped, next) = (Db::open_postgres(&url, "role").await?, Db::open_postgres(&url, "role").await?);
    let leases = SqlLeases::new(next);
    leases.rows("held", 1).await?;
    let mut tx = stopped.begin().await?;
    sql("update lease set seq = seq + 1 where kind = 'held'").execute(&mut tx).await?;
    assert_eq!(leases.take("held", 0, 0, "next").await?, Some(1));
    let late = tx.commit().await;
    assert!(matches!(late, Err(StoreError::Uncertain { .. })), "{late:?}");
    let seq: i64 = sql("select seq from lease where kind = 'held'").fetch_one(&stopped).await?;
    assert_eq!(seq, 0, "what it did is undone");
    Ok(())
}
