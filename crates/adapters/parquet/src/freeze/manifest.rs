//! The manifest of a freeze: the one thing that is approved, and the hash over it and its chunks.
//!
//! Must stay true: `selected = excluded + frozen` for every variant; two manifests with one hash describe the same chunks.

use std::collections::BTreeMap;

use loa_contract::pb::audience::v1 as pb;
use loa_domain::state::Reason;
use loa_ports::audience::FreezeInputs;
use sha2::{Digest as _, Sha256};

use super::plan::VariantPlan;

/// What a shard of a variant came to.
#[derive(Debug, Clone, Default)]
pub(super) struct ShardTotals {
    pub(super) excluded: BTreeMap<&'static str, u64>,
    pub(super) frozen: u64,
    pub(super) parts: u64,
    /// Per account, in order: (account, chunks, recipients).
    pub(super) runs: Vec<(String, u32, u64)>,
    pub(super) digest: [u8; 32],
}

/// A variant from its shards, in order.
pub(super) fn variant(plan: &VariantPlan, without_address: u64, shards: &[ShardTotals]) -> pb::ManifestVariant {
    let mut manifest =
        pb::ManifestVariant { variant: plan.number, channel: i32::from(plan.channel.code()), ..Default::default() };
    let mut exclude = |reason: &str, people: u64| {
        if people > 0 {
            *manifest.excluded.entry(reason.to_owned()).or_default() += people;
        }
    };
    exclude(Reason::InvalidAddress.name(), without_address);
    shards.iter().flat_map(|shard| &shard.excluded).for_each(|(reason, people)| exclude(reason, *people));
    for (number, shard) in (0..).zip(shards) {
        manifest.frozen += shard.frozen;
        manifest.parts += shard.parts;
        for (account, chunks, recipients) in &shard.runs {
            let first_chunk = manifest.chunks;
            manifest.chunks += chunks;
            let (account, chunks, recipients) = (account.clone(), *chunks, *recipients);
            manifest.routes.push(pb::ManifestRoute { account, shard: number, first_chunk, chunks, recipients });
        }
    }
    manifest
}

/// The whole, with its hash. `digests`: of every shard of every variant, in order.
pub(super) fn whole(
    inputs: &FreezeInputs,
    is_synthetic: bool,
    selected: u64,
    variants: Vec<pb::ManifestVariant>,
    digests: impl Iterator<Item = [u8; 32]>,
) -> pb::Manifest {
    let mut manifest = pb::Manifest {
        freeze_id: inputs.freeze.to_string(),
        campaign_id: inputs.campaign.to_string(),
        campaign_version: inputs.campaign_version,
        dataset: inputs.dataset.clone(),
        dataset_version: inputs.dataset_version,
        segment: inputs.rule.to_string(),
        selected,
        variants,
        synthetic: is_synthetic,
        suppression_position: inputs.suppression_position,
        hash: Vec::new(),
    };
    let mut hash = Sha256::new();
    hash.update(canonical(&manifest));
    digests.for_each(|digest| hash.update(digest));
    manifest.hash = hash.finalize().to_vec();
    manifest
}

/// The fields as text, maps by name: Protobuf does not promise the order of a map.
fn canonical(manifest: &pb::Manifest) -> String {
    let pb::Manifest {
        freeze_id,
        campaign_id,
        campaign_version,
        dataset,
        dataset_version,
        segment,
        selected,
        variants,
        synthetic,
        suppression_position,
        hash: _,
    } = manifest;
    let mut text = format!(
        "loa manifest 1\n{freeze_id}\n{campaign_id} {campaign_version}\n{dataset} {dataset_version}\n{segment}\n{selected} {synthetic} \
         {suppression_position}\n"
    );
    for variant in variants {
        let pb::ManifestVariant { variant, channel, frozen, parts, chunks, excluded, routes } = variant;
        text.push_str(&format!("variant {variant} {channel} {frozen} {parts} {chunks}\n"));
        let excluded: BTreeMap<&String, &u64> = excluded.iter().collect();
        excluded.iter().for_each(|(reason, people)| text.push_str(&format!("excluded {reason} {people}\n")));
        for route in routes {
            let pb::ManifestRoute { account, shard, first_chunk, chunks, recipients } = route;
            text.push_str(&format!("route {account} {shard} {first_chunk} {chunks} {recipients}\n"));
        }
    }
    text
}
