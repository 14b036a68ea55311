//! The registry's store: units, templates and contents, notices, campaigns, audit.
//!
//! Every change is one transaction with its audit entry and, where other roles must hear of it, its record for the log.
//!
//! Must stay true: a change names the version it was made from, so of two changes made from the same version one fails
//! with [`StoreError::Conflict`]; audit entries are only ever added.

use async_trait::async_trait;
use loa_contract::pb::registry::v1::{AuditEntry, Campaign, Content, Hold, Notice, Template, Unit};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;

use super::{Outbox, OutboxRecord, StoreError};
use crate::lease::Fence;

/// Which rows of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    /// From [`Page::next`]; 0 = the first page.
    pub start: u64,
    /// Rows, at most.
    pub rows: u32,
}

/// Rows of a list and where the next page starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Start of the next page; `None` = this was the last.
    pub next: Option<u64>,
}

/// Who did what to which object; no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Who.
    pub user: String,
    /// `campaign`, `notice`, `template`, `unit` or `hold`.
    pub object_kind: &'static str,
    /// Its id, name or code.
    pub object_id: String,
    /// What was done.
    pub action: String,
    /// From and to state, or what changed.
    pub detail: String,
}

/// What is stored with a change: who did it, and the state that others must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// For the audit.
    pub act: Act,
    /// For the log.
    pub record: OutboxRecord,
}

/// A create-call's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateKey {
    /// Whose key it is.
    pub caller: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the call's name and body.
    pub body_hash: [u8; 32],
    /// Keys stored before this time are forgotten, in microseconds since 1970.
    pub forget_before_us: i64,
}

/// What became of a create-call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there now; numbers of its outbox records.
    New(Vec<i64>),
    /// The same call was made before; the object's id.
    Before(String),
    /// The key was used for another body.
    OtherBody,
}

/// A campaign and who has written in it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCampaign {
    /// As everybody sees it.
    pub campaign: Campaign,
    /// Everybody who created, edited or submitted it: none of them may approve it.
    pub authors: Vec<String>,
}

/// A notice and its version.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredNotice {
    /// As everybody sees it.
    pub notice: Notice,
    /// Counts every change, from 1.
    pub version: u64,
}

/// Organisations.
#[async_trait]
pub trait Units: Send + Sync {
    /// Stores what a unit is from `valid_from` on.
    async fn put_unit(&self, unit: &Unit, act: &Act) -> Result<(), StoreError>;

    /// Units valid at a time, by code.
    async fn units(&self, at_us: i64, page: PageAsk) -> Result<Page<Unit>, StoreError>;

    /// A unit as it is at a time; `None` if there is none or it is not valid then.
    async fn unit(&self, code: &str, at_us: i64) -> Result<Option<Unit>, StoreError>;
}

/// Templates and the contents that they name by hash.
#[async_trait]
pub trait Templates: Send + Sync {
    /// Adds a version, numbering it; the version that has this content already is given back instead.
    async fn put_template(&self, template: &Template, content: &Content, act: &Act) -> Result<Template, StoreError>;

    /// A version with its content; 0 = the newest.
    async fn template(&self, name: &str, version: u32) -> Result<Option<Template>, StoreError>;

    /// Newest versions, by name.
    async fn templates(&self, page: PageAsk) -> Result<Page<Template>, StoreError>;

    /// A content by its SHA-256.
    async fn content(&self, hash: &[u8]) -> Result<Option<Content>, StoreError>;
}

/// What single sends may name.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Stores a new notice under a key.
    async fn create_notice(&self, notice: &Notice, key: &CreateKey, told: &Told) -> Result<Created, StoreError>;

    /// Replaces a notice whose version is one less; numbers of its outbox records.
    async fn change_notice(&self, stored: &StoredNotice, told: &Told) -> Result<Vec<i64>, StoreError>;

    /// A notice.
    async fn notice(&self, id: CampaignId) -> Result<Option<StoredNotice>, StoreError>;

    /// Notices, newest first.
    async fn notices(&self, page: PageAsk) -> Result<Page<StoredNotice>, StoreError>;
}

/// Campaigns.
#[async_trait]
pub trait Campaigns: Send + Sync {
    /// Stores a new campaign under a key.
    async fn create_campaign(
        &self,
        stored: &StoredCampaign,
        key: &CreateKey,
        told: &Told,
    ) -> Result<Created, StoreError>;

    /// Replaces a campaign whose version is one less, in the name of the fence (empty for people's calls); numbers of its
    /// outbox records.
    async fn change_campaign(
        &self,
        stored: &StoredCampaign,
        told: &Told,
        fence: &Fence,
    ) -> Result<Vec<i64>, StoreError>;

    /// A campaign.
    async fn campaign(&self, id: CampaignId) -> Result<Option<StoredCampaign>, StoreError>;

    /// Campaigns, newest first.
    async fn campaigns(&self, page: PageAsk) -> Result<Page<StoredCampaign>, StoreError>;

    /// Campaigns in a state, the earliest scheduled first; with `due_us` only those scheduled at or before that time.
    async fn campaigns_in(
        &self,
        state: CampaignState,
        due_us: Option<i64>,
        max: u32,
    ) -> Result<Vec<StoredCampaign>, StoreError>;
}

/// Whether the whole installation is held.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHold {
    /// As everybody sees it; `seconds` = 0: it is over.
    pub hold: Hold,
    /// Counts every change, from 1.
    pub version: u64,
}

/// The hold of the installation.
#[async_trait]
pub trait Holds: Send + Sync {
    /// The newest hold, whether in force or over; `None` if there never was one.
    async fn hold(&self) -> Result<Option<StoredHold>, StoreError>;

    /// Replaces the hold whose version is one less (0 = there never was one); `act` is for the audit, if it is worth an
    /// entry. Numbers of its outbox records.
    async fn change_hold(
        &self,
        stored: &StoredHold,
        record: &OutboxRecord,
        act: Option<&Act>,
    ) -> Result<Vec<i64>, StoreError>;
}

/// The whole store.
#[async_trait]
pub trait RegistryStore: Units + Templates + Notices + Campaigns + Holds + Outbox {
    /// Puts states into the outbox again as they are, for a log that does not have them.
    async fn tell_again(&self, records: &[OutboxRecord], at_us: i64) -> Result<(), StoreError>;

    /// What a key was used for, if it was: never [`Created::New`].
    async fn created(&self, key: &CreateKey) -> Result<Option<Created>, StoreError>;

    /// What was done to an object, oldest first.
    async fn audit(&self, object_id: &str, page: PageAsk) -> Result<Page<AuditEntry>, StoreError>;
}
