//! Framing: where one PDU ends and the next begins.
//!
//! Must stay true: only a `command_length` that cannot be right ends a link; whatever stands in the body does not.

/// Octets of a header: length, command, status, sequence.
pub const HEADER_OCTETS: usize = 16;

/// The largest PDU taken, header included; a longer one is an attack or a lost framing.
pub const PDU_OCTETS_MAX: usize = 64 * 1024 + HEADER_OCTETS;

/// The first 16 octets of every PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Octets of the whole PDU.
    pub length: u32,
    pub command: u32,
    pub status: u32,
    pub sequence: u32,
}

/// What stands at the front of the received octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<'a> {
    /// The PDU is not complete yet.
    Incomplete,
    /// One whole PDU of `octets` octets.
    Pdu { header: Header, body: &'a [u8], octets: usize },
    /// The length is below 16 or above [`PDU_OCTETS_MAX`]: the framing is lost. The sequence is 0 if not received yet.
    Broken { length: u32, sequence: u32 },
}

/// Cuts the first PDU off the received octets.
pub fn cut(input: &[u8]) -> Cut<'_> {
    let Some(length) = word(input, 0) else { return Cut::Incomplete };
    let octets = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER_OCTETS..=PDU_OCTETS_MAX).contains(&octets) {
        return Cut::Broken { length, sequence: word(input, 12).unwrap_or(0) };
    }
    let Some(pdu) = input.get(..octets) else { return Cut::Incomplete };
    let at = |offset| word(pdu, offset).unwrap_or(0);
    let header = Header { length, command: at(4), status: at(8), sequence: at(12) };
    Cut::Pdu { header, body: &pdu[HEADER_OCTETS..], octets }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32) -> Vec<u8> {
        let words = [length, 0x15, 0, 7];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn cuts_whole_pdus_only() {
        let one = header(16);
        for octets in 0..16 {
            assert_eq!(cut(&one[..octets]), Cut::Incomplete, "{octets} octets");
        }
        let expected = Header { length: 16, command: 0x15, status: 0, sequence: 7 };
        assert_eq!(cut(&one), Cut::Pdu { header: expected, body: b"", octets: 16 });
        let two = [one.clone(), one].concat();
        assert_eq!(cut(&two), Cut::Pdu { header: expected, body: b"", octets: 16 }, "the rest waits");
    }

    #[test]
    fn a_length_that_cannot_be_right_ends_the_link() {
        let largest = u32::try_from(PDU_OCTETS_MAX).unwrap();
        assert_eq!(cut(&header(8)), Cut::Broken { length: 8, sequence: 7 });
        assert_eq!(cut(&header(15)), Cut::Broken { length: 15, sequence: 7 });
        assert_eq!(cut(&header(largest)), Cut::Incomplete);
        assert_eq!(cut(&header(largest + 1)), Cut::Broken { length: largest + 1, sequence: 7 });
        assert_eq!(cut(&header(8)[..4]), Cut::Broken { length: 8, sequence: 0 }, "known before the header is whole");
    }
}
