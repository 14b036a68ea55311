//! Nodes that share a shelf and no folder: what one made the others use, and nothing half made is ever used.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use loa_ports::audience::{Kept, KeptFile};
use sha2::{Digest as _, Sha256};

use super::freezing::{chunks, inputs, variant};
use super::*;

const DAY_US: i64 = 24 * 3_600 * 1_000_000;
const PEOPLE: &str =
    "account_id,msisdn,email\nA1,0912345601,a1@example.test\nA2,0912345602,\nA3,0912345603,\nA4,khong,\n";

/// A shelf in memory that can fail to take.
#[derive(Debug, Default)]
struct OneShelf {
    kept: Mutex<BTreeMap<Artefact, BTreeMap<String, Vec<u8>>>>,
    is_away: AtomicBool,
}

impl OneShelf {
    fn has(&self) -> Vec<String> {
        let name = |what: &Artefact| format!("{}/{}", what.kind(), what.id().as_u128());
        self.kept.lock().unwrap().keys().map(name).collect()
    }
}

impl Shelf for OneShelf {
    fn put(&self, what: Artefact, from: &Path) -> Result<(), DatasetError> {
        if self.is_away.load(Ordering::Relaxed) {
            let source = std::io::Error::other("nobody there");
            return Err(DatasetError::Storage { doing: "store it".to_owned(), source });
        }
        let paths: Vec<PathBuf> = match what.is_file() {
            true => vec![from.to_owned()],
            false => fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect(),
        };
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let files = paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect();
        self.kept.lock().unwrap().insert(what, files);
        Ok(())
    }

    fn find(&self, what: Artefact) -> Result<Option<Kept>, DatasetError> {
        let file = |(name, content): (&String, &Vec<u8>)| KeptFile {
            name: name.clone(),
            bytes: content.len() as u64,
            sha256: Sha256::digest(content).into(),
        };
        let kept = self.kept.lock().unwrap();
        Ok(kept.get(&what).map(|files| Kept { files: files.iter().map(file).collect() }))
    }

    fn get(&self, what: Artefact, _: &Kept, into: &Path) -> Result<(), DatasetError> {
        let kept = self.kept.lock().unwrap();
        kept[&what].iter().for_each(|(name, content)| fs::write(into.join(name), content).unwrap());
        Ok(())
    }

    fn remove(&self, what: Artefact) -> Result<(), DatasetError> {
        self.kept.lock().unwrap().remove(&what);
        Ok(())
    }

    fn list(&self) -> Result<Vec<(Artefact, i64)>, DatasetError> {
        Ok(self.kept.lock().unwrap().keys().map(|what| (*what, 0)).collect())
    }
}

fn node(shelf: &Arc<OneShelf>) -> Engine {
    let Engine { datasets, directory } = Engine::new();
    Engine { datasets: datasets.with_shelf(Arc::clone(shelf) as _), directory }
}

fn texts() -> FreezeInputs {
    inputs("has mobile", vec![variant(0, loa_domain::channel::Channel::Sms, "Chao ba con")])
}

#[test]
fn each_step_is_done_by_another_node() {
    let shelf = Arc::default();
    let nodes: Vec<Engine> = (0..5).map(|_| node(&shelf)).collect();
    nodes[0].spool(1, PEOPLE.as_bytes());
    assert_eq!(shelf.has(), ["spool/1"]);
    nodes[1].datasets.import(&job(1, None), &Always).unwrap();
    assert_eq!(shelf.has(), ["versions/1", "rejects/1"]);
    assert_eq!(nodes[2].count(1, "has mobile").selected, 3);
    assert!(nodes[2].rejects(1).contains("A4"));
    let manifest = nodes[3].freeze(&texts(), &Suppressed::default());
    let found = chunks(&nodes[4], 0);

    let alone = Engine::new();
    alone.import(1, None, PEOPLE).unwrap();
    assert_eq!(alone.freeze(&texts(), &Suppressed::default()), manifest);
    assert_eq!(chunks(&alone, 0), found);
    assert!(!found.is_empty());

    // A delta on a node that has not seen its base.
    nodes[4].spool(2, b"account_id,msisdn\nA5,0912345605\n");
    nodes[0].datasets.import(&job(2, Some(1)), &Always).unwrap();
    assert_eq!(nodes[1].count(2, "has mobile").selected, 4);
}

#[test]
fn what_nobody_was_told_of_is_not_used() {
    let shelf: Arc<OneShelf> = Arc::default();
    let (one, two) = (node(&shelf), node(&shelf));
    // The first node makes the version and cannot give it; the second does it under another number.
    one.spool(1, PEOPLE.as_bytes());
    shelf.is_away.store(true, Ordering::Relaxed);
    let away = one.datasets.import(&job(1, None), &Always).unwrap_err();
    assert!(matches!(away, DatasetError::Storage { .. }), "{away}");
    shelf.is_away.store(false, Ordering::Relaxed);
    assert_eq!(shelf.has(), ["spool/1"]);
    two.datasets.import(&ImportJob { version: 9, ..job(1, None) }, &Always).unwrap();
    let number = |engine: &Engine| {
        let layout = &engine.datasets.layout;
        manifest::VersionManifest::read(&layout.version(Uuid::from_u128(1))).unwrap().unwrap().version
    };
    assert_eq!((number(&one), number(&two)), (1, 9));
    assert_eq!(one.count(1, "has mobile").selected, 3);
    assert_eq!(number(&one), 9, "the shelf's own is used");
    // Repeated, it answers as before, and leaves what is kept.
    two.datasets.import(&ImportJob { version: 9, ..job(1, None) }, &Always).unwrap();
    assert_eq!(one.files().into_iter().filter(|file| file.starts_with("tmp")).count(), 0);
}

#[test]
fn what_is_refused_leaves_its_rejects_for_all() {
    let shelf: Arc<OneShelf> = Arc::default();
    let (one, two) = (node(&shelf), node(&shelf));
    one.spool(1, b"account_id,msisdn\nA1,khong\n");
    two.datasets.import(&job(1, None), &Always).unwrap_err();
    assert_eq!(shelf.has(), ["rejects/1"]);
    assert!(one.rejects(1).contains("A1"));
    // What is wrong with the file is told, whatever else goes wrong.
    one.spool(2, b"account_id,msisdn\nA1,khong\n");
    shelf.is_away.store(true, Ordering::Relaxed);
    let refused = two.datasets.import(&job(2, None), &Always).unwrap_err();
    assert!(matches!(refused, DatasetError::Refused { .. }), "{refused}");
    let missing = one.datasets.count(Uuid::from_u128(1), &"has mobile".parse().unwrap()).unwrap_err();
    assert!(matches!(missing, DatasetError::Missing { .. }), "{missing}");
}

#[test]
fn what_stopped_goes_on_elsewhere() {
    let shelf = Arc::default();
    let (one, two) = (node(&shelf), node(&shelf));
    one.spool(1, PEOPLE.as_bytes());
    let stopped = two.datasets.import(&job(1, None), &StopAt(AtomicU64::new(1))).unwrap_err();
    assert!(matches!(stopped, DatasetError::Stopped), "{stopped}");
    assert_eq!(shelf.has(), ["spool/1"]);
    assert_eq!(one.datasets.import(&job(1, None), &Always).unwrap().rows, 3);
}

#[test]
fn what_is_thrown_away_or_swept_goes_from_the_shelf_too() {
    let shelf: Arc<OneShelf> = Arc::default();
    let (one, two) = (node(&shelf), node(&shelf));
    one.import(1, None, PEOPLE).unwrap();
    one.freeze(&texts(), &Suppressed::default());
    two.datasets.discard_freeze(FreezeId(Uuid::from_u128(77))).unwrap();
    assert_eq!(shelf.has(), ["versions/1", "rejects/1"]);
    let sweep = |imports: Vec<Uuid>, now_us| {
        sweep::sweep_shelf(shelf.as_ref(), &Needed { imports, freezes: Vec::new() }, now_us).unwrap()
    };
    assert_eq!(sweep(vec![Uuid::from_u128(1)], 2 * DAY_US), 0, "needed");
    assert_eq!(sweep(Vec::new(), DAY_US), 0, "not older than a day");
    assert_eq!(sweep(Vec::new(), DAY_US + 1), 2);
    assert_eq!(two.datasets.sweep(&Needed::default()).unwrap(), 0);
}
