//! Removes what crashes and given-up work left behind.
//!
//! Must stay true: only what nobody needs and nobody has written to for a day goes; work under way is younger.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use loa_ports::audience::{Artefact, DatasetError, Needed, Shelf};

use crate::error::file;
use crate::layout::Layout;

/// Age of what may go, in microseconds.
const AGE_US: i64 = 24 * 3_600 * 1_000_000;

/// How many directories and files went.
pub(crate) fn sweep(layout: &Layout, needed: &Needed, now_us: i64) -> Result<usize, DatasetError> {
    let mut swept = 0;
    for kind in ["spool", "versions", "rejects", "freezes", "tmp"] {
        for (path, id) in layout.entries(kind)? {
            let what = id.and_then(|id| Artefact::of(kind, id));
            if !what.is_some_and(|what| is_needed(what, needed)) && is_old(&path, now_us)? {
                remove(&path)?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

/// How many artefacts went that stood for all nodes.
pub(crate) fn sweep_shelf(shelf: &dyn Shelf, needed: &Needed, now_us: i64) -> Result<usize, DatasetError> {
    let mut swept = 0;
    for (what, written_us) in shelf.list()? {
        if !is_needed(what, needed) && now_us.saturating_sub(written_us) > AGE_US {
            shelf.remove(what)?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_needed(what: Artefact, needed: &Needed) -> bool {
    match what {
        Artefact::Freeze(freeze) => needed.freezes.contains(&freeze),
        Artefact::Spool(import) | Artefact::Version(import) | Artefact::Rejects(import) => {
            needed.imports.contains(&import)
        }
    }
}

fn is_old(path: &Path, now_us: i64) -> Result<bool, DatasetError> {
    let written = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(written) => written,
        // Somebody was faster.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(file("look at", path)(error)),
    };
    let since_1970 = written.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let written_us = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
    Ok(now_us.saturating_sub(written_us) > AGE_US)
}

/// Removes a file or a directory; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), DatasetError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}
