//! Rows come back as they were stored, and damage is noticed.

use bytes::Bytes;
use loa_contract::topics::{SettlementsTopic, Topic};
use loa_ports::log::Append;

use super::*;

fn append(partition: u32, key: &'static str, value: &'static str) -> Append {
    Append {
        topic: SettlementsTopic::SPEC,
        partition,
        key: Bytes::from_static(key.as_bytes()),
        headers: vec![("traceparent".to_owned(), Bytes::from_static(b"00-a-b-01")), (String::new(), Bytes::new())],
        value: Bytes::from_static(value.as_bytes()),
    }
}

fn batch() -> Batch {
    let mut writer = RowWriter::default();
    for (offset, record) in [
        (7, append(1, "a", "one")),
        (8, append(1, "b", "")),
        (20, append(1, "a", "three")),
        (0, append(63, "", "four")),
    ] {
        writer.push(offset, &record);
    }
    writer.finish(5, 99)
}

fn given(batch: &Batch, wanted: &mut [Option<i64>], records_max: usize) -> (Vec<(u32, i64)>, bool) {
    let mut taken = Taken { records: Vec::new(), bytes: 0, records_max, bytes_max: usize::MAX };
    let all = batch.give(wanted, &mut taken);
    (taken.records.iter().map(|record| (record.partition, record.offset)).collect(), all)
}

#[test]
fn a_row_comes_back() {
    let batch = batch();
    let stored = batch.directory.encode();
    assert_eq!(Batch::parse(5, 99, &stored, batch.data().to_vec()), Some(batch.clone()));
    assert_eq!(batch.directory.ends().collect::<Vec<_>>(), [(1, 21), (63, 1)]);

    let mut wanted = vec![Some(0); 64];
    let mut taken = Taken { records: Vec::new(), bytes: 0, records_max: 10, bytes_max: usize::MAX };
    assert!(batch.give(&mut wanted, &mut taken));
    let first = taken.records.remove(0);
    let appended = append(1, "a", "one");
    assert_eq!((first.key, first.headers, first.value), (appended.key, appended.headers, appended.value));
    assert_eq!((first.partition, first.offset, first.at_us), (1, 7, 99));
}

#[test]
fn a_reader_gets_what_it_has_not_had() {
    let batch = batch();
    let mut wanted = vec![None; 64];
    assert_eq!(given(&batch, &mut wanted, 9), (vec![], true));
    wanted[1] = Some(8);
    assert!(batch.directory.has_for(&wanted));
    assert_eq!(given(&batch, &mut wanted, 1), (vec![(1, 8)], false));
    assert_eq!(given(&batch, &mut wanted, 1), (vec![(1, 20)], true));
    assert_eq!(wanted[1], Some(21));
    assert!(!batch.directory.has_for(&wanted));
    wanted[63] = Some(0);
    assert_eq!(given(&batch, &mut wanted, 9), (vec![(63, 0)], true));
}

#[test]
fn records_can_be_left_out() {
    let batch = batch();
    let kept = batch.only(|_, key, offset| key != "a" || offset == 20).expect("some stay");
    assert_eq!(kept.keys().map(|(p, _, offset)| (p, offset)).collect::<Vec<_>>(), [(1, 8), (1, 20), (63, 0)]);
    let again = Batch::parse(5, 99, &kept.directory.encode(), kept.data().to_vec());
    assert_eq!(again.as_ref(), Some(&kept));
    assert_eq!(batch.only(|_, _, _| false), None);
}

#[test]
fn damage_is_noticed() {
    let batch = batch();
    let stored = batch.directory.encode();
    assert_eq!(Batch::parse(5, 99, &stored, batch.data()[1..].to_vec()), None);
    assert_eq!(Batch::parse(5, 99, &stored[..stored.len() - 1], batch.data().to_vec()), None);
    for at in 0..stored.len() {
        let mut damaged = stored.clone();
        damaged[at] = 0xff;
        // Whatever it is taken for, it must not panic; what adds up can only be the same lengths.
        if let Some(parsed) = Batch::parse(5, 99, &damaged, batch.data().to_vec()) {
            assert_eq!(parsed.directory.bytes(), batch.data().len());
        }
    }
}
