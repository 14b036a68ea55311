//! Writers of PDUs into a reused buffer, and the error of a field that does not fit.
//!
//! Must stay true: after an error the buffer is as it was before; half a PDU would lose the framing for the peer.

use super::{command, tag, tlv::put_tlv};

/// A field that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("`{field}` has {octets} octets, at most {octets_max} fit: shorten it")]
    TooLong { field: &'static str, octets: usize, octets_max: usize },
    #[error("`{field}` holds a NUL octet, which would end it early: remove it")]
    Nul { field: &'static str },
}

/// Appends a header whose length is filled in by [`finish`]; gives back where it began.
pub(crate) fn begin(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) -> usize {
    let start = out.len();
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&command.to_be_bytes());
    header[8..12].copy_from_slice(&status.to_be_bytes());
    header[12..].copy_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&header);
    start
}

/// Writes the length of the PDU that began at `start`.
pub(crate) fn finish(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start).expect("fields are bounded, so a PDU is far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a C octet string; `octets_max` counts the NUL.
pub(crate) fn put_c_string(
    out: &mut Vec<u8>,
    field: &'static str,
    text: &[u8],
    octets_max: usize,
) -> Result<(), FieldError> {
    if text.len() >= octets_max {
        return Err(FieldError::TooLong { field, octets: text.len(), octets_max: octets_max - 1 });
    }
    if text.contains(&0) {
        return Err(FieldError::Nul { field });
    }
    out.extend_from_slice(text);
    out.push(0);
    Ok(())
}

/// Undoes what `write` appended when it failed.
pub(crate) fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), FieldError>,
) -> Result<(), FieldError> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// Appends a PDU without a body: enquire_link, unbind, their responses, generic_nack, a refused bind.
pub fn put_header_only(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) {
    let start = begin(out, command, status, sequence);
    finish(out, start);
}

/// Appends a submit_sm_resp: header and identifier, or the header alone when refused.
pub fn put_submit_sm_resp(out: &mut Vec<u8>, status: u32, sequence: u32, message_id: &[u8]) {
    if status != 0 {
        return put_header_only(out, command::SUBMIT_SM_RESP, status, sequence);
    }
    let start = begin(out, command::SUBMIT_SM_RESP, status, sequence);
    out.extend_from_slice(message_id);
    out.push(0);
    finish(out, start);
}

/// Appends a deliver_sm_resp; its message identifier is unused and empty.
pub fn put_deliver_sm_resp(out: &mut Vec<u8>, command: u32, status: u32, sequence: u32) {
    let start = begin(out, command, status, sequence);
    out.push(0);
    finish(out, start);
}

/// Appends a bind response with the peer's name and, from version 3.4 on, its interface version.
pub fn put_bind_resp(out: &mut Vec<u8>, command: u32, sequence: u32, system_id: &[u8], version: Option<u8>) {
    let start = begin(out, command | command::RESPONSE, 0, sequence);
    out.extend_from_slice(system_id);
    out.push(0);
    if let Some(version) = version {
        put_tlv(out, tag::SC_INTERFACE_VERSION, &[version]);
    }
    finish(out, start);
}

/// Writes a number in decimal into `digits` and gives back the used end; no allocation, for destinations and ids.
pub fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a decimal digit fits");
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}
