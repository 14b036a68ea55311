//! Audience's tables: dataset versions, imports, freezes, suppression entries.
//!
//! Must stay true: see `loa_ports::store::audience`; no row holds an address.

mod datasets;
mod freezes;
mod suppressions;

use loa_ports::store::StoreError;
use loa_ports::store::audience::JobState;
use prost::Message;
use uuid::Uuid;

use crate::db::Db;
use crate::error::damaged;

/// The store of the role `audience`.
#[derive(Debug, Clone)]
pub struct SqlAudience(Db);

impl SqlAudience {
    /// Over a store opened with the migrations of `audience`.
    pub fn new(db: Db) -> Self {
        Self(db)
    }
}

fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
    }
}

fn state(name: &str) -> Result<JobState, StoreError> {
    let all = [JobState::Waiting, JobState::Running, JobState::Done, JobState::Failed];
    all.into_iter().find(|state| state_name(*state) == name).ok_or_else(|| damaged(format!("no job is `{name}`")))
}

fn uuid(text: &str) -> Result<Uuid, StoreError> {
    Uuid::try_parse(text).map_err(damaged)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(damaged)
}

/// For the database; no counter of ours comes near 63 bits.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_parse_back() {
        for job in [JobState::Waiting, JobState::Running, JobState::Done, JobState::Failed] {
            assert_eq!(state(state_name(job)).unwrap(), job);
        }
        assert!(state("lost").is_err());
    }
}
