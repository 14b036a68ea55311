//! Audience's ports on SQLite: two handles on one file, each with its own connections.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use loa_ports::lease::Leases;
use loa_ports::store::Outbox;
use loa_ports::store::audience::AudienceStore;
use loa_store::{Db, SqlAudience, SqlLeases, SqlOutbox};
use loa_testkit::suites::audience::{AudienceWorld, audience_store_holds};

struct World {
    stores: [SqlAudience; 2],
    leases: SqlLeases,
    outbox: SqlOutbox,
}

impl AudienceWorld for World {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audience_store_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audience.db");
    let (one, two) = (Db::open(&path, "audience").await.unwrap(), Db::open(&path, "audience").await.unwrap());
    let (leases, outbox) = (SqlLeases::new(one.clone()), SqlOutbox(one.clone()));
    audience_store_holds(&World { stores: [SqlAudience::new(one), SqlAudience::new(two)], leases, outbox }).await;
}
