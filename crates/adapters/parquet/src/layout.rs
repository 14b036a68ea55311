//! Where the engine's files lie, and how a directory appears whole or not at all.
//!
//! ```text
//! spool/<import>.csv     bytes of an import that is not done
//! versions/<import>/     manifest.json, 00.parquet … 63.parquet
//! rejects/<import>.csv   rows that were not taken
//! freezes/<freeze>/      index.bin, chunks.bin
//! tmp/<uuid>/            work under way
//! ```
//!
//! Must stay true: what stands in `versions` and `freezes` is complete and durable: it was written and synced elsewhere and
//! renamed into place.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use loa_domain::ids::FreezeId;
use loa_ports::audience::{Artefact, DatasetError};
use uuid::Uuid;

use crate::error::file;

/// The directories.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// Kinds of things that are kept by id.
const KINDS: [&str; 5] = ["spool", "versions", "rejects", "freezes", "tmp"];

impl Layout {
    /// Makes the directories if need be.
    pub(crate) fn open(root: &Path) -> Result<Self, DatasetError> {
        for kind in KINDS {
            let path = root.join(kind);
            fs::create_dir_all(&path).map_err(file("make the directory", &path))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn place(&self, what: Artefact) -> PathBuf {
        self.root.join(what.place())
    }

    pub(crate) fn spool(&self, import: Uuid) -> PathBuf {
        self.place(Artefact::Spool(import))
    }

    pub(crate) fn version(&self, import: Uuid) -> PathBuf {
        self.place(Artefact::Version(import))
    }

    pub(crate) fn rejects(&self, import: Uuid) -> PathBuf {
        self.place(Artefact::Rejects(import))
    }

    pub(crate) fn freeze(&self, freeze: FreezeId) -> PathBuf {
        self.place(Artefact::Freeze(freeze))
    }

    /// A new directory for work under way; it goes with the guard.
    pub(crate) fn temp(&self) -> Result<Temp, DatasetError> {
        let path = self.root.join("tmp").join(Uuid::new_v4().to_string());
        fs::create_dir(&path).map_err(file("make the directory", &path))?;
        Ok(Temp { path })
    }

    /// Every directory or file of a kind with the id in its name.
    pub(crate) fn entries(&self, kind: &str) -> Result<Vec<(PathBuf, Option<Uuid>)>, DatasetError> {
        let directory = self.root.join(kind);
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory).map_err(file("list", &directory))? {
            let path = entry.map_err(file("list", &directory))?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::try_parse(stem).ok());
            found.push((path, id));
        }
        Ok(found)
    }
}

/// A directory that is removed when it is dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Temp {
    path: PathBuf,
}

impl Temp {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a complete directory in its place; false if something complete stands there already, which stays.
    pub(crate) fn publish(&self, place: &Path) -> Result<bool, DatasetError> {
        sync_directory(&self.path)?;
        match fs::rename(&self.path, place) {
            Ok(()) => place.parent().map_or(Ok(()), sync_directory).map(|()| true),
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(false),
            Err(error) => Err(file("publish", place)(error)),
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Published: the path is gone. Else it is work that was given up; what stays behind is swept after a day.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not remove a temporary directory");
        }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), DatasetError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(file("sync", path))
}
