//! What carriers send: PDUs in any pieces, receipts, texts with headers; and what clients send to our simulator.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::time::Duration;

use loa_domain::text::split_header;
use loa_wire_smpp::pdu::{self, Address, Bind, BindMode, Message, Route, RouteMessage, command};
use loa_wire_smpp::receipt::Receipt;
use loa_wire_smpp::server::{Request, ServerSession};
use loa_wire_smpp::session::{Event, Session, SessionConfig};

use super::{class, texts, told};

const WINDOW: u16 = 8;
const RECEIPT: &[u8] =
    b"id:7F3A sub:001 dlvrd:001 submit date:2601050900 done date:2601050901 stat:DELIVRD err:000 text:Chao";

fn message(text: &[u8]) -> Message<'_> {
    Message {
        source: Address { ton: 1, npi: 1, address: b"84912345678" },
        destination: Address { ton: 5, npi: 0, address: b"LOA" },
        short_message: text,
        ..Message::default()
    }
}

fn pdu_of(command: u32, sequence: u32, message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if message.encode(&mut out, command, sequence).is_err() {
        out.clear();
    }
    out
}

fn bound() -> Vec<u8> {
    let mut out = Vec::new();
    pdu::put_bind_resp(&mut out, command::BIND_TRANSCEIVER, 1, b"smsc", Some(0x34));
    out
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    let mut answered = bound();
    for sequence in 2..6 {
        pdu::put_submit_sm_resp(&mut answered, if sequence == 4 { 0x58 } else { 0 }, sequence, b"7F3A");
    }
    let receipt = Message { esm_class: 4, ..message(RECEIPT) };
    let mut delivered = bound();
    delivered.extend(pdu_of(command::DELIVER_SM, 9, &receipt));
    let mut asked = bound();
    pdu::put_header_only(&mut asked, command::ENQUIRE_LINK, 0, 3);
    pdu::put_header_only(&mut asked, command::UNBIND, 0, 4);
    vec![answered, delivered, asked, Vec::new(), b"\0\0\0\x10\x80\0\0\0\0\0\0\x08\0\0\0\0".to_vec()]
}

/// A handle comes back once; the window is kept; the same octets in other pieces say the same.
pub(crate) fn client(input: &[u8]) -> u64 {
    let whole = heard(input, input.len().max(1));
    let pieces = heard(input, 7);
    assert_eq!(whole, pieces, "the same octets in pieces say something else");
    told(whole)
}

fn heard(input: &[u8], piece: usize) -> Vec<(u8, u32)> {
    let config =
        SessionConfig { window: NonZeroU16::new(WINDOW).unwrap_or(NonZeroU16::MIN), ..SessionConfig::default() };
    let bind = Bind::new(BindMode::Transceiver, b"loa", b"secret");
    let mut session: Session<u32> = Session::open(config, &bind, Duration::ZERO).expect("a legal bind");
    let route = Route::with_receipts(Address { ton: 5, npi: 0, address: b"LOA" }, 1, 1).expect("a legal sender");
    let (mut heard, mut back, mut handle) = (Vec::new(), HashSet::new(), 0);
    let mut unread: Vec<u8> = Vec::new();
    let mut tokens = Vec::new();
    for octets in input.chunks(piece) {
        unread.extend_from_slice(octets);
        loop {
            // One PDU at a time, so that what is submitted between two does not depend on how they came.
            let length = unread.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first) as usize);
            let one = if length >= 16 { length.min(unread.len()) } else { unread.len() };
            let consumed = session.feed(&unread[..one], Duration::from_secs(1), &mut |event| {
                heard.push(outcome(&event));
                match event {
                    Event::Answered { handle, .. } => assert!(back.insert(handle), "a handle came back twice"),
                    Event::Delivered { token, .. } => tokens.push(token),
                    _ => {}
                }
            });
            unread.drain(..consumed);
            tokens.drain(..).for_each(|token| session.acknowledge(token, 0));
            while session.room() > 0 {
                let message =
                    RouteMessage { destination: b"84912345678", esm_class: 0, data_coding: 0, header: b"", text: b"a" };
                if session
                    .submit(Duration::from_secs(1), handle, |out, sequence| route.encode(out, sequence, &message))
                    .is_err()
                {
                    break;
                }
                handle += 1;
            }
            assert!(session.in_flight() <= usize::from(WINDOW), "more than the window is unanswered");
            session.written(usize::MAX);
            if consumed == 0 {
                break;
            }
        }
    }
    session.lost(&mut |handle, _| assert!(back.insert(handle), "an answered handle is lost"));
    assert_eq!(back.len(), handle as usize, "a handle never came back");
    heard
}

fn outcome(event: &Event<'_, u32>) -> (u8, u32) {
    match event {
        Event::Bound(_) => (0, 0),
        Event::BindRefused { status } => (1, status.leading_zeros()),
        Event::Answered { status, message_id, .. } => (2, u32::from(*status == 0) * 32 + class(message_id.len())),
        Event::AnsweredLate { .. } => (3, 0),
        Event::Expired { .. } => (4, 0),
        Event::Delivered { message, .. } => (5, u32::from(Receipt::parse(message).is_some())),
    }
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    let mut session = Vec::new();
    let bind = Bind::new(BindMode::Transceiver, b"loa", b"secret");
    if bind.encode(&mut session, 1).is_ok() {
        session.extend(pdu_of(command::SUBMIT_SM, 2, &message(b"Chao ban")));
        pdu::put_header_only(&mut session, command::UNBIND, 0, 3);
    }
    let odd = b"\0\0\0\x12\0\0\0\x04\0\0\0\0\0\0\0\x07\0\0".to_vec();
    vec![session, odd, b"\0\0\0\x0f".to_vec()]
}

/// The simulator's side: nothing breaks, and the same octets in pieces ask for the same.
pub(crate) fn server(input: &[u8]) -> u64 {
    let whole = asked(input, input.len().max(1));
    assert_eq!(whole, asked(input, 5), "the same octets in pieces ask for something else");
    told(whole)
}

fn asked(input: &[u8], piece: usize) -> Vec<u8> {
    let mut session = ServerSession::new();
    let (mut heard, mut unread) = (Vec::new(), Vec::new());
    for octets in input.chunks(piece) {
        unread.extend_from_slice(octets);
        let consumed = session.feed(&unread, &mut |session, request| match request {
            Request::Bind { sequence, bind } => {
                heard.push(0);
                session.accept_bind(sequence, bind.mode, b"smsc");
            }
            Request::Submit { sequence, message } => {
                heard.push(1 + message.part().parts);
                session.answer_submit(sequence, 0, b"1");
            }
            Request::DeliverAnswered { .. } => heard.push(253),
            Request::Unbind => heard.push(254),
            Request::FramingLost => heard.push(255),
        });
        unread.drain(..consumed);
    }
    heard
}

pub(crate) fn receipt_seeds() -> Vec<Vec<u8>> {
    let mut seeds = texts(&[
        "id:0 sub:000 dlvrd:000 submit date:000000000000 done date:000000000000 stat:UNDELIV err:011 Text:",
        "ID:abc STAT:EXPIRED",
        "stat:ACCEPTD",
        "hello",
    ]);
    seeds.push(RECEIPT.to_vec());
    seeds
}

/// A text as a receipt, with the type that says so and without.
pub(crate) fn receipt(input: &[u8]) -> u64 {
    let outcomes: Vec<_> = [0x04, 0x00, 0x20]
        .into_iter()
        .map(|esm_class| {
            let message = Message { esm_class, ..message(input) };
            Receipt::parse(&message).map(|receipt| format!("{:?} {}", receipt.outcome(), receipt.id.is_some()))
        })
        .collect();
    told(outcomes)
}

pub(crate) fn user_data_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x05\0\x03\x07\x02\x01Chao".to_vec(),
        b"\x06\x08\x04\x01\x02\x03\x01abc".to_vec(),
        b"abc".to_vec(),
        b"\x05\0".to_vec(),
    ]
}

/// Headers of parts, in texts and in messages that say they have one.
pub(crate) fn user_data(input: &[u8]) -> u64 {
    let message = Message { esm_class: 0x40, ..message(input) };
    let part = message.part();
    let text = message.user_data();
    told((
        split_header(input).map(|(concat, text)| (concat.total, class(text.len()))),
        part.parts,
        class(text.text.len()),
    ))
}
