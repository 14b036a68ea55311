//! `loa dev` costs nearly nothing while nothing is asked of it, and is ready soon on an empty folder. On the binary alone:
//! processor and memory are counted by process.

use std::time::Duration;

use loa_harness::process::{Process, Start};
use loa_harness::turns::alone;
use loa_harness::{TestResult, say, usage, wait_for};
use loa_ports::clock::{Clock as _, SystemClock};

const READY: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_secs(30);
const MEASURED: Duration = Duration::from_secs(60);
/// Of one core.
const SHARE_MAX: f64 = 0.01;
const MEMORY_KIB_MAX: u64 = 150 * 1024;

fn start(folder: &std::path::Path) -> Start {
    Start {
        data: folder.join("data"),
        output: folder.join("output"),
        settings: Vec::new(),
        arguments: Vec::new(),
        roles: Vec::new(),
        ca: None,
        fills_disk: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_soon_and_at_rest_it_costs_nearly_nothing() -> TestResult {
    let turn = alone().await;
    let folder = tempfile::tempdir()?;
    let clock = SystemClock::new();
    let mut loa = Process::start(start(folder.path())).await?;
    let took = clock.monotonic();
    say(format!("ready after {took:?}"));
    assert!(took <= READY, "ready only after {took:?}");

    // Times of a processor are counted by process: others may run from here on.
    let _turn = turn.downgrade();
    let passed = async |limit: Duration| {
        let since = clock.monotonic();
        wait_for("time at rest", limit * 2, async || Ok((clock.monotonic() - since >= limit).then_some(()))).await
    };
    passed(REST).await?;
    let (before, since) = (usage::cpu(loa.pid())?, clock.monotonic());
    passed(MEASURED).await?;
    let share = (usage::cpu(loa.pid())? - before).as_secs_f64() / (clock.monotonic() - since).as_secs_f64();
    let memory_kib = usage::memory_kib(loa.pid(), "VmRSS")?;
    say(format!("at rest: {:.2} % of a core, {} MiB", share * 100.0, memory_kib / 1024));
    assert!(share < SHARE_MAX, "{:.2} % of a core at rest", share * 100.0);
    assert!(memory_kib <= MEMORY_KIB_MAX, "{} MiB at rest", memory_kib / 1024);
    assert!(loa.stop().await?.success());
    Ok(())
}
