//! Leases of one role. Its beats tell whether its store answers: once a second, without a question of their own; where
//! stores are files, all roles beat in one of them, which lies on the disk of all. A store that only keeps silent is told
//! of while its answer is still awaited.
//!
//! Must stay true: what is told changes nothing; a store that is away stops its role by itself, since nothing can be
//! committed in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loa_ports::lease::{Held, LeaseRow, Leases, NodeRow};
use loa_ports::store::StoreError;
use loa_runtime::Role;
use loa_runtime::probes::Readiness;
use loa_store::SqlLeases;

use super::beats::Beats;

/// A store that has not answered for so long is told of.
const SILENCE: Duration = Duration::from_millis(800);

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

impl RoleLeases {
    /// Awaits an answer, and tells when it is late.
    async fn answered<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut answer = std::pin::pin!(answer);
        match tokio::time::timeout(SILENCE, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                let why = format!("no answer for {} ms", SILENCE.as_millis());
                self.told.tell(&Err(StoreError::Away { why }));
                answer.await
            }
        }
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
            Some(beats) => self.answered(beats.beat(node, endpoint)).await,
            None => self.answered(self.own.beat(node, endpoint)).await,
        };
        self.told.tell(&beaten);
        beaten
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        match &self.beats {
            Some(beats) => self.answered(beats.nodes()).await,
            None => self.answered(self.own.nodes()).await,
        }
    }

    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
        self.answered(self.own.rows(kind, count)).await
    }

    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
        self.answered(self.own.take(kind, number, seen, node)).await
    }

    async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
        self.own.free(held).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_store::Db;

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

    #[tokio::test]
    async fn a_store_that_keeps_silent_is_named_before_it_answers() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("sms.db"), "sms").await.expect("a store");
        let readiness = Readiness::default();
        let leases = RoleLeases::new(SqlLeases::new(db), None, Role::Sms, readiness.clone());
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let silent = async { answered.await.map_err(|_| StoreError::Away { why: "gone".to_owned() }) };
        let looking = async {
            while readiness.is_ready() {
                tokio::task::yield_now().await;
            }
            answer.send(()).expect("it is still awaited");
        };
        let both = async { tokio::join!(leases.answered(silent), looking).0 };
        tokio::time::timeout(SILENCE * 20, both).await.expect("it is named").expect("it answers");
        leases.beat("one", "").await.expect("a beat");
        assert!(readiness.is_ready());
    }
}
