//! The message centre's side of one connection, for simulators and tests.
//!
//! Like [`crate::session`] it has neither socket nor clock. It answers enquire_link and unbind itself; binds and submits
//! are answered when the caller says so, so that a simulator can log first, refuse, delay or stay silent.
//!
//! Must stay true: an answer is written only after the caller asked for it, in the order it asked.

use crate::pdu::{self, Bind, BindMode, Cut, FieldError, Message, command, sequence_after};
use crate::status;

/// One thing a client did; borrowed from the input.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// Answer with [`ServerSession::accept_bind`] or [`ServerSession::refuse_bind`].
    Bind { sequence: u32, bind: Bind<'a> },
    /// Answer with [`ServerSession::answer_submit`].
    Submit { sequence: u32, message: Message<'a> },
    /// The client answered one of our deliver_sm.
    DeliverAnswered { sequence: u32, status: u32 },
    /// The client said goodbye; the answer stands in [`ServerSession::out`].
    Unbind,
    /// The framing is lost; a generic_nack stands in [`ServerSession::out`].
    FramingLost,
}

/// One connection of a message centre.
pub struct ServerSession {
    bound: Option<BindMode>,
    out: Vec<u8>,
    next: u32,
    closed: bool,
}

impl ServerSession {
    /// A connection nobody has bound yet.
    pub fn new() -> Self {
        Self { bound: None, out: Vec::new(), next: 1, closed: false }
    }

    /// How the client bound, once accepted.
    pub fn bound(&self) -> Option<BindMode> {
        self.bound
    }

    /// Whether nothing more is to be read.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Octets to write.
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// Says that all of [`ServerSession::out`] was written.
    pub fn written(&mut self) {
        self.out.clear();
    }

    /// Reads whole PDUs and calls `sink` for each; gives back how many octets were consumed.
    ///
    /// `sink` gets the session too, so an answer may be written on the spot.
    pub fn feed(&mut self, input: &[u8], sink: &mut impl FnMut(&mut Self, Request<'_>)) -> usize {
        let mut consumed = 0;
        while !self.closed {
            match pdu::cut(&input[consumed..]) {
                Cut::Incomplete => break,
                Cut::Pdu { header, body, octets } => {
                    consumed += octets;
                    self.receive(header, body, sink);
                }
                Cut::Broken { sequence, .. } => {
                    pdu::put_header_only(&mut self.out, command::GENERIC_NACK, status::RINVCMDLEN, sequence);
                    self.closed = true;
                    sink(self, Request::FramingLost);
                }
            }
        }
        consumed
    }

    fn receive(&mut self, header: pdu::Header, body: &[u8], sink: &mut impl FnMut(&mut Self, Request<'_>)) {
        let sequence = header.sequence;
        match header.command {
            command::SUBMIT_SM => {
                sink(self, Request::Submit { sequence, message: Message::decode(header.command, body) });
            }
            command::DELIVER_SM_RESP => sink(self, Request::DeliverAnswered { sequence, status: header.status }),
            command::ENQUIRE_LINK => pdu::put_header_only(&mut self.out, command::ENQUIRE_LINK_RESP, 0, sequence),
            command::UNBIND => {
                pdu::put_header_only(&mut self.out, command::UNBIND_RESP, 0, sequence);
                self.closed = true;
                sink(self, Request::Unbind);
            }
            command if command & command::RESPONSE != 0 => {}
            command => match BindMode::of(command) {
                Some(mode) => sink(self, Request::Bind { sequence, bind: Bind::decode(mode, body) }),
                None => pdu::put_header_only(&mut self.out, command::GENERIC_NACK, status::RINVCMDID, sequence),
            },
        }
    }

    /// Accepts a bind; the version is told as most message centres do.
    pub fn accept_bind(&mut self, sequence: u32, mode: BindMode, system_id: &[u8]) {
        pdu::put_bind_resp(&mut self.out, mode.command(), sequence, system_id, Some(Bind::VERSION));
        self.bound = Some(mode);
    }

    /// Refuses a bind and closes.
    pub fn refuse_bind(&mut self, sequence: u32, mode: BindMode, status: u32) {
        pdu::put_header_only(&mut self.out, mode.command() | command::RESPONSE, status, sequence);
        self.closed = true;
    }

    /// Answers a submit.
    pub fn answer_submit(&mut self, sequence: u32, status: u32, message_id: &[u8]) {
        pdu::put_submit_sm_resp(&mut self.out, status, sequence, message_id);
    }

    /// Sends a receipt or a mobile-originated message; gives back its sequence number.
    pub fn deliver(&mut self, message: &Message<'_>) -> Result<u32, FieldError> {
        let sequence = self.next;
        message.encode(&mut self.out, command::DELIVER_SM, sequence)?;
        self.next = sequence_after(sequence);
        Ok(sequence)
    }

    /// Asks the client whether it lives.
    pub fn enquire(&mut self) {
        pdu::put_header_only(&mut self.out, command::ENQUIRE_LINK, 0, self.next);
        self.next = sequence_after(self.next);
    }

    /// Says goodbye; the client answers and closes.
    pub fn unbind(&mut self) {
        pdu::put_header_only(&mut self.out, command::UNBIND, 0, self.next);
        self.next = sequence_after(self.next);
    }
}

impl Default for ServerSession {
    fn default() -> Self {
        Self::new()
    }
}
