//! The names of objects, and what a name belongs to.

use loa_ports::audience::{Artefact, KeptFile};
use object_store::path::Path;
use uuid::Uuid;

use crate::list::hex;

/// The object that makes an artefact whole.
const COMPLETE: &str = "complete.json";

/// Names under a prefix.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: Path,
}

impl Keys {
    pub(crate) fn new(prefix: &Path) -> Self {
        Self { prefix: prefix.clone() }
    }

    /// All artefacts of a kind.
    pub(crate) fn kind(&self, kind: &str) -> Path {
        self.prefix.clone().join(kind)
    }

    /// All objects of an artefact.
    pub(crate) fn folder(&self, what: Artefact) -> Path {
        self.kind(what.kind()).join(what.id().to_string())
    }

    pub(crate) fn complete(&self, what: Artefact) -> Path {
        self.folder(what).join(COMPLETE)
    }

    /// The name holds the content's hash: another content has another name.
    pub(crate) fn file(&self, what: Artefact, file: &KeptFile) -> Path {
        self.folder(what).join(format!("{}.{}", file.name, hex(&file.sha256)))
    }

    /// What an object belongs to; `None` for what is not ours.
    pub(crate) fn artefact(&self, key: &Path) -> Option<Artefact> {
        let mut parts = key.prefix_match(&self.prefix)?;
        let (kind, id) = (parts.next()?, parts.next()?);
        Artefact::of(kind.as_ref(), Uuid::try_parse(id.as_ref()).ok()?)
    }
}
