//! Counts the lines of a file that grows, without reading it from its start each time.
//!
//! Must stay true: a line counts once it is whole.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Mutex;

use loa_harness::{Fault, fault};

/// A file that is only appended to.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    counts: fn(&[u8]) -> bool,
    /// Octets read so far, and the lines among them that count.
    seen: Mutex<(u64, u64)>,
}

impl Tail {
    /// Of a file, which need not be there yet; `counts` tells which lines do.
    pub fn new(path: PathBuf, counts: fn(&[u8]) -> bool) -> Self {
        Self { path, counts, seen: Mutex::default() }
    }

    /// Lines that count, up to now.
    pub fn count(&self) -> Result<u64, Fault> {
        let mut seen = self.seen.lock().map_err(|_| fault("a count was left half done"))?;
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(seen.1),
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(seen.0))?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        loop {
            line.clear();
            let octets = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                return Ok(seen.1);
            }
            seen.0 += octets as u64;
            seen.1 += u64::from((self.counts)(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_counts_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let tail = Tail::new(path.clone(), |line| line.starts_with(b"yes"));
        assert_eq!(tail.count().unwrap(), 0, "there is no file yet");
        let mut file = File::create(path).unwrap();
        for (written, counted) in [("yes 1\nno 2\nye", 1), ("s 3", 1), ("\nyes 4\n", 3), ("", 3)] {
            file.write_all(written.as_bytes()).unwrap();
            assert_eq!(tail.count().unwrap(), counted, "after {written:?}");
        }
    }
}
