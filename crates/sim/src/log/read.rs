//! Reading a sink log back: line by line for tests, as a summary for people.
//!
//! Must stay true: a message is identified by address, hash of text and part; whatever was accepted more than once under
//! one such name was repeated.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

/// One accepted message, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub unix_us: u64,
    pub connection: u64,
    pub address: String,
    /// From 1.
    pub part: u8,
    pub parts: u8,
    pub text_hash: u64,
    pub id: String,
}

/// Why a sink log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("could not read the sink log")]
    Read(#[from] io::Error),
    #[error("line {line} is not a line of a sink log: six fields with tabs between are expected")]
    Format { line: u64 },
}

impl LogLine {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut field = || fields.next();
        let line = Self {
            unix_us: field()?.parse().ok()?,
            connection: field()?.parse().ok()?,
            address: field()?.to_owned(),
            part: 0,
            parts: 0,
            text_hash: 0,
            id: String::new(),
        };
        let (part, parts) = field()?.split_once('/')?;
        let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
        let text_hash = u64::from_str_radix(field()?, 16).ok()?;
        let id = field()?.to_owned();
        field().is_none().then_some(Self { part, parts, text_hash, id, ..line })
    }

    /// Two hashes of address, text and part: 10 million messages share one by chance less than once in 10^24.
    fn identity(&self) -> [u64; 2] {
        [0u8, 1].map(|salt| {
            let mut hasher = DefaultHasher::new();
            (salt, &self.address, self.text_hash, self.part, self.parts).hash(&mut hasher);
            hasher.finish()
        })
    }
}

/// The lines of a sink log; an unfinished last one is left out.
pub fn lines(path: &Path) -> io::Result<impl Iterator<Item = Result<LogLine, LineError>> + use<>> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut text, mut line) = (String::new(), 0);
    Ok(std::iter::from_fn(move || {
        text.clear();
        line += 1;
        match reader.read_line(&mut text) {
            Ok(_) => {
                let whole = text.strip_suffix('\n')?; // the end, or a line cut by a kill
                Some(LogLine::parse(whole).ok_or(LineError::Format { line }))
            }
            Err(error) => Some(Err(error.into())),
        }
    }))
}

/// What a sink log says on the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Accepted messages (parts).
    pub total: u64,
    /// Different ones.
    pub distinct: u64,
    /// Accepted again: total less distinct.
    pub repeated: u64,
    /// The most in one second of the clock.
    pub most_per_second: u64,
    /// Time of the last one, 0 when there is none.
    pub last_us: u64,
}

/// Reads a whole sink log; about 40 octets of memory per message.
pub fn summary(path: &Path) -> Result<Summary, LineError> {
    let mut summary = Summary::default();
    let mut seen = HashSet::new();
    let mut per_second = BTreeMap::<u64, u64>::new();
    for line in lines(path)? {
        let line = line?;
        summary.total += 1;
        summary.last_us = summary.last_us.max(line.unix_us);
        *per_second.entry(line.unix_us / 1_000_000).or_default() += 1;
        if seen.insert(line.identity()) {
            summary.distinct += 1;
        }
    }
    summary.repeated = summary.total - summary.distinct;
    summary.most_per_second = per_second.into_values().max().unwrap_or(0);
    Ok(summary)
}
