//! bind_transmitter, bind_receiver, bind_transceiver and their responses.
//!
//! Must stay true: the password never shows in `Debug`.

use std::fmt;

use super::read::Reader;
use super::write::{FieldError, all_or_nothing, begin, finish, put_c_string};
use super::{Tlvs, command, tag};

/// What a bind may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindMode {
    /// Submits and hears receipts on one connection.
    Transceiver,
    /// Only submits.
    Transmitter,
    /// Only hears receipts and mobile-originated messages.
    Receiver,
}

impl BindMode {
    pub const ALL: [Self; 3] = [Self::Transceiver, Self::Transmitter, Self::Receiver];

    /// The command identifier of its bind request.
    pub const fn command(self) -> u32 {
        match self {
            Self::Transceiver => command::BIND_TRANSCEIVER,
            Self::Transmitter => command::BIND_TRANSMITTER,
            Self::Receiver => command::BIND_RECEIVER,
        }
    }

    /// The mode of a bind request or of its response.
    pub fn of(command: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.command() == command & !command::RESPONSE)
    }

    /// Whether submit_sm is allowed.
    pub const fn submits(self) -> bool {
        !matches!(self, Self::Receiver)
    }

    /// Whether deliver_sm is allowed.
    pub const fn receives(self) -> bool {
        !matches!(self, Self::Transmitter)
    }

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transceiver => "transceiver",
            Self::Transmitter => "transmitter",
            Self::Receiver => "receiver",
        }
    }
}

/// A bind request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    pub mode: BindMode,
    /// At most 15 octets.
    pub system_id: &'a [u8],
    /// At most 8 octets.
    pub password: &'a [u8],
    /// At most 12 octets.
    pub system_type: &'a [u8],
    /// 0x34 for version 3.4.
    pub version: u8,
    pub ton: u8,
    pub npi: u8,
    /// At most 40 octets.
    pub address_range: &'a [u8],
}

impl<'a> Bind<'a> {
    /// SMPP 3.4.
    pub const VERSION: u8 = 0x34;

    /// A bind as most carriers want it: no type, no range.
    pub const fn new(mode: BindMode, system_id: &'a [u8], password: &'a [u8]) -> Self {
        Self { mode, system_id, password, system_type: b"", version: Self::VERSION, ton: 0, npi: 0, address_range: b"" }
    }

    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>, sequence: u32) -> Result<(), FieldError> {
        all_or_nothing(out, |out| {
            let start = begin(out, self.mode.command(), 0, sequence);
            put_c_string(out, "system_id", self.system_id, 16)?;
            put_c_string(out, "password", self.password, 9)?;
            put_c_string(out, "system_type", self.system_type, 13)?;
            out.extend_from_slice(&[self.version, self.ton, self.npi]);
            put_c_string(out, "address_range", self.address_range, 41)?;
            finish(out, start);
            Ok(())
        })
    }

    /// Reads the body of a bind request.
    pub fn decode(mode: BindMode, body: &'a [u8]) -> Self {
        let mut reader = Reader::new(body);
        Self {
            mode,
            system_id: reader.c_string(16),
            password: reader.c_string(9),
            system_type: reader.c_string(13),
            version: reader.octet(),
            ton: reader.octet(),
            npi: reader.octet(),
            address_range: reader.c_string(41),
        }
    }
}

impl fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system_id = String::from_utf8_lossy(self.system_id);
        f.debug_struct("Bind").field("mode", &self.mode).field("system_id", &system_id).finish_non_exhaustive()
    }
}

/// The body of a bind response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindResp<'a> {
    /// The peer's own name, not ours.
    pub system_id: &'a [u8],
    /// `sc_interface_version`, where the peer sends it.
    pub version: Option<u8>,
}

impl<'a> BindResp<'a> {
    /// Reads the body; it is empty when the bind was refused.
    pub fn decode(body: &'a [u8]) -> Self {
        let mut reader = Reader::new(body);
        let system_id = reader.c_string(16);
        let version = Tlvs(reader.rest()).get(tag::SC_INTERFACE_VERSION).and_then(super::Tlv::number);
        Self { system_id, version: version.and_then(|version| u8::try_from(version).ok()) }
    }
}
