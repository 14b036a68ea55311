//! Why the file cannot be opened, and what a database error means to who uses the log.
//!
//! Must stay true: a full disk, a failed sync and a closed log are `Away` (try again); only what cannot be read is `Damaged`.

use std::path::PathBuf;

use loa_ports::log::LogError;

/// SQLite's primary result codes of a file that is not as it was written.
const DAMAGED_CODES: [&str; 2] = ["11", "26"];

/// Why the log's file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("the log {path} is in use by another process; stop that one, or give this one a data directory of its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file system does not let us.
    #[error("could not open {path}; its directory must exist and be writable")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The file is of a later release.
    #[error("the log {path} has format {found} and this release knows {known}; start the release that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Topics have changed in a way that would give records to the wrong reader.
    #[error(
        "the log holds topic {number} as {stored} and this release declares {declared}; topics are only ever added"
    )]
    Topics {
        /// The topic's number.
        number: u16,
        /// Name and partitions as stored.
        stored: String,
        /// Name and partitions as declared.
        declared: String,
    },
    /// SQLite does not let us.
    #[error("could not open the log {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: sqlx::Error,
    },
    /// What is in the file cannot be read.
    #[error("could not read the log")]
    Log(#[from] LogError),
}

/// The answer of a log that was closed.
pub(crate) fn closed() -> LogError {
    away("it was closed")
}

pub(crate) fn away(why: impl Into<String>) -> LogError {
    LogError::Away { why: why.into() }
}

pub(crate) fn damaged(topic: &str, what: &str) -> LogError {
    LogError::Damaged { why: format!("{what} of `{topic}` cannot be read; restore the file from a copy") }
}

/// What a database error means.
pub(crate) fn log_error(error: &sqlx::Error) -> LogError {
    let code = error.as_database_error().and_then(|error| error.code());
    let is_damage = code.is_some_and(|code| primary(&code).is_some_and(|code| DAMAGED_CODES.contains(&code.as_str())));
    if is_damage { LogError::Damaged { why: error.to_string() } } else { away(error.to_string()) }
}

/// The low byte of an extended result code.
fn primary(code: &str) -> Option<String> {
    code.parse::<u32>().ok().map(|code| (code & 0xff).to_string())
}
