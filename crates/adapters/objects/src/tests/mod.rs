//! The shelf over a store in memory: what is put is found whole, and what is not whole is not found.

use std::fs;

use loa_ports::audience::KeptFile;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::*;

struct World {
    runtime: Runtime,
    store: Arc<InMemory>,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            runtime: Runtime::new().unwrap(),
            store: Arc::new(InMemory::new()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn shelf(&self, prefix: &str) -> ObjectShelf {
        let keys = Keys::new(&Key::from(prefix));
        ObjectShelf { store: Arc::clone(&self.store) as _, keys, runtime: self.runtime.handle().clone() }
    }

    /// A folder of files with a name and a content each.
    fn files(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(name, content)| fs::write(folder.join(name), content).unwrap());
        folder
    }

    fn objects(&self) -> Vec<Key> {
        let objects = self.store.list(None).map(|object| object.unwrap().location).collect();
        self.runtime.block_on(objects)
    }
}

fn version(id: u128) -> Artefact {
    Artefact::Version(Uuid::from_u128(id))
}

#[test]
fn what_was_put_is_found_and_got_as_it_was() {
    let world = World::new();
    let shelf = world.shelf("ben-tre/2");
    // The second is stored in three parts, the last of them short.
    let large: Vec<u8> = (0..(17 << 20) + 3).map(|at: u32| at.to_le_bytes()[at as usize % 3]).collect();
    let from = world.files("made", &[("manifest.json", b"{}"), ("00.parquet", &large), ("01.parquet", b"")]);
    shelf.put(version(1), &from).unwrap();

    let kept = shelf.find(version(1)).unwrap().unwrap();
    let sizes: Vec<_> = kept.files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
    assert_eq!(sizes, [("00.parquet", large.len() as u64), ("01.parquet", 0), ("manifest.json", 2)]);
    let into = world.files("got", &[]);
    shelf.get(version(1), &kept, &into).unwrap();
    assert!(fs::read(into.join("00.parquet")).unwrap() == large);
    assert_eq!(fs::read(into.join("01.parquet")).unwrap(), b"");
    assert_eq!(fs::read(into.join("manifest.json")).unwrap(), b"{}");
    assert_eq!(shelf.list().unwrap().into_iter().map(|(what, _)| what).collect::<Vec<_>>(), [version(1)]);
    assert_eq!(world.shelf("ben-tre").list().unwrap(), [], "another installation in the bucket");
    assert_eq!(world.shelf("ben-tre").find(version(1)).unwrap(), None);
}

#[test]
fn what_is_put_again_takes_its_place_at_once() {
    let world = World::new();
    let shelf = world.shelf("");
    let file = Artefact::Rejects(Uuid::from_u128(1));
    let path = world.folder.path().join("a.csv");
    let [one, two] = [&b"one"[..], b"two"].map(|content| {
        fs::write(&path, content).unwrap();
        shelf.put(file, &path).unwrap();
        shelf.find(file).unwrap().unwrap()
    });
    // Who had found the first still gets it whole.
    for (kept, content) in [(one, "one"), (two, "two")] {
        shelf.get(file, &kept, world.folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn what_is_not_whole_is_not_found_but_listed_and_removed() {
    let world = World::new();
    let shelf = world.shelf("");
    let from = world.files("made", &[("index.bin", b"1"), ("chunks.bin", b"2")]);
    shelf.put(version(1), &from).unwrap();
    shelf.put(version(2), &from).unwrap();
    world.runtime.block_on(world.store.delete(&shelf.keys.complete(version(1)))).unwrap();
    assert_eq!(shelf.find(version(1)).unwrap(), None);
    assert_eq!(shelf.list().unwrap().len(), 2);
    shelf.remove(version(1)).unwrap();
    shelf.remove(version(1)).unwrap();
    assert_eq!(shelf.list().unwrap().into_iter().map(|(what, _)| what).collect::<Vec<_>>(), [version(2)]);
    assert_eq!(world.objects().len(), 3);
}

#[test]
fn damage_is_named() {
    let world = World::new();
    let shelf = world.shelf("");
    let from = world.files("made", &[("manifest.json", b"{}")]);
    shelf.put(version(1), &from).unwrap();
    let kept = shelf.find(version(1)).unwrap().unwrap();
    let store = |key: &Key, content: &'static [u8]| {
        world.runtime.block_on(world.store.put(key, content.into())).unwrap();
    };

    store(&shelf.keys.file(version(1), &kept.files[0]), b"{ }");
    let got = shelf.get(version(1), &kept, &world.files("got", &[])).unwrap_err().to_string();
    assert!(got.contains("is damaged: its content is not what was stored"), "{got}");

    let complete = shelf.keys.complete(version(1));
    for (content, says) in [
        (&b"{"[..], "EOF"),
        (br#"{"format":2,"files":[]}"#, "its format is 2, this program reads 1"),
        (br#"{"format":1,"files":[{"name":"../a","bytes":1,"sha256":"00"}]}"#, "names no file"),
    ] {
        store(&complete, content);
        let found = shelf.find(version(1)).unwrap_err().to_string();
        assert!(found.contains(says) && found.contains("complete.json"), "{found}");
    }
}

#[test]
fn names_lead_back_to_what_they_are_of() {
    for prefix in ["", "a", "a/b"] {
        let keys = Keys::new(&Key::from(prefix));
        let file = KeptFile { name: "00.parquet".to_owned(), bytes: 0, sha256: [1; 32] };
        for kind in Artefact::KINDS {
            let what = Artefact::of(kind, Uuid::from_u128(5)).unwrap();
            assert_eq!(keys.artefact(&keys.complete(what)), Some(what));
            assert_eq!(keys.artefact(&keys.file(what, &file)), Some(what));
        }
        for other in ["x", "a/versions/no-id/complete.json", "a/b/places/1"] {
            assert_eq!(keys.artefact(&Key::from(other)), None, "{other} under {prefix:?}");
        }
    }
}
