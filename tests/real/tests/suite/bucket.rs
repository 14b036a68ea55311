//! Account buckets of three processes on one Redis that is emptied, killed and started again.
//!
//! Must stay true: they measure, so each has the machine to itself; what all of them give in any second is at most the rate and one burst, whatever becomes of Redis.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_domain::ids::AccountId;
use loa_harness::turns::alone;
use loa_harness::wait::until;
use loa_harness::{Fault, say};
use loa_ports::bucket::Bucket as _;
use loa_ports::clock::{Clock, SystemClock};
use loa_real::redis::Redis;
use loa_redis::{AWAY_AFTER, LIFE, OPENS_AFTER, RedisBucket, burst};
use tokio::task::JoinSet;

const NODES: u32 = 3;
const RATE: f64 = 2_000.0;
const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// Who took how many parts, and when.
type Book = Arc<Mutex<Vec<(Duration, usize, u32)>>>;

/// Three buckets, each with its own connection.
struct Nodes {
    clock: Arc<dyn Clock>,
    account: AccountId,
    buckets: Vec<Arc<RedisBucket>>,
    book: Book,
    asking: JoinSet<()>,
    takers: JoinSet<()>,
}

impl Nodes {
    fn start(redis: &Redis) -> Result<Self, Fault> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let account = AccountId::new("carrier-a")?;
        let (mut buckets, mut asking) = (Vec::new(), JoinSet::new());
        for _ in 0..NODES {
            let bucket = Arc::new(RedisBucket::new(&redis.url(), "test:", Arc::clone(&clock))?);
            bucket.configure(&account, RATE);
            bucket.set_binds(&account, 1, NODES);
            let runs = Arc::clone(&bucket);
            asking.spawn(async move { runs.run(std::future::pending()).await });
            buckets.push(bucket);
        }
        Ok(Self { clock, account, buckets, book: Book::default(), asking, takers: JoinSet::new() })
    }

    /// Every node takes whatever it gets, as soon as it is told to look again.
    fn take_all(&mut self) {
        for (number, bucket) in self.buckets.iter().enumerate() {
            let (bucket, account) = (Arc::clone(bucket), self.account.clone());
            let (book, clock) = (Arc::clone(&self.book), Arc::clone(&self.clock));
            self.takers.spawn(async move {
                loop {
                    let taken = bucket.take(&account, 100, false);
                    if taken.parts > 0 {
                        let line = (clock.monotonic(), number, taken.parts);
                        book.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                    }
                    tokio::time::sleep(taken.wait).await;
                }
            });
        }
    }

    fn lines(&self) -> Vec<(Duration, usize, u32)> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets that much time pass and says how much of the rate was taken in it.
    async fn share_of_rate(&self, time: Duration) -> Result<f64, Fault> {
        let from = self.clock.monotonic();
        until("the time has passed", LIMIT, async || self.clock.monotonic() >= from + time).await?;
        let to = self.clock.monotonic();
        let parts: u32 = self.lines().iter().filter(|(at, ..)| (from..to).contains(at)).map(|(.., parts)| parts).sum();
        Ok(f64::from(parts) / RATE / (to - from).as_secs_f64())
    }

    /// The most parts in one second, of any second.
    fn most_in_a_second(&self) -> u32 {
        let mut lines = self.lines();
        lines.sort_unstable();
        let (mut first, mut sum, mut most) = (0, 0, 0);
        for &(at, _, parts) in &lines {
            sum += parts;
            while at - lines[first].0 >= SECOND {
                sum -= lines[first].2;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    fn within_burst(&self) {
        let (most, allowed) = (self.most_in_a_second(), RATE + burst(RATE, NODES));
        say(format!("at most {most} in a second, of {allowed} allowed"));
        assert!(f64::from(most) <= allowed, "{most} in a second, of {allowed}");
    }

    async fn all_count(&self, wanted: bool) -> Result<(), Fault> {
        let what = if wanted { "every node counts by Redis" } else { "every node goes by its share" };
        let away = |bucket: &Arc<RedisBucket>| bucket.is_away(&self.account);
        until(what, LIMIT, async || self.buckets.iter().all(|bucket| away(bucket) != wanted)).await
    }
}

async fn questions(redis: &Redis) -> Result<u64, Fault> {
    let text = redis.ask("INFO commandstats").await?;
    let calls = text.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls="));
    Ok(calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn bucket_holds_whatever_becomes_of_redis() -> Result<(), Fault> {
    let _turn = alone().await;
    let mut redis = Redis::start().await?;
    let mut nodes = Nodes::start(&redis)?;
    nodes.take_all();

    until("somebody took", LIMIT, async || !nodes.lines().is_empty()).await?;
    let share = nodes.share_of_rate(4 * SECOND).await?;
    assert!((0.9..1.05).contains(&share), "{share} of the rate");
    let of_node = |number| nodes.lines().iter().filter(|line| line.1 == number).map(|line| line.2).sum::<u32>();
    let taken = [0, 1, 2].map(of_node);
    say(format!("{share:.3} of the rate, by node {taken:?}"));
    assert!(taken.iter().all(|&parts| f64::from(parts) > RATE * 0.6), "{taken:?}: somebody starves");
    nodes.within_burst();

    for _ in 0..3 {
        redis.ask("FLUSHALL").await?;
        let share = nodes.share_of_rate(SECOND).await?;
        assert!((0.8..1.05).contains(&share), "{share} of the rate when it is emptied");
    }
    nodes.within_burst();

    redis.kill()?;
    nodes.all_count(false).await?;
    let share = nodes.share_of_rate(3 * SECOND).await?;
    say(format!("{share:.3} of the rate by shares"));
    assert!((0.8..0.93).contains(&share), "{share} of the rate by shares");
    redis.start_again().await?;
    nodes.all_count(true).await?;
    let share = nodes.share_of_rate(3 * SECOND).await?;
    say(format!("{share:.3} of the rate again"));
    assert!((0.9..1.05).contains(&share), "{share} of the rate again");
    nodes.within_burst();

    for _ in 0..3 {
        redis.kill()?;
        redis.start_again().await?;
        nodes.share_of_rate(AWAY_AFTER + OPENS_AFTER + LIFE).await?;
    }
    nodes.within_burst();
    assert!(nodes.asking.try_join_next().is_none(), "the tasks still run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs servers: make test-real"]
async fn bucket_slows_down_on_all_nodes() -> Result<(), Fault> {
    let _turn = alone().await;
    let redis = Redis::start().await?;
    let mut nodes = Nodes::start(&redis)?;
    nodes.take_all();
    nodes.share_of_rate(SECOND).await?;
    nodes.buckets[0].slow_down(&nodes.account);
    let rates = || nodes.buckets.iter().map(|bucket| bucket.rate(&nodes.account) / RATE).collect::<Vec<_>>();
    until("every node is slower", LIMIT, async || rates().iter().all(|&rate| rate < 0.6)).await?;
    nodes.buckets[1].slow_down(&nodes.account); // the same second
    let share = nodes.share_of_rate(SECOND).await?;
    // What nobody asks for in time is lost, so a busy machine takes less; nobody may take more.
    assert!((0.25..0.65).contains(&share), "{share} of the rate");
    assert!(rates().iter().all(|&rate| (0.5..0.7).contains(&rate)), "{:?}: one word", rates());
    redis.ask("FLUSHALL").await?;
    let share = nodes.share_of_rate(SECOND).await?;
    assert!((0.25..0.75).contains(&share), "{share}: what is left outlives Redis");
    until("it recovers", LIMIT, async || rates().iter().all(|&rate| rate > 0.8)).await?;
    nodes.within_burst();
    Ok(())
}

#[tokio::test]
#[ignore = "needs servers: make test-real"]
async fn bucket_asks_nothing_while_nobody_takes() -> Result<(), Fault> {
    let _turn = alone().await;
    let mut redis = Redis::start().await?;
    let mut nodes = Nodes::start(&redis)?;
    nodes.buckets[0].reach().await?;
    nodes.take_all();
    nodes.share_of_rate(SECOND).await?;
    let asked = questions(&redis).await?;
    say(format!("{asked} questions in a second of {NODES} nodes"));
    assert!((30..400).contains(&asked), "{asked} questions in a second");
    nodes.takers.shutdown().await;
    nodes.share_of_rate(SECOND).await?;
    let before = questions(&redis).await?;
    nodes.share_of_rate(2 * SECOND).await?;
    assert_eq!(questions(&redis).await?, before);
    assert!(redis.ask("PTTL test:bucket:carrier-a").await?.starts_with(":5"), "the cell goes by itself");
    redis.kill()?;
    assert!(nodes.buckets[0].reach().await.is_err());
    Ok(())
}
