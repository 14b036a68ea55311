//! Dataset versions as Parquet files: import, count, freeze.
//!
//! Everything is sorted and split by a keyed hash, so the heavy steps are one pass over 64 buckets each: an import appends
//! checked rows to the bucket of their account's hash, a freeze appends selected people to the shard of their address's.
//! Threads work on separate buckets and share nothing.
//!
//! Must stay true: memory is bounded by the size of a bucket times the threads, not by the size of a file; a version and a
//! freeze appear whole or not at all.

mod count;
mod error;
mod freeze;
mod import;
mod layout;
mod manifest;
mod nodes;
mod rule;
mod schema;
mod spill;
mod spool;
mod sweep;
mod version;
mod workers;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::hash::HashKey;
use loa_domain::ids::FreezeId;
use loa_domain::segment::Rule;
use loa_ports::audience::{
    Artefact, ChunksWanted, Counts, DatasetError, Datasets, FreezeInputs, ImportJob, Imported, Needed, Shelf, Spool,
    Suppressions, Watch,
};
use loa_ports::clock::Clock;
use uuid::Uuid;

use crate::layout::Layout;
use crate::nodes::{Nodes, SharedSpool};
use crate::version::Version;

/// Bytes of one piece of a rejects file.
const PIECE_BYTES: usize = 64 * 1024;
/// Threads of one import or freeze, at most.
const THREADS_MAX: usize = 16;

/// The engine over one directory, which all nodes share, or over one of its own and a shelf that all share.
#[derive(Debug)]
pub struct ParquetDatasets {
    layout: Layout,
    key: HashKey,
    threads: usize,
    clock: Arc<dyn Clock>,
    nodes: Option<Arc<Nodes>>,
}

impl ParquetDatasets {
    /// Opens the directory, making it if need be. `key` sorts the people and must be the installation's; `threads`: of one
    /// import or freeze, 1 to 16.
    pub fn open(directory: &Path, key: HashKey, threads: usize, clock: Arc<dyn Clock>) -> Result<Self, DatasetError> {
        let threads = threads.clamp(1, THREADS_MAX);
        Ok(Self { layout: Layout::open(directory)?, key, threads, clock, nodes: None })
    }

    /// The directory is this node's own, and what counts stands on the shelf.
    #[must_use]
    pub fn with_shelf(self, shelf: Arc<dyn Shelf>) -> Self {
        Self { nodes: Some(Arc::new(Nodes::new(shelf))), ..self }
    }

    fn fetch(&self, what: Artefact) -> Result<(), DatasetError> {
        self.nodes.as_ref().map_or(Ok(()), |nodes| nodes.fetch(&self.layout, what))
    }

    fn give(&self, what: Artefact) -> Result<(), DatasetError> {
        match &self.nodes {
            Some(nodes) if self.layout.place(what).exists() => nodes.give(&self.layout, what),
            _ => Ok(()),
        }
    }

    fn remove(&self, what: Artefact) -> Result<(), DatasetError> {
        self.nodes.as_ref().map_or(Ok(()), |nodes| nodes.shelf().remove(what))?;
        sweep::remove(&self.layout.place(what))
    }
}

impl Datasets for ParquetDatasets {
    fn spool(&self, import_id: Uuid) -> Result<Box<dyn Spool>, DatasetError> {
        let spool: Box<dyn Spool> = Box::new(spool::SpoolFile::create(self.layout.spool(import_id))?);
        let Some(nodes) = &self.nodes else { return Ok(spool) };
        let (nodes, layout) = (Arc::clone(nodes), self.layout.clone());
        Ok(Box::new(SharedSpool { spool, nodes, layout, what: Artefact::Spool(import_id) }))
    }

    fn import(&self, job: &ImportJob, watch: &dyn Watch) -> Result<Imported, DatasetError> {
        let (spool, version) = (Artefact::Spool(job.import_id), Artefact::Version(job.import_id));
        for what in [Some(spool), Some(version), job.base.map(Artefact::Version)].into_iter().flatten() {
            self.fetch(what)?;
        }
        let done = import::Importer { layout: &self.layout, key: &self.key, threads: self.threads }.import(job, watch);
        // The rejects are kept whatever became of it, but for who stops it, who begins it again.
        let kept = || self.give(Artefact::Rejects(job.import_id));
        match done {
            Ok(imported) => {
                kept()?;
                self.give(version)?;
                self.remove(spool)?;
                Ok(imported)
            }
            Err(error @ (DatasetError::Stopped | DatasetError::Missing { .. })) => Err(error),
            Err(error) => {
                // Its owner is told what is wrong with the file, not what else went wrong; what stays is swept.
                if let Err(also) = kept().and_then(|()| self.remove(spool)) {
                    tracing::warn!(error = %also, "the rejects of an import could not be given to other nodes");
                }
                Err(error)
            }
        }
    }

    fn read_rejects(&self, import_id: Uuid, each: &mut dyn FnMut(Bytes) -> bool) -> Result<(), DatasetError> {
        self.fetch(Artefact::Rejects(import_id))?;
        let path = self.layout.rejects(import_id);
        let mut input = match File::open(&path) {
            Ok(input) => input,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DatasetError::Missing { what: format!("rejects file of import {import_id}") });
            }
            Err(error) => return Err(error::file("open", &path)(error)),
        };
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = input.read(&mut piece).map_err(error::file("read", &path))?;
            piece.truncate(read);
            if read == 0 || !each(piece.into()) {
                return Ok(());
            }
        }
    }

    fn count(&self, import_id: Uuid, rule: &Rule) -> Result<Counts, DatasetError> {
        self.fetch(Artefact::Version(import_id))?;
        count::count(&Version::open(&self.layout, import_id, &self.key)?, rule, self.threads)
    }

    fn freeze(
        &self,
        inputs: &FreezeInputs,
        suppressions: &dyn Suppressions,
        watch: &dyn Watch,
    ) -> Result<pb::Manifest, DatasetError> {
        self.fetch(Artefact::Version(inputs.import_id))?;
        let Self { layout, key, threads, .. } = self;
        let manifest = freeze::Freezer { layout, key, threads: *threads, inputs, suppressions, watch }.freeze()?;
        self.give(Artefact::Freeze(inputs.freeze))?;
        Ok(manifest)
    }

    fn read_chunks(&self, wanted: &ChunksWanted, each: &mut dyn FnMut(pb::Chunk) -> bool) -> Result<(), DatasetError> {
        self.fetch(Artefact::Freeze(wanted.freeze))?;
        freeze::chunks::read(&self.layout.freeze(wanted.freeze), wanted, each)
    }

    fn discard_freeze(&self, freeze: FreezeId) -> Result<(), DatasetError> {
        self.remove(Artefact::Freeze(freeze))
    }

    fn sweep(&self, needed: &Needed) -> Result<usize, DatasetError> {
        let (now_us, here) = (self.clock.now_us(), sweep::sweep(&self.layout, needed, self.clock.now_us())?);
        let on_shelf = self.nodes.as_ref().map(|nodes| sweep::sweep_shelf(nodes.shelf(), needed, now_us));
        Ok(here + on_shelf.transpose()?.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
