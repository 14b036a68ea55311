//! Message identifiers: how the answer to a submit and its receipt write the same one.
//!
//! Carriers write one base in the answer and another in the receipt, pad with zeros, change the case. Both sides are brought
//! to one key per account setting; keys are compared, never shown.
//!
//! Must stay true: an identifier that is not a number in the expected base (a UUID, a word) is only trimmed and upper-cased.

use std::fmt;
use std::str::FromStr;

use super::ID_OCTETS_MAX;

/// How a carrier writes identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IdForm {
    /// The same on both sides, but for case and leading zeros.
    #[default]
    AsIs,
    /// Hexadecimal in the answer, decimal in the receipt.
    RespHexReceiptDec,
    /// Decimal in the answer, hexadecimal in the receipt.
    RespDecReceiptHex,
}

/// Where an identifier was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// submit_sm_resp.
    Response,
    /// Receipt.
    Receipt,
}

impl IdForm {
    const ALL: [(&'static str, Self); 3] = [
        ("as_is", Self::AsIs),
        ("resp_hex_receipt_dec", Self::RespHexReceiptDec),
        ("resp_dec_receipt_hex", Self::RespDecReceiptHex),
    ];

    /// The key of an identifier read on one side; empty in, empty out.
    pub fn key(self, side: Side, id: &[u8]) -> MessageKey {
        let id = trim(id);
        let decimal = matches!(
            (self, side),
            (Self::RespHexReceiptDec, Side::Receipt) | (Self::RespDecReceiptHex, Side::Response)
        );
        match decimal.then(|| number(id)).flatten() {
            Some(number) => MessageKey::of(format_hex(number, &mut [0; 32])),
            None => MessageKey::of(strip_zeros(id)),
        }
    }
}

/// The word is none of the three forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownIdForm {
    given: String,
}

impl std::error::Error for UnknownIdForm {}

impl fmt::Display for UnknownIdForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = IdForm::ALL.map(|(word, _)| word).join(", ");
        write!(f, "`{}` is not a form of message ids; use one of: {known}", self.given)
    }
}

impl FromStr for IdForm {
    type Err = UnknownIdForm;

    fn from_str(text: &str) -> Result<Self, UnknownIdForm> {
        let known = Self::ALL.into_iter().find(|(word, _)| *word == text);
        known.map(|(_, form)| form).ok_or_else(|| UnknownIdForm { given: text.to_owned() })
    }
}

/// A normalised identifier, at most [`ID_OCTETS_MAX`] octets, copied so that it outlives the PDU.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    octets: [u8; ID_OCTETS_MAX],
    length: u8,
}

impl MessageKey {
    fn of(id: &[u8]) -> Self {
        let taken = id.len().min(ID_OCTETS_MAX);
        let mut octets = [0; ID_OCTETS_MAX];
        octets[..taken].copy_from_slice(&id[..taken]);
        octets.make_ascii_uppercase();
        Self { octets, length: u8::try_from(taken).expect("at most 64") }
    }

    /// The key's octets; empty when the carrier gave none.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    /// Whether the carrier gave no identifier, so no receipt can be matched.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

fn trim(id: &[u8]) -> &[u8] {
    let end = id.iter().position(|&octet| octet == 0).unwrap_or(id.len());
    id[..end].trim_ascii()
}

/// A decimal number of up to 38 digits; anything else is no number.
fn number(id: &[u8]) -> Option<u128> {
    let digits = !id.is_empty() && id.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(id).ok()?.parse().ok()).flatten()
}

/// Leading zeros mean nothing in a number, but belong to a UUID or a word.
fn strip_zeros(id: &[u8]) -> &[u8] {
    if !id.iter().all(u8::is_ascii_hexdigit) {
        return id;
    }
    let zeros = id.iter().take_while(|&&octet| octet == b'0').count();
    &id[zeros.min(id.len().saturating_sub(1))..]
}

fn format_hex(mut number: u128, digits: &mut [u8; 32]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789ABCDEF"[usize::try_from(number & 0xF).expect("a nibble fits")];
        number >>= 4;
        if number == 0 {
            return &digits[at..];
        }
    }
}
