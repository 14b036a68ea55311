//! The registry's store on SQL.
//!
//! Objects are kept in their Protobuf form; what is asked for stands in columns beside it.
//!
//! Must stay true: a change, its audit entry and its record for the log are one transaction; no statement changes or
//! deletes an audit entry.

mod audit;
mod campaigns;
mod holds;
mod keys;
mod notices;
mod templates;
mod units;

use async_trait::async_trait;
use loa_contract::pb::registry::v1::AuditEntry;
use loa_ports::store::registry::{CreateKey, Created, Page, PageAsk, RegistryStore};
use loa_ports::store::{Outbox, OutboxRecord, StoreError};
use prost::Message;

use crate::db::Db;
use crate::error::damaged;
use crate::outbox::{SqlOutbox, put_outbox};

/// The registry's store, on a file of the role `registry`.
#[derive(Debug, Clone)]
pub struct SqlRegistry {
    db: Db,
}

impl SqlRegistry {
    /// Takes a store opened for the role `registry`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Outbox for SqlRegistry {
    async fn outbox_left(&self, stored_before_us: i64, max: u32) -> Result<Vec<(i64, OutboxRecord)>, StoreError> {
        SqlOutbox(self.db.clone()).outbox_left(stored_before_us, max).await
    }

    async fn outbox_done(&self, numbers: &[i64]) -> Result<(), StoreError> {
        SqlOutbox(self.db.clone()).outbox_done(numbers).await
    }
}

#[async_trait]
impl RegistryStore for SqlRegistry {
    async fn created(&self, key: &CreateKey) -> Result<Option<Created>, StoreError> {
        keys::find(&self.db, key).await
    }

    async fn tell_again(&self, records: &[OutboxRecord], at_us: i64) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        put_outbox(&mut tx, at_us, records).await?;
        tx.commit().await
    }

    async fn audit(&self, object_id: &str, page: PageAsk) -> Result<Page<AuditEntry>, StoreError> {
        audit::read(&self.db, object_id, page).await
    }
}

/// Reads a stored object.
fn decode<M: Message + Default>(body: &[u8]) -> Result<M, StoreError> {
    M::decode(body).map_err(damaged)
}

/// One row more than asked for tells whether there is a next page.
fn limit(page: PageAsk) -> i64 {
    i64::from(page.rows) + 1
}

/// The start of a page as the database counts.
fn start(page: PageAsk) -> i64 {
    i64::try_from(page.start).unwrap_or(i64::MAX)
}

/// A page of a list that is counted from its beginning.
fn counted<T>(mut rows: Vec<T>, page: PageAsk) -> Page<T> {
    let more = rows.len() > page.rows as usize;
    rows.truncate(page.rows as usize);
    Page { rows, next: more.then(|| page.start + u64::from(page.rows)) }
}

/// A page of a list whose rows have numbers; the next page starts behind the last one's.
fn numbered<T>(mut rows: Vec<(i64, T)>, page: PageAsk) -> Page<T> {
    let more = rows.len() > page.rows as usize;
    rows.truncate(page.rows as usize);
    let next = rows.last().filter(|_| more).and_then(|(number, _)| u64::try_from(*number).ok());
    Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next }
}
