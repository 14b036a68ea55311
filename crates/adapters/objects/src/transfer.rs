//! One file up or down, in parts.
//!
//! Must stay true: memory is bounded by the parts under way; a file that came down is durable and has the hash it was kept
//! with.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use futures_util::StreamExt as _;
use loa_ports::audience::{DatasetError, KeptFile};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use sha2::{Digest as _, Sha256};

use crate::error::{fault, local};

/// Bytes of one part; the store asks for at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Bytes that are hashed at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Parts of one file under way at once.
const PARTS_MAX: usize = 4;

/// Name, size and hash of a file.
pub(crate) fn describe(path: &Path) -> Result<KeptFile, DatasetError> {
    let mut input = File::open(path).map_err(local("open", path))?;
    let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK_BYTES]);
    loop {
        let read = input.read(&mut block).map_err(local("read", path))?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        bytes += read as u64;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(KeptFile { name, bytes, sha256: hash.finalize().into() })
}

/// Stores a file.
pub(crate) async fn upload(
    store: &dyn ObjectStore,
    key: &Key,
    path: &Path,
    file: &KeptFile,
) -> Result<(), DatasetError> {
    let failed = |error| fault(format!("store {key}"), error);
    let mut input = File::open(path).map_err(local("open", path))?;
    if file.bytes <= PART_BYTES as u64 {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(local("read", path))?;
        return store.put(key, bytes.into()).await.map(drop).map_err(failed);
    }
    let parts = store.put_multipart(key).await.map_err(failed)?;
    let mut parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
    match send(&mut input, &mut parts, path, key).await {
        Ok(()) => parts.finish().await.map(drop).map_err(failed),
        Err(error) => {
            if let Err(error) = parts.abort().await {
                tracing::warn!(%error, "parts of a file that was given up stay in the object store; let its own rules remove them");
            }
            Err(error)
        }
    }
}

async fn send(input: &mut File, parts: &mut WriteMultipart, path: &Path, key: &Key) -> Result<(), DatasetError> {
    let mut piece = vec![0; PART_BYTES];
    loop {
        let read = input.read(&mut piece).map_err(local("read", path))?;
        if read == 0 {
            return Ok(());
        }
        parts.wait_for_capacity(PARTS_MAX).await.map_err(|error| fault(format!("store {key}"), error))?;
        parts.write(&piece[..read]);
    }
}

/// Writes a stored file to the disk.
pub(crate) async fn download(
    store: &dyn ObjectStore,
    key: &Key,
    path: &Path,
    file: &KeptFile,
) -> Result<(), DatasetError> {
    let failed = |error| fault(format!("read {key}"), error);
    let mut pieces = store.get(key).await.map_err(failed)?.into_stream();
    let mut out = File::create(path).map_err(local("write", path))?;
    let mut hash = Sha256::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(failed)?;
        hash.update(&piece);
        out.write_all(&piece).map_err(local("write", path))?;
    }
    out.sync_all().map_err(local("sync", path))?;
    if hash.finalize()[..] == file.sha256 {
        return Ok(());
    }
    Err(DatasetError::Damaged { what: key.to_string(), why: "its content is not what was stored".to_owned() })
}
