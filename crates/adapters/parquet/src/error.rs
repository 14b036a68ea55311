//! From what files and formats say to the port's words.

use std::io;
use std::path::Path;

use loa_ports::audience::DatasetError;
use parquet::errors::ParquetError;

/// The disk did not do it.
pub(crate) fn storage(doing: impl Into<String>) -> impl FnOnce(io::Error) -> DatasetError {
    let doing = doing.into();
    move |source| DatasetError::Storage { doing, source }
}

/// The disk did not do something with a file; only the file's own name is told.
pub(crate) fn file(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> DatasetError {
    storage(format!("{doing} {}", name(path)))
}

/// A stored file cannot be understood.
pub(crate) fn damaged(path: &Path, why: impl ToString) -> DatasetError {
    DatasetError::Damaged { what: name(path), why: why.to_string() }
}

/// A Parquet file could not be written or read: the disk's fault where the disk says so.
pub(crate) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> DatasetError {
    let path = path.to_owned();
    move |error| match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => DatasetError::Storage { doing: format!("use {}", name(&path)), source: *source },
            Err(other) => damaged(&path, other),
        },
        other => damaged(&path, other),
    }
}

fn name(path: &Path) -> String {
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    Path::new(parent).join(path.file_name().unwrap_or_default()).display().to_string()
}
