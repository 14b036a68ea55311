//! From a role's store to the log: at once by who made the change, later by the holder of the outbox lease.
//!
//! Whoever changes state and must tell stores both in one transaction; what happens between that COMMIT and the log is
//! here, once for every role that has an outbox.
//!
//! Must stay true: a record is marked only after the log has acknowledged it. Publishing again is harmless: readers keep
//! the highest version (or position) of an object.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::ALL;
use loa_ports::log::{Append, Log, LogError};
use loa_ports::store::{Outbox, OutboxRecord, StoreError};
use tonic::Status;

use crate::record::append_encoded;

/// The kind of the lease whose holder publishes what is left.
pub const OUTBOX: &str = "outbox";

/// How long a call that answers for the log waits for its word before it says that the change is only stored.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);
/// How long other changes wait; the outbox does the rest.
const TRIED_FOR: Duration = Duration::from_secs(1);
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Who is waiting for the log's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// The reply is T0: it says OK only when the log has it.
    Must,
    /// It is enough that it is stored.
    May,
}

/// Publishes the outbox of one store.
#[derive(Debug, Clone)]
pub struct Publisher {
    outbox: Arc<dyn Outbox>,
    log: Arc<dyn Log>,
}

/// What is left could not be published.
#[derive(Debug, thiserror::Error)]
pub enum LeftError {
    /// It could not be read or marked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Publisher {
    /// From this outbox to this log.
    pub fn new(outbox: Arc<dyn Outbox>, log: Arc<dyn Log>) -> Self {
        Self { outbox, log }
    }

    /// Publishes what a change has stored, and marks it. OK to who must know means: the log has it, it is in force.
    pub async fn publish(&self, records: &[OutboxRecord], numbers: &[i64], who: Acknowledge) -> Result<(), Status> {
        let limit = if who == Acknowledge::Must { ACKNOWLEDGED_WITHIN } else { TRIED_FOR };
        match tokio::time::timeout(limit, self.append_until_taken(records)).await {
            Ok(Ok(())) => {
                if let Err(error) = self.outbox.outbox_done(numbers).await {
                    tracing::warn!(%error, "published records could not be marked; they are published again");
                }
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a record of the outbox is not taken by the log");
                Err(Status::internal("stored, but the log refuses it; see the log of this node"))
            }
            Err(_) if who == Acknowledge::Must => {
                Err(Status::unavailable("stored; in force as soon as the log is back; repeat the call to be told when"))
            }
            Err(_) => {
                tracing::warn!("the log does not answer; a change is published as soon as it is back");
                Ok(())
            }
        }
    }

    async fn append_until_taken(&self, records: &[OutboxRecord]) -> Result<(), LogError> {
        loop {
            match self.log.append(to_append(records)?).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_away() => {
                    tracing::debug!(%error, "publishing again");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Publishes what is left of changes older than a time, oldest first; how many records there were.
    pub async fn publish_left(&self, stored_before_us: i64, max: u32) -> Result<usize, LeftError> {
        let left = self.outbox.outbox_left(stored_before_us, max).await?;
        if left.is_empty() {
            return Ok(0);
        }
        let (numbers, records): (Vec<i64>, Vec<OutboxRecord>) = left.into_iter().unzip();
        self.log.append(to_append(&records)?).await?;
        self.outbox.outbox_done(&numbers).await?;
        Ok(numbers.len())
    }
}

fn to_append(records: &[OutboxRecord]) -> Result<Vec<Append>, LogError> {
    records.iter().map(one).collect()
}

fn one(record: &OutboxRecord) -> Result<Append, LogError> {
    let topic = ALL.iter().find(|spec| spec.name == record.topic);
    let topic = topic.ok_or_else(|| LogError::Damaged { why: format!("no topic `{}`", record.topic) })?;
    Ok(append_encoded(topic, record.partition, record.key.clone(), record.value.clone()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use async_trait::async_trait;
    use loa_contract::topics::{ControlTopic, Topic as _, TopicSpec};
    use loa_ports::log::{Position, Reader};
    use std::sync::Mutex;
    use tonic::Code;

    /// Rows in memory; number 0 is stored at 0 µs, 1 at 1 µs, and so on.
    #[derive(Debug, Default)]
    pub(crate) struct Rows {
        pub(crate) left: Mutex<Vec<(i64, OutboxRecord)>>,
        unmarkable: bool,
    }

    #[async_trait]
    impl Outbox for Rows {
        async fn outbox_left(&self, before_us: i64, max: u32) -> Result<Vec<(i64, OutboxRecord)>, StoreError> {
            let left = self.left.lock().unwrap();
            Ok(left.iter().filter(|(at_us, _)| *at_us < before_us).take(max as usize).cloned().collect())
        }

        async fn outbox_done(&self, numbers: &[i64]) -> Result<(), StoreError> {
            if self.unmarkable {
                return Err(StoreError::Away { why: "as told".to_owned() });
            }
            self.left.lock().unwrap().retain(|(number, _)| !numbers.contains(number));
            Ok(())
        }
    }

    /// Keeps the values that were appended; away for so many calls.
    #[derive(Debug, Default)]
    pub(crate) struct Shelf {
        pub(crate) taken: Mutex<Vec<String>>,
        away_for: Mutex<u32>,
        is_full: bool,
    }

    #[async_trait]
    impl Log for Shelf {
        async fn append(&self, records: Vec<Append>) -> Result<Vec<i64>, LogError> {
            if self.is_full {
                return Err(LogError::TooLarge { topic: records[0].topic.name, bytes: 2, max: 1 });
            }
            let mut away_for = self.away_for.lock().unwrap();
            if *away_for > 0 {
                *away_for -= 1;
                return Err(away());
            }
            let values = records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap());
            self.taken.lock().unwrap().extend(values);
            Ok(vec![0; records.len()])
        }

        async fn reader(&self, _: &'static TopicSpec, _: Vec<Position>) -> Result<Box<dyn Reader>, LogError> {
            Err(away())
        }

        async fn end(&self, _: &'static TopicSpec, _: u32) -> Result<i64, LogError> {
            Err(away())
        }

        async fn ends(&self, _: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
            Err(away())
        }

        async fn starts(&self, _: &'static TopicSpec) -> Result<Vec<i64>, LogError> {
            Err(away())
        }

        async fn retain(&self, _: i64) -> Result<(), LogError> {
            Err(away())
        }
    }

    fn away() -> LogError {
        LogError::Away { why: "as told".to_owned() }
    }

    /// Numbered records `r0`, `r1`, …, as a store would have them.
    pub(crate) fn stored(count: i64) -> Vec<(i64, OutboxRecord)> {
        let record = |number: i64| OutboxRecord {
            topic: ControlTopic::SPEC.name.to_owned(),
            partition: 0,
            key: format!("k{number}").into(),
            value: format!("r{number}").into(),
        };
        (0..count).map(|number| (number, record(number))).collect()
    }

    pub(crate) fn parts(rows: Rows, shelf: Shelf) -> (Arc<Rows>, Arc<Shelf>, Publisher) {
        let (rows, shelf) = (Arc::new(rows), Arc::new(shelf));
        (rows.clone(), shelf.clone(), Publisher::new(rows, shelf))
    }

    pub(crate) fn with(count: i64) -> Rows {
        Rows { left: Mutex::new(stored(count)), ..Rows::default() }
    }

    /// What `publish` of two records answers, what the log has then, and how many are left.
    async fn two(rows: Rows, shelf: Shelf, who: Acknowledge) -> (Result<(), Code>, Vec<String>, usize) {
        let (rows, shelf, publisher) = parts(rows, shelf);
        let (numbers, records): (Vec<_>, Vec<_>) = stored(2).into_iter().unzip();
        let answer = publisher.publish(&records, &numbers, who).await.map_err(|status| status.code());
        let left = rows.left.lock().unwrap().len();
        (answer, shelf.taken.lock().unwrap().clone(), left)
    }

    #[tokio::test]
    async fn a_record_is_marked_only_once_the_log_has_it() {
        use Acknowledge::{May, Must};
        let both = || vec!["r0".to_owned(), "r1".to_owned()];
        let away_for = |calls| Shelf { away_for: Mutex::new(calls), ..Shelf::default() };
        for who in [Must, May] {
            assert_eq!(two(with(2), away_for(0), who).await, (Ok(()), both(), 0), "{who:?}");
            assert_eq!(two(with(2), away_for(3), who).await, (Ok(()), both(), 0), "tried again for {who:?}");
            let full = Shelf { is_full: true, ..Shelf::default() };
            assert_eq!(two(with(2), full, who).await, (Err(Code::Internal), vec![], 2), "{who:?}");
            let unmarkable = Rows { unmarkable: true, ..with(2) };
            assert_eq!(two(unmarkable, away_for(0), who).await, (Ok(()), both(), 2), "in force all the same");
        }
        assert_eq!(two(with(2), away_for(u32::MAX), Must).await, (Err(Code::Unavailable), vec![], 2));
        assert_eq!(two(with(2), away_for(u32::MAX), May).await, (Ok(()), vec![], 2), "the outbox does the rest");
    }

    #[tokio::test]
    async fn a_topic_that_is_none_is_refused() {
        let (_, shelf, publisher) = parts(Rows::default(), Shelf::default());
        let unknown = OutboxRecord { topic: "x.v1".to_owned(), ..stored(1).remove(0).1 };
        let refused = publisher.publish(&[unknown], &[], Acknowledge::May).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal);
        assert_eq!(*shelf.taken.lock().unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_left_goes_out_in_order_and_not_before_its_time() {
        let (rows, shelf, publisher) = parts(with(5), Shelf { away_for: Mutex::new(1), ..Shelf::default() });
        assert!(matches!(publisher.publish_left(9, 9).await, Err(LeftError::Log(_))));
        assert_eq!(rows.left.lock().unwrap().len(), 5, "nothing was taken, so nothing is marked");
        assert_eq!(publisher.publish_left(4, 3).await.unwrap(), 3);
        assert_eq!(publisher.publish_left(4, 3).await.unwrap(), 1);
        assert_eq!(publisher.publish_left(4, 3).await.unwrap(), 0, "the last is too young");
        assert_eq!(*shelf.taken.lock().unwrap(), ["r0", "r1", "r2", "r3"]);
    }
}
