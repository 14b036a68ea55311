//! Octets on their way out, counted over the whole connection.
//!
//! Must stay true: `written` never counts an octet before the transport has taken it, so comparing it with the place
//! of a final dot tells for certain that the dot has not left.

/// What waits to be written and how much ever was.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) octets: Vec<u8>,
    /// How many of `octets` the transport took.
    taken: usize,
    /// Place in the stream of the first of `octets`.
    base: u64,
}

impl Output {
    pub(super) fn pending(&self) -> &[u8] {
        self.octets.get(self.taken..).unwrap_or_default()
    }

    /// Notes that the transport took the next `count` octets.
    pub(super) fn wrote(&mut self, count: usize) {
        self.taken += count;
        assert!(self.taken <= self.octets.len(), "no more is written than was pending");
        if self.taken == self.octets.len() {
            self.base = self.written();
            self.taken = 0;
            self.octets.clear();
        }
    }

    /// Octets the transport ever took.
    pub(super) fn written(&self) -> u64 {
        self.place(self.taken)
    }

    /// Place in the stream of the octet at `index` of `octets`.
    pub(super) fn place(&self, index: usize) -> u64 {
        self.base + index as u64
    }

    /// One command line, its pieces put together.
    pub(super) fn line(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.octets.extend_from_slice(piece);
        }
        self.octets.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::Output;

    #[test]
    fn counts_over_the_whole_stream() {
        let mut output = Output::default();
        output.line(&[b"NO", b"OP"]);
        output.wrote(2);
        assert_eq!((output.pending(), output.written()), (&b"OP\r\n"[..], 2));
        output.wrote(4);
        output.line(&[b"QUIT"]);
        assert_eq!((output.written(), output.place(4)), (6, 10));
        output.wrote(1);
        assert_eq!((output.pending(), output.written()), (&b"UIT\r\n"[..], 7));
    }
}
