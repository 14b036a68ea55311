//! Freeze: who gets a campaign's texts, cut into chunks that never change.
//!
//! ```text
//! buckets ─▶ rule ─▶ hash of the address ─▶ 64 shards ─▶ sort ─▶ duplicates, suppressed, policy, account, parts ─▶ chunks
//! ```
//!
//! Must stay true: `selected = excluded + frozen` for every variant; the same inputs give the same chunks and the same
//! manifest hash; the manifest is the last act: chunks without one count for nothing.

pub(crate) mod chunks;
mod cost;
mod manifest;
mod plan;
mod recipient;
mod select;
mod walk;

use std::sync::atomic::{AtomicU64, Ordering};

use loa_contract::pb::audience::v1 as pb;
use loa_domain::hash::HashKey;
use loa_domain::ids::Shard;
use loa_domain::policy::Scope;
use loa_ports::audience::{DatasetError, FreezeInputs, Progress, Stage, Suppressions, Watch};

use self::chunks::{ChunksWriter, Entry, pack};
use self::manifest::ShardTotals;
use self::plan::{FreezePlan, VariantPlan};
use self::recipient::Recipient;
use self::select::{Selected, Selector};
use self::walk::{Walk, Walked};
use crate::error::damaged;
use crate::layout::Layout;
use crate::spill::{BUCKETS, Spill};
use crate::version::Version;
use crate::workers::each_bucket;

/// What a freeze needs of the engine.
pub(crate) struct Freezer<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) key: &'a HashKey,
    pub(crate) threads: usize,
    pub(crate) inputs: &'a FreezeInputs,
    pub(crate) suppressions: &'a dyn Suppressions,
    pub(crate) watch: &'a dyn Watch,
}

impl Freezer<'_> {
    /// Freezes.
    pub(crate) fn freeze(&self) -> Result<pb::Manifest, DatasetError> {
        let version = Version::open(self.layout, self.inputs.import_id, self.key)?;
        let plan = FreezePlan::new(self.inputs, &version)?;
        let temp = self.layout.temp()?;
        let name = |variant: &VariantPlan| format!("variant{}", variant.number);
        let spills: Vec<Spill> = plan.variants.iter().map(|variant| Spill::new(temp.path(), &name(variant))).collect();
        let (selected, without_address) = self.select(&plan, &version, &spills)?;

        let writer = ChunksWriter::create(temp.path())?;
        let (mut entries, mut variants, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        let done = AtomicU64::new(0);
        for (at, (variant, spill)) in plan.variants.iter().zip(&spills).enumerate() {
            let cut = Cut {
                freezer: self,
                variant,
                spill,
                writer: &writer,
                is_synthetic: version.manifest.synthetic,
                done: &done,
            };
            let shards = each_bucket(self.threads, |shard| cut.shard(shard))?;
            let (totals, of_variant): (Vec<ShardTotals>, Vec<Vec<Entry>>) = shards.into_iter().unzip();
            entries.push((variant.number, of_variant.concat()));
            digests.extend(totals.iter().map(|totals| totals.digest));
            variants.push(manifest::variant(variant, without_address[at], &totals));
        }
        writer.finish(&entries)?;
        let manifest =
            manifest::whole(self.inputs, version.manifest.synthetic, selected, variants, digests.into_iter());
        let place = self.layout.freeze(self.inputs.freeze);
        if temp.publish(&place)? {
            return Ok(manifest);
        }
        // An id is drawn for each attempt, so this can only be the same freeze, done before.
        Err(damaged(&place, "a freeze of this id stands there already; ask for another"))
    }

    /// The first pass: (selected, without an address for each variant).
    fn select(&self, plan: &FreezePlan, version: &Version, spills: &[Spill]) -> Result<(u64, Vec<u64>), DatasetError> {
        let FreezeInputs { class, unit_code, topic, .. } = self.inputs;
        let covering = Scope::covering(self.key, unit_code, *class, topic);
        let selector = Selector { plan, version, key: self.key, covering: &covering, spills };
        let buckets = each_bucket(self.threads, |bucket| {
            self.go_on(Stage::Selecting, 0)?;
            selector.bucket(bucket)
        })?;
        let start = (0, vec![0; plan.variants.len()]);
        Ok(buckets.into_iter().fold(start, |(selected, mut without), bucket| {
            let Selected { selected: more, without_address } = bucket;
            without.iter_mut().zip(without_address).for_each(|(sum, people)| *sum += people);
            (selected + more, without)
        }))
    }

    fn go_on(&self, stage: Stage, rows: u64) -> Result<(), DatasetError> {
        let progress = Progress { stage, rows, ..Progress::default() };
        if self.watch.go_on(progress) { Ok(()) } else { Err(DatasetError::Stopped) }
    }
}

/// The second pass of one variant.
struct Cut<'a> {
    freezer: &'a Freezer<'a>,
    variant: &'a VariantPlan,
    spill: &'a Spill,
    writer: &'a ChunksWriter,
    is_synthetic: bool,
    done: &'a AtomicU64,
}

impl Cut<'_> {
    fn shard(&self, number: usize) -> Result<(ShardTotals, Vec<Entry>), DatasetError> {
        self.freezer.go_on(Stage::Cutting, self.done.load(Ordering::Relaxed))?;
        let bytes = self.spill.take(number)?;
        let recipients = Recipient::sorted(&bytes);
        let shard = u32::try_from(number).ok().and_then(|number| Shard::new(number).ok());
        let shard = shard.unwrap_or_else(|| unreachable!("{number} is one of {BUCKETS} shards"));
        let suppressed = self.freezer.suppressions.of_shard(shard).map_err(DatasetError::Suppressions)?;
        let walk = Walk {
            inputs: self.freezer.inputs,
            variant: self.variant,
            is_synthetic: self.is_synthetic,
            shard: shard.number(),
        };
        let walked = walk.walk(&recipients, &suppressed);
        self.done.fetch_add(u64::try_from(recipients.len()).unwrap_or(0), Ordering::Relaxed);
        let Walked { excluded, frozen, parts, chunks } = walked;
        let runs = runs(&chunks);
        let packed = pack(chunks)?;
        let totals = ShardTotals { excluded, frozen, parts, runs, digest: packed.digest };
        Ok((totals, self.writer.append(packed)?))
    }
}

/// Chunks and recipients of each account, in order.
fn runs(chunks: &[pb::Chunk]) -> Vec<(String, u32, u64)> {
    let of_account = |chunks: &[pb::Chunk]| {
        let recipients = chunks.iter().map(|chunk| u64::try_from(chunk.parts.len()).unwrap_or(0)).sum();
        (chunks[0].account.clone(), u32::try_from(chunks.len()).unwrap_or(u32::MAX), recipients)
    };
    chunks.chunk_by(|a, b| a.account == b.account).map(of_account).collect()
}
