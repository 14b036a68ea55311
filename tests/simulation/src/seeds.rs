//! Many seeds, each in a process of its own, as many at a time as the machine has processors.
//!
//! Must stay true: a seed that does not come to its end fails like any other.

use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loa_ports::clock::{Clock as _, SystemClock};

/// A seed of this many seconds does not come to its end. Seconds in which this program itself stood still do not count.
const SEED_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// No more than this counts between two looks: a program that stood still, since a person stopped it, saw nothing.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// After so many failures the rest is not run.
const FAILURES_MAX: usize = 10;
const TELL_EVERY: u64 = 1_000;

fn start(seed: u64, log: bool) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["inside", &seed.to_string()]).env("LOA_SIMULATION_SEED", seed.to_string());
    if log {
        command.arg("log");
    } else {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    command.spawn()
}

/// Runs one seed and shows what it says.
pub(crate) fn one(seed: u64, log: bool) -> ExitCode {
    match run(seed, log) {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(said) => {
            print!("{said}");
            ExitCode::FAILURE
        }
    }
}

/// What the seed said, or what it said when it failed.
fn run(seed: u64, log: bool) -> Result<String, String> {
    let (clock, mut looked, mut waited) = (SystemClock::new(), Duration::ZERO, Duration::ZERO);
    let mut child = start(seed, log).map_err(|error| format!("seed {seed} could not be started: {error}\n"))?;
    while !log && matches!(child.try_wait(), Ok(None)) {
        let now = clock.monotonic();
        waited += now.saturating_sub(looked).min(LOOK_MAX);
        looked = now;
        if waited > SEED_MAX {
            // It may have ended just now.
            child.kill().unwrap_or_default();
            return Err(format!("seed {seed} does not come to its end\n"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let output = child.wait_with_output().map_err(|error| format!("seed {seed}: {error}\n"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{said}seed {seed} failed ({})\n", output.status)),
    }
}

/// Runs seeds and tells of those that fail.
pub(crate) fn many(first: u64, count: u64) -> ExitCode {
    let (next, done, failed) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(Vec::new()));
    let clock = SystemClock::new();
    let failures = || failed.lock().map_or(0, |failed: std::sync::MutexGuard<'_, Vec<u64>>| failed.len());
    let rate = |done: u64| {
        #[allow(clippy::cast_precision_loss, reason = "for people to read")]
        let done = done as f64;
        done / clock.monotonic().as_secs_f64().max(0.001)
    };
    let work = || {
        while failures() < FAILURES_MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            if let Err(said) = run(seed, false) {
                println!("{said}  run it alone: cargo run -p loa-simulation -- seed {seed} log");
                if let Ok(mut failed) = failed.lock() {
                    failed.push(seed);
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(TELL_EVERY) {
                println!("{done} seeds, {:.0} a second, {} failed", rate(done), failures());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let done = done.into_inner();
    println!("{done} seeds from {first}, {:.0} a second, {} failed", rate(done), failures());
    ExitCode::from(u8::from(failures() > 0))
}
