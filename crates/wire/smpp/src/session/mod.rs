//! The client's side of one connection: what may be sent now, and whose answer is this?
//!
//! It has no socket and no clock: octets come in by [`Session::feed`], octets to write stand in [`Session::out`], time is
//! an argument ([`Duration`] since any fixed moment). So the driver is thin and every order of events can be tested.
//!
//! Must stay true:
//! - at most `window` submits are unanswered; an answer is matched by its sequence number only, in whatever order;
//! - every accepted handle comes back exactly once as answered, expired or lost (an expired one may come once more, late);
//! - a deliver_sm is answered only by [`Session::acknowledge`], after the caller has made it durable;
//! - nothing is allocated per message.

mod config;
mod event;
mod late;
mod ring;

use std::time::Duration;

pub use config::SessionConfig;
pub use event::{Closed, DeliverToken, Event};

use crate::pdu::{self, Bind, BindResp, Cut, FieldError, Header, Message, command};
use crate::status;
use late::Late;
use ring::Ring;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The bind was written, its answer is awaited.
    Opening,
    /// Messages may go.
    Bound,
    /// No new message; unbind was written.
    Unbinding,
    /// Nothing more will be read or written after [`Session::out`].
    Closed(Closed),
}

/// Why a submit was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("the connection is not bound")]
    NotBound,
    #[error("the window is full")]
    WindowFull,
    #[error("could not encode the message")]
    Field(#[from] FieldError),
}

/// One client connection; `T` is the caller's handle of a message.
pub struct Session<T> {
    config: SessionConfig,
    state: State,
    /// Each handle with where its PDU begins in the stream of all octets ever written.
    ring: Ring<(T, u64)>,
    late: Late<T>,
    out: Vec<u8>,
    /// Octets that [`Session::written`] took so far: where `out` begins in that stream.
    taken: u64,
    /// The sequence number and time of the one request of each kind that is not a submit.
    control: Option<(u32, Duration)>,
    enquiry: Option<(u32, Duration)>,
    heard_at: Duration,
    expired_in_row: u32,
    odd_pdus: u64,
}

impl<T: Copy> Session<T> {
    /// Writes the bind; the connection is bound when [`Event::Bound`] comes.
    pub fn open(config: SessionConfig, bind: &Bind<'_>, now: Duration) -> Result<Self, FieldError> {
        let mut session = Self {
            ring: Ring::new(config.window),
            late: Late::new(),
            out: Vec::with_capacity(OUT_OCTETS),
            taken: 0,
            config,
            state: State::Opening,
            control: None,
            enquiry: None,
            heard_at: now,
            expired_in_row: 0,
            odd_pdus: 0,
        };
        let sequence = session.ring.draw();
        bind.encode(&mut session.out, sequence)?;
        session.control = Some((sequence, now));
        Ok(session)
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// How many submits may go now.
    pub fn room(&self) -> usize {
        if self.state == State::Bound { self.ring.room() } else { 0 }
    }

    /// How many submits are unanswered.
    pub fn in_flight(&self) -> usize {
        self.ring.occupied()
    }

    /// PDUs that were not as the specification says, since the bind.
    pub fn odd_pdus(&self) -> u64 {
        self.odd_pdus
    }

    /// Octets to write; take them with [`Session::written`].
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// Says that the first `octets` of [`Session::out`] were written to the socket.
    pub fn written(&mut self, octets: usize) {
        self.taken += octets.min(self.out.len()) as u64;
        if octets >= self.out.len() {
            self.out.clear();
        } else {
            self.out.drain(..octets);
        }
    }

    /// Appends one submit, written by `encode` with the sequence number it is given; gives back that number.
    pub fn submit(
        &mut self,
        now: Duration,
        handle: T,
        encode: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), FieldError>,
    ) -> Result<u32, SubmitError> {
        if self.state != State::Bound {
            return Err(SubmitError::NotBound);
        }
        if self.ring.room() == 0 {
            return Err(SubmitError::WindowFull);
        }
        let sequence = self.ring.peek();
        let begins_at = self.taken + self.out.len() as u64;
        encode(&mut self.out, sequence)?;
        self.ring.take(sequence, (handle, begins_at), now);
        Ok(sequence)
    }

    /// Answers a deliver_sm; status 0 says it is durable, any other that it shall come again.
    pub fn acknowledge(&mut self, token: DeliverToken, status: u32) {
        if !matches!(self.state, State::Closed(_)) {
            pdu::put_deliver_sm_resp(&mut self.out, token.command | command::RESPONSE, status, token.sequence);
        }
    }

    /// Asks the peer to end the connection; do it when [`Session::in_flight`] is 0 or the patience has ended.
    pub fn unbind(&mut self, now: Duration) {
        if self.state == State::Bound {
            let sequence = self.ring.draw();
            pdu::put_header_only(&mut self.out, command::UNBIND, 0, sequence);
            self.control = Some((sequence, now));
            self.state = State::Unbinding;
        }
    }

    /// Reads whole PDUs and calls `sink` for each that matters; gives back how many octets were consumed.
    ///
    /// The rest is the beginning of a PDU: give it again, with what follows it.
    pub fn feed(&mut self, input: &[u8], now: Duration, sink: &mut impl FnMut(Event<'_, T>)) -> usize {
        let mut consumed = 0;
        while !matches!(self.state, State::Closed(_)) {
            match pdu::cut(&input[consumed..]) {
                Cut::Incomplete => break,
                Cut::Pdu { header, body, octets } => {
                    consumed += octets;
                    self.heard_at = now;
                    self.receive(header, body, now, sink);
                }
                Cut::Broken { sequence, .. } => {
                    pdu::put_header_only(&mut self.out, command::GENERIC_NACK, status::RINVCMDLEN, sequence);
                    self.state = State::Closed(Closed::FramingLost);
                }
            }
        }
        consumed
    }

    /// Lets time pass: expires submits in the order they were sent, asks a quiet peer whether it lives.
    ///
    /// Call it about every 100 ms. Its cost is that of the submits that are over, not of the window.
    pub fn tick(&mut self, now: Duration, sink: &mut impl FnMut(Event<'_, T>)) {
        while let Some((sequence, (handle, _))) = self.ring.expire(now, self.config.response_timeout) {
            self.late.remember(sequence, handle);
            self.expired_in_row += 1;
            sink(Event::Expired { handle });
        }
        if self.expired_in_row >= self.config.expired_in_row_max {
            self.close(Closed::PeerSilent);
        }
        match self.state {
            State::Opening => self.give_up_control(now, self.config.bind_timeout, Closed::BindTimedOut),
            State::Unbinding => self.give_up_control(now, self.config.unbind_timeout, Closed::Unbound),
            State::Bound => self.enquire(now),
            State::Closed(_) => {}
        }
    }

    /// Ends the connection from our side (socket closed, stop without patience); [`Session::lost`] tells what was open.
    pub fn close(&mut self, why: Closed) {
        if !matches!(self.state, State::Closed(_)) {
            self.state = State::Closed(why);
        }
    }

    /// Hands back every submit that will never be answered here; call it once the connection is closed.
    ///
    /// The second argument tells whether any octet of it was written: if not, the peer cannot have it.
    pub fn lost(&mut self, sink: &mut impl FnMut(T, bool)) {
        while let Some((_, (handle, begins_at))) = self.ring.expire(Duration::MAX, Duration::ZERO) {
            sink(handle, begins_at < self.taken);
        }
        self.out.clear();
    }

    fn receive(&mut self, header: Header, body: &[u8], now: Duration, sink: &mut impl FnMut(Event<'_, T>)) {
        match header.command {
            command::SUBMIT_SM_RESP | command::GENERIC_NACK => self.answered(header, body, now, sink),
            command::DELIVER_SM | command::DATA_SM => self.delivered(header, body, sink),
            command::ENQUIRE_LINK => {
                pdu::put_header_only(&mut self.out, command::ENQUIRE_LINK_RESP, 0, header.sequence);
            }
            command::ENQUIRE_LINK_RESP => self.enquiry_answered(header.sequence),
            command::UNBIND => {
                pdu::put_header_only(&mut self.out, command::UNBIND_RESP, 0, header.sequence);
                self.close(Closed::PeerUnbound);
            }
            command::UNBIND_RESP if self.state == State::Unbinding => self.close(Closed::Unbound),
            command::ALERT_NOTIFICATION => {} // a request that has no response
            command if pdu::BindMode::of(command).is_some() && command & command::RESPONSE != 0 => {
                self.bind_answered(header, body, sink);
            }
            command if command & command::RESPONSE == 0 => {
                self.odd_pdus += 1;
                pdu::put_header_only(&mut self.out, command::GENERIC_NACK, status::RINVCMDID, header.sequence);
            }
            _ => self.odd_pdus += 1, // an answer to nothing we asked
        }
    }

    /// Matches a submit's answer; a generic_nack may also answer our enquire_link, unbind or bind.
    fn answered(&mut self, header: Header, body: &[u8], now: Duration, sink: &mut impl FnMut(Event<'_, T>)) {
        let message_id = if header.command == command::SUBMIT_SM_RESP { pdu::response_message_id(body) } else { b"" };
        if let Some(((handle, _), sent_at)) = self.ring.give_back(header.sequence) {
            self.expired_in_row = 0;
            let took = now.saturating_sub(sent_at);
            sink(Event::Answered { handle, status: header.status, message_id, took });
        } else if let Some(handle) = self.late.find(header.sequence) {
            sink(Event::AnsweredLate { handle, status: header.status, message_id });
        } else if header.command == command::GENERIC_NACK && self.is_control(header.sequence) {
            self.control_refused(header.status, sink);
        } else if header.command == command::GENERIC_NACK {
            self.enquiry_answered(header.sequence);
        } else {
            self.odd_pdus += 1; // answered twice, or never asked
        }
    }

    fn delivered(&mut self, header: Header, body: &[u8], sink: &mut impl FnMut(Event<'_, T>)) {
        let message = Message::decode(header.command, body);
        self.odd_pdus += u64::from(message.odd);
        let token = DeliverToken { sequence: header.sequence, command: header.command };
        sink(Event::Delivered { token, message, raw: body });
    }

    fn bind_answered(&mut self, header: Header, body: &[u8], sink: &mut impl FnMut(Event<'_, T>)) {
        if self.state != State::Opening {
            self.odd_pdus += 1;
        } else if header.status == status::ROK {
            self.control = None;
            self.state = State::Bound;
            sink(Event::Bound(BindResp::decode(body)));
        } else {
            self.control_refused(header.status, sink);
        }
    }

    fn control_refused(&mut self, status: u32, sink: &mut impl FnMut(Event<'_, T>)) {
        if self.state == State::Opening {
            self.close(Closed::BindRefused { status });
            sink(Event::BindRefused { status });
        } else {
            self.close(Closed::Unbound);
        }
    }

    fn is_control(&self, sequence: u32) -> bool {
        self.control.is_some_and(|(asked, _)| asked == sequence)
    }

    fn give_up_control(&mut self, now: Duration, patience: Duration, why: Closed) {
        if self.control.is_some_and(|(_, sent_at)| now.saturating_sub(sent_at) >= patience) {
            self.close(why);
        }
    }

    /// Asks after a quiet time; a peer that leaves the question unanswered is gone.
    fn enquire(&mut self, now: Duration) {
        match self.enquiry {
            Some((_, asked_at)) if now.saturating_sub(asked_at) >= self.config.response_timeout => {
                self.close(Closed::PeerSilent);
            }
            Some(_) => {}
            None if now.saturating_sub(self.heard_at) >= self.config.enquire_after => {
                let sequence = self.ring.draw();
                pdu::put_header_only(&mut self.out, command::ENQUIRE_LINK, 0, sequence);
                self.enquiry = Some((sequence, now));
            }
            None => {}
        }
    }

    fn enquiry_answered(&mut self, sequence: u32) {
        if self.enquiry.is_some_and(|(asked, _)| asked == sequence) {
            self.enquiry = None;
        } else {
            self.odd_pdus += 1;
        }
    }
}

/// Room for the octets of one write; larger batches grow it once.
const OUT_OCTETS: usize = 128 * 1024;

#[cfg(test)]
mod tests;
