//! The file a campaign is written in.
//!
//! Must stay true: the example that `loa campaign example` prints parses, so it can be pasted and sent.

use loa_contract::pb::registry::v1 as registry;
use loa_domain::channel::{Class, Lane};
use prost_types::Timestamp;
use serde::Deserialize;

/// A commented campaign file.
pub const EXAMPLE: &str = include_str!("../../../../deploy/campaign.example.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: String,
    task_ref: String,
    lead_units: Vec<String>,
    #[serde(default)]
    coordinating_units: Vec<String>,
    legal_basis: Vec<String>,
    class: String,
    lane: String,
    #[serde(default)]
    topic: String,
    starts_at: String,
    ends_at: String,
    dataset: String,
    #[serde(default)]
    segment: String,
    #[serde(default)]
    resend_in_doubt: bool,
    #[serde(default)]
    hours: Option<RawHours>,
    variant: Vec<RawVariant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    open: String,
    close: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    template: String,
    #[serde(default)]
    template_version: u32,
    sender: String,
    #[serde(default)]
    sender_name: String,
}

/// Reads a campaign file; relative times count from now.
pub fn parse(text: &str, now_us: i64) -> Result<registry::Campaign, String> {
    let raw: Raw = toml::from_str(text).map_err(|error| format!("not a campaign file: {error}"))?;
    let class: Class = raw.class.parse().map_err(|error| format!("class: {error}"))?;
    let lane: Lane = raw.lane.parse().map_err(|error| format!("lane: {error}"))?;
    let hours = raw.hours.map(|hours| {
        Ok::<_, String>(registry::DailyHours { open_minute: minute(&hours.open)?, close_minute: minute(&hours.close)? })
    });
    let variants = raw.variant.into_iter().map(|variant| registry::Variant {
        template: variant.template,
        template_version: variant.template_version,
        sender: variant.sender,
        sender_name: variant.sender_name,
        ..Default::default()
    });
    Ok(registry::Campaign {
        title: raw.title,
        task_ref: raw.task_ref,
        lead_units: raw.lead_units,
        coordinating_units: raw.coordinating_units,
        legal_basis: raw.legal_basis,
        class: i32::from(class.code()),
        lane: i32::from(lane.code()),
        topic: raw.topic,
        starts_at: Some(time("starts_at", &raw.starts_at, now_us)?),
        ends_at: Some(time("ends_at", &raw.ends_at, now_us)?),
        dataset: raw.dataset,
        segment: raw.segment,
        resend_in_doubt: raw.resend_in_doubt,
        hours: hours.transpose()?,
        variants: variants.collect(),
        ..Default::default()
    })
}

/// `now`, `+3d`, `+2h`, or RFC 3339.
fn time(field: &str, text: &str, now_us: i64) -> Result<Timestamp, String> {
    let wrong = || {
        format!("{field}: `{text}` is not a time; use now, +3d, +12h, or RFC 3339 such as 2026-11-25T08:00:00+07:00")
    };
    if text == "now" {
        return Ok(timestamp(now_us));
    }
    if let Some(relative) = text.strip_prefix('+') {
        let unit = relative.chars().last().ok_or_else(wrong)?;
        let hours = match unit {
            'd' => 24,
            'h' => 1,
            _ => return Err(wrong()),
        };
        let count: i64 = relative.trim_end_matches(unit).parse().map_err(|_| wrong())?;
        let us = count.checked_mul(hours * 3_600_000_000).and_then(|us| now_us.checked_add(us));
        return us.map(timestamp).ok_or_else(wrong);
    }
    text.parse().map_err(|_| wrong())
}

/// A timestamp of microseconds since 1970.
pub fn timestamp(us: i64) -> Timestamp {
    let nanos = i32::try_from(us.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    Timestamp { seconds: us.div_euclid(1_000_000), nanos }
}

/// RFC 3339.
pub fn rfc3339(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is not a time; use RFC 3339 such as 2026-11-25T08:00:00+07:00"))
}

fn minute(text: &str) -> Result<u32, String> {
    let parsed =
        text.split_once(':').and_then(|(hour, minute)| Some((hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?)));
    match parsed {
        Some((hour, minute)) if hour <= 24 && minute < 60 && hour * 60 + minute <= 1_440 => Ok(hour * 60 + minute),
        _ => Err(format!("hours: `{text}` is not a time of day; use HH:MM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses() {
        let campaign = parse(EXAMPLE, 1_764_000_000_000_000).unwrap();
        assert_eq!(campaign.variants.len(), 2);
    }

    #[test]
    fn a_fault_names_its_field_and_cure() {
        #[track_caller]
        fn check(from: &str, to: &str, expected: &str) {
            let error = parse(&EXAMPLE.replace(from, to), 0).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("starts_at = \"now\"", "starts_at = \"soon\"", "starts_at: `soon` is not a time; use now");
        check("class = \"public_information\"", "class = \"news\"", "class: `news` is not a class; use one of");
        check("title =", "titel =", "titel");
    }
}
