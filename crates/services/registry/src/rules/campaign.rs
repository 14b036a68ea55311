//! What a campaign may look like.
//!
//! Must stay true: what passes here can be frozen and sent as it stands; the law of its class is respected by its hours,
//! lane and sender.

use std::collections::{BTreeMap, BTreeSet};

use loa_contract::pb::registry::v1::{Campaign, DailyHours, Template, Variant};
use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::hours::{ClassHours, DailyWindow};
use loa_domain::segment::Rule;
use loa_runtime::rpc::Violations;

use super::field;
use super::sender::{self, Sender};

/// From its start to its end, at most, in microseconds.
const WINDOW_US_MAX: i64 = 90 * 24 * 3_600 * 1_000_000;
/// Units in one list, and legal bases, at most.
const LIST_MAX: usize = 20;

/// What other objects say; the check itself asks nobody.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Codes of the units that are valid now, of those the campaign names.
    pub units: BTreeSet<String>,
    /// Templates the campaign names, by name and version as named.
    pub templates: BTreeMap<(String, u32), Template>,
    /// Microseconds since 1970.
    pub now_us: i64,
}

/// Checks everything an author writes.
pub(crate) fn check(campaign: &Campaign, facts: &Facts, faults: &mut Violations) {
    field::line("campaign.title", &campaign.title, 1..=200, faults);
    field::line("campaign.task_ref", &campaign.task_ref, 1..=40, faults);
    check_units("campaign.lead_units", &campaign.lead_units, 1, facts, faults);
    check_units("campaign.coordinating_units", &campaign.coordinating_units, 0, facts, faults);
    check_legal_basis(&campaign.legal_basis, faults);
    let class = class("campaign.class", campaign.class, faults);
    check_lane("campaign.lane", campaign.lane, class, faults);
    field::code("campaign.topic", &campaign.topic, 0..=40, faults);
    check_window(campaign, facts.now_us, faults);
    if let Some(hours) = &campaign.hours {
        check_hours(hours, class, faults);
    }
    check_variants(&campaign.variants, class, facts, faults);
    field::name("campaign.dataset", &campaign.dataset, faults);
    // An empty segment is everybody of the dataset.
    if !campaign.segment.trim().is_empty() {
        let _ = faults.check("campaign.segment", Rule::parse(&campaign.segment));
    }
    if campaign.resend_in_doubt && campaign.lane != i32::from(Lane::Urgent.code()) {
        faults.add("campaign.resend_in_doubt", "only on the urgent lane: elsewhere nobody gets a message twice");
    }
}

/// A message class.
pub(crate) fn class(field: &str, code: i32, faults: &mut Violations) -> Option<Class> {
    let class = Class::from_code(code);
    if class.is_none() {
        let names: Vec<_> = Class::ALL.iter().map(|class| format!("CLASS_{}", class.name().to_uppercase())).collect();
        faults.add(field, format!("one of {}", names.join(", ")));
    }
    class
}

/// A lane that the class may take.
pub(crate) fn check_lane(field: &str, code: i32, class: Option<Class>, faults: &mut Violations) {
    match (Lane::from_code(code), class) {
        (None, _) => faults.add(field, "one of LANE_URGENT, LANE_NORMAL, LANE_BULK"),
        (Some(Lane::Urgent), Some(class)) if !matches!(class, Class::Emergency | Class::Personal) => {
            faults.add(field, "LANE_URGENT is for the classes emergency and personal; use LANE_NORMAL or LANE_BULK");
        }
        _ => {}
    }
}

/// The hours of the day in which it may leave: its own, or those of its class.
pub(crate) fn window(hours: Option<&DailyHours>, class: Class) -> DailyWindow {
    let of_class = ClassHours::default_of(class).window;
    hours.and_then(daily).unwrap_or(of_class)
}

fn daily(hours: &DailyHours) -> Option<DailyWindow> {
    DailyWindow::new(u16::try_from(hours.open_minute).ok()?, u16::try_from(hours.close_minute).ok()?)
}

fn check_units(field: &str, codes: &[String], least: usize, facts: &Facts, faults: &mut Violations) {
    if !(least..=LIST_MAX).contains(&codes.len()) {
        faults.add(field, format!("{least} to {LIST_MAX} units, found {}", codes.len()));
    }
    for (index, code) in codes.iter().enumerate().take(LIST_MAX) {
        if codes.iter().take(index).any(|before| before == code) {
            faults.add(format!("{field}[{index}]"), "each unit once");
        } else if !facts.units.contains(code) {
            faults
                .add(format!("{field}[{index}]"), "a unit that is valid today; ListUnits shows them, PutUnit adds one");
        }
    }
}

fn check_legal_basis(texts: &[String], faults: &mut Violations) {
    if !(1..=LIST_MAX).contains(&texts.len()) {
        faults.add("campaign.legal_basis", format!("1 to {LIST_MAX} decisions or plans, found {}", texts.len()));
    }
    for (index, text) in texts.iter().enumerate().take(LIST_MAX) {
        field::line(&format!("campaign.legal_basis[{index}]"), text, 1..=200, faults);
    }
}

fn check_window(campaign: &Campaign, now_us: i64, faults: &mut Violations) {
    let starts = field::time("campaign.starts_at", campaign.starts_at.as_ref(), faults);
    let ends = field::time("campaign.ends_at", campaign.ends_at.as_ref(), faults);
    match (starts, ends) {
        (Some(starts), Some(ends)) if ends <= starts => {
            faults.add("campaign.ends_at", "later than campaign.starts_at");
        }
        (Some(starts), Some(ends)) if ends - starts > WINDOW_US_MAX => {
            faults.add("campaign.ends_at", "at most 90 days after campaign.starts_at");
        }
        (_, Some(ends)) if ends <= now_us => faults.add("campaign.ends_at", "in the future"),
        _ => {}
    }
}

fn check_hours(hours: &DailyHours, class: Option<Class>, faults: &mut Violations) {
    let Some(own) = daily(hours) else {
        faults.add("campaign.hours", "open_minute below close_minute, which is at most 1440");
        return;
    };
    let Some(class) = class else { return };
    let legal = ClassHours::default_of(class);
    if own.within(legal.window) != Some(own) {
        faults.add("campaign.hours", format!("within {} ({})", legal.window, legal.citation));
    }
}

fn check_variants(variants: &[Variant], class: Option<Class>, facts: &Facts, faults: &mut Violations) {
    if !(1..=Channel::ALL.len()).contains(&variants.len()) {
        faults.add("campaign.variants", format!("1 to {}, one per channel", Channel::ALL.len()));
    }
    let mut seen = Vec::new();
    for (index, variant) in variants.iter().enumerate().take(Channel::ALL.len()) {
        let path = format!("campaign.variants[{index}].");
        let Some(channel) = template_channel(&path, &variant.template, variant.template_version, facts, faults) else {
            continue;
        };
        if seen.contains(&channel) {
            faults
                .add(format!("{path}template"), format!("one variant per channel; there is one for {channel} already"));
        }
        seen.push(channel);
        let sender = Sender { path: &path, sender: &variant.sender, sender_name: &variant.sender_name };
        sender::check(&sender, channel, class, faults);
    }
}

/// The channel of the template that is named.
pub(crate) fn template_channel(
    path: &str,
    name: &str,
    version: u32,
    facts: &Facts,
    faults: &mut Violations,
) -> Option<Channel> {
    let found = facts.templates.get(&(name.to_owned(), version));
    if found.is_none() {
        let what = if version == 0 { "a template".to_owned() } else { format!("a template with a version {version}") };
        faults.add(format!("{path}template"), format!("{what}; ListTemplates shows them, PutTemplate adds one"));
    }
    found.and_then(|template| Channel::from_code(template.content.as_ref()?.channel))
}
