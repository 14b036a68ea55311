//! Prints how fast this machine imports, counts and freezes: `cargo run --release -p loa-parquet --example rates -- 2000000`.
//!
//! The file is the one that `loa sim people` writes. The import is told by its phases: the spool with its sync, reading the
//! rows, writing the buckets with theirs.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::unwrap_used, reason = "a measurement that fails shall say so")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::{Channel, Class};
use loa_domain::hash::{AddressHash, HashKey};
use loa_domain::ids::{CampaignId, FreezeId, Shard};
use loa_parquet::ParquetDatasets;
use loa_ports::audience::{Datasets, FreezeInputs, ImportJob, Progress, Route, Router, Stage, Suppressions, Watch};
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::store::StoreError;
use loa_sim::people::People;
use uuid::Uuid;

/// Bytes of one piece of an upload.
const PIECE_BYTES: usize = 256 * 1024;

struct Always;

impl Watch for Always {
    fn go_on(&self, _: Progress) -> bool {
        true
    }
}

/// Notes when reading ended and writing began.
struct Phases<'a> {
    clock: &'a dyn Clock,
    written_from: Mutex<Option<Spent>>,
}

impl Watch for Phases<'_> {
    fn go_on(&self, progress: Progress) -> bool {
        if progress.stage == Stage::Writing {
            self.written_from.lock().unwrap().get_or_insert_with(|| Spent::now(self.clock));
        }
        true
    }
}

/// The clock's time and this process's CPU time.
#[derive(Clone, Copy)]
struct Spent {
    at: Duration,
    cpu: Duration,
}

impl Spent {
    fn now(clock: &dyn Clock) -> Self {
        Self { at: clock.monotonic(), cpu: cpu() }
    }

    fn tell(name: &str, rows: u64, from: Self, to: Self) {
        let (took, cpu) = (to.at - from.at, to.cpu - from.cpu);
        let each = 1e6 / per_second(rows, cpu);
        println!("{name:<8} {:>10.0} rows/s  {took:.3?}  {each:.2} µs CPU a row", per_second(rows, took));
    }
}

/// A twentieth of the hash space.
struct SomeSuppressed;

impl Suppressions for SomeSuppressed {
    fn of_shard(&self, shard: Shard) -> Result<Vec<AddressHash>, StoreError> {
        let start = u64::from(shard.number()) << 58;
        Ok((0..50_000).map(|number| AddressHash(start | number << 40)).collect())
    }
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |rows| rows.parse().expect("the number of rows"));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let datasets = ParquetDatasets::open(directory.path(), HashKey::new([1; 16]), threads, clock.clone()).unwrap();
    let import_id = Uuid::from_u128(1);
    let mut file = Vec::new();
    People { seed: 1, count: rows, bad_rows: 0 }.write(&mut file).unwrap();
    println!("{rows} rows, {} MB, {threads} threads", file.len() / 1_000_000);

    let started = Spent::now(&*clock);
    let mut spool = datasets.spool(import_id).unwrap();
    file.chunks(PIECE_BYTES).for_each(|piece| spool.write(piece).unwrap());
    spool.finish().unwrap();
    drop(file);
    let spooled = Spent::now(&*clock);
    Spent::tell("spool", rows, started, spooled);
    let job = ImportJob { import_id, dataset: "rates".to_owned(), version: 1, synthetic: true, base: None };
    let phases = Phases { clock: &*clock, written_from: Mutex::new(None) };
    let imported = datasets.import(&job, &phases).unwrap();
    let written = Spent::now(&*clock);
    let read = phases.written_from.into_inner().unwrap().unwrap();
    Spent::tell("read", rows, spooled, read);
    Spent::tell("write", rows, read, written);
    Spent::tell("import", rows, spooled, written);
    println!("{:?}", imported.report);

    let rule = "commune in district(\"Ba Tri\") and age in 18..60 and has mobile".parse().unwrap();
    let (counts, took) = timed(&*clock, || datasets.count(import_id, &rule).unwrap());
    println!("count    {:>10.0} rows/s  {took:?}  {counts:?}", per_second(rows, took));

    for (name, text) in [
        ("constant", "Ben Tre chuyen doi so vi nguoi dan"),
        ("named", "Kính gửi {danh_xung} {ten}: nộp hồ sơ trực tuyến, không cần xếp hàng"),
    ] {
        let inputs = inputs(import_id, text);
        let (manifest, took) = timed(&*clock, || datasets.freeze(&inputs, &SomeSuppressed, &Always).unwrap());
        let variant = &manifest.variants[0];
        println!(
            "freeze   {:>10.0} people/s  {took:?}  {name}: frozen {} in {} chunks, excluded {:?}",
            per_second(manifest.selected, took),
            variant.frozen,
            variant.chunks,
            variant.excluded
        );
    }
    println!("peak memory {} MiB", peak_mib());
}

fn inputs(import_id: Uuid, text: &str) -> FreezeInputs {
    let route = |account: &str| Route {
        account: account.to_owned(),
        channel: Channel::Sms,
        prefixes: vec![],
        domains: vec![],
        simulator: true,
        parts_max: 10,
    };
    FreezeInputs {
        freeze: FreezeId(Uuid::new_v4()),
        campaign: CampaignId(Uuid::new_v4()),
        campaign_version: 1,
        dataset: "rates".to_owned(),
        dataset_version: 1,
        import_id,
        rule: "has mobile".parse().unwrap(),
        class: Class::PublicInformation,
        unit_code: String::new(),
        topic: String::new(),
        variants: vec![pb::FreezeVariant { channel: 1, text: text.to_owned(), ..Default::default() }],
        suppression_position: 0,
        router: Router::new(vec![route("a"), route("b")]),
        respect_dnc_for_public: true,
    }
}

fn timed<T>(clock: &dyn Clock, work: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock.monotonic();
    let result = work();
    (result, clock.monotonic() - start)
}

fn per_second(count: u64, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

/// CPU time of this process, as Linux tells it in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// The most memory this process had, as Linux tells it.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
