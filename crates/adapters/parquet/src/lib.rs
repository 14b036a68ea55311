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
    ChunksWanted, Counts, DatasetError, Datasets, FreezeInputs, ImportJob, Imported, Needed, Spool, Suppressions, Watch,
};
use loa_ports::clock::Clock;
use uuid::Uuid;

use crate::layout::Layout;
use crate::version::Version;

/// Bytes of one piece of a rejects file.
const PIECE_BYTES: usize = 64 * 1024;
/// Threads of one import or freeze, at most.
const THREADS_MAX: usize = 16;

/// The engine over one directory.
#[derive(Debug)]
pub struct ParquetDatasets {
    layout: Layout,
    key: HashKey,
    threads: usize,
    clock: Arc<dyn Clock>,
}

impl ParquetDatasets {
    /// Opens the directory, making it if need be. `key` sorts the people and must be the installation's; `threads`: of one
    /// import or freeze, 1 to 16.
    pub fn open(directory: &Path, key: HashKey, threads: usize, clock: Arc<dyn Clock>) -> Result<Self, DatasetError> {
        Ok(Self { layout: Layout::open(directory)?, key, threads: threads.clamp(1, THREADS_MAX), clock })
    }
}

impl Datasets for ParquetDatasets {
    fn spool(&self, import_id: Uuid) -> Result<Box<dyn Spool>, DatasetError> {
        Ok(Box::new(spool::SpoolFile::create(self.layout.spool(import_id))?))
    }

    fn import(&self, job: &ImportJob, watch: &dyn Watch) -> Result<Imported, DatasetError> {
        import::Importer { layout: &self.layout, key: &self.key, threads: self.threads }.import(job, watch)
    }

    fn read_rejects(&self, import_id: Uuid, each: &mut dyn FnMut(Bytes) -> bool) -> Result<(), DatasetError> {
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
        count::count(&Version::open(&self.layout, import_id, &self.key)?, rule, self.threads)
    }

    fn freeze(
        &self,
        inputs: &FreezeInputs,
        suppressions: &dyn Suppressions,
        watch: &dyn Watch,
    ) -> Result<pb::Manifest, DatasetError> {
        let Self { layout, key, threads, .. } = self;
        freeze::Freezer { layout, key, threads: *threads, inputs, suppressions, watch }.freeze()
    }

    fn read_chunks(&self, wanted: &ChunksWanted, each: &mut dyn FnMut(pb::Chunk) -> bool) -> Result<(), DatasetError> {
        freeze::chunks::read(&self.layout.freeze(wanted.freeze), wanted, each)
    }

    fn discard_freeze(&self, freeze: FreezeId) -> Result<(), DatasetError> {
        sweep::remove(&self.layout.freeze(freeze))
    }

    fn sweep(&self, needed: &Needed) -> Result<usize, DatasetError> {
        sweep::sweep(&self.layout, needed, self.clock.now_us())
    }
}

#[cfg(test)]
mod tests;
