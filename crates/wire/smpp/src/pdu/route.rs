//! The constant part of a submit_sm, encoded once per sender and copied for every message.
//!
//! Between two messages of one account and sender only the destination, the text and two flags change, so a submit_sm is
//! three copies instead of twenty fields.
//!
//! Must stay true: what a [`Route`] writes is octet for octet what [`Message::encode`] writes.

use super::message::{Message, put_address, put_short_message};
use super::write::{FieldError, all_or_nothing, begin, finish, put_c_string};
use super::{Address, command};

/// Pre-encoded octets before and after the destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// service_type, source address, and type and plan of the destination.
    before: Vec<u8>,
    /// From protocol_id to registered_delivery and replace_if_present.
    after: Vec<u8>,
    default_message_id: u8,
}

/// What differs from message to message.
#[derive(Clone, Copy)]
pub struct RouteMessage<'a> {
    /// At most 20 octets.
    pub destination: &'a [u8],
    pub esm_class: u8,
    pub data_coding: u8,
    /// User data header with its length octet, or empty.
    pub header: &'a [u8],
    /// Text octets; with the header at most 254.
    pub text: &'a [u8],
}

impl Route {
    /// Encodes the constant fields of `sample`; its destination address, text, `esm_class`, `data_coding` and TLVs are
    /// not used.
    pub fn new(sample: &Message<'_>) -> Result<Self, FieldError> {
        let mut before = Vec::new();
        put_c_string(&mut before, "service_type", sample.service_type, 6)?;
        put_address(&mut before, "source_addr", sample.source)?;
        before.extend_from_slice(&[sample.destination.ton, sample.destination.npi]);

        let mut after = vec![sample.protocol_id, sample.priority];
        put_c_string(&mut after, "schedule_delivery_time", sample.schedule, 17)?;
        put_c_string(&mut after, "validity_period", sample.validity, 17)?;
        after.extend_from_slice(&[sample.registered_delivery, sample.replace_if_present]);
        Ok(Self { before, after, default_message_id: sample.default_message_id })
    }

    /// A route with a receipt for every final state, as bulk sending wants it.
    pub fn with_receipts(source: Address<'_>, destination_ton: u8, destination_npi: u8) -> Result<Self, FieldError> {
        let destination = Address { ton: destination_ton, npi: destination_npi, address: b"" };
        Self::new(&Message { source, destination, registered_delivery: 1, ..Message::default() })
    }

    /// Appends one submit_sm.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32, message: &RouteMessage<'_>) -> Result<(), FieldError> {
        all_or_nothing(out, |out| {
            let start = begin(out, command::SUBMIT_SM, 0, sequence);
            out.extend_from_slice(&self.before);
            put_c_string(out, "destination_addr", message.destination, 21)?;
            out.push(message.esm_class);
            out.extend_from_slice(&self.after);
            out.extend_from_slice(&[message.data_coding, self.default_message_id]);
            put_short_message(out, &[message.header, message.text])?;
            finish(out, start);
            Ok(())
        })
    }
}

/// The source address is no secret, but the octets say nothing to a reader of a log.
impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Route({} + {} octets)", self.before.len(), self.after.len())
    }
}
