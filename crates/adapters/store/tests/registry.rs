//! The registry's port on SQLite: two handles on one file, each with its own connections.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use loa_ports::lease::Leases;
use loa_ports::store::registry::RegistryStore;
use loa_store::{Db, SqlLeases, SqlRegistry};
use loa_testkit::suites::registry::{RegistryWorld, registry_store_holds};

struct World {
    stores: [SqlRegistry; 2],
    leases: SqlLeases,
}

impl RegistryWorld for World {
    fn store(&self, instance: usize) -> &dyn RegistryStore {
        &self.stores[instance]
    }

    fn leases(&self) -> &dyn Leases {
        &self.leases
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_store_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.db");
    let (one, two) = (Db::open(&path, "registry").await.unwrap(), Db::open(&path, "registry").await.unwrap());
    let leases = SqlLeases::new(one.clone());
    registry_store_holds(&World { stores: [SqlRegistry::new(one), SqlRegistry::new(two)], leases }).await;
}

/// No statement of the store changes or deletes an audit entry.
#[test]
fn the_audit_is_only_added_to() {
    let sources = [
        include_str!("../src/registry/audit.rs"),
        include_str!("../src/registry/campaigns.rs"),
        include_str!("../src/registry/keys.rs"),
        include_str!("../src/registry/notices.rs"),
        include_str!("../src/registry/templates.rs"),
        include_str!("../src/registry/units.rs"),
    ];
    assert!(sources[0].contains("insert into audit"));
    for source in sources {
        assert!(!source.contains("update audit") && !source.contains("delete from audit"));
    }
}
