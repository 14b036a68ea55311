//! Leases of one role. Its beats tell whether its store answers: once a second, without a question of their own; where
//! stores are files, all roles beat in one of them, which lies on the disk of all.
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
use loa_store::SqlLeases;

use super::beats::Beats;

/// A role's own leases, and the process's beats where it has some for all roles.
#[derive(Debug)]
pub(super) struct RoleLeases {
    own: SqlLeases,
    beats: Option<Arc<Beats>>,
    told: Told,
}

impl RoleLeases {
    pub(super) fn new(own: SqlLeases, beats: Option<Arc<Beats>>, role: Role, readiness: Readiness) -> Self {
        Self { own, beats, told: Told { role, readiness, is_away: AtomicBool::new(false) } }
    }
}

/// What the readiness was told of a store.
#[derive(Debug)]
struct Told {
    role: Role,
    readiness: Readiness,
    is_away: AtomicBool,
}

impl Told {
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
impl Leases for RoleLeases {
    async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError> {
        let beaten = match &self.beats {
            Some(beats) => beats.beat(node, endpoint).await,
            None => self.own.beat(node, endpoint).await,
        };
        self.told.tell(&beaten);
        beaten
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        match &self.beats {
            Some(beats) => beats.nodes().await,
            None => self.own.nodes().await,
        }
    }

    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
        self.own.rows(kind, count).await
    }

    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
        self.own.take(kind, number, seen, node).await
    }

    async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
        self.own.free(held).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_named_until_it_answers() {
        let readiness = Readiness::default();
        let told = Told { role: Role::Sms, readiness: readiness.clone(), is_away: AtomicBool::new(false) };
        told.tell(&Ok(()));
        assert!(readiness.is_ready());
        told.tell(&Err(StoreError::Away { why: "no answer".to_owned() }));
        assert!(!readiness.is_ready());
        told.tell(&Ok(()));
        assert!(readiness.is_ready());
    }
}
