//! Bytes sorted into 64 buckets by hash: the whole trick of import and freeze.
//!
//! The sort key is a uniform hash, so appending each row to the bucket of its top six bits and sorting each bucket by
//! itself is an external sort in one pass. Small jobs never touch the disk.
//!
//! Must stay true: memory is bounded by [`MEMORY_BYTES_MAX`] and the writers' buffers, whatever the number of rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use loa_ports::audience::DatasetError;

use crate::error::file;

/// Buckets of a dataset and of a freeze; for a freeze they are the shards.
pub(crate) const BUCKETS: usize = loa_domain::limits::SHARDS as usize;
/// Bytes of all buckets of one spill that are kept in memory, at most; the rest goes to files.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that a writer gathers for one bucket before it appends them.
const BUFFER_BYTES: usize = 32 * 1024;

/// The bucket of a hash.
pub(crate) fn bucket_of(hash: u64) -> usize {
    usize::try_from(hash >> 58).unwrap_or(0)
}

/// The buckets.
#[derive(Debug)]
pub(crate) struct Spill {
    directory: PathBuf,
    name: String,
    buckets: Vec<Mutex<Bucket>>,
    in_memory: AtomicUsize,
}

#[derive(Debug, Default)]
struct Bucket {
    memory: Vec<u8>,
    file: Option<File>,
}

impl Spill {
    /// Empty buckets; files are made in the directory under the name when memory does not hold them.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            in_memory: AtomicUsize::new(0),
        }
    }

    /// A writer for one thread.
    pub(crate) fn writer(&self) -> SpillWriter<'_> {
        SpillWriter { spill: self, buffers: vec![Vec::new(); BUCKETS] }
    }

    fn append(&self, number: usize, bytes: &[u8]) -> Result<(), DatasetError> {
        let mut bucket = self.buckets[number].lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.in_memory.fetch_add(bytes.len(), Ordering::Relaxed);
        if before + bytes.len() <= MEMORY_BYTES_MAX {
            bucket.memory.extend_from_slice(bytes);
            return Ok(());
        }
        self.in_memory.fetch_sub(bytes.len(), Ordering::Relaxed);
        let path = self.path(number);
        if bucket.file.is_none() {
            let made = File::options().read(true).write(true).create_new(true).open(&path);
            bucket.file = Some(made.map_err(file("make the spill file", &path))?);
        }
        let spilled = bucket.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        spilled.map_err(file("spill to", &path))
    }

    /// Takes a bucket's bytes out; rows in no order.
    pub(crate) fn take(&self, number: usize) -> Result<Vec<u8>, DatasetError> {
        let bucket = std::mem::take(&mut *self.buckets[number].lock().unwrap_or_else(PoisonError::into_inner));
        let mut bytes = bucket.memory;
        if let Some(mut spilled) = bucket.file {
            let path = self.path(number);
            spilled.seek(SeekFrom::Start(0)).map_err(file("read", &path))?;
            spilled.read_to_end(&mut bytes).map_err(file("read", &path))?;
            std::fs::remove_file(&path).map_err(file("remove", &path))?;
        }
        Ok(bytes)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.directory.join(format!("{}-{number:02}.spill", self.name))
    }
}

/// Gathers what one thread appends.
#[derive(Debug)]
pub(crate) struct SpillWriter<'a> {
    spill: &'a Spill,
    buffers: Vec<Vec<u8>>,
}

impl SpillWriter<'_> {
    /// The buffer of the hash's bucket, to append one row to; call [`SpillWriter::appended`] after it.
    pub(crate) fn buffer(&mut self, hash: u64) -> &mut Vec<u8> {
        &mut self.buffers[bucket_of(hash)]
    }

    /// Passes a full buffer on.
    pub(crate) fn appended(&mut self, hash: u64) -> Result<(), DatasetError> {
        let number = bucket_of(hash);
        if self.buffers[number].len() >= BUFFER_BYTES {
            self.flush(number)?;
        }
        Ok(())
    }

    fn flush(&mut self, number: usize) -> Result<(), DatasetError> {
        self.spill.append(number, &self.buffers[number])?;
        self.buffers[number].clear();
        Ok(())
    }

    /// Passes on what is left.
    pub(crate) fn finish(mut self) -> Result<(), DatasetError> {
        (0..BUCKETS).try_for_each(|number| self.flush(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_of_its_bucket() {
        let directory = tempfile::tempdir().unwrap();
        let spill = Spill::new(directory.path(), "test");
        // 48 MiB: more than memory holds, so that both ways are walked.
        let row = [7_u8; 1024];
        std::thread::scope(|scope| {
            for thread in 0..2_u64 {
                let spill = &spill;
                scope.spawn(move || {
                    let mut writer = spill.writer();
                    for number in 0..24 * 1024_u64 {
                        let hash = (number % 64) << 58 | thread;
                        writer.buffer(hash).extend_from_slice(&row);
                        writer.appended(hash).unwrap();
                    }
                    writer.finish().unwrap();
                });
            }
        });
        assert!(std::fs::read_dir(directory.path()).unwrap().count() > 0, "memory is bounded");
        for number in 0..BUCKETS {
            let bytes = spill.take(number).unwrap();
            assert_eq!(bytes.len(), 48 * 1024 * 1024 / 64);
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }
}
