//! One file up or down, in parts.
//!
//! Must stay true: memory is bounded by the parts under way; a file that came down is durable and has the hash it was kept
//! with.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use loa_ports::audience::{DatasetError, KeptFile};
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};
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
    let mut parts = store.put_multipart(key).await.map_err(failed)?;
    upload_parts(&mut input, parts.as_mut(), path, key).await
}

/// Stores a file part by part; what could not be completed is given up in the store too.
async fn upload_parts(
    input: &mut File,
    parts: &mut dyn MultipartUpload,
    path: &Path,
    key: &Key,
) -> Result<(), DatasetError> {
    let stored = match send(input, parts, path, key).await {
        Ok(()) => parts.complete().await.map(drop).map_err(|error| fault(format!("store {key}"), error)),
        Err(error) => Err(error),
    };
    if stored.is_err()
        && let Err(error) = parts.abort().await
    {
        tracing::warn!(%error, "parts of a file that was given up stay in the object store; let its own rules remove them");
    }
    stored
}

/// Sends all parts, a few at once. Not by the library's `WriteMultipart`, whose parts are tasks on other threads: with it an
/// import of five million people took 250 MiB more.
async fn send(input: &mut File, parts: &mut dyn MultipartUpload, path: &Path, key: &Key) -> Result<(), DatasetError> {
    let mut under_way = FuturesUnordered::new();
    loop {
        let mut piece = Vec::with_capacity(PART_BYTES);
        (&mut *input).take(PART_BYTES as u64).read_to_end(&mut piece).map_err(local("read", path))?;
        let is_last = piece.is_empty();
        if !is_last {
            under_way.push(parts.put_part(piece.into()));
        }
        while is_last || under_way.len() >= PARTS_MAX {
            match under_way.next().await {
                None => return Ok(()),
                Some(done) => done.map_err(|error| fault(format!("store {key}"), error))?,
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::{PutPayload, PutResult, Result, UploadPart};

    use super::*;

    /// Keeps the parts in turn; each is under way until it is asked a second time.
    #[derive(Debug, Default)]
    struct Parts {
        alive: Arc<AtomicUsize>,
        most: usize,
        taken: Vec<PutPayload>,
        /// The part that is refused; the one after the last is the completion.
        fails_at: Option<usize>,
        completed: bool,
        given_up: bool,
    }

    fn refused() -> object_store::Error {
        object_store::Error::NotImplemented { operation: String::new(), implementer: String::new() }
    }

    #[async_trait::async_trait]
    impl MultipartUpload for Parts {
        fn put_part(&mut self, data: PutPayload) -> UploadPart {
            let alive = Arc::clone(&self.alive);
            self.most = self.most.max(alive.fetch_add(1, Ordering::SeqCst) + 1);
            self.taken.push(data);
            let fails = self.fails_at == Some(self.taken.len());
            Box::pin(async move {
                tokio::task::yield_now().await;
                alive.fetch_sub(1, Ordering::SeqCst);
                if fails { Err(refused()) } else { Ok(()) }
            })
        }

        async fn complete(&mut self) -> Result<PutResult> {
            if self.fails_at == Some(self.taken.len() + 1) {
                return Err(refused());
            }
            self.completed = true;
            Ok(PutResult { e_tag: None, version: None, extensions: object_store::Extensions::default() })
        }

        async fn abort(&mut self) -> Result<()> {
            self.given_up = true;
            Ok(())
        }
    }

    async fn large_file(parts: &mut Parts) -> (Vec<u8>, std::result::Result<(), DatasetError>) {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("large"), Key::from("large"));
        let mut content: Vec<u8> = (0..7 * PART_BYTES).map(|at| u8::try_from(at / PART_BYTES).unwrap()).collect();
        content.push(0xff);
        std::fs::write(&path, &content).unwrap();
        let stored = upload_parts(&mut File::open(&path).unwrap(), parts, &path, &key).await;
        (content, stored)
    }

    #[tokio::test]
    async fn a_large_file_goes_up_a_few_parts_at_once() {
        let mut parts = Parts::default();
        let (content, stored) = large_file(&mut parts).await;
        stored.unwrap();
        assert_eq!((parts.most, parts.taken.len(), parts.alive.load(Ordering::SeqCst)), (PARTS_MAX, 8, 0));
        assert!(parts.completed && !parts.given_up);
        let stored: Vec<u8> = parts.taken.iter().flatten().flat_map(|piece| piece.iter().copied()).collect();
        assert!(stored == content, "in order and whole");
    }

    #[tokio::test]
    async fn what_could_not_be_stored_whole_is_given_up() {
        let completion = 9;
        for fails_at in [1, 3, 8, completion] {
            let mut parts = Parts { fails_at: Some(fails_at), ..Parts::default() };
            let (_, stored) = large_file(&mut parts).await;
            assert!(stored.is_err_and(|error| error.to_string().contains("large")), "{fails_at}");
            assert!(parts.given_up && !parts.completed, "{fails_at}");
            assert!(fails_at > PARTS_MAX || parts.taken.len() < 8, "{fails_at}: the rest is not sent");
        }
    }
}
