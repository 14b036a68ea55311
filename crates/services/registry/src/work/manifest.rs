//! What audience's manifest means for a campaign.
//!
//! Must stay true: only the manifest of this campaign and this version is taken, and what gets approved is its hash.

use std::collections::HashMap;

use loa_contract::pb::audience::v1::{FreezeRequest, FreezeVariant, Manifest, ManifestVariant};
use loa_contract::pb::registry::v1::{Campaign, Content, FreezeSummary, FreezeVariantSummary, Template, Variant};

/// Bytes of a manifest's hash.
const HASH_BYTES: usize = 32;

/// The question to audience; `contents` in the order of the variants.
pub(super) fn request(campaign: &Campaign, templates: &[Template]) -> FreezeRequest {
    let numbered = (0_u32..).zip(campaign.variants.iter().zip(templates));
    FreezeRequest {
        campaign_id: campaign.id.clone(),
        campaign_version: campaign.version,
        dataset: campaign.dataset.clone(),
        segment: campaign.segment.clone(),
        class: campaign.class,
        unit_code: campaign.lead_units.first().cloned().unwrap_or_default(),
        topic: campaign.topic.clone(),
        variants: numbered.map(|(number, (variant, template))| freeze_variant(number, variant, template)).collect(),
    }
}

fn freeze_variant(number: u32, variant: &Variant, template: &Template) -> FreezeVariant {
    let Content { text, diacritics, .. } = template.content.clone().unwrap_or_default();
    FreezeVariant {
        variant: number,
        channel: variant.channel,
        content_hash: variant.content_hash.clone(),
        text,
        diacritics,
        slots: template.slots.clone(),
        sender: variant.sender.clone(),
    }
}

/// Why a manifest is not taken: a fault of audience, or nobody to send to.
pub(super) fn fault(campaign: &Campaign, manifest: &Manifest) -> Option<String> {
    if manifest.campaign_id != campaign.id || manifest.campaign_version != campaign.version {
        return Some("audience has answered for another campaign or version; submit again".to_owned());
    }
    if manifest.hash.len() != HASH_BYTES || manifest.freeze_id.parse::<loa_domain::ids::FreezeId>().is_err() {
        return Some("audience's manifest has no hash or no freeze id; submit again".to_owned());
    }
    if manifest.variants.iter().all(|variant| variant.frozen == 0) {
        let selected = manifest.selected;
        return Some(format!(
            "nobody is left to send to: the segment selects {selected}, and all are excluded; widen it"
        ));
    }
    None
}

/// What people look at before they approve.
pub(super) fn summary(manifest: &Manifest) -> FreezeSummary {
    FreezeSummary {
        selected: manifest.selected,
        dataset_version: manifest.dataset_version,
        variants: manifest.variants.iter().map(variant_summary).collect(),
    }
}

fn variant_summary(variant: &ManifestVariant) -> FreezeVariantSummary {
    let mut accounts: HashMap<String, u64> = HashMap::new();
    for route in &variant.routes {
        *accounts.entry(route.account.clone()).or_default() += route.recipients;
    }
    FreezeVariantSummary {
        variant: variant.variant,
        frozen: variant.frozen,
        parts: variant.parts,
        chunks: variant.chunks,
        excluded: variant.excluded.clone(),
        accounts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::pb::audience::v1::ManifestRoute;

    const ID: &str = "01999999-0000-7000-8000-000000000000";

    fn manifest() -> Manifest {
        let route = |account: &str, recipients| ManifestRoute {
            account: account.to_owned(),
            recipients,
            ..ManifestRoute::default()
        };
        let variant = ManifestVariant {
            frozen: 30,
            routes: vec![route("a", 10), route("b", 5), route("a", 15)],
            ..ManifestVariant::default()
        };
        Manifest {
            freeze_id: ID.to_owned(),
            campaign_id: ID.to_owned(),
            campaign_version: 3,
            selected: 31,
            hash: vec![7; 32],
            variants: vec![variant],
            ..Manifest::default()
        }
    }

    #[test]
    fn only_its_own_manifest_is_taken() {
        let campaign = Campaign { id: ID.to_owned(), version: 3, ..Campaign::default() };
        assert_eq!(fault(&campaign, &manifest()), None);
        for (manifest, says) in [
            (Manifest { campaign_version: 2, ..manifest() }, "version"),
            (Manifest { campaign_id: String::new(), ..manifest() }, "another campaign"),
            (Manifest { hash: vec![7; 31], ..manifest() }, "hash"),
            (Manifest { freeze_id: "x".to_owned(), ..manifest() }, "freeze id"),
            (Manifest { variants: vec![ManifestVariant::default()], ..manifest() }, "nobody is left"),
        ] {
            let fault = fault(&campaign, &manifest).expect(says);
            assert!(fault.contains(says), "{fault}");
        }
    }

    #[test]
    fn recipients_are_summed_by_account() {
        let summary = summary(&manifest());
        assert_eq!(summary.selected, 31);
        assert_eq!(summary.variants[0].accounts, HashMap::from([("a".to_owned(), 25), ("b".to_owned(), 5)]));
    }
}
