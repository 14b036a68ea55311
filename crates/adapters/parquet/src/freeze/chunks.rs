//! The two files of a freeze: chunks one after the other, and an index of fixed-size entries.
//!
//! A chunk is two zstd blobs, each a Protobuf `Chunk` of some fields: first what everybody reads (account, parts, hashes),
//! then addresses and slots, which report never touches. The key is not stored: the index says it.
//!
//! ```text
//! chunks.bin   blobs, in the order in which the shards were done
//! index.bin    "LOAF" format | variants | variant, chunks, then per chunk: offset, 4 lengths, shard | …
//! ```
//!
//! Must stay true: chunks of a variant are numbered from 0 in order of (shard, account); reading a chunk reads nothing else.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use loa_contract::convert::chunk_key_record;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::ids::{ChunkKey, FreezeId};
use loa_ports::audience::{ChunksWanted, DatasetError};
use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::error::{damaged, file, storage};

const MAGIC: [u8; 4] = *b"LOAF";
const FORMAT: u32 = 1;
const ENTRY_BYTES: usize = 28;
const ZSTD_LEVEL: i32 = 1;
/// Bytes of one blob when it is opened, at most; a chunk is cut far below.
const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    offset: u64,
    /// Packed and unpacked bytes of the first and the second blob.
    lengths: [u32; 4],
    shard: u32,
}

/// The chunks of one shard, packed.
#[derive(Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// SHA-256 over the unpacked blobs.
    pub(super) digest: [u8; 32],
}

/// Packs the chunks of a shard.
pub(super) fn pack(chunks: Vec<pb::Chunk>) -> Result<Packed, DatasetError> {
    let mut packed = Packed::default();
    let mut digest = Sha256::new();
    let mut packer = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(storage("start packing"))?;
    for chunk in chunks {
        let pb::Chunk { msisdns, mailboxes, slots, .. } = chunk;
        let second = pb::Chunk { msisdns, mailboxes, slots, ..Default::default() };
        let first = pb::Chunk { msisdns: vec![], mailboxes: vec![], slots: vec![], ..chunk };
        let mut entry =
            Entry { offset: u64::try_from(packed.bytes.len()).unwrap_or(0), shard: first.shard, ..Entry::default() };
        for (at, blob) in [first, second].iter().enumerate() {
            let raw = blob.encode_to_vec();
            let small = packer.compress(&raw).map_err(storage("pack a chunk"))?;
            digest.update(raw.len().to_le_bytes());
            digest.update(&raw);
            entry.lengths[2 * at] = length(small.len())?;
            entry.lengths[2 * at + 1] = length(raw.len())?;
            packed.bytes.extend_from_slice(&small);
        }
        packed.entries.push(entry);
    }
    packed.digest = digest.finalize().into();
    Ok(packed)
}

fn length(bytes: usize) -> Result<u32, DatasetError> {
    let too_large = || DatasetError::Damaged { what: "chunk".to_owned(), why: format!("{bytes} bytes are too many") };
    u32::try_from(bytes).ok().filter(|_| bytes <= BLOB_BYTES_MAX).ok_or_else(too_large)
}

/// Writes `chunks.bin`; shards come in any order, from any thread.
#[derive(Debug)]
pub(super) struct ChunksWriter {
    out: Mutex<(File, u64)>,
    path: PathBuf,
}

impl ChunksWriter {
    pub(super) fn create(directory: &Path) -> Result<Self, DatasetError> {
        let path = directory.join("chunks.bin");
        let out = File::create(&path).map_err(file("write", &path))?;
        Ok(Self { out: Mutex::new((out, 0)), path })
    }

    /// Appends a shard's chunks; its entries as they stand in the file.
    pub(super) fn append(&self, packed: Packed) -> Result<Vec<Entry>, DatasetError> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, end) = &mut *out;
        writer.write_all(&packed.bytes).map_err(file("write", &self.path))?;
        let start = *end;
        *end += u64::try_from(packed.bytes.len()).unwrap_or(0);
        drop(out);
        Ok(packed.entries.into_iter().map(|entry| Entry { offset: entry.offset + start, ..entry }).collect())
    }

    /// Makes the chunks durable and writes the index: the entries of each variant in order.
    pub(super) fn finish(self, variants: &[(u32, Vec<Entry>)]) -> Result<(), DatasetError> {
        let (writer, _) = self.out.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.sync_all().map_err(file("sync", &self.path))?;
        let mut index = Vec::new();
        index.extend_from_slice(&MAGIC);
        index.extend_from_slice(&FORMAT.to_le_bytes());
        index.extend_from_slice(&length(variants.len())?.to_le_bytes());
        for (variant, entries) in variants {
            index.extend_from_slice(&variant.to_le_bytes());
            index.extend_from_slice(&length(entries.len())?.to_le_bytes());
            for entry in entries {
                index.extend_from_slice(&entry.offset.to_le_bytes());
                entry.lengths.iter().for_each(|length| index.extend_from_slice(&length.to_le_bytes()));
                index.extend_from_slice(&entry.shard.to_le_bytes());
            }
        }
        let path = self.path.with_file_name("index.bin");
        let mut out = File::create(&path).map_err(file("write", &path))?;
        out.write_all(&index).and_then(|()| out.sync_all()).map_err(file("write", &path))
    }
}

/// Reads the wanted chunks in order; `each` answers `false` to stop.
pub(crate) fn read(
    directory: &Path,
    wanted: &ChunksWanted,
    each: &mut dyn FnMut(pb::Chunk) -> bool,
) -> Result<(), DatasetError> {
    let entries = index(directory, wanted)?;
    let path = directory.join("chunks.bin");
    let input = File::open(&path).map_err(file("open", &path))?;
    let most =
        if wanted.chunks_max == 0 { usize::MAX } else { usize::try_from(wanted.chunks_max).unwrap_or(usize::MAX) };
    let is_wanted = |entry: &Entry| wanted.shard.is_none_or(|shard| shard.number() == entry.shard);
    let numbered = (0_u32..).zip(&entries).skip_while(|(number, _)| *number < wanted.first_chunk);
    for (number, entry) in numbered.filter(|(_, entry)| is_wanted(entry)).take(most) {
        let key = key(wanted.freeze, wanted.variant, number).map_err(|why| damaged(&path, why))?;
        let mut chunk = pb::Chunk::default();
        merge(&input, &path, entry.offset, entry.lengths[0], entry.lengths[1], &mut chunk)?;
        if !wanted.keys_only {
            let second = entry.offset + u64::from(entry.lengths[0]);
            merge(&input, &path, second, entry.lengths[2], entry.lengths[3], &mut chunk)?;
        }
        chunk.key = Some(chunk_key_record(key));
        if !each(chunk) {
            return Ok(());
        }
    }
    Ok(())
}

fn key(freeze: FreezeId, variant: u32, chunk: u32) -> Result<ChunkKey, std::num::TryFromIntError> {
    Ok(ChunkKey { freeze, variant: u16::try_from(variant)?, chunk })
}

/// Reads a blob into the chunk.
fn merge(input: &File, path: &Path, at: u64, packed: u32, raw: u32, chunk: &mut pb::Chunk) -> Result<(), DatasetError> {
    let (packed, raw) = (usize::try_from(packed).unwrap_or(0), usize::try_from(raw).unwrap_or(0));
    if packed > BLOB_BYTES_MAX || raw > BLOB_BYTES_MAX {
        return Err(damaged(path, "a chunk is larger than any chunk is"));
    }
    let mut bytes = vec![0; packed];
    input.read_exact_at(&mut bytes, at).map_err(file("read", path))?;
    let opened = zstd::bulk::decompress(&bytes, raw).map_err(|error| damaged(path, error))?;
    chunk.merge(opened.as_slice()).map_err(|error| damaged(path, error))
}

/// The entries of a variant.
fn index(directory: &Path, wanted: &ChunksWanted) -> Result<Vec<Entry>, DatasetError> {
    let path = directory.join("index.bin");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DatasetError::Missing { what: format!("freeze {}", wanted.freeze) });
        }
        Err(error) => return Err(file("read", &path)(error)),
    };
    let broken = || damaged(&path, "it is no index of chunks, or it is cut");
    let mut rest = bytes.as_slice();
    if take(&mut rest) != Some(MAGIC) || take(&mut rest).map(u32::from_le_bytes) != Some(FORMAT) {
        return Err(broken());
    }
    let mut number = || -> Option<u32> { take(&mut rest).map(u32::from_le_bytes) };
    let variants = number().ok_or_else(broken)?;
    for _ in 0..variants {
        let mut number = || -> Option<u32> { take(&mut rest).map(u32::from_le_bytes) };
        let (variant, chunks) = (number().ok_or_else(broken)?, number().ok_or_else(broken)?);
        let length = usize::try_from(chunks).unwrap_or(usize::MAX).saturating_mul(ENTRY_BYTES);
        let (entries, after) = rest.split_at_checked(length).ok_or_else(broken)?;
        if variant == wanted.variant {
            return entries.chunks_exact(ENTRY_BYTES).map(|bytes| entry(bytes).ok_or_else(broken)).collect();
        }
        rest = after;
    }
    Err(DatasetError::Missing { what: format!("variant {} in freeze {}", wanted.variant, wanted.freeze) })
}

fn entry(mut bytes: &[u8]) -> Option<Entry> {
    let offset = u64::from_le_bytes(take(&mut bytes)?);
    let mut lengths = [0; 4];
    for length in &mut lengths {
        *length = u32::from_le_bytes(take(&mut bytes)?);
    }
    Some(Entry { offset, lengths, shard: u32::from_le_bytes(take(&mut bytes)?) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::Shard;
    use uuid::Uuid;

    fn chunk(shard: u32, number: u64) -> pb::Chunk {
        pb::Chunk {
            shard,
            account: "sim".to_owned(),
            msisdns: vec![number],
            parts: vec![1],
            address_hashes: vec![number],
            ..Default::default()
        }
    }

    fn wanted() -> ChunksWanted {
        let freeze = FreezeId(Uuid::from_u128(7));
        ChunksWanted { freeze, variant: 1, shard: None, first_chunk: 0, chunks_max: 0, keys_only: false }
    }

    fn numbers(directory: &Path, wanted: &ChunksWanted) -> Vec<(u32, u32, Vec<u64>)> {
        let mut found = Vec::new();
        read(directory, wanted, &mut |chunk| {
            let key = chunk.key.unwrap();
            found.push((key.chunk, chunk.shard, chunk.msisdns));
            true
        })
        .unwrap();
        found
    }

    fn written(directory: &Path) {
        let writer = ChunksWriter::create(directory).unwrap();
        // The later shard is done first.
        let second = writer.append(pack(vec![chunk(9, 30)]).unwrap()).unwrap();
        let first = writer.append(pack(vec![chunk(2, 10), chunk(2, 20)]).unwrap()).unwrap();
        writer.finish(&[(0, vec![]), (1, [first, second].concat())]).unwrap();
    }

    #[test]
    fn chunks_come_back_by_number_and_shard() {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path());
        let all = [(0, 2, vec![10]), (1, 2, vec![20]), (2, 9, vec![30])];
        assert_eq!(numbers(directory.path(), &wanted()), all);
        let of_shard = ChunksWanted { shard: Some(Shard::new(9).unwrap()), ..wanted() };
        assert_eq!(numbers(directory.path(), &of_shard), &all[2..]);
        let window = ChunksWanted { first_chunk: 1, chunks_max: 1, ..wanted() };
        assert_eq!(numbers(directory.path(), &window), &all[1..2]);
        let keys = ChunksWanted { keys_only: true, first_chunk: 2, ..wanted() };
        assert_eq!(numbers(directory.path(), &keys), [(2, 9, vec![])]);
        assert_eq!(numbers(directory.path(), &ChunksWanted { variant: 0, ..wanted() }), []);
    }

    #[test]
    fn the_digest_is_of_the_content() {
        let digest = |chunks| pack(chunks).unwrap().digest;
        assert_eq!(digest(vec![chunk(1, 5)]), digest(vec![chunk(1, 5)]));
        assert_ne!(digest(vec![chunk(1, 5)]), digest(vec![chunk(1, 6)]));
    }

    #[test]
    fn what_is_missing_or_cut_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let outcome = |wanted: &ChunksWanted| read(directory.path(), wanted, &mut |_| true).unwrap_err();
        assert!(matches!(outcome(&wanted()), DatasetError::Missing { .. }));
        written(directory.path());
        assert!(matches!(outcome(&ChunksWanted { variant: 5, ..wanted() }), DatasetError::Missing { .. }));
        let path = directory.path().join("index.bin");
        let index = std::fs::read(&path).unwrap();
        for length in 0..index.len() {
            std::fs::write(&path, &index[..length]).unwrap();
            assert!(matches!(outcome(&wanted()), DatasetError::Damaged { .. }), "{length}");
        }
        std::fs::write(&path, &index).unwrap();
        std::fs::write(directory.path().join("chunks.bin"), [0; 9]).unwrap();
        assert!(matches!(outcome(&wanted()), DatasetError::Storage { .. } | DatasetError::Damaged { .. }));
    }
}
