//! People are unique, plausible and the same every time.

use std::collections::HashSet;

use loa_domain::address::EmailAddress;
use loa_domain::msisdn::{Column, Msisdn};

use super::*;

fn written(people: People) -> Vec<u8> {
    let mut out = Vec::new();
    people.write(&mut out).unwrap();
    out
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let people = People { seed: 7, count: 300, bad_rows: 30 };
    assert_eq!(written(people), written(people));
    assert_ne!(written(people), written(People { seed: 8, ..people }));
}

#[test]
fn good_rows_are_good_and_bad_rows_are_counted() {
    let text = written(People { seed: 1, count: 2_000, bad_rows: 48 });
    let text = String::from_utf8_lossy(&text);
    let good: Vec<Vec<&str>> =
        text.lines().filter(|line| line.starts_with("BT")).map(|line| line.split(',').collect()).collect();
    assert_eq!(good.len(), 2_000);
    assert_eq!(text.matches("\nBAD").count() + text.matches("\n,").count() + text.matches("\n1234567890").count(), 48);
    let (mut numbers, mut mailboxes) = (HashSet::new(), HashSet::new());
    for row in &good {
        assert_eq!(row.len(), HEADER.split(',').count(), "{row:?}");
        let number = Msisdn::parse(row[1], Column::Mobile).unwrap_or_else(|reject| panic!("{row:?}: {reject}"));
        assert!(numbers.insert(number.number.as_u64()));
        let mailbox = EmailAddress::parse(row[2]).unwrap_or_else(|error| panic!("{row:?}: {error}"));
        assert!(mailbox.is_reserved() && mailboxes.insert(mailbox.as_str().to_owned()));
        assert!(row[17].chars().count() <= 64 && !row[17].is_empty());
    }
    assert!(good.iter().any(|row| row[17] == "Y"), "hard names are among them");
    assert!(good.iter().filter(|row| row[7] == "70+").count() > 100);
}

#[test]
fn a_person_can_be_named_by_index() {
    let people = People { seed: 3, count: 50, bad_rows: 0 };
    let text = String::from_utf8(written(people)).unwrap();
    for (index, line) in (0..).zip(text.lines().skip(1)) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(Msisdn::parse(cells[1], Column::Mobile).unwrap().number.as_u64(), people.msisdn(index));
        assert_eq!(cells[2], people.mailbox(index));
    }
}

#[test]
fn nobody_shares_a_number() {
    let people = People { seed: 5, count: 0, bad_rows: 0 };
    let numbers: HashSet<u64> = (0..300_000).map(|index| people.msisdn(index)).collect();
    assert_eq!(numbers.len(), 300_000);
    let viettel = numbers.iter().filter(|number| matches!(**number / 10_000_000 % 100, 86 | 96..=98 | 32..=39)).count();
    assert!((150_000..180_000).contains(&viettel), "{viettel} of 300,000 are Viettel's");
}

#[test]
fn too_many_are_refused() {
    let error = People { seed: 1, count: COUNT_MAX + 1, bad_rows: 0 }.write(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}
