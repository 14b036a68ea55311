//! The data folder: its lock, the hash key, and where a running process listens.
//!
//! Must stay true: one process at a time works on a data folder; the hash key is made once and never changes.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loa_domain::hash::HashKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How often, and how long apart, a lock is tried: a process that was just killed lets go of it a moment later.
const LOCK_TRIES: u32 = 50;
const LOCK_STEP: Duration = Duration::from_millis(20);

/// Stands in a data folder while a backup is put back into it.
pub const UNFINISHED: &str = "restore.unfinished";

/// Where a running process listens; `<data>/run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// gRPC of every role.
    pub grpc: SocketAddr,
    /// The pages.
    pub console: SocketAddr,
    /// /metrics, /live, /ready.
    pub probes: SocketAddr,
    /// The simulated carrier, if there is one.
    pub smsc: Option<SocketAddr>,
    /// The simulated mail server, if there is one.
    pub mail: Option<SocketAddr>,
    /// The process.
    pub pid: u32,
}

impl Addresses {
    /// Of the process that works on this folder, or did last.
    pub fn read(data: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(data.join("run.json")).ok()?).ok()
    }

    /// Tells others, whole or not at all.
    pub fn write(&self, data: &Path) -> std::io::Result<()> {
        let (new, path) = (data.join("run.json.new"), data.join("run.json"));
        std::fs::write(&new, serde_json::to_string_pretty(self)?)?;
        std::fs::rename(new, path)
    }
}

/// A data folder that is ours while this lives.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the folder if needed and locks it; `fresh` empties it first.
    pub fn open(path: &Path, fresh: bool) -> Result<Self, String> {
        let fault = |error: std::io::Error| format!("the data folder `{}` cannot be used: {error}", path.display());
        std::fs::create_dir_all(path).map_err(fault)?;
        let lock = File::create(path.join("lock")).map_err(fault)?;
        let mut tries = 1;
        while lock.try_lock().is_err() {
            if tries == LOCK_TRIES {
                return Err(format!(
                    "another process works on the data folder `{}`; stop it, or name another with --data",
                    path.display()
                ));
            }
            std::thread::sleep(LOCK_STEP);
            tries += 1;
        }
        if !fresh && path.join(UNFINISHED).exists() {
            return Err(format!(
                "a restore into `{}` was not finished; empty the folder (and the databases, if it named some) and run `loa restore` again",
                path.display()
            ));
        }
        if fresh {
            for entry in std::fs::read_dir(path).map_err(fault)? {
                let entry = entry.map_err(fault)?.path();
                if entry.file_name().is_some_and(|name| name == "lock") {
                    continue;
                }
                let removed =
                    if entry.is_dir() { std::fs::remove_dir_all(&entry) } else { std::fs::remove_file(&entry) };
                removed.map_err(fault)?;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The installation's hash key: the file named, or `<data>/hash.key`, made at the first start.
    pub fn hash_key(&self, file: Option<&Path>) -> Result<HashKey, String> {
        let own = self.path.join("hash.key");
        let path = file.unwrap_or(&own);
        if !path.exists() && file.is_none() {
            let text = format!("{}\n", Uuid::new_v4().simple());
            crate::keys::write_private(path, &text)
                .map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the hash key `{}` cannot be read: {error}", path.display()))?;
        let number = u128::from_str_radix(text.trim(), 16).ok().filter(|_| text.trim().len() == 32);
        let number =
            number.ok_or_else(|| format!("the hash key `{}` must be 32 hexadecimal digits", path.display()))?;
        Ok(HashKey::new(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process_and_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path(), false).unwrap();
        assert!(Place::open(folder.path(), false).unwrap_err().contains("another process"));
        // Who lets go while another waits is followed at once.
        let path = folder.path().to_owned();
        let waits = std::thread::spawn(move || Place::open(&path, false));
        std::thread::sleep(LOCK_STEP);
        let key = place.hash_key(None).unwrap();
        drop(place);
        let place = waits.join().unwrap().unwrap();
        assert_eq!(place.hash_key(None).unwrap(), key);
        drop(place);
        let fresh = Place::open(folder.path(), true).unwrap();
        assert_ne!(fresh.hash_key(None).unwrap(), key, "a fresh folder has a new key");
    }
}
