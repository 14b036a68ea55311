//! Receipts as carriers write them: the fixtures of the domain notes and what public issue trackers report.

use proptest::prelude::Strategy as _;

use super::*;
use crate::pdu::{Tlvs, put_tlv};

/// What a text says, in the order id, state, error, done.
type Said<'a> = (Option<&'a str>, Option<MessageState>, Option<&'a str>, Option<i64>);

const HANOI_MINUTES: i16 = 7 * 60;
const MORNING: i64 = 1_795_486_560; // 2026-11-24 09:16 in Vietnam

fn message<'a>(esm_class: u8, text: &'a [u8], tlvs: &'a [u8]) -> Message<'a> {
    Message { esm_class, short_message: text, tlvs: Tlvs(tlvs), ..Message::default() }
}

#[track_caller]
fn check(text: &str, expected: Said<'_>) {
    let receipt = Receipt::parse(&message(0x04, text.as_bytes(), b"")).expect("marked as a receipt");
    let id = receipt.id.map(|id| std::str::from_utf8(id).unwrap());
    let done = receipt.done.map(|stamp| stamp.unix_seconds(HANOI_MINUTES));
    assert_eq!((id, receipt.state, receipt.error.as_ref().map(ErrorCode::as_str), done), expected, "{text}");
}

#[test]
fn reads_every_fixture() {
    use MessageState::*;
    // R01: as in the specification's appendix
    check(
        "id:1234567890 sub:001 dlvrd:001 submit date:2611240915 done date:2611240916 stat:DELIVRD err:000 text:Chuyen doi so ",
        (Some("1234567890"), Some(Delivered), Some("000"), Some(MORNING)),
    );
    // R02: hexadecimal id, seconds
    check(
        "id:0C3F9A2B sub:001 dlvrd:000 submit date:261124091512 done date:261124211512 stat:EXPIRED err:027 Text:",
        (Some("0C3F9A2B"), Some(Expired), Some("027"), Some(MORNING - 48 + 12 * 3_600)),
    );
    // R03: a UUID
    check(
        "id:7f9c1d1e-3b7a-4d1c-9e0e-0d1b7f6a2c11 submit date:2611240915 done date:2611240916 stat:UNDELIV err:001",
        (Some("7f9c1d1e-3b7a-4d1c-9e0e-0d1b7f6a2c11"), Some(Undeliverable), Some("001"), Some(MORNING)),
    );
    // R04: a subscriber's text cannot forge fields
    check("id:b1 sub:001 stat:DELIVRD err:0 text:stat:UNDELIV err:999", (Some("b1"), Some(Delivered), Some("0"), None));
    // R05: upper case, letters in the error
    check(
        "ID:55 SUB:001 DLVRD:001 SUBMIT DATE:2611240915 DONE DATE:2611240916 STAT:REJECTD ERR:69b TEXT:x",
        (Some("55"), Some(Rejected), Some("69b"), Some(MORNING)),
    );
    // R06: only two fields
    check("id:55 stat:ACCEPTD", (Some("55"), Some(Accepted), None, None));
    // R07: underscores, 14 digits, the long word
    check(
        "id:55 submit_date:20261124091500 done_date:20261124091533 stat:DELIVERED err:000 text:",
        (Some("55"), Some(Delivered), Some("000"), Some(MORNING - 27)),
    );
    // R08: spaces after the colon, an impossible date, an empty error
    check(
        "id: 000042  sub:001 dlvrd:001 submit date:2611240915 done date:0000000000 stat:UNKNOWN err: text:",
        (Some("000042"), Some(Unknown), None, None),
    );
    // R09: another order
    check(
        "stat:DELIVRD id:77 done date:2611240916 err:000 sub:001",
        (Some("77"), Some(Delivered), Some("000"), Some(MORNING)),
    );
}

#[test]
fn reads_what_was_seen_in_the_field() {
    use MessageState::*;
    check("id:1 stat:DELIVRD err:0000", (Some("1"), Some(Delivered), Some("0000"), None));
    check("id:1 sub:1 dlvrd:1 stat:DELIVRD err:0 text: hello", (Some("1"), Some(Delivered), Some("0"), None));
    check("id:1 stat:UNDELIV err: 0", (Some("1"), Some(Undeliverable), Some("0"), None));
    check("id:1 stat:UNDELIV err:21b text:", (Some("1"), Some(Undeliverable), Some("21b"), None));
    check("id:1 done date:2611240916 DELIVRD err:000 Text:", (Some("1"), Some(Delivered), Some("000"), Some(MORNING)));
    check(
        "id:1 submit date:180711070003912+ done date:180711070003912+ stat:DELIVRD err:000",
        (Some("1"), Some(Delivered), Some("000"), Some(1_531_281_603)),
    );
    check("id:1 stat:FAILED err:123456789", (Some("1"), Some(Undeliverable), Some("12345678"), None));
    check("id:1 stat:BUFFERD", (Some("1"), Some(EnRoute), None, None));
    check("id:1 stat:ACKED", (Some("1"), Some(Accepted), None, None));
    check("id:1 stat:NOSUCH err:7", (Some("1"), None, Some("7"), None)); // the word is kept, see below
    check("id:1 stat:DELIVRD\0garbage", (Some("1"), Some(Delivered), None, None));
    check("id:1\nstat:DELIVRD\n", (Some("1"), Some(Delivered), None, None));
    check("sub:001", (None, None, None, None));
    check("", (None, None, None, None));
    check("identity:9 stat:DELIVRD", (None, Some(Delivered), None, None)); // a label is a whole word
    check("mid:9 id:8 stat:DELIVRD", (Some("8"), Some(Delivered), None, None));
    check("id:8 id:9 stat:DELIVRD stat:EXPIRED", (Some("8"), Some(Delivered), None, None)); // the first one holds
}

#[test]
fn binary_after_the_text_label_is_not_read() {
    let text = b"id:5 stat:DELIVRD err:000 text:\x00C\x1e\xa1 stat:UNDELIV";
    let receipt = Receipt::parse(&message(0x04, text, b"")).unwrap();
    assert_eq!((receipt.id, receipt.state), (Some(&b"5"[..]), Some(MessageState::Delivered)));
    let latin = Receipt::parse(&message(0x04, b"id:caf\xe9 stat:DELIVRD", b"")).unwrap();
    assert_eq!(latin.id, Some(&b"caf\xe9"[..]), "octets that are no text stay as they are");
}

#[test]
fn an_unknown_word_is_unknown_and_kept() {
    let receipt = Receipt::parse(&message(0x04, b"id:1 stat:NOSUCH", b"")).unwrap();
    assert_eq!((receipt.stat, receipt.outcome()), (&b"NOSUCH"[..], Outcome::Unknown));
}

#[test]
fn tells_receipts_from_mobile_originated() {
    let parse = |esm_class, text: &'static str| Receipt::parse(&message(esm_class, text.as_bytes(), b""));
    assert_eq!(parse(0x00, "Xin chao, id cua toi la gi?"), None); // R10
    assert_eq!(parse(0x40, "id:1 stat:DELIVRD"), None);
    assert!(parse(0x04, "id:1 stat:DELIVRD").is_some());
    let intermediate = parse(0x20, "id:1 stat:ENROUTE").unwrap(); // R13
    assert_eq!((intermediate.intermediate, intermediate.outcome()), (true, Outcome::Unchanged));
    let early = parse(0x20, "id:1 stat:UNDELIV").unwrap();
    assert_eq!(early.outcome(), Outcome::Unchanged, "the carrier still tries");
}

#[test]
fn the_header_bit_alone_hides_nothing() {
    let bare = Receipt::parse(&message(0x44, b"id:1 stat:DELIVRD", b"")).unwrap();
    assert_eq!(bare.id, Some(&b"1"[..]));
    let with_header = Receipt::parse(&message(0x44, b"\x05\x00\x03\x07\x01\x01id:1 stat:DELIVRD", b"")).unwrap();
    assert_eq!(with_header.id, Some(&b"1"[..]));
}

#[test]
fn tlvs_win_over_the_text() {
    let mut tlvs = Vec::new();
    put_tlv(&mut tlvs, tag::RECEIPTED_MESSAGE_ID, b"ABC1\0");
    put_tlv(&mut tlvs, tag::MESSAGE_STATE, &[2]);
    put_tlv(&mut tlvs, tag::NETWORK_ERROR_CODE, &[3, 0, 27]);

    let alone = Receipt::parse(&message(0x00, b"", &tlvs)).expect("the TLV makes it a receipt"); // R11
    assert_eq!(alone.id, Some(&b"ABC1"[..]));
    assert_eq!(alone.outcome(), Outcome::Delivered);
    assert_eq!(alone.error.unwrap().as_str(), "27");
    assert!(!alone.conflict);

    let both = Receipt::parse(&message(0x04, b"id:10 stat:UNDELIV err:001", &tlvs)).unwrap(); // R12
    assert_eq!((both.id, both.outcome(), both.conflict), (Some(&b"ABC1"[..]), Outcome::Delivered, true));
}

#[test]
fn odd_tlvs_are_read_or_skipped() {
    #[track_caller]
    fn check(tlv: (u16, &[u8]), expected: Said<'_>) {
        let mut tlvs = Vec::new();
        put_tlv(&mut tlvs, tlv.0, tlv.1);
        let message = message(0x04, b"id:5 stat:EXPIRED err:9", &tlvs);
        let receipt = Receipt::parse(&message).unwrap();
        let id = receipt.id.map(|id| std::str::from_utf8(id).unwrap());
        assert_eq!((id, receipt.state, receipt.error.as_ref().map(ErrorCode::as_str), None), expected, "{tlv:02x?}");
    }

    use MessageState::*;
    check((tag::MESSAGE_STATE, &[0, 0, 0, 2]), (Some("5"), Some(Delivered), Some("9"), None));
    check((tag::MESSAGE_STATE, &[]), (Some("5"), Some(Expired), Some("9"), None));
    check((tag::MESSAGE_STATE, &[77]), (Some("5"), Some(Expired), Some("9"), None));
    check((tag::RECEIPTED_MESSAGE_ID, b"5 \0"), (Some("5"), Some(Expired), Some("9"), None));
    check((tag::RECEIPTED_MESSAGE_ID, b""), (Some("5"), Some(Expired), Some("9"), None));
    check((tag::NETWORK_ERROR_CODE, b"034"), (Some("5"), Some(Expired), Some("034"), None));
    check((tag::NETWORK_ERROR_CODE, &[3, 0, 1, 0]), (Some("5"), Some(Expired), Some("1"), None));
    check((tag::NETWORK_ERROR_CODE, &[3]), (Some("5"), Some(Expired), Some("9"), None));
    check((tag::MESSAGE_PAYLOAD, b"id:6 stat:DELIVRD"), (Some("5"), Some(Expired), Some("9"), None));
}

#[test]
fn the_text_may_stand_in_the_payload() {
    let mut tlvs = Vec::new();
    put_tlv(&mut tlvs, tag::MESSAGE_PAYLOAD, b"id:6 stat:DELIVRD err:000");
    let receipt = Receipt::parse(&message(0x04, b"", &tlvs)).unwrap();
    assert_eq!((receipt.id, receipt.state), (Some(&b"6"[..]), Some(MessageState::Delivered)));
}

#[test]
fn both_sides_come_to_one_key() {
    #[track_caller]
    fn check(form: &str, response: &str, receipt: &str, same: bool) {
        let form: IdForm = form.parse().unwrap();
        let response = form.key(Side::Response, response.as_bytes());
        let receipt = form.key(Side::Receipt, receipt.as_bytes());
        assert_eq!(response == receipt, same, "{form:?} {response:?} {receipt:?}");
    }

    check("as_is", "0C3F9a2b", "c3f9A2B", true);
    check("as_is", "000042 ", "42\0", true);
    check("as_is", "0", "0000", true);
    check("as_is", "255", "FF", false);
    check("as_is", "7f9c1d1e-3b7a", "7F9C1D1E-3B7A", true);
    check("as_is", "0-1", "-1", false); // the zeros of a word belong to it
    check("resp_dec_receipt_hex", "255", "FF", true); // R14
    check("resp_dec_receipt_hex", "0255", "00ff", true);
    check("resp_hex_receipt_dec", "1A", "26", true);
    check("resp_hex_receipt_dec", "26", "26", false);
    check("resp_hex_receipt_dec", "FFFFFFFFFFFFFFFF", "18446744073709551615", true); // above i64
    check("resp_hex_receipt_dec", "no-number", "NO-NUMBER", true);
    assert!(IdForm::AsIs.key(Side::Response, b" \0").is_empty());
    let long = [b'7'; 80];
    assert_eq!(IdForm::RespDecReceiptHex.key(Side::Response, &long).as_bytes().len(), ID_OCTETS_MAX);
    assert!("hex".parse::<IdForm>().unwrap_err().to_string().contains("as_is, resp_hex_receipt_dec"));
}

proptest::proptest! {
    /// Whatever a carrier sends, a receipt is read without a panic and its parts lie in the message.
    #[test]
    fn never_panics(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), tlvs: Vec<u8>, esm: u8) {
        if let Some(receipt) = Receipt::parse(&message(esm, &text, &tlvs)) {
            proptest::prop_assert!(receipt.id.is_none_or(|id| (1..=ID_OCTETS_MAX).contains(&id.len())));
        }
    }

    /// Labels in any order say the same.
    #[test]
    fn order_does_not_matter(order in proptest::prelude::Just(vec!["id:42", "sub:001", "stat:EXPIRED", "err:9",
        "done date:2611240916", "submit date:2611240915"]).prop_shuffle()) {
        check(&order.join(" "), (Some("42"), Some(MessageState::Expired), Some("9"), Some(MORNING)));
    }
}
