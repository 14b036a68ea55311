//! What other nodes made is fetched, and what was made here is given to them, when nodes share no folder.
//!
//! The folder is then this node's own and holds what it has used; what counts stands on the shelf.
//!
//! Must stay true: what was made here is on the shelf before it is told to anybody; of a version that is used the shelf's
//! own files are used, also where an attempt that nobody was told of left others here.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use loa_ports::audience::{Artefact, DatasetError, Kept, Shelf, Spool};
use sha2::{Digest as _, Sha256};

use crate::error::file;
use crate::layout::{Layout, sync_directory};
use crate::manifest;
use crate::sweep::remove;

/// Bytes that are hashed at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// The shelf, and who fetches from it.
#[derive(Debug)]
pub(crate) struct Nodes {
    shelf: Arc<dyn Shelf>,
    /// Held by who fetches, so that nothing is fetched twice at once.
    fetching: Mutex<()>,
}

impl Nodes {
    pub(crate) fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf, fetching: Mutex::new(()) }
    }

    pub(crate) fn shelf(&self) -> &dyn Shelf {
        self.shelf.as_ref()
    }

    /// Brings an artefact that is not here as it is kept. One that is nowhere is missed by whoever reads it.
    pub(crate) fn fetch(&self, layout: &Layout, what: Artefact) -> Result<(), DatasetError> {
        let place = layout.place(what);
        // The same inputs give the same bytes: what is here is what is kept.
        let never_changes = matches!(what, Artefact::Spool(_) | Artefact::Freeze(_));
        if never_changes && place.exists() {
            return Ok(());
        }
        let _one = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if never_changes && place.exists() {
            return Ok(());
        }
        let Some(kept) = self.shelf.find(what)? else { return Ok(()) };
        if is_kept(what, &place, &kept)? {
            return Ok(());
        }
        let temp = layout.temp()?;
        self.shelf.get(what, &kept, temp.path())?;
        if let (true, Some(only)) = (what.is_file(), kept.files.first()) {
            fs::rename(temp.path().join(&only.name), &place).map_err(file("keep", &place))?;
            return place.parent().map_or(Ok(()), sync_directory);
        }
        remove(&place)?;
        temp.publish(&place).map(drop)
    }

    /// Gives what is here to all nodes.
    pub(crate) fn give(&self, layout: &Layout, what: Artefact) -> Result<(), DatasetError> {
        self.shelf.put(what, &layout.place(what))
    }
}

/// Whether what is here is what is kept: a version by what it says of itself, a file by its content.
fn is_kept(what: Artefact, place: &Path, kept: &Kept) -> Result<bool, DatasetError> {
    let path = if what.is_file() { place.to_owned() } else { place.join(manifest::NAME) };
    let Some(of_shelf) = kept.files.iter().find(|file| path.file_name().is_some_and(|name| name == file.name.as_str()))
    else {
        return Ok(false);
    };
    match hash(&path) {
        Ok(sha256) => Ok(sha256 == of_shelf.sha256),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file("read", &path)(error)),
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let (mut input, mut hash, mut block) = (File::open(path)?, Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        match input.read(&mut block)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&block[..read]),
        }
    }
}

/// A spool that stands on the shelf when it is finished.
pub(crate) struct SharedSpool {
    pub(crate) spool: Box<dyn Spool>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) layout: Layout,
    pub(crate) what: Artefact,
}

impl Spool for SharedSpool {
    fn write(&mut self, bytes: &[u8]) -> Result<(), DatasetError> {
        self.spool.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<u64, DatasetError> {
        let Self { spool, nodes, layout, what } = *self;
        let bytes = spool.finish()?;
        nodes.give(&layout, what)?;
        Ok(bytes)
    }
}
