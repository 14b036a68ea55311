//! blocks.v1 as this process has read it: opt-outs, blocks and erasures of the last hour.
//!
//! A release was decided before it was published; what was asked for since then is found here, right before a message
//! leaves.
//!
//! Must stay true: an entry stays at least as long as a released message may wait; the newest record of an address and
//! scope counts, so a lifted block blocks nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{BlocksTopic, Topic as _};
use loa_domain::hash::AddressHash;
use loa_domain::policy::Scope;
use loa_ports::log::{Log, LogError, Position, Reader, Record};
use loa_runtime::fresh::{ASK_EVERY, Freshness, Question};
use loa_runtime::{Ctx, record};

/// How long an entry is kept after it was read.
const KEEP: Duration = Duration::from_secs(3_600);
/// Entries at most; beyond it the view counts as stale, so bulk and normal stop instead of missing a block.
const ENTRIES_MAX: usize = 2_000_000;
const READ_MAX: usize = 512;
const AWAY_WAIT: Duration = Duration::from_millis(200);

/// What this process knows of blocks.v1.
#[derive(Debug, Default)]
pub struct BlocksView {
    known: RwLock<Known>,
    freshness: Freshness,
}

/// The entries; held for one pull.
#[derive(Debug, Default)]
pub struct Known {
    entries: HashMap<AddressHash, Vec<Entry>>,
    expiring: VecDeque<(Duration, AddressHash, Scope, u64)>,
    read: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    scope: Scope,
    number: u64,
}

impl BlocksView {
    /// Reads the topic to its end and goes on reading in the background.
    pub async fn start(ctx: &Ctx, log: Arc<dyn Log>) -> Result<Arc<Self>, LogError> {
        let view = Arc::new(Self::default());
        let asked_at = ctx.monotonic();
        let question = Question { asked_at, end: log.end(BlocksTopic::SPEC, 0).await? };
        let start = first(&*log).await?;
        let mut reader = log.reader(BlocksTopic::SPEC, vec![Position { partition: 0, offset: start }]).await?;
        while !question.settle(reader.position(0).unwrap_or(start), &view.freshness) {
            view.take(&reader.next(READ_MAX).await?, ctx.monotonic());
        }
        let (background, task_ctx) = (Arc::clone(&view), ctx.clone());
        ctx.spawn("blocks view", async move {
            tokio::select! {
                () = task_ctx.stopping() => {}
                () = background.follow(&task_ctx, &*log, reader) => {}
            }
        });
        Ok(view)
    }

    async fn follow(&self, ctx: &Ctx, log: &dyn Log, mut reader: Box<dyn Reader>) {
        let mut question: Option<Question> = None;
        let mut tick = ctx.beats(ASK_EVERY);
        loop {
            tokio::select! {
                records = reader.next(READ_MAX) => match records {
                    Ok(records) => self.take(&records, ctx.monotonic()),
                    Err(LogError::Gap { start, .. }) => reader.assign(Position { partition: 0, offset: start }),
                    Err(error) => {
                        tracing::warn!(%error, "blocks.v1 could not be read");
                        tokio::time::sleep(AWAY_WAIT).await;
                    }
                },
                _ = tick.tick() => {
                    let asked_at = ctx.monotonic();
                    self.expire(asked_at);
                    match log.end(BlocksTopic::SPEC, 0).await {
                        Ok(end) => question = Some(Question { asked_at, end }),
                        Err(error) => tracing::debug!(%error, "the end of blocks.v1 could not be asked for"),
                    }
                }
            }
            if question.is_some_and(|open| open.settle(reader.position(0).unwrap_or(0), &self.freshness)) {
                question = None;
            }
        }
    }

    /// Takes records in the order of the topic.
    pub fn take(&self, records: &[Record], now: Duration) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            match record::decode::<event::Blocks>(record) {
                Ok(blocks) => blocks.blocks.iter().for_each(|block| known.take(block, now)),
                Err(error) => tracing::error!(offset = record.offset, %error, "a record of blocks.v1 cannot be read"),
            }
        }
    }

    fn expire(&self, now: Duration) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).expire(now);
    }

    /// The entries as they are now; hold this briefly.
    pub fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is known was complete at most 1.5 s ago.
    pub fn is_fresh(&self, now: Duration) -> bool {
        self.freshness.is_fresh(now) && self.read().expiring.len() <= ENTRIES_MAX
    }
}

async fn first(log: &dyn Log) -> Result<i64, LogError> {
    Ok(log.starts(BlocksTopic::SPEC).await?.first().copied().unwrap_or(0))
}

impl Known {
    fn take(&mut self, block: &event::Block, now: Duration) {
        let (address, scope) = (AddressHash(block.address_hash), Scope(block.scope));
        let entries = self.entries.entry(address).or_default();
        entries.retain(|entry| entry.scope != scope);
        if block.lifted {
            if entries.is_empty() {
                self.entries.remove(&address);
            }
            return;
        }
        self.read += 1;
        entries.push(Entry { scope, number: self.read });
        self.expiring.push_back((now, address, scope, self.read));
    }

    fn expire(&mut self, now: Duration) {
        while let Some(&(read_at, address, scope, number)) = self.expiring.front() {
            if now.saturating_sub(read_at) < KEEP {
                break;
            }
            self.expiring.pop_front();
            if let Some(entries) = self.entries.get_mut(&address) {
                entries.retain(|entry| entry.scope != scope || entry.number != number);
                if entries.is_empty() {
                    self.entries.remove(&address);
                }
            }
        }
    }

    /// Whether nobody is blocked, so that no address need be hashed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a block covers a message to this address under one of these scopes.
    pub fn blocks(&self, address: AddressHash, scopes: &[Scope]) -> bool {
        self.entries.get(&address).is_some_and(|entries| entries.iter().any(|entry| scopes.contains(&entry.scope)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    const NOW: Duration = Duration::from_secs(10_000);

    fn take(view: &BlocksView, address: u64, scope: u32, lifted: bool, now: Duration) {
        let block = event::Block { address_hash: address, scope, lifted, ..Default::default() };
        let value = event::Blocks { blocks: vec![block] }.encode_to_vec().into();
        let record =
            Record { partition: 0, offset: 0, at_us: 0, key: value, headers: Vec::new(), value: Default::default() };
        view.take(&[Record { value: record.key.clone(), ..record }], now);
    }

    #[test]
    fn the_newest_word_on_an_address_and_scope_counts() {
        let view = BlocksView::default();
        let blocks = |address, scopes: &[u32]| {
            let scopes: Vec<_> = scopes.iter().copied().map(Scope).collect();
            view.read().blocks(AddressHash(address), &scopes)
        };
        take(&view, 1, 7, false, NOW);
        take(&view, 1, 8, false, NOW);
        assert!(blocks(1, &[0, 7]) && blocks(1, &[8]));
        assert!(!blocks(1, &[0, 9]) && !blocks(2, &[7]));
        take(&view, 1, 7, true, NOW);
        assert!(!blocks(1, &[7]) && blocks(1, &[8]));
        take(&view, 1, 8, true, NOW);
        assert!(view.read().is_empty());
    }

    #[test]
    fn entries_live_for_an_hour_after_their_newest_word() {
        let view = BlocksView::default();
        let blocked = || view.read().blocks(AddressHash(1), &[Scope::ALL]);
        take(&view, 1, 0, false, NOW);
        take(&view, 1, 0, false, NOW + KEEP / 2);
        view.expire(NOW + KEEP);
        assert!(blocked(), "the first word has gone, the second has not");
        view.expire(NOW + KEEP + KEEP / 2);
        assert!(view.read().is_empty());
    }

    #[test]
    fn a_view_that_was_never_read_is_not_fresh() {
        assert!(!BlocksView::default().is_fresh(NOW));
    }
}
