//! The reused read buffer of one connection: octets come in at the end, whole PDUs leave at the front.
//!
//! Sessions consume whole PDUs only; the beginning of the next one has to wait somewhere. Moving it to the front of the
//! same memory costs a few octets per read and no allocation.
//!
//! Must stay true: a PDU of [`PDU_OCTETS_MAX`] octets always fits, so a peer can never
//! block its own connection by sending a large one.

use crate::pdu::PDU_OCTETS_MAX;

/// Size of the buffer: one largest PDU and as much again, so a read is never a few octets only.
pub const READ_OCTETS: usize = 2 * PDU_OCTETS_MAX;

/// Octets received and not yet consumed.
pub struct ReadBuffer {
    octets: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty buffer; its memory is taken once, here.
    pub fn new() -> Self {
        Self { octets: vec![0; READ_OCTETS], start: 0, end: 0 }
    }

    /// Where the next read may write; never empty after [`consume`](Self::consume) took all whole PDUs.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.octets.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.octets[self.end..]
    }

    /// Says that a read wrote `octets` octets into [`space`](Self::space).
    pub fn filled(&mut self, octets: usize) {
        self.end = (self.end + octets).min(self.octets.len());
    }

    /// What was received and not yet consumed.
    pub fn data(&self) -> &[u8] {
        &self.octets[self.start..self.end]
    }

    /// Drops the first `octets` octets of [`data`](Self::data).
    pub fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_beginning_of_the_next_pdu() {
        let mut buffer = ReadBuffer::new();
        buffer.space()[..5].copy_from_slice(b"abcde");
        buffer.filled(5);
        buffer.consume(3);
        assert_eq!(buffer.data(), b"de");
        buffer.space()[..1].copy_from_slice(b"f");
        buffer.filled(1);
        assert_eq!(buffer.data(), b"def");
        buffer.consume(3);
        assert_eq!(buffer.data(), b"");
        assert_eq!(buffer.space().len(), READ_OCTETS);
    }

    #[test]
    fn the_largest_pdu_fits_behind_a_partial_one() {
        let mut buffer = ReadBuffer::new();
        buffer.filled(PDU_OCTETS_MAX - 1);
        assert!(buffer.space().len() > PDU_OCTETS_MAX, "room for the rest and more");
    }
}
