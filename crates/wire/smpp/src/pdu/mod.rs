//! The codec: frames, fields and PDUs of SMPP 3.4, borrowed when read, appended to a reused buffer when written.
//!
//! Reading is lenient (missing fields are empty, long ones are kept, odd TLVs are skipped) because carriers differ and a
//! refused PDU comes again for ever; writing is strict, because our own faults should show at once and by name.
//!
//! Must stay true: [`cut`] gives the body exactly as long as the header says, and nothing here reads beyond it.

mod bind;
mod frame;
mod message;
mod read;
mod route;
mod tlv;
mod write;

pub use bind::{Bind, BindMode, BindResp};
pub use frame::{Cut, HEADER_OCTETS, Header, PDU_OCTETS_MAX, cut};
pub use message::{Address, Message, Part, UserData, response_message_id};
pub use route::{Route, RouteMessage};
pub use tlv::{Tlv, Tlvs, put_tlv, tag};
pub use write::{FieldError, decimal, put_bind_resp, put_deliver_sm_resp, put_header_only, put_submit_sm_resp};

/// Command identifiers; a response is its request with the top bit set.
pub mod command {
    /// The bit that makes a request's identifier that of its response.
    pub const RESPONSE: u32 = 0x8000_0000;
    pub const GENERIC_NACK: u32 = RESPONSE;
    pub const BIND_RECEIVER: u32 = 0x01;
    pub const BIND_TRANSMITTER: u32 = 0x02;
    pub const QUERY_SM: u32 = 0x03;
    pub const SUBMIT_SM: u32 = 0x04;
    pub const SUBMIT_SM_RESP: u32 = SUBMIT_SM | RESPONSE;
    pub const DELIVER_SM: u32 = 0x05;
    pub const DELIVER_SM_RESP: u32 = DELIVER_SM | RESPONSE;
    pub const UNBIND: u32 = 0x06;
    pub const UNBIND_RESP: u32 = UNBIND | RESPONSE;
    pub const BIND_TRANSCEIVER: u32 = 0x09;
    pub const OUTBIND: u32 = 0x0B;
    pub const ENQUIRE_LINK: u32 = 0x15;
    pub const ENQUIRE_LINK_RESP: u32 = ENQUIRE_LINK | RESPONSE;
    pub const ALERT_NOTIFICATION: u32 = 0x0102;
    pub const DATA_SM: u32 = 0x0103;
    pub const DATA_SM_RESP: u32 = DATA_SM | RESPONSE;
}

/// The largest sequence number; the next one is 1.
pub const SEQUENCE_MAX: u32 = 0x7FFF_FFFF;

/// The number after `sequence`: 1 to [`SEQUENCE_MAX`], then 1 again.
pub const fn sequence_after(sequence: u32) -> u32 {
    if sequence >= SEQUENCE_MAX { 1 } else { sequence + 1 }
}

#[cfg(test)]
mod tests;
