//! Answers as JSON for scripts: the fields of the Protobuf messages under the same names.

use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use prost_types::Timestamp;
use serde_json::{Value, json};

/// RFC 3339 of a timestamp, in UTC.
pub fn time(timestamp: Option<&Timestamp>) -> Value {
    timestamp.map_or(Value::Null, |timestamp| Value::String(timestamp.to_string()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The short name of an enum value: `CHANNEL_SMS` → `sms`.
pub fn channel(code: i32) -> String {
    let name = event::Channel::try_from(code).map_or("", |value| value.as_str_name());
    name.trim_start_matches("CHANNEL_").to_lowercase()
}

/// `CLASS_…`
pub fn class(code: i32) -> String {
    let name = event::Class::try_from(code).map_or("", |value| value.as_str_name());
    name.trim_start_matches("CLASS_").to_lowercase()
}

/// `LANE_…`
pub fn lane(code: i32) -> String {
    let name = event::Lane::try_from(code).map_or("", |value| value.as_str_name());
    name.trim_start_matches("LANE_").to_lowercase()
}

/// A campaign.
pub fn campaign(campaign: &registry::Campaign) -> Value {
    let variants = campaign.variants.iter().map(|variant| {
        json!({
            "channel": channel(variant.channel), "template": variant.template, "template_version": variant.template_version,
            "sender": variant.sender, "sender_name": variant.sender_name, "content_hash": hex(&variant.content_hash),
        })
    });
    let freeze = campaign.freeze.as_ref().map(|freeze| {
        let variants = freeze.variants.iter().map(|variant| {
            json!({
                "variant": variant.variant, "frozen": variant.frozen, "parts": variant.parts, "chunks": variant.chunks,
                "excluded": variant.excluded, "accounts": variant.accounts,
            })
        });
        json!({ "selected": freeze.selected, "dataset_version": freeze.dataset_version, "variants": variants.collect::<Vec<_>>() })
    });
    json!({
        "id": campaign.id, "version": campaign.version, "title": campaign.title, "task_ref": campaign.task_ref,
        "lead_units": campaign.lead_units, "coordinating_units": campaign.coordinating_units, "legal_basis": campaign.legal_basis,
        "class": class(campaign.class), "lane": lane(campaign.lane), "topic": campaign.topic,
        "starts_at": time(campaign.starts_at.as_ref()), "ends_at": time(campaign.ends_at.as_ref()),
        "dataset": campaign.dataset, "segment": campaign.segment, "variants": variants.collect::<Vec<_>>(),
        "state": campaign.state, "halt_reason": campaign.halt_reason, "created_by": campaign.created_by,
        "created_at": time(campaign.created_at.as_ref()), "approved_by": campaign.approved_by,
        "approved_at": time(campaign.approved_at.as_ref()), "scheduled_at": time(campaign.scheduled_at.as_ref()),
        "started_at": time(campaign.started_at.as_ref()), "freeze_id": campaign.freeze_id,
        "manifest_hash": hex(&campaign.manifest_hash), "freeze": freeze, "freeze_error": campaign.freeze_error,
        "synthetic": campaign.synthetic,
    })
}

/// A ledger.
pub fn ledger(ledger: &report::CampaignLedger) -> Value {
    let variants = ledger.variants.iter().map(|one| {
        json!({
            "variant": one.variant, "channel": channel(one.channel), "frozen": one.frozen, "open": one.open, "in_doubt": one.in_doubt,
            "submitted": one.submitted, "delivered": one.delivered, "undelivered": one.undelivered, "expired": one.expired,
            "rejected": one.rejected, "unknown": one.unknown, "skipped": one.skipped, "cancelled": one.cancelled,
            "repeated": one.repeated, "late_bounce": one.late_bounce, "parts": one.parts, "reasons": one.reasons,
            "adds_up": one.adds_up,
        })
    });
    json!({
        "campaign_id": ledger.campaign_id, "title": ledger.title, "state": ledger.state, "complete": ledger.complete,
        "records_missed": ledger.records_missed, "as_of": time(ledger.as_of.as_ref()), "variants": variants.collect::<Vec<_>>(),
    })
}

/// What was found of one address.
pub fn found(found: &report::Found) -> Value {
    json!({
        "campaign_id": found.campaign_id, "campaign_title": found.campaign_title, "channel": channel(found.channel),
        "message_id": found.message_id, "state": found.state, "reason": found.reason, "account": found.account,
        "submitted_at": time(found.submitted_at.as_ref()), "final_at": time(found.final_at.as_ref()),
        "parts": found.parts, "parts_delivered": found.parts_delivered, "as_of": time(found.as_of.as_ref()),
    })
}

/// The report of an import.
pub fn import(report: &audience::ImportReport) -> Value {
    let reasons: serde_json::Map<_, _> =
        report.reasons.iter().map(|one| (one.reason.clone(), one.rows.into())).collect();
    json!({
        "dataset": report.dataset, "version": report.version, "import_id": report.import_id, "rows": report.rows,
        "accepted": report.accepted, "rejected": report.rejected, "duplicates": report.duplicates, "migrated": report.migrated,
        "with_mobile": report.with_mobile, "with_email": report.with_email, "reasons": reasons,
    })
}
