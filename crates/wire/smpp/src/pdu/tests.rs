//! The codec against an independent one, and the odd PDUs that cost other clients their framing.

use proptest::collection::vec;
use proptest::prelude::*;
use rusmpp::decode::DecodeWithLength as _;
use rusmpp::encode::{Encode as _, Length as _};
use rusmpp::values::{DataCoding, EsmClass, InterfaceVersion, Npi, PriorityFlag, RegisteredDelivery, Ton};
use rusmpp::{Command, CommandStatus, Pdu};

use super::*;

/// Reads what we wrote with the other codec, and writes it again.
fn other(octets: &[u8]) -> (Command, Vec<u8>) {
    let mut input = bytes::BytesMut::from(&octets[4..]);
    let (command, read) = Command::decode(&mut input, octets.len() - 4).expect("readable");
    assert_eq!(read, octets.len() - 4, "read to the end");
    (command.clone(), written_by_other(&command))
}

fn written_by_other(command: &Command) -> Vec<u8> {
    let mut octets = vec![0; 4 + command.length()];
    let length = u32::try_from(octets.len()).unwrap();
    octets[..4].copy_from_slice(&length.to_be_bytes());
    command.encode(&mut octets[4..]);
    octets
}

fn only_pdu(octets: &[u8]) -> (Header, &[u8]) {
    match cut(octets) {
        Cut::Pdu { header, body, octets: cut } if cut == octets.len() => (header, body),
        other => panic!("not one whole PDU: {other:?}"),
    }
}

fn text(octets: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(0x20..0x7Fu8, octets)
}

/// Empty or 16 characters, as times are.
fn time() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), vec(b'0'..=b'9', 16)]
}

type Texts = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
type Octets = (u8, u8, u8, u8, u8, u8, u8);

fn texts() -> impl Strategy<Value = Texts> {
    (text(0..=5), text(0..=20), text(0..=20), time(), time(), vec(any::<u8>(), 0..=254))
}

fn message<'a>(texts: &'a Texts, octets: Octets) -> Message<'a> {
    let (service_type, source, destination, schedule, validity, short_message) = texts;
    let (ton, npi, protocol_id, priority, registered_delivery, data_coding, default_message_id) = octets;
    Message {
        service_type,
        source: Address { ton, npi, address: source },
        destination: Address { ton: npi, npi: ton, address: destination },
        esm_class: 0x40,
        protocol_id,
        priority,
        schedule,
        validity,
        registered_delivery,
        replace_if_present: 0,
        data_coding,
        default_message_id,
        short_message,
        tlvs: Tlvs(b""),
        odd: false,
    }
}

proptest! {
    /// Submits and deliveries: the other codec reads ours and writes the same octets; we read back what we wrote.
    #[test]
    fn messages_agree_with_the_other_codec(texts in texts(), octets: Octets, sequence in 1..=SEQUENCE_MAX, submit: bool) {
        let command = if submit { command::SUBMIT_SM } else { command::DELIVER_SM };
        let ours = message(&texts, octets);
        let mut out = Vec::new();
        ours.encode(&mut out, command, sequence).unwrap();

        let (read, again) = other(&out);
        prop_assert_eq!(read.sequence_number(), sequence);
        prop_assert_eq!(&again, &out);
        if let Some(Pdu::SubmitSm(submit)) = read.pdu() {
            prop_assert_eq!(submit.destination_addr.as_str().as_bytes(), ours.destination.address);
            prop_assert_eq!(submit.short_message().to_vec(), ours.short_message);
            prop_assert_eq!(u8::from(submit.data_coding), ours.data_coding);
        }
        let (header, body) = only_pdu(&out);
        prop_assert_eq!((header.command, header.status, header.sequence), (command, 0, sequence));
        prop_assert_eq!(Message::decode(command, body), ours);
    }

    /// What the other codec writes, we read.
    #[test]
    fn reads_submits_of_the_other_codec(texts in texts(), octets: Octets, sequence in 1..=SEQUENCE_MAX) {
        let ours = message(&texts, octets);
        let string = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        let theirs = rusmpp::pdus::SubmitSm::builder()
            .service_type(rusmpp::values::ServiceType::new(string(ours.service_type).parse().unwrap()))
            .source_addr_ton(Ton::from(ours.source.ton))
            .source_addr_npi(Npi::from(ours.source.npi))
            .source_addr(string(ours.source.address).parse().unwrap())
            .dest_addr_ton(Ton::from(ours.destination.ton))
            .dest_addr_npi(Npi::from(ours.destination.npi))
            .destination_addr(string(ours.destination.address).parse().unwrap())
            .esm_class(EsmClass::from(ours.esm_class))
            .protocol_id(ours.protocol_id)
            .priority_flag(PriorityFlag::from(ours.priority))
            .schedule_delivery_time(string(ours.schedule).parse().unwrap())
            .validity_period(string(ours.validity).parse().unwrap())
            .registered_delivery(RegisteredDelivery::from(ours.registered_delivery))
            .data_coding(DataCoding::from(ours.data_coding))
            .sm_default_msg_id(ours.default_message_id)
            .short_message(rusmpp::types::OctetString::from_slice(ours.short_message).unwrap())
            .build();
        let octets = written_by_other(&Command::new(CommandStatus::EsmeRok, sequence, theirs));

        let (header, body) = only_pdu(&octets);
        prop_assert_eq!((header.command, header.sequence), (command::SUBMIT_SM, sequence));
        prop_assert_eq!(Message::decode(header.command, body), ours);
    }

    /// A route writes what the general encoder writes.
    #[test]
    fn a_route_is_only_faster(texts in texts(), octets: Octets, sequence in 1..=SEQUENCE_MAX, header in text(0..=7)) {
        let whole = [&header[..], &texts.5[..texts.5.len().min(240)]].concat();
        let message = Message { short_message: &whole, ..message(&texts, octets) };
        let (mut slow, mut fast) = (Vec::new(), b"before".to_vec());
        message.encode(&mut slow, command::SUBMIT_SM, sequence).unwrap();
        Route::new(&message).unwrap().encode(&mut fast, sequence, &RouteMessage {
            destination: message.destination.address,
            esm_class: message.esm_class,
            data_coding: message.data_coding,
            header: &header,
            text: &whole[header.len()..],
        }).unwrap();
        prop_assert_eq!(&fast[6..], &slow[..]);
    }

    /// Binds: both ways.
    #[test]
    fn binds_agree(system_id in text(0..=15), password in text(0..=8), system_type in text(0..=12), range in text(0..=40),
                   mode in prop::sample::select(&BindMode::ALL[..]), ton: u8) {
        let bind = Bind { system_type: &system_type, address_range: &range, ton, ..Bind::new(mode, &system_id, &password) };
        let mut out = Vec::new();
        bind.encode(&mut out, 9).unwrap();
        prop_assert_eq!(&other(&out).1, &out);
        let (header, body) = only_pdu(&out);
        prop_assert_eq!(BindMode::of(header.command), Some(mode));
        prop_assert_eq!(Bind::decode(mode, body), bind);
    }

    /// Answers: both ways.
    #[test]
    fn answers_agree(id in text(0..=64), sequence in 1..=SEQUENCE_MAX) {
        let mut out = Vec::new();
        put_submit_sm_resp(&mut out, 0, sequence, &id);
        let (read, again) = other(&out);
        prop_assert_eq!(again, out.clone());
        let Some(Pdu::SubmitSmResp(resp)) = read.pdu() else { panic!("not a submit_sm_resp") };
        prop_assert_eq!(resp.message_id().as_str().as_bytes(), &id[..]);
        prop_assert_eq!(response_message_id(only_pdu(&out).1), id.trim_ascii());
    }

    /// Whatever octets come, nothing panics and nothing is read beyond the PDU.
    #[test]
    fn any_body_is_a_message(body: Vec<u8>, command in prop::sample::select(&[command::SUBMIT_SM, command::DATA_SM][..])) {
        let message = Message::decode(command, &body);
        let (data, _) = (message.user_data(), message.part());
        prop_assert!(data.text.len() <= body.len());
        prop_assert!(BindResp::decode(&body).system_id.len() <= body.len());
        prop_assert!(response_message_id(&body).len() <= body.len());
    }
}

#[test]
fn other_answers_agree() {
    let mut out = Vec::new();
    put_bind_resp(&mut out, command::BIND_TRANSCEIVER, 3, b"smsc", Some(0x34));
    let (read, again) = other(&out);
    assert_eq!(again, out);
    let Some(Pdu::BindTransceiverResp(resp)) = read.pdu() else { panic!("not a bind response") };
    assert_eq!(resp.sc_interface_version(), Some(InterfaceVersion::Smpp3_4));
    assert_eq!(BindResp::decode(only_pdu(&out).1), BindResp { system_id: b"smsc", version: Some(0x34) });

    for command in [command::ENQUIRE_LINK, command::ENQUIRE_LINK_RESP, command::UNBIND, command::UNBIND_RESP] {
        let mut out = Vec::new();
        put_header_only(&mut out, command, 0, 7);
        assert_eq!(other(&out).1, out, "{command:#x}");
    }
    let mut out = Vec::new();
    put_deliver_sm_resp(&mut out, command::DELIVER_SM_RESP, 0, 7);
    assert_eq!(other(&out).1, out);
}

#[test]
fn refuses_what_does_not_fit_and_leaves_the_buffer_alone() {
    #[track_caller]
    fn check(message: Message<'_>, error: &str) {
        let mut out = b"before".to_vec();
        let refused = message.encode(&mut out, command::SUBMIT_SM, 1).unwrap_err();
        assert_eq!((refused.to_string().as_str(), &out[..]), (error, &b"before"[..]));
    }

    let long = [b'1'; 255];
    let address = |address| Address { ton: 1, npi: 1, address };
    check(
        Message { destination: address(&long[..21]), ..Message::default() },
        "`destination_addr` has 21 octets, at most 20 fit: shorten it",
    );
    check(
        Message { source: address(b"a\0b"), ..Message::default() },
        "`source_addr` holds a NUL octet, which would end it early: remove it",
    );
    check(
        Message { short_message: &long, ..Message::default() },
        "`short_message` has 255 octets, at most 254 fit: shorten it",
    );
    check(
        Message { validity: &long[..17], ..Message::default() },
        "`validity_period` has 17 octets, at most 16 fit: shorten it",
    );
    let bind = Bind::new(BindMode::Transceiver, b"id", b"123456789");
    assert_eq!(
        bind.encode(&mut Vec::new(), 1).unwrap_err().to_string(),
        "`password` has 9 octets, at most 8 fit: shorten it"
    );
}

/// Each of these made another client lose the next PDU; here the next one is read.
#[test]
fn odd_pdus_keep_the_framing() {
    #[track_caller]
    fn check(what: &str, command: u32, status: u32, body: &[u8]) {
        let mut octets = Vec::new();
        let start = write::begin(&mut octets, command, status, 1);
        octets.extend_from_slice(body);
        write::finish(&mut octets, start);
        let first = octets.len();
        put_header_only(&mut octets, command::ENQUIRE_LINK, 0, 2);

        let Cut::Pdu { octets: cut_octets, body: seen, .. } = cut(&octets) else { panic!("{what}: no PDU") };
        assert_eq!((cut_octets, seen), (first, body), "{what}");
        let (next, _) = only_pdu(&octets[first..]);
        assert_eq!((next.command, next.sequence), (command::ENQUIRE_LINK, 2), "{what}");
    }

    let version_twice = b"smsc\0\x02\x10\x00\x01\x34\x02\x10\x00\x01\x34";
    check("sc_interface_version twice", command::BIND_TRANSCEIVER | command::RESPONSE, 0, version_twice);
    assert_eq!(BindResp::decode(version_twice).version, Some(0x34));
    check("id of 80 octets", command::SUBMIT_SM_RESP, 0, &[b'7'; 80]);
    assert_eq!(response_message_id(&[b'7'; 80]).len(), 80);
    check("id without NUL", command::SUBMIT_SM_RESP, 0, b"abc");
    assert_eq!(response_message_id(b"abc"), b"abc");
    check("id with a Latin-1 octet", command::SUBMIT_SM_RESP, 0, b"a\xe9\0");
    assert_eq!(response_message_id(b"a\xe9\0"), b"a\xe9");
    check("error with header only", command::SUBMIT_SM_RESP, 8, b"");
    check("error with header and NUL", command::SUBMIT_SM_RESP, 8, b"\0");
    assert_eq!(response_message_id(b""), b"");
    check("enquire_link with a body", command::ENQUIRE_LINK, 0, b"hello");
    check("stray octet after a deliver_sm", command::DELIVER_SM, 0, &[0; 18]);
}

#[test]
fn odd_messages_are_read_and_marked() {
    let whole = Message {
        source: Address { ton: 5, npi: 0, address: b"LOA" },
        destination: Address { ton: 1, npi: 1, address: b"84912345678" },
        short_message: b"text",
        ..Message::default()
    };
    let mut out = Vec::new();
    whole.encode(&mut out, command::DELIVER_SM, 1).unwrap();
    let body = &out[HEADER_OCTETS..];
    assert!(!Message::decode(command::DELIVER_SM, body).odd);
    for octets in 0..body.len() {
        let cut = Message::decode(command::DELIVER_SM, &body[..octets]);
        assert!(cut.odd, "cut after {octets} octets");
    }
    assert_eq!(Message::decode(command::DELIVER_SM, &body[..body.len() - 1]).short_message, b"tex");

    let long = [b"\0\x01\x01".as_slice(), &[b'9'; 30], b"\0\x01\x01\x34\0", &[0; 10]].concat();
    let message = Message::decode(command::DELIVER_SM, &long);
    assert_eq!((message.source.address.len(), message.odd), (30, true), "a source of 30 octets is kept");
}

#[test]
fn finds_the_part() {
    #[track_caller]
    fn check(esm_class: u8, short_message: &[u8], tlvs: &[u8], part: (u16, u8, u8), text: &[u8]) {
        let message = Message { esm_class, short_message, tlvs: Tlvs(tlvs), ..Message::default() };
        let found = message.part();
        assert_eq!((found.reference, found.part, found.parts), part);
        assert_eq!(message.user_data().text, text);
    }

    check(0x00, b"Xin chao", b"", (0, 1, 1), b"Xin chao");
    check(0x40, b"\x05\x00\x03\xAB\x03\x02Xin", b"", (0xAB, 2, 3), b"Xin");
    check(0x43, b"\x06\x08\x04\x01\x02\x04\x03Xin", b"", (0x0102, 3, 4), b"Xin");
    check(0x40, b"\x09\x24\x01\x00\x00\x00\x03\x01\x01\x01\x01Xin", b"", (0, 1, 1), b"\x01Xin"); // cut short: no part
    check(0x40, b"\x0b\x05\x04\x00\x00\x00\x01\x00\x03\x07\x02\x01Xin", b"", (7, 1, 2), b"Xin"); // after ports
    check(0x40, b"\xFFXin", b"", (0, 1, 1), b"\xFFXin"); // the bit without a header
    check(0x40, b"", b"", (0, 1, 1), b"");
    let sar = b"\x02\x0C\x00\x02\x00\x09\x02\x0E\x00\x01\x02\x02\x0F\x00\x01\x01";
    check(0x00, b"Xin", sar, (9, 1, 2), b"Xin");
}

#[test]
fn data_sm_is_a_message_too() {
    let mut body = b"\0\x01\x01849\0\x05\x00LOA\0\x04\x00\x08".to_vec();
    put_tlv(&mut body, tag::MESSAGE_PAYLOAD, b"id:1 stat:DELIVRD");
    let message = Message::decode(command::DATA_SM, &body);
    assert_eq!((message.esm_class, message.data_coding, message.odd), (0x04, 0x08, false));
    assert_eq!(message.user_data().text, b"id:1 stat:DELIVRD");
}

#[test]
fn nothing_personal_in_debug() {
    let message = Message {
        destination: Address { ton: 1, npi: 1, address: b"84912345678" },
        short_message: b"secret text",
        ..Message::default()
    };
    let bind = Bind::new(BindMode::Transceiver, b"loa", b"pa55word");
    let shown = format!("{message:?} {bind:?}");
    for hidden in ["84912345678", "secret", "pa55word"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(shown.contains("loa"));
}

#[test]
fn numbers_and_sequences() {
    let mut digits = [0; 20];
    assert_eq!(decimal(0, &mut digits), b"0");
    assert_eq!(decimal(84_912_345_678, &mut digits), b"84912345678");
    assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
    assert_eq!(sequence_after(1), 2);
    assert_eq!(sequence_after(SEQUENCE_MAX), 1);
}
