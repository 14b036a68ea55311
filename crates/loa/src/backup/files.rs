//! Files of a backup: copied, hashed, listed in a manifest that is written last.
//!
//! Must stay true: a folder without its manifest is no backup; a file that is not as the manifest says is named.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::exit::Failure;

/// The manifest's name.
pub(super) const MANIFEST: &str = "backup.json";
/// Of the manifest.
const SCHEMA: u32 = 1;
const BLOCK_BYTES: usize = 1 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) schema: u32,
    /// The version of the loa that made it.
    pub(super) version: String,
    /// When its copies were taken, microseconds since 1970.
    pub(super) at_us: i64,
    /// `embedded` or `kafka`.
    pub(super) log: String,
    /// `sqlite` or `postgres`.
    pub(super) store: String,
    pub(super) files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Below the folder, with `/`.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new(at_us: i64, log: &str, store: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { schema: SCHEMA, version, at_us, log: log.to_owned(), store: store.to_owned(), files: Vec::new() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    /// Lists every file of the folder, and makes it a backup.
    pub(super) fn write(mut self, folder: &Path) -> Result<Self, Failure> {
        for path in files_below(folder)? {
            let (bytes, sha256) = hash(&path)?;
            File::open(&path).and_then(|file| file.sync_all()).map_err(|error| fault("sync", &path, &error))?;
            self.files.push(Entry { path: name_below(folder, &path), bytes, sha256 });
        }
        let (new, path) = (folder.join("backup.json.new"), folder.join(MANIFEST));
        let text = serde_json::to_string_pretty(&self).map_err(|error| Failure::Failed(error.to_string()))?;
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, &path)).map_err(|error| fault("write", &path, &error))?;
        Ok(self)
    }

    /// Reads the manifest and compares every file with it; all faults are told.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::Usage(format!(
                "--from `{}`: no backup: `{MANIFEST}` cannot be read ({error}); it is written last, so a backup without it was not finished; take another",
                folder.display()
            ))
        })?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            Failure::Failed(format!("`{}` is damaged ({error}); take another backup", path.display()))
        })?;
        if manifest.schema != SCHEMA {
            let found = manifest.schema;
            return Err(Failure::Failed(format!(
                "`{}` is of schema {found}, and this loa reads {SCHEMA}; restore with the loa {} that made it",
                path.display(),
                manifest.version
            )));
        }
        let faults: Vec<String> = manifest.files.iter().filter_map(|entry| entry.fault(folder)).collect();
        if faults.is_empty() {
            Ok(manifest)
        } else {
            Err(Failure::Failed(format!("the backup is damaged; take another:\n{}", faults.join("\n"))))
        }
    }
}

impl Entry {
    fn fault(&self, folder: &Path) -> Option<String> {
        let path = folder.join(&self.path);
        match hash(&path) {
            Err(failure) => Some(format!("  {}: {failure}", self.path)),
            Ok((bytes, _)) if bytes != self.bytes => {
                Some(format!("  {}: {bytes} bytes instead of {}", self.path, self.bytes))
            }
            Ok((_, sha256)) if sha256 != self.sha256 => Some(format!("  {}: its contents are others", self.path)),
            Ok(_) => None,
        }
    }
}

/// An empty folder of its own; one that is not there is made.
pub(super) fn empty_folder(path: &Path, what: &str) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| fault("make", path, &error))?;
    match fs::read_dir(path).map_err(|error| fault("list", path, &error))?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(format!("{what} `{}` is not empty; name another folder", path.display()))),
    }
}

/// Nobody but its owner may look into it: it holds everything about people.
pub(super) fn private(folder: &Path) -> Result<(), Failure> {
    let permissions = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder, permissions).map_err(|error| fault("close", folder, &error))
}

/// Removes what a backup that failed has left, but not the folder.
pub(super) fn clear(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(|error| fault("list", folder, &error))? {
        let path = entry.map_err(|error| fault("list", folder, &error))?.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| fault("remove", &path, &error))?;
    }
    Ok(())
}

/// Copies a folder with all that is in it, but for what is named; returns how many files.
pub(super) fn copy_folder(from: &Path, to: &Path, without: &[&str]) -> Result<usize, Failure> {
    let mut copied = 0;
    if !from.is_dir() {
        return Ok(0);
    }
    for path in files_below(from)? {
        let below = name_below(from, &path);
        if without.iter().any(|name| below.split('/').next() == Some(name)) {
            continue;
        }
        copy(&path, &to.join(&below))?;
        copied += 1;
    }
    Ok(copied)
}

/// Copies one file, making the folders above it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if let Some(above) = to.parent() {
        fs::create_dir_all(above).map_err(|error| fault("make", above, &error))?;
    }
    fs::copy(from, to).map(drop).map_err(|error| fault("copy", from, &error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| fault("sync", to, &error))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| fault("list", &folder, &error))? {
            let path = entry.map_err(|error| fault("list", &folder, &error))?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn hash(path: &Path) -> Result<(u64, String), Failure> {
    let mut file = File::open(path).map_err(|error| fault("read", path, &error))?;
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK_BYTES]);
    loop {
        let read = file.read(&mut block).map_err(|error| fault("read", path, &error))?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        bytes += read as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn fault(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("could not {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("stores")).unwrap();
        fs::write(folder.path().join("stores/a.db"), "one").unwrap();
        fs::write(folder.path().join("b"), "two").unwrap();
        let manifest = Manifest::new(7, "embedded", "sqlite").write(folder.path()).unwrap();
        (folder, manifest)
    }

    #[test]
    fn what_was_written_is_read() {
        let (folder, manifest) = made();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        let paths: Vec<_> = manifest.files.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!((paths, manifest.bytes()), (vec!["b", "stores/a.db"], 6));
    }

    #[test]
    fn every_damage_is_named() {
        type Damage = fn(&Path);
        let damages: [(Damage, &str); 5] = [
            (|folder| fs::remove_file(folder.join(MANIFEST)).unwrap(), "not finished"),
            (|folder| fs::write(folder.join(MANIFEST), "{").unwrap(), "backup.json"),
            (|folder| fs::remove_file(folder.join("b")).unwrap(), "  b: could not read"),
            (|folder| fs::write(folder.join("b"), "tw").unwrap(), "  b: 2 bytes instead of 3"),
            (|folder| fs::write(folder.join("stores/a.db"), "0ne").unwrap(), "stores/a.db: its contents"),
        ];
        for (damage, says) in damages {
            let (folder, _) = made();
            damage(folder.path());
            let refused = Manifest::read(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_folder_that_is_not_empty_is_refused() {
        let (folder, _) = made();
        assert!(empty_folder(folder.path(), "--to").unwrap_err().to_string().contains("not empty"));
        empty_folder(&folder.path().join("new/deep"), "--to").unwrap();
    }
}
