//! Dataset versions and freezes of a backup: a folder that looks the same wherever they are kept.
//!
//! Must stay true: what is kept in an object store is compared with its hash on the way down, so what is in the backup is
//! what was kept.

use std::fs;
use std::path::Path;

use loa_ports::audience::{Artefact, Shelf};
use uuid::Uuid;

use super::files;
use crate::exit::Failure;

/// Work under way in the folder of snapshots.
const UNDER_WAY: [&str; 1] = ["tmp"];

/// Copies everything into a folder.
pub(super) fn take(folder: &Path, shelf: Option<&dyn Shelf>, to: &Path) -> Result<(), Failure> {
    let Some(shelf) = shelf else { return files::copy_folder(folder, to, &UNDER_WAY).map(drop) };
    let failed = |error| Failure::of(&error);
    for (what, _) in shelf.list().map_err(failed)? {
        // Of an artefact that is not complete nobody was told.
        let Some(kept) = shelf.find(what).map_err(failed)? else { continue };
        let place = to.join(what.place());
        let into = if what.is_file() { place.parent().unwrap_or(to) } else { &place };
        fs::create_dir_all(into)?;
        shelf.get(what, &kept, into).map_err(failed)?;
    }
    Ok(())
}

/// Puts everything back.
pub(super) fn put_back(from: &Path, folder: &Path, shelf: Option<&dyn Shelf>) -> Result<(), Failure> {
    let Some(shelf) = shelf else { return files::copy_folder(from, folder, &[]).map(drop) };
    for kind in Artefact::KINDS {
        let of_kind = from.join(kind);
        if !of_kind.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&of_kind)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| Uuid::try_parse(&stem.to_string_lossy()).ok());
            let what = id.and_then(|id| Artefact::of(kind, id)).filter(|what| from.join(what.place()) == path);
            let what = what.ok_or_else(|| {
                Failure::Failed(format!("`{}` is nothing that Loa keeps; take it out of the backup", path.display()))
            })?;
            shelf.put(what, &path).map_err(|error| Failure::of(&error))?;
        }
    }
    Ok(())
}

/// Refuses an object store that keeps something already.
pub(super) fn must_be_empty(shelf: Option<&dyn Shelf>) -> Result<(), Failure> {
    let found = shelf.map(Shelf::list).transpose().map_err(|error| Failure::of(&error))?.unwrap_or_default();
    match found.first() {
        None => Ok(()),
        Some((what, _)) => Err(Failure::Usage(format!(
            "objects.prefix: {} stands there already; name another prefix, or empty it",
            what.place().display()
        ))),
    }
}
