//! The engine from file to chunks: bad input as a table, the arithmetic laws as properties against a naive model.

mod delta;
mod freezing;
mod importing;
mod model;
mod nodes;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use loa_domain::hash::AddressHash;
use loa_domain::ids::Shard;
use loa_ports::audience::{Imported, Progress, Stage};
use loa_ports::clock::SystemClock;
use loa_ports::store::StoreError;
use tempfile::TempDir;

use super::*;

pub(crate) fn key() -> HashKey {
    HashKey::new([3; 16])
}

/// An engine over a directory that goes with it.
pub(crate) struct Engine {
    pub(crate) datasets: ParquetDatasets,
    pub(crate) directory: TempDir,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let datasets = ParquetDatasets::open(directory.path(), key(), 2, Arc::new(SystemClock::new())).unwrap();
        Self { datasets, directory }
    }

    pub(crate) fn spool(&self, id: u128, bytes: &[u8]) {
        let mut spool = self.datasets.spool(Uuid::from_u128(id)).unwrap();
        bytes.chunks(1_000).for_each(|piece| spool.write(piece).unwrap());
        assert_eq!(spool.finish().unwrap(), bytes.len() as u64);
    }

    pub(crate) fn import(
        &self,
        id: u128,
        base: Option<u128>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<Imported, DatasetError> {
        self.spool(id, bytes.as_ref());
        self.datasets.import(&job(id, base), &Always)
    }

    /// Freezes, in the place of an earlier freeze of the same id.
    pub(crate) fn freeze(&self, inputs: &FreezeInputs, suppressed: &Suppressed) -> pb::Manifest {
        self.datasets.discard_freeze(inputs.freeze).unwrap();
        self.datasets.freeze(inputs, suppressed, &Always).unwrap()
    }

    pub(crate) fn rejects(&self, id: u128) -> String {
        let mut text = Vec::new();
        let piece = &mut |bytes: Bytes| {
            text.extend_from_slice(&bytes);
            true
        };
        self.datasets.read_rejects(Uuid::from_u128(id), piece).unwrap();
        String::from_utf8(text).unwrap()
    }

    pub(crate) fn count(&self, id: u128, rule: &str) -> Counts {
        self.datasets.count(Uuid::from_u128(id), &rule.parse().unwrap()).unwrap()
    }

    /// Everything there is, for "nothing is left behind".
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for kind in ["spool", "versions", "rejects", "freezes", "tmp"] {
            let entries = std::fs::read_dir(self.directory.path().join(kind)).unwrap();
            found.extend(entries.map(|entry| format!("{kind}/{}", entry.unwrap().file_name().display())));
        }
        found.sort();
        found
    }
}

pub(crate) fn job(id: u128, base: Option<u128>) -> ImportJob {
    let version = u32::try_from(id).unwrap();
    let (import_id, base) = (Uuid::from_u128(id), base.map(Uuid::from_u128));
    ImportJob { import_id, dataset: "ben-tre".to_owned(), version, synthetic: true, base }
}

/// Lets every job go on.
pub(crate) struct Always;

impl Watch for Always {
    fn go_on(&self, _: Progress) -> bool {
        true
    }
}

/// Stops a job at the n-th look.
pub(crate) struct StopAt(pub(crate) AtomicU64);

impl Watch for StopAt {
    fn go_on(&self, _: Progress) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 1
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<Progress>>);

impl Watch for Told {
    fn go_on(&self, progress: Progress) -> bool {
        self.0.lock().unwrap().push(progress);
        true
    }
}

/// These numbers are suppressed.
#[derive(Default)]
pub(crate) struct Suppressed(pub(crate) Vec<u64>);

impl Suppressions for Suppressed {
    fn of_shard(&self, shard: Shard) -> Result<Vec<AddressHash>, StoreError> {
        let hashes = self.0.iter().map(|number| key().number(*number));
        let mut hashes: Vec<AddressHash> = hashes.filter(|hash| hash.shard() == shard).collect();
        hashes.sort_unstable();
        Ok(hashes)
    }
}

#[test]
fn a_stage_has_a_word_for_people() {
    let stages = [Stage::Waiting, Stage::Reading, Stage::Writing, Stage::Selecting, Stage::Cutting];
    assert_eq!(stages.map(Stage::name), ["waiting", "reading", "writing", "selecting", "cutting"]);
}
