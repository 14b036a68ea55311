//! Prints how fast this machine imports, counts and freezes: `cargo run --release -p loa-parquet --example rates -- 2000000`.
//!
//! The file has the columns and the shape of a subscriber file; a tenth of the freeze's people share addresses.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::unwrap_used, reason = "a measurement that fails shall say so")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::{Channel, Class};
use loa_domain::hash::{AddressHash, HashKey};
use loa_domain::ids::{CampaignId, FreezeId, Shard};
use loa_parquet::ParquetDatasets;
use loa_ports::audience::{Datasets, FreezeInputs, ImportJob, Progress, Route, Router, Suppressions, Watch};
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::store::StoreError;
use uuid::Uuid;

const HEADER: &str = "account_id,msisdn,email,service,payment,customer_kind,commune_code,age_band,language,smartphone,consent_ads,dnc,\
                      tags,slots.danh_xung,slots.ten\n";

struct Always;

impl Watch for Always {
    fn go_on(&self, _: Progress) -> bool {
        true
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
    let bytes = spool(&datasets, import_id, rows);
    println!("{rows} rows, {} MB, {threads} threads", bytes / 1_000_000);

    let job = ImportJob { import_id, dataset: "rates".to_owned(), version: 1, synthetic: true, base: None };
    let (imported, took) = timed(&*clock, || datasets.import(&job, &Always).unwrap());
    let report = &imported.report;
    println!("import   {:>10.0} rows/s  {took:?}  {report:?}", per_second(rows, took));

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

/// Writes the file without holding it.
fn spool(datasets: &ParquetDatasets, import_id: Uuid, rows: u64) -> u64 {
    let mut spool = datasets.spool(import_id).unwrap();
    let communes = ["28777", "29110", "29167", "28756", "29182", "28901"];
    let ages = ["18-24", "25-34", "35-44", "45-59", "60-69", "70+"];
    let names = ["Lan", "An", "Hương", "Dũng", "Phượng", "Y", "Tuyết", "Khoa"];
    let mut block = HEADER.as_bytes().to_vec();
    for row in 0..rows {
        let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
        let pick = |list: &[&'static str], shift: u32| list[usize::try_from(mixed >> shift).unwrap() % list.len()];
        let number = 910_000_000 + row % (rows * 9 / 10).clamp(1, 9_999_999);
        let email = if mixed % 5 == 0 { format!("p{row}@example.test") } else { String::new() };
        writeln!(
            block,
            "BT{row:08},0{number},{email},mobile,prepaid,person,{},{},vi,yes,none,none,{},chị,{}",
            pick(&communes, 3),
            pick(&ages, 7),
            pick(&["", "", "dua", "dua|tom"], 11),
            pick(&names, 17)
        )
        .unwrap();
        if block.len() > 1_000_000 {
            spool.write(&block).unwrap();
            block.clear();
        }
    }
    spool.write(&block).unwrap();
    spool.finish().unwrap()
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

/// The most memory this process had, as Linux tells it.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
