//! Import: what is taken, what is rejected and how it is said.

use loa_ports::audience::Fault;
use loa_sim::people::People;

use super::*;

fn faults(outcome: Result<Imported, DatasetError>) -> Vec<Fault> {
    match outcome.expect_err("the file is refused") {
        DatasetError::Refused { faults } => faults,
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_becomes_a_version() {
    let engine = Engine::new();
    let text = "\u{FEFF}Account_Id;MSISDN;email;service;commune_code;slots.ten\r\n\
                A1;0912345678;lan@example.test;mobile;28777;Lan\r\n\
                A2;01201234567;;ftth;;\"Đỗ; Y\"\n\
                \r\n\
                A3;;An@Example.test;;29110;An\n\
                A1;0912345679;;mobile;28777;Lan moi";
    let Imported { report, rows } = engine.import(1, None, text).unwrap();
    assert_eq!((report.rows, report.accepted, report.rejected, report.duplicates), (4, 3, 0, 1));
    assert_eq!((rows, report.migrated, report.with_mobile, report.with_email), (3, 1, 2, 1));
    assert_eq!(report.import_id, Uuid::from_u128(1).to_string());
    // Of two rows of one account the later one counts; the earlier one is named.
    assert_eq!(engine.count(1, "has email").selected, 1);
    assert_eq!(
        engine.rejects(1),
        "line,column,reason,cure,row\n2,account_id,duplicate_key,line 6 has the same account_id and was taken; keep one of them,\n"
    );
    assert_eq!(
        engine.files(),
        [format!("rejects/{}.csv", Uuid::from_u128(1)), format!("versions/{}", Uuid::from_u128(1))]
    );
}

/// Each of these files is refused as a whole: what to mend stands in its faults, and nothing is left but rejects.
#[test]
fn a_bad_file_is_refused_as_a_whole() {
    #[track_caller]
    fn check(bytes: impl AsRef<[u8]>, field: &str, words: &str) {
        let engine = Engine::new();
        let faults = faults(engine.import(1, None, bytes));
        assert!(faults.iter().any(|fault| fault.field == field && fault.problem.contains(words)), "{faults:?}");
        assert!(engine.files().iter().all(|file| file.starts_with("rejects/")), "{:?}", engine.files());
    }

    check("", "file", "is empty");
    check("\u{FEFF}\u{FEFF}account_id,msisdn\n", "file", "two byte order marks");
    check("A1,0912345678\nA2,0912345679\n", "header", "names no column");
    check("account_id,msisdn,msisdn\nA1,0912345678,\n", "msisdn", "stands twice");
    check("account_id,msisdn\n", "file", "no rows");
    check("account_id,msisdn\n\n\r\n", "file", "no rows");
    check("account_id,msisdn\nA1,113\nA2,114\n", "file", "all 2 rows were rejected");
    let tags: String = (0..65).map(|number| format!("A{number},0912345{number:03},t{number}\n")).collect();
    check(format!("account_id,msisdn,tags\n{tags}"), "tags", "more than 64 different tags");
}

#[test]
fn all_rejected_still_says_why() {
    let engine = Engine::new();
    faults(engine.import(1, None, "account_id,msisdn\nA1,113\n"));
    let (_, rejected) =
        engine.rejects(1).split_once('\n').map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    assert!(rejected.starts_with("2,msisdn,emergency,"), "{rejected}");
}

/// Each bad line costs itself and nothing else; the rejects say line, column, reason, cure and the row.
#[test]
fn a_bad_row_is_rejected_alone() {
    #[track_caller]
    fn check(row: impl AsRef<[u8]>, expected: &[(&str, &str)]) {
        let engine = Engine::new();
        let mut bytes = b"account_id,msisdn,email,slots.ten\nA1,0912345678,,Lan\n".to_vec();
        bytes.extend_from_slice(row.as_ref());
        bytes.extend_from_slice(b"\nA2,0912345679,,An\n");
        let report = engine.import(1, None, &bytes).unwrap().report;
        assert_eq!((report.rows, report.accepted, report.rejected), (3, 2, 1));
        let rejects = engine.rejects(1);
        let mut reader = csv::Reader::from_reader(rejects.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let found: Vec<(&str, &str)> = rows.iter().map(|row| (&row[1], &row[2])).collect();
        assert_eq!(found, expected, "{rejects}");
        assert!(rows.iter().all(|row| &row[0] == "3" && row[3].len() > 10 && !row[4].is_empty()), "{rejects}");
        let reasons: Vec<&str> = report.reasons.iter().map(|count| count.reason.as_str()).collect();
        assert!(expected.iter().all(|(_, reason)| reasons.contains(reason)), "{reasons:?}");
    }

    check("B1", &[("", "short_row")]);
    check("B1,0912345670,,Lan,more", &[("", "extra_cell")]);
    check("B1,0912345670,,\"Lan", &[("", "open_quote")]);
    check("\"B1\"x,0912345670,,Lan", &[("", "open_quote")]);
    check("B1,0912345670,,La\0n", &[("", "nul")]);
    check(b"B1,0912345670,,L\xE1n", &[("", "encoding")]);
    check(format!("B1,0912345670,,{}", "x".repeat(1024 * 1024)), &[("", "row_too_long")]);
    check(format!("B1,0912345670,,{}", "x".repeat(3 * 1024 * 1024)), &[("", "row_too_long")]);
    check("B1,091234567,,", &[("msisdn", "too_short")]);
    check("B1,+66812345678,,", &[("msisdn", "foreign")]);
    check("B1,113,,", &[("msisdn", "emergency")]);
    check("B1,0275 3822 222,,", &[("msisdn", "fixed_number")]);
    check("B1,9.1E8,,", &[("msisdn", "rounded")]);
    check("B1,,lan.example.test,", &[("email", "ADDRESS_SHAPE")]);
    check("B1,0912345670,,=1+1", &[("slots.ten", "formula")]);
    check(
        "=B1,113,lan@,\"a\nb\"",
        &[("account_id", "formula"), ("msisdn", "emergency"), ("email", "ADDRESS_SHAPE"), ("slots.ten", "control")],
    );
    check(",,,", &[("account_id", "missing"), ("", "no_address")]);
}

#[test]
fn a_job_that_is_stopped_leaves_nothing_and_can_be_done_again() {
    let engine = Engine::new();
    let text: String = (0..1_000).map(|number| format!("A{number},0912{number:06}\n")).collect();
    engine.spool(1, format!("account_id,msisdn\n{text}").as_bytes());
    let spool = engine.files();
    for looks in [1, 2, 30] {
        let stopped = engine.datasets.import(&job(1, None), &StopAt(AtomicU64::new(looks)));
        assert!(matches!(stopped, Err(DatasetError::Stopped)), "{looks}");
        assert!(spool.iter().all(|file| engine.files().contains(file)), "{looks}");
        assert!(!engine.files().iter().any(|file| file.starts_with("tmp/") || file.starts_with("versions/")));
    }
    let told = Told::default();
    let done = engine.datasets.import(&job(1, None), &told).unwrap();
    assert_eq!(done.rows, 1_000);
    let told = told.0.into_inner().unwrap();
    assert!(told.iter().any(|progress| progress.stage == Stage::Writing && progress.rows == 1_000));
    // Asked again (the answer was lost), it answers again from what is there.
    assert_eq!(engine.datasets.import(&job(1, None), &Always).unwrap(), done);
}

#[test]
fn a_spool_that_was_given_up_is_gone() {
    let engine = Engine::new();
    let mut spool = engine.datasets.spool(Uuid::from_u128(1)).unwrap();
    spool.write(b"account_id").unwrap();
    drop(spool);
    assert_eq!(engine.files(), Vec::<String>::new());
    let missing = engine.datasets.import(&job(1, None), &Always).unwrap_err();
    assert!(matches!(missing, DatasetError::Missing { .. }), "{missing}");
}

/// A worker that was believed dead goes on and publishes; the one that took over must not be misled.
#[test]
fn two_workers_on_one_import_give_one_version() {
    let engine = Engine::new();
    let text: String = (0..3_000).map(|number| format!("A{number},0912{number:06}\n")).collect();
    engine.spool(1, format!("account_id,msisdn\n{text}").as_bytes());
    let work = || engine.datasets.import(&job(1, None), &Always).unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(work), scope.spawn(work));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
    assert_eq!(engine.count(1, "has mobile").selected, 3_000);
    assert!(!engine.files().iter().any(|file| file.starts_with("tmp/") || file.starts_with("spool/")));
}

#[test]
fn many_blocks_and_threads_change_nothing() {
    let engine = Engine::new();
    let mut text = "account_id,msisdn,slots.ten\n".to_owned();
    for number in 0..120_000 {
        let number_or_bad = if number % 10 == 3 { "113".to_owned() } else { format!("0{}", 910_000_000 + number) };
        text.push_str(&format!("A{},{number_or_bad},\"Lan, {number}\"\n", number % 60_000));
    }
    let report = engine.import(1, None, &text).unwrap().report;
    assert_eq!((report.rows, report.rejected, report.accepted, report.duplicates), (120_000, 12_000, 54_000, 54_000));
    let rejects = engine.rejects(1);
    let lines: Vec<u64> =
        rejects.lines().skip(1).take(12_000).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted() && lines[0] == 5, "rejects stand in the order of the file");
    assert!(rejects.contains("\n2,account_id,duplicate_key,line 60002 has"), "the later row wins across threads");
}

#[test]
fn old_leftovers_are_swept_and_what_is_needed_stays() {
    let engine = Engine::new();
    engine.import(1, None, "account_id,msisdn\nA1,0912345678\n").unwrap();
    engine.import(2, None, "account_id,msisdn\nA1,0912345678\n").unwrap();
    let needed = Needed { imports: vec![Uuid::from_u128(1)], freezes: vec![] };
    assert_eq!(engine.datasets.sweep(&needed).unwrap(), 0, "younger than a day");
    let later = engine.datasets.clock.now_us() + 25 * 3_600 * 1_000_000;
    assert_eq!(sweep::sweep(&engine.datasets.layout, &needed, later).unwrap(), 2);
    assert!(engine.files().iter().all(|file| file.contains(&Uuid::from_u128(1).to_string())));
}

/// What the simulator calls good is taken, what it calls bad is rejected, to the row.
#[test]
fn synthetic_people_are_taken_and_their_bad_rows_are_not() {
    let engine = Engine::new();
    let people = People { seed: 11, count: 5_000, bad_rows: 300 };
    let mut csv = Vec::new();
    people.write(&mut csv).unwrap();
    let report = engine.import(1, None, csv).unwrap().report;
    assert_eq!((report.accepted, report.rejected, report.duplicates), (5_000, 300, 0), "{report:?}");
    assert_eq!((report.with_mobile, report.with_email), (5_000, 5_000));
    assert!(report.reasons.len() >= 18, "bad rows are of many kinds: {:?}", report.reasons);
    assert_eq!(engine.count(1, "has mobile and has email").selected, 5_000);
    assert!(engine.count(1, "commune in district(\"Ba Tri\") and age in 18..60").selected > 100);
}
