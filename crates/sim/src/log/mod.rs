//! The sink log: what really arrived, one line per accepted message, written before its answer.
//!
//! `unix_us ⇥ connection ⇥ address ⇥ part/parts ⇥ hash of text ⇥ id`
//!
//! It is the second book beside Loa's ledger. A test that compares the two finds every lost and every repeated message,
//! whatever was killed in between, because a line that is not there was never answered.
//!
//! Must stay true: a batch of lines reaches the file in one write, before any of its answers reaches a socket; a file cut
//! by a kill ends at worst in the middle of one line, whose message was not answered.

mod read;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Mutex;

use loa_wire_smpp::pdu::decimal;

pub use read::{LineError, LogLine, Summary, lines, summary};

/// One accepted message.
#[derive(Clone, Copy)]
pub struct Accepted<'a> {
    /// When it was accepted.
    pub unix_us: u64,
    /// Which connection of the simulator took it.
    pub connection: u64,
    /// Number or mail address.
    pub address: &'a [u8],
    /// From 1.
    pub part: u8,
    pub parts: u8,
    /// [`text_hash`] of what was received.
    pub text_hash: u64,
    /// What the simulator answered.
    pub id: &'a [u8],
}

/// Where the lines go; shared by all connections of a simulator.
pub struct SinkLog(Option<Mutex<File>>);

impl SinkLog {
    /// Appends to a file, made if missing.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Some(Mutex::new(file))))
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Writes the lines of a batch and empties it; the answers may leave when this has returned `Ok`.
    pub fn write(&self, batch: &mut LogBatch) -> io::Result<()> {
        if let (Some(file), false) = (&self.0, batch.lines.is_empty()) {
            file.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write_all(&batch.lines)?;
        }
        batch.lines.clear();
        Ok(())
    }

    /// Whether lines are kept, so that a simulator may spare itself the hash.
    pub fn kept(&self) -> bool {
        self.0.is_some()
    }
}

/// Lines of one connection that are not written yet; its memory is reused.
#[derive(Default)]
pub struct LogBatch {
    lines: Vec<u8>,
}

impl LogBatch {
    /// Adds a line.
    pub fn push(&mut self, accepted: &Accepted<'_>) {
        let mut digits = [0; 20];
        self.lines.extend_from_slice(decimal(accepted.unix_us, &mut digits));
        self.lines.push(b'\t');
        self.lines.extend_from_slice(decimal(accepted.connection, &mut digits));
        self.lines.push(b'\t');
        self.push_field(accepted.address);
        self.lines.push(b'\t');
        self.lines.extend_from_slice(decimal(accepted.part.into(), &mut digits));
        self.lines.push(b'/');
        self.lines.extend_from_slice(decimal(accepted.parts.into(), &mut digits));
        self.lines.push(b'\t');
        self.lines.extend(
            accepted
                .text_hash
                .to_be_bytes()
                .iter()
                .flat_map(|octet| [octet >> 4, octet & 0xF].map(|nibble| b"0123456789abcdef"[usize::from(nibble)])),
        );
        self.lines.push(b'\t');
        self.push_field(accepted.id);
        self.lines.push(b'\n');
    }

    /// What a client sent must not make or end a field.
    fn push_field(&mut self, field: &[u8]) {
        self.lines.extend(field.iter().map(|&octet| if octet.is_ascii_graphic() { octet } else { b'?' }));
    }
}

/// The hash of a text's octets as received (header apart): 64-bit FNV-1a, the same in every process.
pub fn text_hash(octets: &[u8]) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    octets.iter().fold(OFFSET, |hash, &octet| (hash ^ u64::from(octet)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(unix_us: u64, address: &'static str, part: u8, text: &str) -> Accepted<'static> {
        let text_hash = text_hash(text.as_bytes());
        Accepted { unix_us, connection: 3, address: address.as_bytes(), part, parts: 2, text_hash, id: b"7F" }
    }

    #[test]
    fn a_line_is_what_it_says() {
        let mut batch = LogBatch::default();
        batch.push(&accepted(1_795_486_560_000_001, "84912345678", 1, "a"));
        let line = String::from_utf8(batch.lines.clone()).unwrap();
        assert_eq!(line, "1795486560000001\t3\t84912345678\t1/2\taf63dc4c8601ec8c\t7F\n");
        batch.lines.clear();
        batch.push(&accepted(0, "tab\tnewline\n", 1, "a"));
        let line = String::from_utf8(batch.lines).unwrap();
        assert!(line.starts_with("0\t3\ttab?newline?\t1/2\t"), "a client cannot forge a line: {line}");
    }

    #[test]
    fn counts_what_came_twice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sink.log");
        let log = SinkLog::append_to(&path).unwrap();
        let mut batch = LogBatch::default();
        for (unix_us, address, part, text) in [
            (1_000_000, "1", 1, "a"),
            (1_999_999, "1", 2, "b"),
            (2_000_000, "2", 1, "a"),
            (2_000_001, "1", 1, "a"), // again
            (2_000_002, "1", 1, "b"), // another text
            (2_500_000, "1", 1, "a"), // and again
        ] {
            batch.push(&accepted(unix_us, address, part, text));
        }
        log.write(&mut batch).unwrap();
        let expected = Summary { total: 6, distinct: 4, repeated: 2, most_per_second: 4, last_us: 2_500_000 };
        assert_eq!(summary(&path).unwrap(), expected);

        let again = SinkLog::append_to(&path).unwrap();
        batch.push(&accepted(3_000_000, "3", 1, "a"));
        again.write(&mut batch).unwrap();
        assert_eq!(summary(&path).unwrap().total, 7, "a restart goes on with the same file");
    }

    #[test]
    fn a_line_cut_by_a_kill_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sink.log");
        let mut batch = LogBatch::default();
        batch.push(&accepted(1_000_000, "1", 1, "a"));
        let whole = batch.lines.clone();
        for cut in 0..whole.len() {
            std::fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            assert_eq!(summary(&path).unwrap().total, 1, "cut after {cut} octets");
        }
        std::fs::write(&path, [&whole[..], b"rubbish\n", &whole[..]].concat()).unwrap();
        let error = summary(&path).unwrap_err().to_string();
        assert!(error.starts_with("line 2 is not a line of a sink log"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert_eq!(summary(&path).unwrap(), Summary::default());
    }
}
