//! The one layout shared by submit_sm and deliver_sm, and data_sm read into the same shape.
//!
//! Must stay true: `Debug` shows sizes, never a number or a text; a body that ends early still gives a message.

use std::fmt;

use super::read::Reader;
use super::write::{FieldError, all_or_nothing, begin, finish, put_c_string};
use super::{Tlvs, command, tag};

/// User data starts with a header (concatenation): bit of `esm_class`.
pub(crate) const ESM_UDHI: u8 = 0x40;
/// The most a short_message may hold; longer texts go into `message_payload` or into parts.
pub(crate) const SHORT_MESSAGE_OCTETS_MAX: usize = 254;

/// Type of number, numbering plan, and the address itself (at most 20 octets when written).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Address<'a> {
    pub ton: u8,
    pub npi: u8,
    pub address: &'a [u8],
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}/{}, {} octets)", self.ton, self.npi, self.address.len())
    }
}

/// Fields of submit_sm and deliver_sm; data_sm leaves those it does not have at 0.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Message<'a> {
    pub service_type: &'a [u8],
    pub source: Address<'a>,
    pub destination: Address<'a>,
    pub esm_class: u8,
    pub protocol_id: u8,
    pub priority: u8,
    pub schedule: &'a [u8],
    pub validity: &'a [u8],
    pub registered_delivery: u8,
    pub replace_if_present: u8,
    pub data_coding: u8,
    pub default_message_id: u8,
    pub short_message: &'a [u8],
    pub tlvs: Tlvs<'a>,
    /// A field was missing, cut or too long; counted by the reader, ignored when written.
    pub odd: bool,
}

/// The text of a message apart from its user data header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserData<'a> {
    /// Information elements, without the length octet; empty when there are none.
    pub header: &'a [u8],
    pub text: &'a [u8],
}

/// Which part of a long message this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub reference: u16,
    /// From 1.
    pub part: u8,
    pub parts: u8,
}

impl Part {
    /// A message of its own.
    pub const WHOLE: Self = Self { reference: 0, part: 1, parts: 1 };
}

impl<'a> Message<'a> {
    /// Reads the body of a submit_sm, deliver_sm or data_sm.
    pub fn decode(command: u32, body: &'a [u8]) -> Self {
        let mut reader = Reader::new(body);
        let mut message = Self { service_type: reader.c_string(6), ..Self::default() };
        message.source = address(&mut reader);
        message.destination = address(&mut reader);
        message.esm_class = reader.octet();
        if command & !command::RESPONSE == command::DATA_SM {
            message.registered_delivery = reader.octet();
            message.data_coding = reader.octet();
        } else {
            message.protocol_id = reader.octet();
            message.priority = reader.octet();
            message.schedule = reader.c_string(17);
            message.validity = reader.c_string(17);
            message.registered_delivery = reader.octet();
            message.replace_if_present = reader.octet();
            message.data_coding = reader.octet();
            message.default_message_id = reader.octet();
            let octets = usize::from(reader.octet());
            message.short_message = reader.octets(octets);
        }
        message.tlvs = Tlvs(reader.rest());
        message.odd = reader.odd();
        message
    }

    /// Appends a submit_sm or deliver_sm.
    pub fn encode(&self, out: &mut Vec<u8>, command: u32, sequence: u32) -> Result<(), FieldError> {
        all_or_nothing(out, |out| {
            let start = begin(out, command, 0, sequence);
            put_c_string(out, "service_type", self.service_type, 6)?;
            put_address(out, "source_addr", self.source)?;
            put_address(out, "destination_addr", self.destination)?;
            out.extend_from_slice(&[self.esm_class, self.protocol_id, self.priority]);
            put_c_string(out, "schedule_delivery_time", self.schedule, 17)?;
            put_c_string(out, "validity_period", self.validity, 17)?;
            let flags = [self.registered_delivery, self.replace_if_present, self.data_coding, self.default_message_id];
            out.extend_from_slice(&flags);
            put_short_message(out, &[self.short_message])?;
            out.extend_from_slice(self.tlvs.0);
            finish(out, start);
            Ok(())
        })
    }

    /// The text, from short_message or else message_payload, apart from its header.
    pub fn user_data(&self) -> UserData<'a> {
        let payload = || self.tlvs.get(tag::MESSAGE_PAYLOAD).map_or(&[][..], |tlv| tlv.value);
        let octets = if self.short_message.is_empty() { payload() } else { self.short_message };
        let whole = UserData { header: &[], text: octets };
        if self.esm_class & ESM_UDHI == 0 {
            return whole;
        }
        let split = octets.split_first().and_then(|(&length, rest)| rest.split_at_checked(usize::from(length)));
        split.map_or(whole, |(header, text)| UserData { header, text })
    }

    /// Which part this is, by its user data header or else its SAR parameters.
    pub fn part(&self) -> Part {
        let header = self.user_data().header;
        part_of_header(header).or_else(|| self.part_of_tlvs()).unwrap_or(Part::WHOLE)
    }

    fn part_of_tlvs(&self) -> Option<Part> {
        let number = |tag| self.tlvs.get(tag)?.number();
        let reference = u16::try_from(number(tag::SAR_MSG_REF_NUM)?).ok()?;
        let parts = u8::try_from(number(tag::SAR_TOTAL_SEGMENTS)?).ok()?;
        let part = u8::try_from(number(tag::SAR_SEGMENT_SEQNUM)?).ok()?;
        Some(Part { reference, part, parts })
    }
}

/// Walks information elements to the concatenation one: 0x00 with an 8-bit reference, 0x08 with a 16-bit one.
fn part_of_header(mut header: &[u8]) -> Option<Part> {
    while let [element, length, rest @ ..] = header {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        match (element, value) {
            (0x00, &[reference, parts, part]) => return Some(Part { reference: reference.into(), part, parts }),
            (0x08, &[high, low, parts, part]) => {
                return Some(Part { reference: u16::from_be_bytes([high, low]), part, parts });
            }
            _ => header = rest,
        }
    }
    None
}

fn address<'a>(reader: &mut Reader<'a>) -> Address<'a> {
    Address { ton: reader.octet(), npi: reader.octet(), address: reader.c_string(21) }
}

pub(crate) fn put_address(out: &mut Vec<u8>, field: &'static str, address: Address<'_>) -> Result<(), FieldError> {
    out.extend_from_slice(&[address.ton, address.npi]);
    put_c_string(out, field, address.address, 21)
}

/// Appends `sm_length` and the pieces of the short message one after the other.
pub(crate) fn put_short_message(out: &mut Vec<u8>, pieces: &[&[u8]]) -> Result<(), FieldError> {
    let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
    let error = FieldError::TooLong { field: "short_message", octets, octets_max: SHORT_MESSAGE_OCTETS_MAX };
    if octets > SHORT_MESSAGE_OCTETS_MAX {
        return Err(error);
    }
    out.push(u8::try_from(octets).map_err(|_| error)?);
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    Ok(())
}

/// The message identifier in the body of a submit_sm_resp, trimmed; empty when there is none.
pub fn response_message_id(body: &[u8]) -> &[u8] {
    Reader::new(body).c_string(65).trim_ascii()
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("esm_class", &self.esm_class)
            .field("data_coding", &self.data_coding)
            .field("short_message_octets", &self.short_message.len())
            .field("tlvs", &self.tlvs)
            .field("odd", &self.odd)
            .finish_non_exhaustive()
    }
}
