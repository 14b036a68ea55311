//! What audience stores in tables: dataset versions and the imports that make them, freezes and their inputs, suppression
//! entries. The people themselves are files of the engine (`loa_ports::audience`).
//!
//! Imports and freezes are rows before they are work: any instance takes a request, the holder of the lease does it, and
//! whoever is asked looks at the row. Work that was interrupted is found by the next holder.
//!
//! Must stay true: a dataset version and a manifest appear in a fenced transaction or not at all; the position of the
//! suppression entries rises with every change, and what was in force at a position can always be read.

use async_trait::async_trait;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, FreezeId, Shard};
use loa_domain::policy::Scope;
use uuid::Uuid;

use crate::audience::Fault;
use crate::lease::Fence;
use crate::store::{OutboxRecord, StoreError};

/// Where an import or a freeze stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Nobody has begun it.
    Waiting,
    /// Begun; if its worker is gone it is begun again.
    Running,
    /// Done.
    Done,
    /// It cannot be done; the row says why.
    Failed,
}

/// A dataset version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The dataset's name.
    pub dataset: String,
    /// From 1.
    pub version: u32,
    /// The import that made it.
    pub import_id: Uuid,
    /// People in it.
    pub rows: u64,
    /// Rows that its import rejected.
    pub rejected: u64,
    /// The people are synthetic.
    pub synthetic: bool,
    /// When it was published, microseconds since 1970.
    pub created_at_us: i64,
}

/// An import to be stored; its bytes are spooled already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Its id.
    pub import_id: Uuid,
    /// The dataset's name.
    pub dataset: String,
    /// The people are synthetic.
    pub synthetic: bool,
    /// The rows replace or add to the newest version.
    pub delta: bool,
    /// What its owner called the file.
    pub file_name: String,
    /// When it was taken, microseconds since 1970.
    pub created_at_us: i64,
}

/// An import as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRow {
    /// What was asked.
    pub import: NewImport,
    /// Where it stands.
    pub state: JobState,
    /// How far it is.
    pub progress: pb::ImportProgress,
    /// Once done.
    pub report: Option<pb::ImportReport>,
    /// Once failed.
    pub faults: Vec<Fault>,
}

/// How an import ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportEnd {
    /// The version and what its owner is told.
    Done {
        /// The version.
        version: VersionRow,
        /// The report.
        report: pb::ImportReport,
    },
    /// Why there is no version.
    Failed {
        /// Every fault found.
        faults: Vec<Fault>,
    },
}

/// Datasets and imports.
#[async_trait]
pub trait DatasetStore: Send + Sync + std::fmt::Debug {
    /// The newest version of a dataset.
    async fn newest(&self, dataset: &str) -> Result<Option<VersionRow>, StoreError>;

    /// The newest version of each dataset by name, from the `start`-th on.
    async fn newest_page(&self, start: u64, max: u32) -> Result<Vec<VersionRow>, StoreError>;

    /// Stores an import that waits to be done; the same id again changes nothing.
    async fn add_import(&self, import: &NewImport) -> Result<(), StoreError>;

    /// An import.
    async fn import(&self, import_id: Uuid) -> Result<Option<ImportRow>, StoreError>;

    /// The oldest import that has not ended.
    async fn next_import(&self) -> Result<Option<ImportRow>, StoreError>;

    /// Marks an import as running and stores how far it is.
    async fn tell_import(
        &self,
        fence: &Fence,
        import_id: Uuid,
        progress: &pb::ImportProgress,
    ) -> Result<(), StoreError>;

    /// Ends an import; with its version in the same transaction.
    async fn end_import(&self, fence: &Fence, import_id: Uuid, end: &ImportEnd) -> Result<(), StoreError>;

    /// Imports whose files are needed: those of versions, and those that have not ended.
    async fn needed_imports(&self) -> Result<Vec<Uuid>, StoreError>;
}

/// Which freeze: there is one per campaign version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FreezeKey {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its version.
    pub campaign_version: u64,
}

/// A freeze as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FreezeRow {
    /// Which.
    pub key: FreezeKey,
    /// Its id; another one after an interruption.
    pub freeze: FreezeId,
    /// Where it stands.
    pub state: JobState,
    /// What was asked.
    pub request: pb::FreezeRequest,
    /// Recipients done so far.
    pub done: u64,
    /// Once done.
    pub manifest: Option<pb::Manifest>,
    /// Once failed.
    pub error: String,
}

/// What decides a freeze beside its request, stored before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeBegun {
    /// Its id, new.
    pub freeze: FreezeId,
    /// The dataset version that is newest now.
    pub version: VersionRow,
    /// The position of the suppression entries now.
    pub suppression_position: u64,
    /// The freeze that was interrupted and is thrown away.
    pub thrown_away: Option<FreezeId>,
}

/// How a freeze ended.
#[derive(Debug, Clone, PartialEq)]
pub enum FreezeEnd {
    /// Its chunks are durable.
    Done {
        /// The proof.
        manifest: pb::Manifest,
    },
    /// Why it cannot be done, with the cure.
    Failed {
        /// For the author of the campaign.
        error: String,
    },
}

/// Freezes.
#[async_trait]
pub trait FreezeStore: Send + Sync + std::fmt::Debug {
    /// A freeze.
    async fn freeze(&self, key: FreezeKey) -> Result<Option<FreezeRow>, StoreError>;

    /// Stores a freeze that waits to be done; another row of the same key stays as it is.
    async fn add_freeze(
        &self,
        request: &pb::FreezeRequest,
        key: FreezeKey,
        freeze: FreezeId,
        now_us: i64,
    ) -> Result<(), StoreError>;

    /// The oldest freeze that has not ended.
    async fn next_freeze(&self) -> Result<Option<FreezeRow>, StoreError>;

    /// Stores the inputs under a new id and marks the freeze as running. `None` if the dataset has no version.
    async fn begin_freeze(
        &self,
        fence: &Fence,
        key: FreezeKey,
        freeze: FreezeId,
        routes: &str,
    ) -> Result<Option<FreezeBegun>, StoreError>;

    /// Stores how far a freeze is.
    async fn tell_freeze(&self, fence: &Fence, key: FreezeKey, done: u64) -> Result<(), StoreError>;

    /// Ends a freeze.
    async fn end_freeze(&self, fence: &Fence, key: FreezeKey, end: &FreezeEnd) -> Result<(), StoreError>;

    /// Forgets a freeze that failed, so that it can be asked for again.
    async fn forget_failed(&self, key: FreezeKey) -> Result<(), StoreError>;

    /// Freezes whose files are needed: those that have not failed.
    async fn needed_freezes(&self) -> Result<Vec<FreezeId>, StoreError>;
}

/// A suppression entry to be stored. The address itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSuppression {
    /// The address's keyed hash.
    pub hash: AddressHash,
    /// What it covers.
    pub scope: Scope,
    /// The kind of the address.
    pub channel: Channel,
    /// The last two characters of the address, for people.
    pub hint: String,
    /// The scope in words; empty = any.
    pub unit_code: String,
    /// Class, or empty.
    pub class: String,
    /// Topic, or empty.
    pub topic: String,
    /// Who asked.
    pub by: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// A suppression entry in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionRow {
    /// Rises with every change.
    pub position: u64,
    /// What is stored.
    pub entry: NewSuppression,
}

/// A change that is stored and must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionStored {
    /// Its position.
    pub position: u64,
    /// When the entry came into force; a repeat says when it first did.
    pub at_us: i64,
    /// Its records in the outbox, with their numbers.
    pub outbox: Vec<(i64, OutboxRecord)>,
}

/// Makes the records of a change once its position is known.
pub type RecordsAt<'a> = dyn Fn(u64, i64) -> Vec<OutboxRecord> + Send + Sync + 'a;

/// Suppression entries.
#[async_trait]
pub trait SuppressionStore: Send + Sync + std::fmt::Debug {
    /// Stores an entry with the records that tell of it. One that is in force already keeps its position, and its records
    /// are stored again: whoever repeats must be able to wait for the log.
    async fn suppress(&self, entry: &NewSuppression, records: &RecordsAt<'_>) -> Result<SuppressionStored, StoreError>;

    /// Lifts an entry; `None` if it is not in force.
    async fn lift(
        &self,
        hash: AddressHash,
        scope: Scope,
        by: &str,
        at_us: i64,
        records: &RecordsAt<'_>,
    ) -> Result<Option<SuppressionStored>, StoreError>;

    /// Entries in force, newest first, below a position (0 = from the newest).
    async fn suppressions_page(&self, below: u64, max: u32) -> Result<Vec<SuppressionRow>, StoreError>;

    /// The addresses of a shard that had an entry of one of these scopes in force at a position; ascending, each once.
    async fn suppressed(&self, shard: Shard, scopes: &[Scope], position: u64) -> Result<Vec<AddressHash>, StoreError>;
}

/// Everything audience stores.
pub trait AudienceStore: DatasetStore + FreezeStore + SuppressionStore {}

impl<S: DatasetStore + FreezeStore + SuppressionStore> AudienceStore for S {}
