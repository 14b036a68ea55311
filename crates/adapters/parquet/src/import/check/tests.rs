//! Every kind of bad cell, with its reason.

use super::*;

const KEY: [u8; 16] = [9; 16];

/// Reads one row under a header; the faults as `column:reason`, or nothing.
fn faults(header: &str, row: &str) -> (Person, Vec<String>, Vec<String>) {
    let header = super::super::header::read(header.as_bytes(), true).unwrap();
    let (communes, tags, key) = (Communes::new(&[]), Tags::new(&[]), HashKey::new(KEY));
    let mut checker = Checker::new(&header, &key, &communes, &tags);
    checker.clear();
    let cells: Vec<Cow<'_, str>> = row.split('\t').map(Cow::Borrowed).collect();
    checker.check(&cells);
    let shown =
        |fault: &RowFault| format!("{}:{}", fault.column.map_or("", |column| &header.names[column]), fault.reason);
    let reasons = checker.faults.iter().map(shown).collect();
    let cures = checker.faults.iter().map(|fault| fault.cure.to_string()).collect();
    (checker.person, reasons, cures)
}

#[track_caller]
fn rejects(header: &str, row: &str, expected: &[&str]) {
    let (_, reasons, cures) = faults(header, row);
    assert_eq!(reasons, expected, "{row:?}");
    assert!(cures.iter().all(|cure| cure.len() > 10), "every fault has its cure: {cures:?}");
}

#[test]
fn every_bad_cell_has_its_reason() {
    let address = |row: &str, expected: &[&str]| rejects("account_id\tmsisdn\tfixed_number\temail", row, expected);
    address("1\t0912345678", &[":short_row"]);
    address("1\t0912345678\t\t\t", &[":extra_cell"]);
    address("\t0912345678\t\t", &["account_id:missing"]);
    address("1\t\t\t", &[":no_address"]);
    address("1\t091234567\t\t", &["msisdn:too_short"]);
    address("1\t+66812345678\t\t", &["msisdn:foreign"]);
    address("1\t113\t\t", &["msisdn:emergency"]);
    address("1\t02753822222\t\t", &["msisdn:fixed_number"]);
    address("1\t9.1E8\t\t", &["msisdn:rounded"]);
    address("1\t=0912345678\t\t", &["msisdn:formula"]);
    address("1\t\t0703822222\t", &["fixed_number:mobile_number"]);
    address("1\t\t\tlan@example", &["email:ADDRESS_DOMAIN"]);
    address("1\t0912345678\t\tlan.example.test", &["email:ADDRESS_SHAPE"]); // a bad optional address rejects too
    address("1\t0912345678\t\t@example.test", &["email:formula"]);
    address("=cmd\t0912345678\t\t", &["account_id:formula"]);
    address(&format!("{}\t0912345678\t\t", "1".repeat(33)), &["account_id:text_too_long"]);
    address("1\u{7}2\t0912345678\t\t", &["account_id:control"]);
    address("\t113\t\tlan@", &["msisdn:emergency", "email:ADDRESS_SHAPE", "account_id:missing"]); // all at once

    let more = |header: &str, cell: &str, reason: &str| {
        rejects(
            &format!("account_id\tmsisdn\t{header}"),
            &format!("1\t0912345678\t{cell}"),
            &[&format!("{header}:{reason}")],
        );
    };
    more("service", "phone", "unknown_value");
    more("age_band", "18-25", "unknown_value");
    more("commune_code", "99999", "unknown_commune");
    more("commune_code", "Ba Tri", "unknown_commune");
    more("smartphone", "maybe", "unknown_value");
    more("channel_pref", "sms|fax", "unknown_value");
    more("consent_ads", "yes", "unknown_value");
    more("consent_at", "yesterday", "bad_date");
    more("consent_at", "31/31/2024", "bad_date");
    more("dnc", "yes", "unknown_value");
    more("dnc_as_of", "2024-13-01", "bad_date");
    more("suppressed", "so-tttt", "bad_scope");
    more("suppressed", "/spam/", "bad_scope");
    more("tags", &"a|".repeat(17), "list_too_long");
    more("tags", &"a".repeat(33), "bad_tag");
    more("slots.ten", "=1+1", "formula");
    more("slots.ten", "-5%", "formula");
    more("slots.ten", &"ế".repeat(65), "text_too_long");
    more("slots.ten", "hai\ndòng", "control");
    more("slots.ten", "a\u{202E}b", "control");
}

#[test]
fn a_good_row_is_a_person() {
    let header = "account_id\tmsisdn\tfixed_number\temail\tservice\tpayment\tcustomer_kind\tcommune_code\tage_band\tsmartphone\tchannel_pref\tconsent_ads\tconsent_at\tdnc\tdnc_as_of\tsuppressed\ttags\tslots.ten";
    let row = "A-1\t+84 91.234.5678\t0275 3822 222\tLan@Example.Test\tMobile\tprepaid\tperson\t28777\t18-24\tCó\tsms|email\tgranted\t31/12/2023\tsms\t1970-01-02\tall|/advertising/\tDừa|tôm\tĐỗ Thị Y";
    let (person, reasons, _) = faults(header, row);
    assert_eq!(reasons, Vec::<String>::new());
    assert_eq!((person.msisdn, person.fixed_number), (84_912_345_678, 842_753_822_222));
    assert_eq!((person.account_id.as_str(), person.email.as_str()), ("A-1", "lan@example.test"));
    assert_eq!((person.tags, person.slots.as_slice()), (0b11, &["Đỗ Thị Y".to_owned()][..]));
    let codes = person.codes;
    assert_eq!((codes.service, codes.payment, codes.customer_kind, codes.age_band), (1, 1, 1, 3));
    assert_eq!((codes.language, codes.smartphone, codes.channel_pref, codes.consent_ads, codes.dnc), (1, 2, 3, 2, 2));
    assert_eq!(person.consent_at, Some("2023-12-31T00:00:00+07:00".parse::<Timestamp>().unwrap().as_microsecond()));
    assert_eq!(person.dnc_as_of, Some(1));
    let scopes: Vec<u32> =
        person.suppressed.chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(scopes, [0, Scope::of(&HashKey::new(KEY), "", "advertising", "").0]);
}

#[test]
fn times_are_local_without_an_offset() {
    for text in ["2024-10-31T08:30:00", "2024-10-31 08:30:00", "2024-10-31T01:30:00Z", "2024-10-31T08:30:00+07:00"] {
        assert_eq!(instant(text).map_err(|fault| fault.reason), Ok(1_730_338_200_000_000), "{text}");
    }
}
