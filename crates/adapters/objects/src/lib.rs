//! Dataset versions, freezes and their like in an object store that speaks S3, for nodes that share no folder.
//!
//! ```text
//! <prefix>/<kind>/<id>/<name>.<sha256>   the files of an artefact
//! <prefix>/<kind>/<id>/complete.json     which of them it is made of; written last
//! ```
//!
//! A store of objects has no rename. Its promise is that one object is replaced at once, and `complete.json` is that object.
//!
//! Must stay true: what `complete.json` names was stored before it; an object under a name never has another content, so
//! two nodes that put the same artefact at once do each other no harm.

mod bucket;
mod error;
mod keys;
mod list;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use loa_ports::audience::{Artefact, DatasetError, Kept, Shelf};
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;

pub use bucket::{Bucket, ObjectsError, Unreachable};

use crate::error::{fault, local};
use crate::keys::Keys;
use crate::list::List;

/// The artefacts of an installation in a bucket. Calls block, and so are made on threads that may.
#[derive(Debug)]
pub struct ObjectShelf {
    store: Arc<dyn ObjectStore>,
    keys: Keys,
    runtime: Handle,
}

impl ObjectShelf {
    /// The artefacts under the prefix of a bucket; the work is done on the runtime.
    pub fn new(bucket: &Bucket, runtime: Handle) -> Self {
        Self { store: bucket.store(), keys: Keys::new(bucket.prefix()), runtime }
    }

    /// The files to keep, each with its own name.
    fn files(what: Artefact, from: &Path) -> Result<Vec<PathBuf>, DatasetError> {
        if what.is_file() {
            return Ok(vec![from.to_owned()]);
        }
        let entries = fs::read_dir(from).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut files: Vec<PathBuf> = entries.map_err(local("list", from))?;
        files.sort();
        Ok(files)
    }

    async fn found(&self, what: Artefact) -> Result<Option<Kept>, DatasetError> {
        let key = self.keys.complete(what);
        let reading = || format!("read {key}");
        let bytes = match self.store.get(&key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(fault(reading(), error)),
            Ok(object) => object.bytes().await.map_err(|error| fault(reading(), error))?,
        };
        List::read(&bytes)
            .map(|list| Some(list.into_kept()))
            .map_err(|why| DatasetError::Damaged { what: key.to_string(), why })
    }

    /// First what says that it is whole, then its files.
    async fn removed(&self, what: Artefact) -> Result<(), DatasetError> {
        let removing = |key: &object_store::path::Path| format!("remove {key}");
        let complete = self.keys.complete(what);
        match self.store.delete(&complete).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(fault(removing(&complete), error)),
        }
        let folder = self.keys.folder(what);
        let mut files = self.store.list(Some(&folder));
        while let Some(file) = files.next().await {
            let key = file.map_err(|error| fault(format!("list {folder}"), error))?.location;
            match self.store.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fault(removing(&key), error)),
            }
        }
        Ok(())
    }

    async fn listed(&self) -> Result<Vec<(Artefact, i64)>, DatasetError> {
        let mut found: Vec<(Artefact, i64)> = Vec::new();
        for kind in Artefact::KINDS {
            let folder = self.keys.kind(kind);
            let mut objects = self.store.list(Some(&folder));
            while let Some(object) = objects.next().await {
                let object = object.map_err(|error| fault(format!("list {folder}"), error))?;
                let Some(what) = self.keys.artefact(&object.location) else { continue };
                let written_us = object.last_modified.timestamp_micros();
                match found.iter_mut().rev().find(|(known, _)| *known == what) {
                    Some((_, newest_us)) => *newest_us = written_us.max(*newest_us),
                    None => found.push((what, written_us)),
                }
            }
        }
        Ok(found)
    }
}

impl Shelf for ObjectShelf {
    fn put(&self, what: Artefact, from: &Path) -> Result<(), DatasetError> {
        let files = Self::files(what, from)?;
        self.runtime.block_on(async {
            let mut kept = Kept::default();
            for path in &files {
                let file = transfer::describe(path)?;
                transfer::upload(self.store.as_ref(), &self.keys.file(what, &file), path, &file).await?;
                kept.files.push(file);
            }
            let key = self.keys.complete(what);
            let stored = self.store.put(&key, List::of(&kept).write().into()).await;
            stored.map(drop).map_err(|error| fault(format!("store {key}"), error))
        })
    }

    fn find(&self, what: Artefact) -> Result<Option<Kept>, DatasetError> {
        self.runtime.block_on(self.found(what))
    }

    fn get(&self, what: Artefact, kept: &Kept, into: &Path) -> Result<(), DatasetError> {
        self.runtime.block_on(async {
            for file in &kept.files {
                let key = self.keys.file(what, file);
                transfer::download(self.store.as_ref(), &key, &into.join(&file.name), file).await?;
            }
            fs::File::open(into).and_then(|folder| folder.sync_all()).map_err(local("sync", into))
        })
    }

    fn remove(&self, what: Artefact) -> Result<(), DatasetError> {
        self.runtime.block_on(self.removed(what))
    }

    fn list(&self) -> Result<Vec<(Artefact, i64)>, DatasetError> {
        self.runtime.block_on(self.listed())
    }
}

#[cfg(test)]
mod tests;
