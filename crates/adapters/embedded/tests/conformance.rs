//! The embedded log does what every log must do.

use std::sync::Arc;

use loa_embedded::{EmbeddedLog, Options};
use loa_testkit::FakeClock;
use loa_testkit::suites::log::{LogUnderTest, log_holds};

async fn make(options: Options) -> LogUnderTest {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = FakeClock::new();
    let compaction_lag = options.compaction_lag;
    let log =
        EmbeddedLog::open(&directory.path().join("log.db"), clock.clone(), options).await.expect("a new log opens");
    LogUnderTest { log: Arc::new(log), clock, compaction_lag, keeps: Box::new(directory) }
}

#[tokio::test]
async fn one_thread() {
    log_holds(async || make(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_threads() {
    log_holds(async || make(Options::default()).await).await;
}

/// Every read goes to the file, as for readers that are behind.
#[tokio::test]
async fn nothing_in_memory() {
    log_holds(async || make(Options { recent_bytes_max: 0, ..Options::default() }).await).await;
}

/// Readers go from the file to memory and fall back again.
#[tokio::test]
async fn little_in_memory() {
    log_holds(async || make(Options { recent_bytes_max: 2_000, ..Options::default() }).await).await;
}
