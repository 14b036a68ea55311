//! Where an import's bytes are put while they arrive.
//!
//! Must stay true: a spool that was not finished leaves no file; a finished one survives a power cut.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use loa_ports::audience::{DatasetError, Spool};

use crate::error::file;
use crate::layout::sync_directory;

/// A file under its temporary name until it is finished.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    out: File,
    temp: PathBuf,
    path: PathBuf,
    bytes: u64,
}

impl SpoolFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self, DatasetError> {
        let temp = path.with_extension("part");
        let out = File::create(&temp).map_err(file("write", &temp))?;
        Ok(Self { out, temp, path, bytes: 0 })
    }
}

impl Spool for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), DatasetError> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.out.write_all(bytes).map_err(file("write", &self.temp))
    }

    fn finish(self: Box<Self>) -> Result<u64, DatasetError> {
        self.out.sync_all().map_err(file("sync", &self.temp))?;
        fs::rename(&self.temp, &self.path).map_err(file("keep", &self.path))?;
        self.path.parent().map_or(Ok(()), |directory: &Path| sync_directory(directory))?;
        Ok(self.bytes)
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // Finished: the name is gone.
        if let Err(error) = fs::remove_file(&self.temp)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not remove the spool of an import that was given up");
        }
    }
}
