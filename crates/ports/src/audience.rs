//! Dataset versions, freezes and their files: what audience asks of the engine that holds people as columns.
//!
//! The calls do heavy work on the calling thread (and some threads of their own), so services make them on blocking
//! tasks. What is durable is a whole: a dataset version, or the chunks of a freeze; either exists as a directory that was
//! renamed into place when it was complete, under an id that is never used twice.
//!
//! Must stay true: `rows = accepted + rejected + duplicates` for every import and `selected = excluded + frozen` for every
//! variant of a freeze; the same inputs (freeze id included) give the same chunks and the same manifest hash.

mod route;
mod shelf;

use std::fmt::Debug;

use bytes::Bytes;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::Class;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, FreezeId, Shard};
use loa_domain::segment::Rule;
use uuid::Uuid;

pub use route::{Address, Route, Router};
pub use shelf::{Artefact, Kept, KeptFile, Shelf};

use crate::store::StoreError;

/// One fault of a file or a request: which field, and what is wrong with its cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column, the slot, or `file`.
    pub field: String,
    /// What is wrong and what mends it.
    pub problem: String,
}

impl Fault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file or the request cannot be used as it is; its owner mends it. Nothing was stored.
    #[error("refused: {}", .faults.iter().map(|fault| format!("{}: {}", fault.field, fault.problem)).collect::<Vec<_>>().join("; "))]
    Refused {
        /// Every fault found.
        faults: Vec<Fault>,
    },
    /// The watcher said stop; nothing was stored.
    #[error("stopped before it was done")]
    Stopped,
    /// There is no such import or freeze here.
    #[error("there is no {what}")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// The disk did not do it (full, broken, no rights). Try again once it is mended.
    #[error("could not {doing}")]
    Storage {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored file cannot be understood.
    #[error("`{what}` is damaged: {why}")]
    Damaged {
        /// The file.
        what: String,
        /// What was found.
        why: String,
    },
    /// The suppression entries could not be read.
    #[error("could not read the suppression entries")]
    Suppressions(#[source] StoreError),
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes read (imports).
    pub bytes: u64,
    /// Rows read (imports) or recipients done (freezes).
    pub rows: u64,
    /// Rows rejected so far.
    pub rejected: u64,
}

/// What an import or a freeze is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Not begun.
    #[default]
    Waiting,
    /// Reading and checking the rows.
    Reading,
    /// Sorting, dropping duplicates, writing.
    Writing,
    /// Selecting the recipients (freezes).
    Selecting,
    /// Cutting chunks (freezes).
    Cutting,
}

impl Stage {
    /// The word shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::Selecting => "selecting",
            Self::Cutting => "cutting",
        }
    }
}

/// Watches a job, from any of its threads.
pub trait Watch: Send + Sync {
    /// Takes the progress; `false` stops the job, which then leaves nothing behind.
    fn go_on(&self, progress: Progress) -> bool;
}

/// Where an import's bytes are put before they are read; dropped without [`Spool::finish`] they are removed.
pub trait Spool: Send {
    /// Appends bytes as they came.
    fn write(&mut self, bytes: &[u8]) -> Result<(), DatasetError>;

    /// Makes them durable: from here on another process may import them.
    fn finish(self: Box<Self>) -> Result<u64, DatasetError>;
}

/// An import to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportJob {
    /// Its id; the version's files carry it.
    pub import_id: Uuid,
    /// The dataset's name.
    pub dataset: String,
    /// The number the version will have.
    pub version: u32,
    /// The people are synthetic.
    pub synthetic: bool,
    /// The rows replace or add to this import's version.
    pub base: Option<Uuid>,
}

/// An import that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// What its owner is told.
    pub report: pb::ImportReport,
    /// People in the version (for a delta: the older ones too).
    pub rows: u64,
}

/// How many a rule selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// People.
    pub selected: u64,
    /// Of these, with a mobile number.
    pub with_mobile: u64,
    /// Of these, with a mailbox.
    pub with_email: u64,
}

/// Everything that decides what a freeze contains.
#[derive(Debug, Clone)]
pub struct FreezeInputs {
    /// Drawn when the inputs were stored; never used twice.
    pub freeze: FreezeId,
    /// The campaign.
    pub campaign: CampaignId,
    /// Its version.
    pub campaign_version: u64,
    /// The dataset's name.
    pub dataset: String,
    /// The version that was newest when the inputs were stored.
    pub dataset_version: u32,
    /// The import that made it.
    pub import_id: Uuid,
    /// Whom to select.
    pub rule: Rule,
    /// The message class.
    pub class: Class,
    /// The sender's unit; part of the suppression scope.
    pub unit_code: String,
    /// The topic; part of the suppression scope.
    pub topic: String,
    /// The texts.
    pub variants: Vec<pb::FreezeVariant>,
    /// Suppression entries up to this position count.
    pub suppression_position: u64,
    /// Which account takes which address.
    pub router: Router,
    /// Public information respects the do-not-call register too.
    pub respect_dnc_for_public: bool,
}

/// The suppression entries that cover a campaign, at the position of its inputs.
pub trait Suppressions: Sync {
    /// The addresses of a shard that are suppressed, ascending, each once.
    fn of_shard(&self, shard: Shard) -> Result<Vec<AddressHash>, StoreError>;
}

/// Which chunks to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunksWanted {
    /// The freeze.
    pub freeze: FreezeId,
    /// The campaign variant.
    pub variant: u32,
    /// Only this shard.
    pub shard: Option<Shard>,
    /// Only chunks from this number on.
    pub first_chunk: u32,
    /// At most so many; 0 = all.
    pub chunks_max: u32,
    /// Leave addresses and slots out.
    pub keys_only: bool,
}

/// What is still needed; everything else may be removed.
#[derive(Debug, Clone, Default)]
pub struct Needed {
    /// Imports whose versions or rejects are kept, and those under way.
    pub imports: Vec<Uuid>,
    /// Freezes that are kept, and those under way.
    pub freezes: Vec<FreezeId>,
}

/// The engine. Calls block.
pub trait Datasets: Send + Sync + Debug {
    /// Opens a place for an import's bytes.
    fn spool(&self, import_id: Uuid) -> Result<Box<dyn Spool>, DatasetError>;

    /// Reads the spooled bytes into a version. May be repeated after an interruption; removes the spool when it is done or
    /// refused.
    fn import(&self, job: &ImportJob, watch: &dyn Watch) -> Result<Imported, DatasetError>;

    /// The rejects of an import as CSV, in pieces of at most 64 KiB; `each` answers `false` to stop.
    fn read_rejects(&self, import_id: Uuid, each: &mut dyn FnMut(Bytes) -> bool) -> Result<(), DatasetError>;

    /// How many of an import's version a rule selects.
    fn count(&self, import_id: Uuid, rule: &Rule) -> Result<Counts, DatasetError>;

    /// Cuts the chunks of a campaign and makes them durable; the manifest is their proof.
    fn freeze(
        &self,
        inputs: &FreezeInputs,
        suppressions: &dyn Suppressions,
        watch: &dyn Watch,
    ) -> Result<pb::Manifest, DatasetError>;

    /// Chunks in order of their number; `each` answers `false` to stop.
    fn read_chunks(&self, wanted: &ChunksWanted, each: &mut dyn FnMut(pb::Chunk) -> bool) -> Result<(), DatasetError>;

    /// Removes what an interrupted freeze left.
    fn discard_freeze(&self, freeze: FreezeId) -> Result<(), DatasetError>;

    /// Removes files that nobody needs and that nobody has written to for a day; how many directories and files went.
    fn sweep(&self, needed: &Needed) -> Result<usize, DatasetError>;
}
