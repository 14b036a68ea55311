//! Subscriber files, as they are streamed into the importer.

use std::cell::RefCell;
use std::sync::Arc;

use loa_domain::hash::HashKey;
use loa_parquet::ParquetDatasets;
use loa_ports::audience::{DatasetError, Datasets, ImportJob, Progress, Watch};
use loa_ports::clock::SystemClock;
use loa_sim::people::People;
use uuid::Uuid;

use super::{class, kind, texts, told};

struct Engine {
    datasets: ParquetDatasets,
    _folder: tempfile::TempDir,
    imports: u128,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

struct GoOn;

impl Watch for GoOn {
    fn go_on(&self, _: Progress) -> bool {
        true
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut file = Vec::new();
    let people = People { seed: 3, count: 3, bad_rows: 24 };
    if people.write(&mut file).is_err() {
        file.clear();
    }
    let mut seeds = texts(&[
        "account_id,msisdn,email\nA1,0912345678,lan@example.test\nA2,,x@example.test\n",
        "\u{feff}account_id;msisdn\r\nA1;0912345678\r\n",
        "account_id\tmsisdn\nA1\t\"0912345678\"\n",
        "account_id,msisdn,msisdn\n",
        "msisdn\n0912345678\n",
        "",
    ]);
    seeds.push(file);
    seeds
}

/// rows = accepted + rejected + duplicates, or a refusal that names every fault with its cure and leaves nothing behind.
pub(crate) fn run(input: &[u8]) -> u64 {
    ENGINE.with_borrow_mut(|engine| {
        let engine = engine.get_or_insert_with(make);
        engine.imports += 1;
        let import_id = Uuid::from_u128(engine.imports);
        let mut spool = engine.datasets.spool(import_id).expect("a spool");
        spool.write(input).expect("room on the disk");
        spool.finish().expect("room on the disk");
        let job = ImportJob { import_id, dataset: "fuzz".to_owned(), version: 1, synthetic: true, base: None };
        match engine.datasets.import(&job, &GoOn) {
            Ok(imported) => {
                let report = &imported.report;
                let sum = report.accepted + report.rejected + report.duplicates;
                assert_eq!(report.rows, sum, "rows are lost or made up: {report:?}");
                let reasons: Vec<_> = report.reasons.iter().map(|reason| reason.reason.clone()).collect();
                told((reasons, class(usize::try_from(report.accepted).unwrap_or(0)), report.duplicates > 0))
            }
            Err(DatasetError::Refused { faults }) => {
                assert!(faults.iter().all(|fault| !fault.problem.is_empty()), "a refusal without a cure");
                told(faults.iter().map(|fault| kind(&fault.problem)).collect::<Vec<_>>())
            }
            Err(error) => panic!("neither taken nor refused: {error}"),
        }
    })
}

fn make() -> Engine {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let clock = Arc::new(SystemClock::new());
    let datasets = ParquetDatasets::open(folder.path(), HashKey::new([3; 16]), 1, clock).expect("a fresh folder");
    Engine { datasets, _folder: folder, imports: 0 }
}
