//! What an owner knows of one shard.
//!
//! Must stay true: all of it can be read again from the store; nothing is released before suppression.v1 was read to its
//! end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use loa_domain::channel::Lane;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_ports::lease::Held;

use super::AccountNo;
use super::chunk::Chunk;
use super::suppressed::Suppressed;

/// One owned shard.
#[derive(Debug)]
pub(crate) struct ShardCore {
    pub(crate) held: Held,
    /// suppression.v1 was read to its end.
    pub(crate) ready: bool,
    pub(crate) suppressed: Suppressed,
    /// Chunks of which something is under way.
    pub(crate) chunks: HashMap<ChunkKey, Chunk>,
    /// Freezes whose chunks of this shard are all in rows.
    pub(crate) finished: HashSet<FreezeId>,
    /// Cursors as stored, for plans to come.
    pub(crate) cursors: HashMap<(FreezeId, u16, AccountNo), (u32, u16)>,
    /// Campaigns whose chunks of this shard are not all in rows.
    pub(crate) parts: HashMap<CampaignId, Part>,
    /// Parts of unsettled rows.
    pub(crate) in_use: HashMap<(AccountNo, Lane), u64>,
    /// Offsets that are not stored yet, by topic.
    pub(crate) offsets: BTreeMap<&'static str, i64>,
}

/// How much of a campaign is still ahead in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Variants whose chunks are not known yet.
    pub(crate) plans_left: BTreeSet<u16>,
    /// Sources that are not at their end.
    pub(crate) sources_left: usize,
}

impl ShardCore {
    pub(crate) fn new(held: Held) -> Self {
        Self {
            held,
            ready: false,
            suppressed: Suppressed::default(),
            chunks: HashMap::new(),
            finished: HashSet::new(),
            cursors: HashMap::new(),
            parts: HashMap::new(),
            in_use: HashMap::new(),
            offsets: BTreeMap::new(),
        }
    }
}
