//! Cuts a file into blocks of whole rows, so that several threads can read rows.
//!
//! Must stay true: the blocks put together are the file behind its header, but for the rest of lines that are too long;
//! every block knows the line it begins on.

use std::io::{self, Read};

use super::rows::{ROW_BYTES_MAX, RowEnd, row_end};

/// Bytes of a block, about.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Whole rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// From 0, in order of the file.
    pub(super) number: u64,
    /// The line of its first row, from 1.
    pub(super) first_line: u64,
    pub(super) bytes: Vec<u8>,
    /// The beginning of one line that is longer than a row may be.
    pub(super) is_too_long: bool,
}

/// Cuts.
#[derive(Debug)]
pub(super) struct Cutter<R> {
    input: R,
    buffer: Vec<u8>,
    is_complete: bool,
    delimiter: u8,
    next_number: u64,
    next_line: u64,
    /// Bytes read so far.
    pub(super) read: u64,
}

impl<R: Read> Cutter<R> {
    /// Reads the beginning of the file.
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut cutter = Self {
            input,
            buffer: Vec::new(),
            is_complete: false,
            delimiter: b',',
            next_number: 0,
            next_line: 1,
            read: 0,
        };
        cutter.fill()?;
        Ok(cutter)
    }

    /// The beginning, and whether it is all there is.
    pub(super) fn head(&self) -> (&[u8], bool) {
        (&self.buffer, self.is_complete)
    }

    /// Leaves the header out and cuts with its delimiter from there on.
    pub(super) fn skip_header(&mut self, bytes: usize, delimiter: u8) {
        self.next_line += newlines(&self.buffer[..bytes]);
        self.buffer.drain(..bytes);
        self.delimiter = delimiter;
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Block>> {
        self.fill()?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let (bytes, is_too_long) = match self.last_row_end() {
            0 => (self.long_line()?, true),
            cut => {
                let rest = self.buffer.split_off(cut);
                (std::mem::replace(&mut self.buffer, rest), false)
            }
        };
        let block = Block { number: self.next_number, first_line: self.next_line, bytes, is_too_long };
        self.next_number += 1;
        self.next_line += if is_too_long { 1 } else { newlines(&block.bytes) };
        Ok(Some(block))
    }

    fn last_row_end(&self) -> usize {
        if self.is_complete {
            return self.buffer.len();
        }
        if !self.buffer.contains(&b'"') {
            return self.buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        }
        let mut cut = 0;
        while let RowEnd::Row { next, .. } | RowEnd::BadQuote { next, .. } =
            row_end(&self.buffer, cut, self.delimiter, false)
        {
            cut = next;
        }
        cut
    }

    /// The beginning of the line that fills the buffer; the rest of it is dropped.
    fn long_line(&mut self) -> io::Result<Vec<u8>> {
        let beginning = self.buffer[..ROW_BYTES_MAX.min(self.buffer.len())].to_vec();
        loop {
            if let Some(newline) = self.buffer.iter().position(|byte| *byte == b'\n') {
                self.buffer.drain(..=newline);
                return Ok(beginning);
            }
            self.buffer.clear();
            if self.is_complete {
                return Ok(beginning);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut have = self.buffer.len();
        if self.is_complete || have >= BLOCK_BYTES {
            return Ok(());
        }
        self.buffer.resize(BLOCK_BYTES, 0);
        while have < BLOCK_BYTES {
            match self.input.read(&mut self.buffer[have..])? {
                0 => {
                    self.is_complete = true;
                    break;
                }
                read => {
                    have += read;
                    self.read += u64::try_from(read).unwrap_or(0);
                }
            }
        }
        self.buffer.truncate(have);
        Ok(())
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(bytes: &[u8]) -> Vec<Block> {
        let mut cutter = Cutter::new(bytes).unwrap();
        std::iter::from_fn(|| cutter.next().unwrap()).collect()
    }

    #[test]
    fn blocks_are_the_file_cut_at_rows() {
        for row in ["1,0912345678,Lan\n", "1,\"two\nlines\",Lan\n", "1,\"say \"\"yes\"\"\",Lan\r\n", "1,5\" pipe\n"] {
            let text = row.repeat(3 * BLOCK_BYTES / row.len());
            let found = blocks(text.as_bytes());
            assert!(found.len() >= 3, "{row:?}");
            let joined: Vec<u8> = found.iter().flat_map(|block| block.bytes.clone()).collect();
            assert!(joined == text.as_bytes(), "{row:?}");
            for (number, block) in found.iter().enumerate() {
                let before: Vec<u8> = found[..number].iter().flat_map(|block| block.bytes.clone()).collect();
                assert_eq!((block.number, block.first_line), (number as u64, newlines(&before) + 1));
                assert!(block.bytes.ends_with(row.as_bytes()), "{row:?}");
            }
        }
    }

    #[test]
    fn a_line_too_long_costs_no_memory_and_no_neighbour() {
        let text = format!("a\n{}\nb\n", "x".repeat(5 * BLOCK_BYTES));
        let found = blocks(text.as_bytes());
        let shown: Vec<_> =
            found.iter().map(|block| (block.first_line, block.bytes.len(), block.is_too_long)).collect();
        assert_eq!(shown, [(1, 2, false), (2, ROW_BYTES_MAX, true), (3, 2, false)]);
    }

    #[test]
    fn the_header_is_left_out() {
        let mut cutter = Cutter::new(&b"account_id,msisdn\n1,2\n"[..]).unwrap();
        cutter.skip_header(18, b',');
        let block = cutter.next().unwrap().unwrap();
        assert_eq!((block.first_line, block.bytes.as_slice()), (2, &b"1,2\n"[..]));
        assert_eq!(cutter.next().unwrap(), None);
    }
}
