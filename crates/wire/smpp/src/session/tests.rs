//! The session without sockets: every order of answers, octets split anywhere, silence, refusals, the end.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;
use crate::pdu::{Address, BindMode, Route, RouteMessage};

const SECOND: Duration = Duration::from_secs(1);

/// What a session said, without what it borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Bound,
    Refused(u32),
    Answered(u32, u32, String),
    Late(u32, String),
    Expired(u32),
    Delivered(DeliverToken),
}

fn said(event: Event<'_, u32>) -> Said {
    let text = |id: &[u8]| String::from_utf8(id.to_vec()).unwrap();
    match event {
        Event::Bound(_) => Said::Bound,
        Event::BindRefused { status } => Said::Refused(status),
        Event::Answered { handle, status, message_id, .. } => Said::Answered(handle, status, text(message_id)),
        Event::AnsweredLate { handle, message_id, .. } => Said::Late(handle, text(message_id)),
        Event::Expired { handle } => Said::Expired(handle),
        Event::Delivered { token, .. } => Said::Delivered(token),
    }
}

/// A session, the moment, and what it said so far.
struct Client {
    session: Session<u32>,
    now: Duration,
    heard: Vec<Said>,
    route: Route,
}

impl Client {
    fn opening(window: u16) -> Self {
        let window = NonZeroU16::new(window).unwrap();
        let config = SessionConfig { window, expired_in_row_max: 1_000, ..SessionConfig::default() };
        let bind = Bind::new(BindMode::Transceiver, b"loa", b"secret");
        let session = Session::open(config, &bind, Duration::ZERO).unwrap();
        let route = Route::with_receipts(Address { ton: 5, npi: 0, address: b"LOA" }, 1, 1).unwrap();
        Self { session, now: Duration::ZERO, heard: Vec::new(), route }
    }

    fn bound(window: u16) -> Self {
        let mut client = Self::opening(window);
        let mut answer = Vec::new();
        pdu::put_bind_resp(&mut answer, command::BIND_TRANSCEIVER, 1, b"smsc", None);
        client.hear(&answer);
        assert_eq!(client.take_heard(), [Said::Bound]);
        client.session.written(usize::MAX);
        client
    }

    fn hear(&mut self, octets: &[u8]) -> usize {
        let heard = &mut self.heard;
        self.session.feed(octets, self.now, &mut |event| heard.push(said(event)))
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let heard = &mut self.heard;
        self.session.tick(self.now, &mut |event| heard.push(said(event)));
    }

    fn take_heard(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.heard)
    }

    fn submit(&mut self, handle: u32) -> Result<u32, SubmitError> {
        let message =
            RouteMessage { destination: b"84912345678", esm_class: 0, data_coding: 0, header: b"", text: b"Xin chao" };
        let route = &self.route;
        self.session.submit(self.now, handle, |out, sequence| route.encode(out, sequence, &message))
    }

    fn out_commands(&mut self) -> Vec<(u32, u32, u32)> {
        let mut rest = self.session.out();
        let mut commands = Vec::new();
        while let Cut::Pdu { header, octets, .. } = pdu::cut(rest) {
            commands.push((header.command, header.status, header.sequence));
            rest = &rest[octets..];
        }
        assert!(rest.is_empty(), "only whole PDUs are written");
        self.session.written(usize::MAX);
        commands
    }
}

fn answer(sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    pdu::put_submit_sm_resp(&mut octets, 0, sequence, format!("id{sequence}").as_bytes());
    octets
}

fn header_only(command: u32, status: u32, sequence: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    pdu::put_header_only(&mut octets, command, status, sequence);
    octets
}

#[test]
fn binds_then_sends() {
    let mut client = Client::opening(2);
    assert_eq!(client.session.room(), 0);
    assert_eq!(client.submit(1), Err(SubmitError::NotBound));
    assert_eq!(client.out_commands(), [(command::BIND_TRANSCEIVER, 0, 1)]);

    let mut client = Client::bound(2);
    assert_eq!((client.submit(10), client.submit(11)), (Ok(2), Ok(3)));
    assert_eq!(client.submit(12), Err(SubmitError::WindowFull));
    client.hear(&answer(3));
    client.hear(&answer(2));
    let expected = [Said::Answered(11, 0, "id3".into()), Said::Answered(10, 0, "id2".into())];
    assert_eq!(client.take_heard(), expected, "matched by number, not by order");
    assert_eq!((client.session.room(), client.session.in_flight()), (2, 0));
}

#[test]
fn a_refused_bind_closes() {
    let mut client = Client::opening(2);
    client.hear(&header_only(command::BIND_TRANSCEIVER | command::RESPONSE, status::RINVPASWD, 1));
    assert_eq!(client.take_heard(), [Said::Refused(status::RINVPASWD)]);
    assert_eq!(client.session.state(), State::Closed(Closed::BindRefused { status: status::RINVPASWD }));

    let mut client = Client::opening(2);
    client.hear(&header_only(command::GENERIC_NACK, status::RINVCMDID, 1));
    assert_eq!(client.session.state(), State::Closed(Closed::BindRefused { status: status::RINVCMDID }));

    let mut client = Client::opening(2);
    client.wait(9 * SECOND);
    assert_eq!(client.session.state(), State::Opening);
    client.wait(SECOND);
    assert_eq!(client.session.state(), State::Closed(Closed::BindTimedOut));
}

#[test]
fn a_message_that_cannot_be_written_takes_no_slot() {
    let mut client = Client::bound(2);
    let error = FieldError::Nul { field: "destination_addr" };
    let refused = client.session.submit(client.now, 1, |_, _| Err(error));
    assert_eq!(refused, Err(SubmitError::Field(error)));
    assert_eq!((client.session.room(), client.session.out()), (2, &b""[..]));
    assert_eq!(client.submit(1), Ok(2), "the number was not used");
}

#[test]
fn receipts_wait_for_their_acknowledgement() {
    let mut client = Client::bound(2);
    let mut receipt = Vec::new();
    Message { esm_class: 4, short_message: b"id:1 stat:DELIVRD", ..Message::default() }
        .encode(&mut receipt, command::DELIVER_SM, 77)
        .unwrap();
    client.hear(&receipt);
    let [Said::Delivered(token)] = client.take_heard()[..] else { panic!("one receipt") };
    assert_eq!(client.out_commands(), [], "nothing is answered before it is durable");
    client.session.acknowledge(token, status::ROK);
    assert_eq!(client.out_commands(), [(command::DELIVER_SM_RESP, 0, 77)]);

    client.hear(&[&receipt[..4], &command::DATA_SM.to_be_bytes(), &receipt[8..]].concat());
    let [Said::Delivered(token)] = client.take_heard()[..] else { panic!("a receipt as data_sm") };
    client.session.acknowledge(token, status::RX_T_APPN);
    assert_eq!(client.out_commands(), [(command::DATA_SM_RESP, status::RX_T_APPN, 77)]);
}

#[test]
fn silence_expires_in_order_and_a_late_answer_still_counts() {
    let mut client = Client::bound(4);
    client.submit(1).unwrap();
    client.now += SECOND;
    client.submit(2).unwrap();
    client.submit(3).unwrap();
    client.hear(&answer(3));
    client.take_heard();

    client.wait(28 * SECOND);
    assert_eq!(client.take_heard(), []);
    client.wait(SECOND);
    assert_eq!(client.take_heard(), [Said::Expired(1)], "30 s after it was sent");
    assert_eq!(client.session.room(), 3);
    client.wait(SECOND);
    assert_eq!(client.take_heard(), [Said::Expired(3)]);

    client.hear(&answer(2));
    assert_eq!(client.take_heard(), [Said::Late(1, "id2".into())]);
    let odd = client.session.odd_pdus();
    client.hear(&answer(2));
    assert_eq!((client.take_heard(), client.session.odd_pdus()), (vec![], odd + 1), "a second answer is odd");
}

#[test]
fn one_slow_answer_never_blocks_the_rest() {
    let mut client = Client::bound(2);
    let slow = client.submit(0).unwrap();
    let mut last = slow;
    for handle in 1..100 {
        let sequence = client.submit(handle).unwrap();
        assert!(sequence > last, "numbers only increase");
        last = sequence;
        client.hear(&answer(sequence));
        assert_eq!(client.take_heard(), [Said::Answered(handle, 0, format!("id{sequence}"))]);
    }
    client.hear(&answer(slow));
    assert_eq!(client.take_heard(), [Said::Answered(0, 0, format!("id{slow}"))]);
}

#[test]
fn numbers_wrap_to_one() {
    let mut client = Client::bound(8);
    client.session.ring.continue_at(pdu::SEQUENCE_MAX - 1);
    let sequences: Vec<u32> = (0..4).map(|handle| client.submit(handle).unwrap()).collect();
    assert_eq!(sequences, [pdu::SEQUENCE_MAX - 1, pdu::SEQUENCE_MAX, 1, 2]);
    client.hear(&answer(1));
    client.hear(&answer(pdu::SEQUENCE_MAX));
    client.wait(31 * SECOND);
    let heard = client.take_heard();
    assert_eq!(heard[2..], [Said::Expired(0), Said::Expired(3)], "expiry walks over the wrap");
}

#[test]
fn a_quiet_peer_is_asked_and_then_given_up() {
    let mut client = Client::bound(2);
    client.wait(29 * SECOND);
    assert_eq!(client.out_commands(), []);
    client.wait(SECOND);
    assert_eq!(client.out_commands(), [(command::ENQUIRE_LINK, 0, 2)]);
    client.hear(&header_only(command::ENQUIRE_LINK_RESP, 0, 2));
    client.wait(30 * SECOND);
    assert_eq!(client.out_commands(), [(command::ENQUIRE_LINK, 0, 3)]);
    client.hear(&header_only(command::GENERIC_NACK, status::RINVCMDID, 3)); // it lives, it only does not know the question
    client.wait(30 * SECOND);
    assert_eq!(client.out_commands(), [(command::ENQUIRE_LINK, 0, 4)]);
    client.wait(30 * SECOND);
    assert_eq!(client.session.state(), State::Closed(Closed::PeerSilent));
}

#[test]
fn too_many_expired_in_a_row_end_the_link() {
    let mut client = Client::bound(10);
    client.session.config.expired_in_row_max = 3;
    for handle in 0..5 {
        client.submit(handle).unwrap();
    }
    client.hear(&answer(2));
    client.wait(30 * SECOND);
    assert_eq!(client.session.state(), State::Closed(Closed::PeerSilent));
}

#[test]
fn answers_what_the_peer_asks() {
    let mut client = Client::bound(2);
    client.hear(&header_only(command::ENQUIRE_LINK, 0, 5));
    client.hear(&header_only(command::QUERY_SM, 0, 6));
    client.hear(&header_only(command::ALERT_NOTIFICATION, 0, 7));
    client.hear(&header_only(0x8000_0777, 0, 8));
    let expected = [(command::ENQUIRE_LINK_RESP, 0, 5), (command::GENERIC_NACK, status::RINVCMDID, 6)];
    assert_eq!(client.out_commands(), expected);

    client.submit(9).unwrap();
    client.out_commands();
    client.hear(&header_only(command::UNBIND, 0, 9));
    assert_eq!(client.out_commands(), [(command::UNBIND_RESP, 0, 9)]);
    assert_eq!(client.session.state(), State::Closed(Closed::PeerUnbound));
    let mut lost = Vec::new();
    client.session.lost(&mut |handle, written| lost.push((handle, written)));
    assert_eq!(lost, [(9, true)], "what was open comes back once");
    client.session.lost(&mut |handle, written| lost.push((handle, written)));
    assert_eq!(lost.len(), 1);
}

/// A message of which the peer cannot have an octet may be handed over again; any other may not.
#[test]
fn tells_what_was_never_written() {
    let mut client = Client::bound(4);
    client.submit(1).unwrap();
    let pdu = client.session.out().len();
    client.submit(2).unwrap();
    client.submit(3).unwrap();
    let lost_after = |written: usize| {
        let mut client = Client::bound(4);
        (1..=3).for_each(|handle| assert!(client.submit(handle).is_ok()));
        client.session.written(written);
        client.session.close(Closed::SocketClosed);
        let mut lost = Vec::new();
        client.session.lost(&mut |handle, written| lost.push((handle, written)));
        assert_eq!(client.session.out(), b"", "nothing of a closed connection leaves later");
        lost
    };
    assert_eq!(lost_after(0), [(1, false), (2, false), (3, false)]);
    assert_eq!(lost_after(1), [(1, true), (2, false), (3, false)]);
    assert_eq!(lost_after(pdu), [(1, true), (2, false), (3, false)]);
    assert_eq!(lost_after(pdu + 1), [(1, true), (2, true), (3, false)]);
    assert_eq!(lost_after(3 * pdu), [(1, true), (2, true), (3, true)]);
}

#[test]
fn a_nacked_submit_is_answered() {
    let mut client = Client::bound(2);
    let sequence = client.submit(4).unwrap();
    client.hear(&header_only(command::GENERIC_NACK, status::RTHROTTLED, sequence));
    assert_eq!(client.take_heard(), [Said::Answered(4, status::RTHROTTLED, String::new())]);
}

#[test]
fn says_goodbye() {
    let mut client = Client::bound(2);
    client.session.unbind(client.now);
    assert_eq!(client.out_commands(), [(command::UNBIND, 0, 2)]);
    assert_eq!(client.submit(1), Err(SubmitError::NotBound));
    client.hear(&header_only(command::UNBIND_RESP, 0, 2));
    assert_eq!(client.session.state(), State::Closed(Closed::Unbound));

    let mut client = Client::bound(2);
    client.session.unbind(client.now);
    client.wait(SECOND);
    assert_eq!(client.session.state(), State::Closed(Closed::Unbound), "a peer that does not answer is not waited for");
}

#[test]
fn a_lost_framing_ends_the_link() {
    let mut client = Client::bound(2);
    let mut octets = header_only(command::ENQUIRE_LINK, 0, 3);
    octets.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 4]);
    assert_eq!(client.hear(&octets), 16);
    assert_eq!(client.session.state(), State::Closed(Closed::FramingLost));
    let expected = [(command::ENQUIRE_LINK_RESP, 0, 3), (command::GENERIC_NACK, status::RINVCMDLEN, 4)];
    assert_eq!(client.out_commands(), expected);
}

proptest! {
    /// Answers in any order, some twice, cut into reads anywhere: each handle is answered once.
    #[test]
    fn every_submit_is_answered_once(
        order in Just((0..50u32).collect::<Vec<_>>()).prop_shuffle(),
        twice in prop::collection::btree_set(0..50u32, 0..20),
        cuts in prop::collection::vec(1..40usize, 1..20),
    ) {
        let mut client = Client::bound(50);
        let sequences: Vec<u32> = (0..50).map(|handle| client.submit(handle).unwrap()).collect();
        let mut octets = Vec::new();
        for &handle in &order {
            let one = answer(sequences[handle as usize]);
            octets.extend(one.repeat(if twice.contains(&handle) { 2 } else { 1 }));
        }

        let (mut pending, mut sizes, mut rest) = (Vec::new(), cuts.iter().cycle(), &octets[..]);
        while !rest.is_empty() {
            let (read, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pending.extend_from_slice(read);
            rest = after;
            let consumed = client.hear(&pending);
            pending.drain(..consumed);
        }

        prop_assert!(pending.is_empty());
        let answered: Vec<u32> = client.heard.iter().map(|said| match said {
            Said::Answered(handle, 0, _) => *handle,
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(answered, order);
        prop_assert_eq!(client.session.odd_pdus(), twice.len() as u64);
        prop_assert_eq!(client.session.in_flight(), 0);
    }

    /// Any mixture of sending, answers, silence and rubbish: every handle ends exactly once, the window is never passed.
    #[test]
    fn every_handle_ends_once(steps in prop::collection::vec((0..6u8, any::<u16>()), 0..400)) {
        let mut client = Client::bound(7);
        let (mut open, mut sent, mut ended) = (Vec::new(), 0, BTreeSet::new());
        for (step, number) in steps {
            match step {
                0..=2 => if let Ok(sequence) = client.submit(sent) {
                    open.push(sequence);
                    sent += 1;
                },
                3 if !open.is_empty() => {
                    let sequence = open.swap_remove(usize::from(number) % open.len());
                    client.hear(&answer(sequence));
                }
                4 => { client.hear(&answer(u32::from(number) + 100_000)); } // never asked
                _ => client.wait(Duration::from_millis(u64::from(number % 9_000))),
            }
            client.out_commands();
            client.session.enquiry = None; // a peer that answers, so that the link lives
            prop_assert!(client.session.in_flight() <= 7);
        }
        client.session.lost(&mut |handle, _| client.heard.push(Said::Expired(handle)));
        for said in &client.heard {
            if let Said::Answered(handle, ..) | Said::Expired(handle) = said {
                prop_assert!(ended.insert(*handle), "{} ended twice", handle);
            }
        }
        prop_assert_eq!(ended.len(), sent as usize);
    }
}

/// Every cut position of a mixed stream gives the same events.
#[test]
fn split_at_every_octet() {
    let mut stream = answer(2);
    Message { esm_class: 4, short_message: b"id:1 stat:DELIVRD", ..Message::default() }
        .encode(&mut stream, command::DELIVER_SM, 1)
        .unwrap();
    stream.extend(header_only(command::ENQUIRE_LINK, 0, 2));
    stream.extend(answer(3));
    let run = |cut: usize| {
        let mut client = Client::bound(4);
        client.submit(1).unwrap();
        client.submit(2).unwrap();
        client.out_commands();
        let consumed = client.hear(&stream[..cut]);
        assert_eq!(consumed + client.hear(&stream[consumed..]), stream.len());
        (client.take_heard(), client.out_commands())
    };
    let whole = run(0);
    assert_eq!(whole.0.len(), 3);
    for cut in 1..=stream.len() {
        assert_eq!(run(cut), whole, "cut after {cut} octets");
    }
}
