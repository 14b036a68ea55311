//! From calls to rows: offsets, rows and marks of one group commit.
//!
//! Must stay true: pure; records get offsets in the order of the calls, and within one topic and partition rows ascend with
//! them.

use std::sync::Arc;

use loa_ports::log::Append;

use crate::file::{LastMark, Loaded, base, encode_ends};
use crate::row::{Batch, RowWriter, index};

/// What one group commit writes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Rows with their topics, in order.
    pub(crate) rows: Vec<(u16, Arc<Batch>)>,
    /// Marks that come before some of them.
    pub(crate) marks: Vec<Mark>,
    /// The offsets of each call's records.
    pub(crate) offsets: Vec<Vec<i64>>,
}

/// A mark to store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: i64,
    pub(crate) newest_us: i64,
    pub(crate) ends: Vec<u8>,
}

impl Mark {
    /// The mark that stands before the topic's next row.
    pub(crate) fn before_next(topic: &Loaded) -> Self {
        let id = base(topic.topic) + topic.next_seq;
        Self { id, newest_us: topic.newest_us, ends: encode_ends(&topic.ends) }
    }
}

/// Plans a group: each call's records with their topics' numbers. What is known of the topics moves on with it.
pub(crate) fn plan<'a>(
    calls: impl Iterator<Item = (&'a [Append], &'a [u16])>,
    topics: &mut [Loaded],
    now_us: i64,
) -> Plan {
    let mut plan = Plan::default();
    let mut of_topic: Vec<Vec<(i64, &Append)>> = vec![Vec::new(); topics.len()];
    let mut next: Vec<Vec<i64>> = topics.iter().map(|topic| topic.ends.clone()).collect();
    for (records, numbers) in calls {
        let offset = |(record, &number): (&'a Append, &u16)| {
            let next = &mut next[usize::from(number)][index(record.partition)];
            let offset = *next;
            *next += 1;
            of_topic[usize::from(number)].push((offset, record));
            offset
        };
        plan.offsets.push(records.iter().zip(numbers).map(offset).collect());
    }
    for (topic, mut records) in topics.iter_mut().zip(of_topic) {
        records.sort_unstable_by_key(|(offset, record)| (record.partition, *offset));
        plan.rows_of_topic(topic, &records, now_us);
    }
    plan
}

impl Plan {
    fn rows_of_topic(&mut self, topic: &mut Loaded, records: &[(i64, &Append)], now_us: i64) {
        let mut bytes_left = records.iter().map(|(_, record)| crate::size(record)).sum();
        let mut writer = RowWriter::with_room(bytes_left, records.len());
        for (at, (offset, record)) in records.iter().enumerate() {
            let bytes = crate::size(record);
            if writer.is_full_for(bytes) {
                let next = RowWriter::with_room(bytes_left, records.len() - at);
                self.row(topic, std::mem::replace(&mut writer, next), now_us);
            }
            writer.push(*offset, record);
            bytes_left -= bytes;
        }
        if !records.is_empty() {
            self.row(topic, writer, now_us);
        }
    }

    fn row(&mut self, topic: &mut Loaded, writer: RowWriter, now_us: i64) {
        if topic.needs_mark(now_us) {
            self.marks.push(Mark::before_next(topic));
            topic.mark = Some(LastMark { seq: topic.next_seq, first_us: None });
        }
        let batch = writer.finish(topic.next_seq, now_us);
        for (partition, end) in batch.directory.ends() {
            topic.ends[partition] = end;
        }
        topic.next_seq += 1;
        topic.newest_us = topic.newest_us.max(now_us);
        if let Some(mark) = &mut topic.mark {
            mark.first_us.get_or_insert(now_us);
        }
        self.rows.push((topic.topic, Arc::new(batch)));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use loa_contract::topics;

    use super::*;
    use crate::row::ROW_BYTES_MAX;

    fn empty(topic: u16) -> Loaded {
        let zeros = vec![0; index(topics::ALL[usize::from(topic)].partitions)];
        Loaded { topic, starts: zeros.clone(), ends: zeros, next_seq: 0, newest_us: i64::MIN, mark: None }
    }

    fn all() -> Vec<Loaded> {
        (0..u16::try_from(topics::ALL.len()).expect("few topics")).map(empty).collect()
    }

    fn record(topic: u16, partition: u32, bytes: usize) -> (Append, u16) {
        let value = Bytes::from(vec![0; bytes]);
        let topic_spec = topics::ALL[usize::from(topic)];
        (Append { topic: topic_spec, partition, key: Bytes::new(), headers: Vec::new(), value }, topic)
    }

    fn plan_of(calls: Vec<Vec<(Append, u16)>>, topics: &mut [Loaded], now_us: i64) -> Plan {
        let calls: Vec<(Vec<Append>, Vec<u16>)> = calls.into_iter().map(|call| call.into_iter().unzip()).collect();
        plan(calls.iter().map(|(records, numbers)| (records.as_slice(), numbers.as_slice())), topics, now_us)
    }

    #[test]
    fn offsets_follow_the_calls() {
        let mut topics = all();
        let call = || vec![record(12, 3, 1), record(1, 0, 1), record(12, 3, 1), record(12, 1, 1)];
        let plan = plan_of(vec![call(), call()], &mut topics, 5);
        assert_eq!(plan.offsets, [vec![0, 0, 1, 0], vec![2, 1, 3, 1]]);
        assert_eq!(plan.rows.iter().map(|(topic, row)| (*topic, row.len())).collect::<Vec<_>>(), [(1, 2), (12, 6)]);
        assert_eq!((topics[12].ends[3], topics[12].ends[1], topics[12].next_seq, topics[1].ends[0]), (4, 2, 1, 2));
        assert_eq!(plan.marks.len(), 2, "a topic's first row has a mark before it");
    }

    #[test]
    fn a_large_group_becomes_several_rows() {
        let mut topics = all();
        let call = (0..9).map(|_| record(12, 0, 1024 * 1024)).collect();
        let plan = plan_of(vec![call], &mut topics, 5);
        assert_eq!(plan.rows.iter().map(|(_, row)| row.len()).collect::<Vec<_>>(), [4, 4, 1]);
        assert!(plan.rows.iter().all(|(_, row)| row.data().len() <= ROW_BYTES_MAX));
        assert_eq!(topics[12].next_seq, 3);
    }

    #[test]
    fn marks_come_by_rows_and_by_time() {
        let mut topics = all();
        let mut marks = Vec::new();
        for n in 0..300 {
            let made = plan_of(vec![vec![record(1, 0, 1)]], &mut topics, n).marks;
            marks.extend(made.into_iter().map(|mark| (mark.id - base(1), mark.newest_us)));
        }
        assert_eq!(marks, [(0, i64::MIN), (128, 127), (256, 255)]);
        // blocks.v1 keeps an hour, so a mark comes after two and a half minutes.
        let minute_us = 60_000_000;
        assert_eq!(plan_of(vec![vec![record(1, 0, 1)]], &mut topics, 2 * minute_us).marks, []);
        assert_eq!(plan_of(vec![vec![record(1, 0, 1)]], &mut topics, 3 * minute_us).marks.len(), 1);
    }
}
