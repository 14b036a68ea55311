//! What instances inside the test's process print, kept in a file so that it can be searched.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;

use crate::Fault;

/// What is captured, of the product and of the tests.
pub const LEVEL: &str = "info,loa=debug";

struct Captured {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

static CAPTURED: OnceLock<Option<Captured>> = OnceLock::new();

/// Opens the file, once per process, before any instance opens its own telemetry.
pub fn open() -> Result<&'static Path, Fault> {
    let captured = CAPTURED.get_or_init(|| start().ok());
    captured.as_ref().map(|captured| captured.path.as_path()).ok_or_else(|| "the log could not be captured".into())
}

fn start() -> Result<Captured, Fault> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("instances.log");
    let file = Arc::new(std::fs::File::create(&path)?);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(LEVEL)).with_ansi(false).with_writer(file);
    subscriber.try_init()?;
    Ok(Captured { _folder: folder, path })
}
