//! What instances inside the test's process print, and the spans they send, kept so that both can be searched.
//!
//! Must stay true: log and spans are opened as the product opens them, once for the program, and outlive every test of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use loa_runtime::config::TelemetryConfig;
use loa_runtime::telemetry::Telemetry;
use loa_testkit::otlp::Spans;
use tokio::runtime::Runtime;

use crate::{Fault, fault};

/// What is captured, of the product and of the tests.
pub const LEVEL: &str = "info,loa=debug";

struct Captured {
    _folder: tempfile::TempDir,
    path: PathBuf,
    spans: Spans,
    _telemetry: Telemetry,
    /// The collector and its exporter live here: a test's own runtime ends with the test.
    _runtime: Runtime,
}

static CAPTURED: OnceLock<Result<Captured, String>> = OnceLock::new();

/// Opens the file, once per process, before any instance opens its own telemetry.
pub fn open() -> Result<&'static Path, Fault> {
    captured().map(|captured| captured.path.as_path())
}

/// The collector of this program's spans.
pub fn spans() -> Result<Spans, Fault> {
    captured().map(|captured| captured.spans.clone())
}

fn captured() -> Result<&'static Captured, Fault> {
    // On a thread of its own: what is started here waits, and may not wait within a test's runtime.
    let begun = || std::thread::spawn(|| start().map_err(|error| error.to_string())).join();
    let captured = CAPTURED.get_or_init(|| begun().unwrap_or_else(|_| Err("a panic".to_owned())));
    captured.as_ref().map_err(|why| fault(format!("log and spans could not be captured: {why}")))
}

fn start() -> Result<Captured, Fault> {
    if tracing::dispatcher::has_been_set() {
        return Err(fault("somebody else has opened telemetry before"));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("instances.log");
    let file = Arc::new(std::fs::File::create(&path)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let spans = runtime.block_on(Spans::listen())?;
    let config =
        TelemetryConfig { level: LEVEL.to_owned(), json: false, colour: false, otlp_endpoint: Some(spans.endpoint()) };
    let telemetry = {
        let _within = runtime.enter();
        Telemetry::open_to(&config, file)?
    };
    Ok(Captured { _folder: folder, path, spans, _telemetry: telemetry, _runtime: runtime })
}
