//! Delivery receipts: what became of a message, read from TLVs and from text that every carrier writes its own way.
//!
//! The text form is an appendix of the specification that nobody follows exactly, so every field is optional, in any order
//! and case. A TLV wins over the text.
//!
//! Must stay true: nothing after `text:` is read (a subscriber's text may hold `stat:`); an unknown state is unknown, not
//! failed; no receipt is an error.

mod date;
mod id;
mod scan;
mod state;

use std::fmt;

pub use date::Stamp;
pub use id::{IdForm, MessageKey, Side, UnknownIdForm};
pub use state::{MessageState, Outcome};

use crate::pdu::{Message, Tlv, tag};
use scan::Fields;

/// An identifier longer than this is cut: the specification allows 64 octets, some carriers send a few more.
pub const ID_OCTETS_MAX: usize = 64;
/// An error code longer than this is cut.
const ERROR_OCTETS_MAX: usize = 8;

/// What a deliver_sm says about a message sent before; borrowed from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// The carrier's identifier as it stands there; make a [`MessageKey`] of it before comparing.
    pub id: Option<&'a [u8]>,
    /// The state, where it was given and known.
    pub state: Option<MessageState>,
    /// The state's word as it stands in the text, to keep when it is not known.
    pub stat: &'a [u8],
    /// The carrier's or network's error code.
    pub error: Option<ErrorCode>,
    /// When it reached its state, by the carrier's clock; use the time of arrival when missing.
    pub done: Option<Stamp>,
    /// The peer marked it as an intermediate notification.
    pub intermediate: bool,
    /// TLV and text contradict each other; the TLV was taken.
    pub conflict: bool,
}

impl<'a> Receipt<'a> {
    /// Reads a deliver_sm or data_sm; `None` when it is a mobile-originated message.
    pub fn parse(message: &Message<'a>) -> Option<Self> {
        let id_tlv = message.tlvs.get(tag::RECEIPTED_MESSAGE_ID).map(Tlv::text);
        let kind = message.esm_class & ESM_TYPE;
        if kind != ESM_RECEIPT && kind != ESM_INTERMEDIATE && id_tlv.is_none() {
            return None;
        }
        let text = Fields::scan(text_of(message));
        let state_tlv = message.tlvs.get(tag::MESSAGE_STATE).and_then(Tlv::number).and_then(MessageState::of_number);
        let state_text = MessageState::of_word(text.stat);
        let id_tlv = id_tlv.filter(|id| !id.is_empty());
        let id = id_tlv.or(text.id).map(|id| &id[..id.len().min(ID_OCTETS_MAX)]);
        Some(Self {
            id,
            state: state_tlv.or(state_text),
            stat: text.stat,
            error: message
                .tlvs
                .get(tag::NETWORK_ERROR_CODE)
                .and_then(ErrorCode::of_tlv)
                .or_else(|| text.error.and_then(ErrorCode::of_text)),
            done: text.done.and_then(Stamp::parse),
            intermediate: kind == ESM_INTERMEDIATE,
            conflict: differ(id_tlv, text.id) || differ(state_tlv, state_text),
        })
    }

    /// What it means for the message; intermediate notifications change nothing.
    pub fn outcome(&self) -> Outcome {
        match self.state {
            Some(state) if !self.intermediate => state.outcome(),
            Some(_) => Outcome::Unchanged,
            None if self.intermediate => Outcome::Unchanged,
            None => Outcome::Unknown,
        }
    }
}

/// Message type bits of `esm_class`.
const ESM_TYPE: u8 = 0x3C;
const ESM_RECEIPT: u8 = 0x04;
const ESM_INTERMEDIATE: u8 = 0x20;

/// The receipt's text; a user data header is skipped only if one is really there, since some peers set the bit alone.
fn text_of<'a>(message: &Message<'a>) -> &'a [u8] {
    let whole = Message { esm_class: 0, ..*message }.user_data().text;
    match whole.first() {
        Some(0x01..=0x1F) => message.user_data().text,
        _ => whole,
    }
}

/// Both given and not the same.
fn differ<V: PartialEq>(tlv: Option<V>, text: Option<V>) -> bool {
    matches!((tlv, text), (Some(tlv), Some(text)) if tlv != text)
}

/// An error code as the carrier wrote it, at most 8 octets; copied, so it outlives the PDU.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    octets: [u8; ERROR_OCTETS_MAX],
    length: u8,
}

impl ErrorCode {
    /// Keeps what stands in the text; empty is none.
    fn of_text(text: &[u8]) -> Option<Self> {
        let taken = text.len().min(ERROR_OCTETS_MAX);
        let length = u8::try_from(taken).ok().filter(|&length| length > 0)?;
        let mut octets = [0; ERROR_OCTETS_MAX];
        octets[..taken].copy_from_slice(&text[..taken]);
        Some(Self { octets, length })
    }

    /// network_error_code: a network type and a number, or (some peers) three digits.
    fn of_tlv(tlv: Tlv<'_>) -> Option<Self> {
        if tlv.value.len() == 3 && tlv.value.iter().all(u8::is_ascii_digit) {
            return Self::of_text(tlv.value);
        }
        let [_network, high, low, ..] = *tlv.value else { return None };
        let mut digits = [0; 20];
        Self::of_text(crate::pdu::decimal(u16::from_be_bytes([high, low]).into(), &mut digits))
    }

    /// The code as text; what is not UTF-8 is shown as unknown.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.octets[..usize::from(self.length)]).unwrap_or("?")
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Receipt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("id", &self.id.map(String::from_utf8_lossy))
            .field("state", &self.state)
            .field("error", &self.error)
            .field("intermediate", &self.intermediate)
            .field("conflict", &self.conflict)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
