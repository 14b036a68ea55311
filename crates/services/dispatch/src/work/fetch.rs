//! Reading chunks for the engine, a few at a time, beside the loop.
//!
//! Must stay true: the loop never waits for audience.

use std::sync::Arc;

use loa_domain::ids::{ChunkKey, Shard};
use loa_ports::store::dispatch::DispatchStore;
use tokio::sync::mpsc;

use super::Work;
use crate::chunks::{Chunks, ChunksError, Head};
use crate::core::{ChunkData, Fetch, SingleBody};

/// Reads under way at once.
const FETCHES_MAX: usize = 8;

/// Reads under way.
pub(super) struct Fetching {
    chunks: Arc<dyn Chunks>,
    store: Arc<dyn DispatchStore>,
    under_way: usize,
    done_by: mpsc::Sender<(Fetch, Fetched)>,
    pub(super) done: mpsc::Receiver<(Fetch, Fetched)>,
}

/// What a read brought.
pub(super) enum Fetched {
    Heads(Vec<Head>),
    Chunks(Vec<ChunkData>),
    Failed(String),
}

impl Fetching {
    pub(super) fn new(chunks: Arc<dyn Chunks>, store: Arc<dyn DispatchStore>) -> Self {
        let (done_by, done) = mpsc::channel(FETCHES_MAX);
        Self { chunks, store, under_way: 0, done_by, done }
    }
}

impl Work {
    /// Starts the reads that the engine wants, as many as may run at once.
    pub(super) fn fetch(&mut self) {
        while self.fetching.under_way < FETCHES_MAX {
            let Some(fetch) = self.engine.next_fetch() else { return };
            self.fetching.under_way += 1;
            let (chunks, store) = (Arc::clone(&self.fetching.chunks), Arc::clone(&self.fetching.store));
            let done_by = self.fetching.done_by.clone();
            self.ctx.spawn("dispatch fetch", async move {
                let fetched = read(fetch, &*chunks, &*store).await.unwrap_or_else(Fetched::Failed);
                // The loop may have ended.
                done_by.send((fetch, fetched)).await.unwrap_or_default();
            });
        }
    }

    /// Takes what has come, and reads what comes of it: a turn that takes one read alone pays a transaction for few rows.
    pub(super) fn fetched_all(&mut self, first: (Fetch, Fetched)) {
        let mut next = Some(first);
        while let Some(fetched) = next {
            self.fetched(fetched);
            next = self.fetching.done.try_recv().ok();
        }
    }

    fn fetched(&mut self, (fetch, fetched): (Fetch, Fetched)) {
        self.fetching.under_way -= 1;
        let now = self.now();
        match (fetch, fetched) {
            (Fetch::Heads { campaign, freeze, variant, shard }, Fetched::Heads(heads)) => {
                self.engine.planned(shard, campaign, freeze, variant, heads, now);
            }
            (_, Fetched::Chunks(chunks)) => self.engine.fetched(fetch.shard(), chunks, now),
            (_, Fetched::Failed(why)) => {
                tracing::warn!(
                    shard = fetch.shard().number(),
                    why,
                    "chunks could not be read; they are asked for again"
                );
                self.engine.fetch_failed(fetch, now);
            }
            (_, Fetched::Heads(_)) => {}
        }
    }
}

async fn read(fetch: Fetch, chunks: &dyn Chunks, store: &dyn DispatchStore) -> Result<Fetched, String> {
    match fetch {
        Fetch::Heads { freeze, variant, shard, .. } => {
            chunks.heads(freeze, variant, shard).await.map(Fetched::Heads).map_err(|error| error.to_string())
        }
        Fetch::Chunks { first, count, shard } => read_chunks(first, count, shard, chunks).await.map(Fetched::Chunks),
        Fetch::Single { key, .. } => {
            let stored = store.single_chunks(&[key]).await.map_err(|error| error.to_string())?;
            let single = stored.first().ok_or_else(|| format!("a chunk of single sends is not stored: {key:?}"))?;
            let data = SingleBody::read(single).and_then(SingleBody::data).map_err(|error| error.to_string())?;
            Ok(Fetched::Chunks(vec![data]))
        }
    }
}

async fn read_chunks(first: ChunkKey, count: u32, shard: Shard, chunks: &dyn Chunks) -> Result<Vec<ChunkData>, String> {
    let read =
        chunks.read(first.freeze, first.variant, shard, first.chunk, count).await.map_err(|error| error.to_string())?;
    let read = read.into_iter().map(ChunkData::read).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(ChunksError::from).map_err(|error| error.to_string())?;
    let wanted = |at: u32| ChunkKey { chunk: first.chunk + at, ..first };
    let complete = (0..count).all(|at| read.iter().any(|data| data.key == wanted(at) && data.shard == shard));
    if complete { Ok(read) } else { Err("audience did not give every chunk that was asked for".to_owned()) }
}
