//! Where complete files are kept for all nodes, when nodes share no folder.
//!
//! Must stay true: what is found is complete, and stays as it was found until it is put again or removed.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use loa_domain::ids::FreezeId;
use uuid::Uuid;

use super::DatasetError;

/// Files that are kept as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Artefact {
    /// Bytes of an import that is not done.
    Spool(Uuid),
    /// A dataset version, by the import that made it.
    Version(Uuid),
    /// Rows that an import did not take.
    Rejects(Uuid),
    /// The chunks of a freeze.
    Freeze(FreezeId),
}

impl Artefact {
    /// The names of all kinds.
    pub const KINDS: [&str; 4] = ["spool", "versions", "rejects", "freezes"];

    /// The name of its kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Spool(_) => "spool",
            Self::Version(_) => "versions",
            Self::Rejects(_) => "rejects",
            Self::Freeze(_) => "freezes",
        }
    }

    /// Its id among those of its kind.
    pub fn id(self) -> Uuid {
        match self {
            Self::Spool(id) | Self::Version(id) | Self::Rejects(id) | Self::Freeze(FreezeId(id)) => id,
        }
    }

    /// The artefact with an id, if there is such a kind.
    pub fn of(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            "spool" => Some(Self::Spool(id)),
            "versions" => Some(Self::Version(id)),
            "rejects" => Some(Self::Rejects(id)),
            "freezes" => Some(Self::Freeze(FreezeId(id))),
            _ => None,
        }
    }

    /// One file, not a folder of files.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Spool(_) | Self::Rejects(_))
    }

    /// Where it stands below a folder of snapshots.
    pub fn place(self) -> PathBuf {
        let id = self.id();
        Path::new(self.kind()).join(if self.is_file() { format!("{id}.csv") } else { id.to_string() })
    }
}

/// One file of an artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// Its own name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Of its content.
    pub sha256: [u8; 32],
}

/// The files of an artefact that was found, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// By name, each once.
    pub files: Vec<KeptFile>,
}

/// The shelf. Calls block.
pub trait Shelf: Send + Sync + Debug {
    /// Keeps a file, or the files of a folder, under the artefact's name; then it is found, in place of what was.
    fn put(&self, what: Artefact, from: &Path) -> Result<(), DatasetError>;

    /// What is kept under the name; `None` if nothing complete is.
    fn find(&self, what: Artefact) -> Result<Option<Kept>, DatasetError>;

    /// Writes the files that were found into a folder, durably, and compares them with what was kept.
    fn get(&self, what: Artefact, kept: &Kept, into: &Path) -> Result<(), DatasetError>;

    /// Removes it; one that is not there is fine.
    fn remove(&self, what: Artefact) -> Result<(), DatasetError>;

    /// Everything under some name, complete or not, and when it was last written to in microseconds since 1970.
    fn list(&self) -> Result<Vec<(Artefact, i64)>, DatasetError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_place_of_its_own() {
        let id = Uuid::from_u128(7);
        let places = Artefact::KINDS.map(|kind| {
            let what = Artefact::of(kind, id).unwrap_or_else(|| panic!("{kind} is known"));
            assert_eq!((what.kind(), what.id()), (kind, id));
            what.place().display().to_string()
        });
        let expected = ["spool/{}.csv", "versions/{}", "rejects/{}.csv", "freezes/{}"];
        assert_eq!(places, expected.map(|place| place.replace("{}", &id.to_string())));
        assert_eq!(Artefact::of("tmp", id), None);
    }
}
