//! A row of the file: the records that one group commit brought to one topic.
//!
//! The directory lists, partition by partition, each record's offset and the lengths of its key, headers and value; the
//! data are those one after the other. Who looks for records of a partition reads directories alone.
//!
//! Must stay true: partitions and, within one, offsets ascend; the directory's lengths add up to the data.

use bytes::Bytes;
use loa_ports::log::{Append, Record};

use crate::varint;

/// Data of one row, at most; one more record than fits begins another row of the same group.
pub(crate) const ROW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a batch in memory takes beside its data and entries, about.
const BATCH_BYTES: usize = 256;

/// Records of one partition within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    partition: u32,
    /// Places in the entries.
    from: usize,
    to: usize,
}

/// Where one record stands in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    offset: i64,
    at: u32,
    key: u32,
    headers: u32,
    value: u32,
}

/// What a row holds, without the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    runs: Vec<Run>,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Directory {
    /// Reads a stored directory; `None` if it is not one.
    pub(crate) fn parse(mut stored: &[u8]) -> Option<Self> {
        let mut directory = Self::default();
        while !stored.is_empty() {
            let partition = varint::get_as(&mut stored)?;
            let count: u32 = varint::get_as(&mut stored)?;
            let mut expected = 0_i64;
            for _ in 0..count {
                let offset = expected.checked_add(varint::get_as(&mut stored)?)?;
                expected = offset.checked_add(1)?;
                let [key, headers, value] =
                    [varint::get_as(&mut stored)?, varint::get_as(&mut stored)?, varint::get_as(&mut stored)?];
                directory.push(partition, offset, [key, headers, value])?;
            }
        }
        Some(directory)
    }

    /// The directory as stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 4 + self.runs.len() * 8);
        for run in &self.runs {
            let entries = &self.entries[run.from..run.to];
            varint::put(&mut out, u64::from(run.partition));
            varint::put_length(&mut out, entries.len());
            // The first offset in full, then how many were left out before each.
            let mut expected = 0;
            for entry in entries {
                varint::put(&mut out, u64::try_from(entry.offset - expected).expect("offsets ascend from 0"));
                for length in [entry.key, entry.headers, entry.value] {
                    varint::put(&mut out, u64::from(length));
                }
                expected = entry.offset + 1;
            }
        }
        out
    }

    /// Adds an entry; `None` if it would not ascend or the data grow past what 32 bits tell.
    fn push(&mut self, partition: u32, offset: i64, [key, headers, value]: [u32; 3]) -> Option<()> {
        let at = u32::try_from(self.bytes).ok()?;
        let end = at.checked_add(key)?.checked_add(headers)?.checked_add(value)?;
        let place = self.entries.len();
        match self.runs.last_mut() {
            Some(run) if run.partition == partition => {
                if self.entries.last().is_some_and(|before| before.offset >= offset) {
                    return None;
                }
                run.to = place + 1;
            }
            Some(run) if run.partition > partition => return None,
            _ => self.runs.push(Run { partition, from: place, to: place + 1 }),
        }
        self.entries.push(Entry { offset, at, key, headers, value });
        self.bytes = usize::try_from(end).ok()?;
        Some(())
    }

    /// Bytes of the data.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each partition with the offset after its last record here.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (usize, i64)> {
        self.runs.iter().map(|run| (index(run.partition), self.entries[run.to - 1].offset + 1))
    }

    /// Whether there is a record that a reader at these positions has not had.
    pub(crate) fn has_for(&self, wanted: &[Option<i64>]) -> bool {
        self.ends().any(|(partition, end)| wanted.get(partition).copied().flatten().is_some_and(|next| next < end))
    }
}

/// A partition as a place in a list.
pub(crate) fn index(partition: u32) -> usize {
    usize::try_from(partition).expect("a partition fits in a usize")
}

/// A row in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Its number within the topic.
    pub(crate) seq: i64,
    /// When it was appended, microseconds since 1970.
    pub(crate) at_us: i64,
    /// What it holds.
    pub(crate) directory: Directory,
    data: Bytes,
}

impl Batch {
    /// Reads a stored row; `None` if it is damaged.
    pub(crate) fn parse(seq: i64, at_us: i64, directory: &[u8], data: Vec<u8>) -> Option<Self> {
        let directory = Directory::parse(directory)?;
        (directory.bytes == data.len()).then(|| Self { seq, at_us, directory, data: Bytes::from(data) })
    }

    /// In the place of a row whose records are all gone.
    pub(crate) fn empty(seq: i64) -> Self {
        Self { seq, at_us: 0, directory: Directory::default(), data: Bytes::new() }
    }

    /// The data as stored.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// What it takes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.data.len() + self.directory.entries.len() * size_of::<Entry>() + BATCH_BYTES
    }

    /// Gives a reader what it has not had and moves its positions; `false` if some is left, because the reader has enough.
    pub(crate) fn give(&self, wanted: &mut [Option<i64>], taken: &mut Taken) -> bool {
        for run in &self.directory.runs {
            let Some(Some(next)) = wanted.get_mut(index(run.partition)) else { continue };
            let entries = &self.directory.entries[run.from..run.to];
            let new = entries.partition_point(|entry| entry.offset < *next);
            for entry in &entries[new..] {
                if taken.is_enough() {
                    return false;
                }
                taken.bytes += index(entry.key + entry.headers + entry.value);
                taken.records.push(self.record(run.partition, entry));
                *next = entry.offset + 1;
            }
        }
        true
    }

    fn record(&self, partition: u32, entry: &Entry) -> Record {
        let [key, headers, value] = self.pieces(entry);
        let headers = decode_headers(&headers);
        Record { partition, offset: entry.offset, at_us: self.at_us, key, headers, value }
    }

    fn pieces(&self, entry: &Entry) -> [Bytes; 3] {
        let mut at = index(entry.at);
        [entry.key, entry.headers, entry.value].map(|length| {
            let from = at;
            at += index(length);
            self.data.slice(from..at)
        })
    }

    /// Every record's partition, key and offset.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u32, Bytes, i64)> {
        let keyed = move |run: &Run| {
            let partition = run.partition;
            self.directory.entries[run.from..run.to]
                .iter()
                .map(move |entry| (partition, self.pieces(entry)[0].clone(), entry.offset))
        };
        self.directory.runs.iter().flat_map(keyed)
    }

    /// The row with only the records that are to stay; `None` if none is.
    pub(crate) fn only(&self, stays: impl Fn(u32, &Bytes, i64) -> bool) -> Option<Self> {
        let mut kept = RowWriter::default();
        for run in &self.directory.runs {
            for entry in &self.directory.entries[run.from..run.to] {
                let [key, headers, value] = self.pieces(entry);
                if stays(run.partition, &key, entry.offset) {
                    kept.push_pieces(run.partition, entry.offset, [&key, &headers, &value]);
                }
            }
        }
        (!kept.directory.entries.is_empty()).then(|| kept.finish(self.seq, self.at_us))
    }

    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        self.directory.entries.len()
    }
}

/// What a reader has taken so far, and how much it may.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The records.
    pub(crate) records: Vec<Record>,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Records, at most.
    pub(crate) records_max: usize,
    /// Bytes after which no further record is taken.
    pub(crate) bytes_max: usize,
}

impl Taken {
    fn is_enough(&self) -> bool {
        self.records.len() >= self.records_max || self.bytes >= self.bytes_max
    }
}

/// Puts records together into a row.
#[derive(Debug, Default)]
pub(crate) struct RowWriter {
    directory: Directory,
    data: Vec<u8>,
}

impl RowWriter {
    /// With room for so much; what comes on top of it makes it grow. A row stays in memory, so its room is not doubled.
    pub(crate) fn with_room(bytes: usize, records: usize) -> Self {
        let directory = Directory { entries: Vec::with_capacity(records), ..Directory::default() };
        Self { directory, data: Vec::with_capacity(bytes.min(ROW_BYTES_MAX)) }
    }

    /// Whether a record of that size must begin another row.
    pub(crate) fn is_full_for(&self, bytes: usize) -> bool {
        !self.data.is_empty() && self.data.len() + bytes > ROW_BYTES_MAX
    }

    /// Adds a record; partitions and offsets must ascend.
    pub(crate) fn push(&mut self, offset: i64, record: &Append) {
        let headers = encode_headers(&record.headers);
        self.push_pieces(record.partition, offset, [&record.key, &headers, &record.value]);
    }

    fn push_pieces(&mut self, partition: u32, offset: i64, pieces: [&[u8]; 3]) {
        let lengths = pieces.map(|piece| u32::try_from(piece.len()).expect("a piece is below RECORD_BYTES_MAX"));
        self.directory.push(partition, offset, lengths).expect("records are pushed in order, and below ROW_BYTES_MAX");
        for piece in pieces {
            self.data.extend_from_slice(piece);
        }
    }

    /// The row.
    pub(crate) fn finish(mut self, seq: i64, at_us: i64) -> Batch {
        self.directory.entries.shrink_to_fit();
        if self.data.capacity() > self.data.len() + self.data.len() / 8 {
            self.data.shrink_to_fit();
        }
        Batch { seq, at_us, directory: self.directory, data: Bytes::from(self.data) }
    }
}

fn encode_headers(headers: &[(String, Bytes)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        for piece in [name.as_bytes(), value] {
            varint::put_length(&mut out, piece.len());
            out.extend_from_slice(piece);
        }
    }
    out
}

/// Headers as given; damaged ones end the list, since they are context and never part of the record.
fn decode_headers(stored: &Bytes) -> Vec<(String, Bytes)> {
    let mut left = stored.as_ref();
    let mut piece = || {
        let length = varint::get_as(&mut left)?;
        let (piece, rest) = left.split_at_checked(length)?;
        left = rest;
        Some(stored.slice_ref(piece))
    };
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (piece(), piece()) {
        headers.push((String::from_utf8_lossy(&name).into_owned(), value));
    }
    headers
}

#[cfg(test)]
mod tests;
