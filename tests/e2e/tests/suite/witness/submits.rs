//! What goes over an SMPP connection, as the proxy in front of a message centre sees it.

use loa_harness::proxy::{Frame, Way};
use loa_wire_smpp::pdu::{Cut, Header, Message, Part, command, cut};

/// A text, or a part of one, on its way to the message centre.
pub(crate) struct Submitted {
    pub(crate) sequence: u32,
    pub(crate) address: Vec<u8>,
    pub(crate) part: Part,
}

/// The submit that a frame is, if it is one.
pub(crate) fn submit(frame: &Frame<'_>) -> Option<Submitted> {
    let (header, body) = pdu(frame, Way::ToServer, command::SUBMIT_SM)?;
    let message = Message::decode(header.command, body);
    let address = message.destination.address.to_vec();
    Some(Submitted { sequence: header.sequence, address, part: message.part() })
}

/// The sequence number that a frame answers to, if it is the answer to a submit.
pub(crate) fn answered(frame: &Frame<'_>) -> Option<u32> {
    pdu(frame, Way::ToClient, command::SUBMIT_SM_RESP).map(|(header, _)| header.sequence)
}

fn pdu<'a>(frame: &Frame<'a>, way: Way, command: u32) -> Option<(Header, &'a [u8])> {
    match cut(frame.bytes) {
        Cut::Pdu { header, body, .. } if frame.way == way && header.command == command => Some((header, body)),
        _ => None,
    }
}
