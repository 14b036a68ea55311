//! The arithmetic laws as properties: any file and any rule, against a model that is slow and obvious.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::channel::Channel;
use proptest::prelude::*;

use super::freezing::{chunks, excluded, inputs, variant};
use super::*;

/// A row of a generated file.
#[derive(Debug, Clone)]
struct Row {
    account: u8,
    number: u8,
    service: &'static str,
    smartphone: &'static str,
    tags: &'static str,
    has_email: bool,
    is_bad: bool,
}

fn row() -> impl Strategy<Value = Row> {
    let service = prop_oneof![Just(""), Just("mobile"), Just("ftth")];
    let smartphone = prop_oneof![Just(""), Just("yes"), Just("no")];
    let tags = prop_oneof![Just(""), Just("dua"), Just("dua|tom"), Just("tom")];
    (0..40_u8, 0..60_u8, service, smartphone, tags, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(account, number, service, smartphone, tags, has_email, is_bad)| Row {
            account,
            number,
            service,
            smartphone,
            tags,
            has_email,
            is_bad,
        },
    )
}

fn file(rows: &[Row]) -> String {
    let mut text = "account_id,msisdn,email,service,smartphone,tags\n".to_owned();
    for Row { account, number, service, smartphone, tags, has_email, is_bad } in rows {
        let number = if *is_bad { "113".to_owned() } else { format!("09123456{number:02}") };
        let email = if *has_email { format!("p{account}@example.test") } else { String::new() };
        text.push_str(&format!("A{account},{number},{email},{service},{smartphone},{tags}\n"));
    }
    text
}

/// The people that a file means: the last good row of each account.
fn people(rows: &[Row]) -> BTreeMap<u8, Row> {
    rows.iter().filter(|row| !row.is_bad).map(|row| (row.account, row.clone())).collect()
}

type Predicate = fn(&Row) -> bool;

const RULES: [(&str, Predicate); 8] = [
    ("has mobile", |_| true),
    ("has email", |row| row.has_email),
    ("service = ftth", |row| row.service == "ftth"),
    ("smartphone", |row| row.smartphone == "yes"),
    ("smartphone = no", |row| row.smartphone == "no"),
    ("tags contains any(dua, tom)", |row| !row.tags.is_empty()),
    ("tags contains all(dua, tom)", |row| row.tags == "dua|tom"),
    ("tags contains khong", |_| false),
];

/// A rule and what it means.
#[derive(Debug, Clone)]
enum Meaning {
    Leaf(usize),
    Not(Box<Meaning>),
    All(Vec<Meaning>),
    Any(Vec<Meaning>),
}

impl Meaning {
    fn text(&self) -> String {
        let join =
            |all: &[Self], word: &str| all.iter().map(|one| format!("({})", one.text())).collect::<Vec<_>>().join(word);
        match self {
            Self::Leaf(at) => RULES[*at].0.to_owned(),
            Self::Not(inner) => format!("not ({})", inner.text()),
            Self::All(all) => join(all, " and "),
            Self::Any(all) => join(all, " or "),
        }
    }

    fn selects(&self, row: &Row) -> bool {
        match self {
            Self::Leaf(at) => RULES[*at].1(row),
            Self::Not(inner) => !inner.selects(row),
            Self::All(all) => all.iter().all(|one| one.selects(row)),
            Self::Any(all) => all.iter().any(|one| one.selects(row)),
        }
    }
}

fn meaning() -> impl Strategy<Value = Meaning> {
    (0..RULES.len()).prop_map(Meaning::Leaf).prop_recursive(3, 12, 3, |inner| {
        let several = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|one| Meaning::Not(Box::new(one))),
            several.clone().prop_map(Meaning::All),
            several.prop_map(Meaning::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// rows = accepted + rejected + duplicates; a count is what the rule means; selected = excluded + frozen; nobody is
    /// frozen twice, and everybody frozen was meant.
    #[test]
    fn the_books_add_up(rows in proptest::collection::vec(row(), 1..120), delta in proptest::collection::vec(row(), 0..40), meaning in meaning(), suppressed in proptest::collection::vec(0..60_u64, 0..8)) {
        let engine = Engine::new();
        let mut expected = people(&rows);
        prop_assume!(!expected.is_empty());
        let report = engine.import(1, None, file(&rows)).unwrap().report;
        prop_assert_eq!(report.rows, rows.len() as u64);
        prop_assert_eq!(report.rows, report.accepted + report.rejected + report.duplicates);
        prop_assert_eq!(report.accepted, expected.len() as u64);

        let mut id = 1;
        if delta.iter().any(|row| !row.is_bad) {
            let imported = engine.import(2, Some(1), file(&delta)).unwrap();
            let report = imported.report;
            expected.extend(people(&delta));
            prop_assert_eq!(report.rows, report.accepted + report.rejected + report.duplicates);
            prop_assert_eq!(imported.rows, expected.len() as u64);
            id = 2;
        }

        let selected: Vec<&Row> = expected.values().filter(|row| meaning.selects(row)).collect();
        let counts = engine.count(id, &meaning.text());
        prop_assert_eq!(counts.selected, selected.len() as u64);
        prop_assert_eq!(counts.with_mobile, selected.len() as u64);
        prop_assert_eq!(counts.with_email, selected.iter().filter(|row| row.has_email).count() as u64);

        let suppressed = Suppressed(suppressed.into_iter().map(|number| 84_912_345_600 + number).collect());
        let variants = vec![variant(0, Channel::Sms, "a"), variant(1, Channel::Email, "")];
        let inputs = FreezeInputs { import_id: Uuid::from_u128(id), ..inputs(&meaning.text(), variants) };
        let manifest = engine.datasets.freeze(&inputs, &suppressed, &Always).unwrap();
        prop_assert_eq!(manifest.selected, counts.selected);
        excluded(&manifest, 0);
        excluded(&manifest, 1);
        let numbers: Vec<u64> = chunks(&engine, 0).iter().flat_map(|chunk| chunk.msisdns.clone()).collect();
        let once: BTreeSet<u64> = numbers.iter().copied().collect();
        let meant: BTreeSet<u64> = selected.iter().map(|row| 84_912_345_600 + u64::from(row.number)).filter(|number| !suppressed.0.contains(number)).collect();
        prop_assert_eq!(numbers.len(), once.len());
        prop_assert_eq!(once, meant);
        let mailboxes: usize = chunks(&engine, 1).iter().map(|chunk| chunk.mailboxes.len()).sum();
        prop_assert_eq!(mailboxes as u64, counts.with_email);
    }

    /// A larger sample contains a smaller one, and half of the people are about half.
    #[test]
    fn samples_nest(seed in 0..1_000_u32) {
        let engine = Engine::new();
        let text: String = (0..400).map(|number| format!("A{seed}-{number},0912345{number:03}\n")).collect();
        engine.import(1, None, format!("account_id,msisdn\n{text}")).unwrap();
        let selected = |rule: &str| engine.count(1, rule).selected;
        prop_assert_eq!(selected("sample 20% and sample 50%"), selected("sample 20%"));
        prop_assert_eq!(selected("sample 100%"), 400);
        prop_assert!((130..270).contains(&selected("sample 50%")));
    }
}
