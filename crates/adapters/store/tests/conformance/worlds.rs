//! The suites of the ports that `loa-testkit` has, on two handles of one store.

use async_trait::async_trait;
use loa_ports::lease::{Fence, Leases};
use loa_ports::store::audience::AudienceStore;
use loa_ports::store::registry::RegistryStore;
use loa_ports::store::{Outbox, OutboxRecord, StoreError};
use loa_store::{Db, SqlAudience, SqlLeases, SqlOutbox, SqlRegistry, check_fence, put_outbox, sql};
use loa_testkit::suites::audience::{AudienceWorld, audience_store_holds};
use loa_testkit::suites::lease::{LeaseWorld, leases_port_holds};
use loa_testkit::suites::registry::{RegistryWorld, registry_store_holds};

use super::Make;

/// Runs the suite of leases.
pub(crate) async fn leases_hold(make: &impl Make) {
    let stores = make.open("role").await;
    let leases = stores.clone().map(SqlLeases::new);
    leases_port_holds(&LeasesOnSql { stores, leases }).await;
}

/// Runs the suite of the registry.
pub(crate) async fn registry_holds(make: &impl Make) {
    let [one, two] = make.open("registry").await;
    let leases = SqlLeases::new(one.clone());
    registry_store_holds(&RegistryOnSql { stores: [one, two].map(SqlRegistry::new), leases }).await;
}

/// Runs the suite of audience.
pub(crate) async fn audience_holds(make: &impl Make) {
    let [one, two] = make.open("audience").await;
    let (leases, outbox) = (SqlLeases::new(one.clone()), SqlOutbox(one.clone()));
    audience_store_holds(&AudienceOnSql { stores: [one, two].map(SqlAudience::new), leases, outbox }).await;
}

struct LeasesOnSql {
    stores: [Db; 2],
    leases: [SqlLeases; 2],
}

#[async_trait]
impl LeaseWorld for LeasesOnSql {
    fn leases(&self, instance: usize) -> &dyn Leases {
        &self.leases[instance]
    }

    /// The outbox keeps the words: its numbers are drawn inside the transaction.
    async fn write(&self, instance: usize, fence: &Fence, word: &str) -> Result<(), StoreError> {
        let mut tx = self.stores[instance].begin().await?;
        check_fence(&mut tx, fence).await?;
        let last: i64 = sql("select coalesce(max(number), 0) from outbox").fetch_one(&mut tx).await?;
        let record =
            OutboxRecord { topic: word.to_owned(), partition: 0, key: Vec::new().into(), value: Vec::new().into() };
        put_outbox(&mut tx, last / 1_000 + 1, &[record]).await?;
        tx.commit().await
    }

    async fn written(&self) -> Vec<String> {
        sql("select topic from outbox order by number").fetch_all(&self.stores[0]).await.unwrap()
    }
}

struct RegistryOnSql {
    stores: [SqlRegistry; 2],
    leases: SqlLeases,
}

impl RegistryWorld for RegistryOnSql {
    fn store(&self, instance: usize) -> &dyn RegistryStore {
        &self.stores[instance]
    }

    fn leases(&self) -> &dyn Leases {
        &self.leases
    }
}

struct AudienceOnSql {
    stores: [SqlAudience; 2],
    leases: SqlLeases,
    outbox: SqlOutbox,
}

impl AudienceWorld for AudienceOnSql {
    fn store(&self, instance: usize) -> &dyn AudienceStore {
        &self.stores[instance]
    }

    fn leases(&self) -> &dyn Leases {
        &self.leases
    }

    fn outbox(&self) -> &dyn Outbox {
        &self.outbox
    }
}
