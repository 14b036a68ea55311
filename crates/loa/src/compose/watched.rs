//! A role's leases whose beats tell whether its store answers: once a second, without a question of their own.
//!
//! Must stay true: what is told changes nothing; a store that is away stops its role by itself, since nothing can be
//! committed in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use loa_ports::lease::{Held, LeaseRow, Leases, NodeRow};
use loa_ports::store::StoreError;
use loa_runtime::Role;
use loa_runtime::probes::Readiness;

/// Leases with an eye on their store.
#[derive(Debug)]
pub(super) struct Watched {
    leases: Arc<dyn Leases>,
    role: Role,
    readiness: Readiness,
    is_away: AtomicBool,
}

impl Watched {
    pub(super) fn new(leases: Arc<dyn Leases>, role: Role, readiness: Readiness) -> Self {
        Self { leases, role, readiness, is_away: AtomicBool::new(false) }
    }

    fn tell(&self, beaten: &Result<(), StoreError>) {
        let (condition, role) = (format!("store of {}", self.role), self.role.name());
        match beaten {
            Ok(()) => {
                self.readiness.holds(&condition);
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!(role, "the store answers again");
                }
            }
            Err(error) => {
                let code = "LOA-006";
                self.readiness
                    .not(&condition, format!("{code} it does not answer, and nothing is done without it: {error}"));
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    tracing::error!(role, %error, code, "the store does not answer; its role stands still until it does");
                }
            }
        }
    }
}

#[async_trait]
impl Leases for Watched {
    async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError> {
        let beaten = self.leases.beat(node, endpoint).await;
        self.tell(&beaten);
        beaten
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.leases.nodes().await
    }

    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
        self.leases.rows(kind, count).await
    }

    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
        self.leases.take(kind, number, seen, node).await
    }

    async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
        self.leases.free(held).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that is away when told.
    #[derive(Debug, Default)]
    struct Store(AtomicBool);

    #[async_trait]
    impl Leases for Store {
        async fn beat(&self, _: &str, _: &str) -> Result<(), StoreError> {
            let away = self.0.load(Ordering::Relaxed);
            if away { Err(StoreError::Away { why: "no answer".to_owned() }) } else { Ok(()) }
        }

        async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
            Ok(Vec::new())
        }

        async fn rows(&self, _: &str, _: u32) -> Result<Vec<LeaseRow>, StoreError> {
            Ok(Vec::new())
        }

        async fn take(&self, _: &str, _: u32, _: i64, _: &str) -> Result<Option<i64>, StoreError> {
            Ok(None)
        }

        async fn free(&self, _: &[Held]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_named_until_it_answers() {
        let (store, readiness) = (Arc::new(Store::default()), Readiness::default());
        let watched = Watched::new(Arc::clone(&store) as _, Role::Sms, readiness.clone());
        watched.beat("one", "").await.unwrap();
        assert!(readiness.is_ready());
        store.0.store(true, Ordering::Relaxed);
        watched.beat("one", "").await.unwrap_err();
        assert!(!readiness.is_ready());
        store.0.store(false, Ordering::Relaxed);
        watched.beat("one", "").await.unwrap();
        assert!(readiness.is_ready());
    }
}
