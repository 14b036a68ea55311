//! Figures of runs, as they are kept in target/bench/NAME.json (NAME-real.json on servers of others).

use std::path::PathBuf;

use loa_harness::Fault;
use serde::Serialize;

use crate::world::On;

/// What one step of one run took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// Messages, rows or people.
    pub(crate) n: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) cpu_us_per_message: Cpu,
    /// Of the Loa process at its highest.
    pub(crate) rss_mib_peak: u64,
    /// The engine alone in the same run (texts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<Raw>,
    /// How long messages waited, where that is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<Waits>,
    /// The goal, and whether this run met it.
    pub(crate) goal: &'static str,
    pub(crate) met: bool,
}

/// Milliseconds from acceptance to the sink.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Waits {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) longest_ms: f64,
}

impl Waits {
    /// Of waits in microseconds, at least one.
    #[allow(clippy::cast_precision_loss, reason = "waits are far below 2^52 µs")]
    pub(crate) fn of(mut waits_us: Vec<u64>) -> Option<Self> {
        waits_us.sort_unstable();
        let at = |per_cent: usize| {
            Some(*waits_us.get((waits_us.len() * per_cent / 100).min(waits_us.len() - 1))? as f64 / 1e3)
        };
        if waits_us.is_empty() {
            return None;
        }
        Some(Self { p50_ms: at(50)?, p99_ms: at(99)?, longest_ms: at(100)? })
    }
}

/// The engine without claims, ledger and log.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Raw {
    pub(crate) per_second: f64,
}

/// User and system time per message, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cpu {
    pub(crate) loa: f64,
    /// The simulated carrier or mail server.
    pub(crate) sink: Option<f64>,
    /// Brokers, databases and Redis, where they are processes of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<f64>,
}

/// The file.
#[derive(Debug, Serialize)]
struct File<'a> {
    schema: u32,
    commit: String,
    at: String,
    machine: String,
    parts: &'static str,
    /// Keys of the configuration that differ from what is measured by default, KEY=VALUE.
    settings: &'a [String],
    /// The median of the runs by rate, of each step.
    median: Vec<&'a Figure>,
    runs: &'a [Figure],
}

/// Writes target/bench/NAME.json and tells the medians.
pub(crate) fn write(name: &str, on: On, settings: &[String], runs: &[Figure]) -> Result<(), Fault> {
    let mut names: Vec<_> = runs.iter().map(|figure| figure.name).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    let median: Vec<_> = names.iter().filter_map(|name| median(runs, name)).collect();
    for figure in &median {
        loa_harness::say(format!(
            "{:<12} {:>9} in {:>7.2} s  {:>9.0}/s  {:>7.2} µs CPU each{}  {:>4} MiB  goal {}: {}",
            figure.name,
            figure.n,
            figure.seconds,
            figure.per_second,
            figure.cpu_us_per_message.loa,
            figure.cpu_us_per_message.parts.map(|cpu| format!(" (servers {cpu:.1})")).unwrap_or_default(),
            figure.rss_mib_peak,
            figure.goal,
            if figure.met { "met" } else { "not met" }
        ));
        if let Some(Waits { p50_ms, p99_ms, longest_ms }) = figure.wait {
            loa_harness::say(format!(
                "{:12} waited p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, longest {longest_ms:.1} ms",
                ""
            ));
        }
    }
    let file =
        File { schema: 1, commit: commit(), at: date(), machine: machine(), parts: on.name(), settings, median, runs };
    let folder = PathBuf::from("target/bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(match on {
        On::Embedded => format!("{name}.json"),
        On::Real => format!("{name}-{}.json", on.name()),
    });
    std::fs::write(&path, serde_json::to_string_pretty(&file)?)?;
    loa_harness::say(format!("{}", path.display()));
    Ok(())
}

fn median<'a>(runs: &'a [Figure], name: &str) -> Option<&'a Figure> {
    let mut of_name: Vec<_> = runs.iter().filter(|figure| figure.name == name).collect();
    of_name.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    of_name.get(of_name.len() / 2).copied()
}

fn command(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn commit() -> String {
    command("git", &["rev-parse", "--short", "HEAD"])
}

fn date() -> String {
    command("date", &["--iso-8601=seconds"])
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", command("uname", &["-sm"]))
}
