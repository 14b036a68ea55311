//! A freeze's request against its dataset version: columns instead of names.
//!
//! Must stay true: everything that is wrong with a request is found here, before a single person is read, and said at once.

use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::Channel;
use loa_domain::template::TemplateText;
use loa_domain::text::Diacritics;
use loa_ports::audience::{DatasetError, Fault, FreezeInputs};

use super::cost::Cost;
use crate::rule::{self, Plan};
use crate::schema::Stored;
use crate::version::{Projection, Version};

/// Columns that decide, beside those of the rule.
const DECIDING: [Stored; 5] = [Stored::Key, Stored::AgeBand, Stored::ConsentAds, Stored::Dnc, Stored::Suppressed];

/// What is read, and for whom.
#[derive(Debug)]
pub(super) struct FreezePlan {
    pub(super) projection: Projection,
    pub(super) rule: Plan,
    pub(super) variants: Vec<VariantPlan>,
}

/// One text.
#[derive(Debug)]
pub(super) struct VariantPlan {
    pub(super) number: u32,
    pub(super) channel: Channel,
    /// Where its address stands in what is read.
    pub(super) address: usize,
    /// Names of its slots, as the text writes them.
    pub(super) slots: Vec<String>,
    /// Where they stand in what is read.
    pub(super) places: Vec<usize>,
    pub(super) cost: Cost,
}

/// A variant whose columns are known in the version.
struct Known {
    number: u32,
    channel: Channel,
    slots: Vec<String>,
    columns: Vec<usize>,
    template: TemplateText,
    policy: Diacritics,
}

impl FreezePlan {
    pub(super) fn new(inputs: &FreezeInputs, version: &Version) -> Result<Self, DatasetError> {
        let mut faults = Vec::new();
        let variants: Vec<Known> = inputs
            .variants
            .iter()
            .enumerate()
            .filter_map(|(at, variant)| known(at, variant, &inputs.variants[..at], version, &mut faults))
            .collect();
        if inputs.variants.is_empty() {
            faults.push(Fault::new("variants", "there is none; a campaign has a text for at least one channel"));
        }
        if !faults.is_empty() {
            return Err(DatasetError::Refused { faults });
        }
        let slots = variants.iter().flat_map(|variant| variant.columns.iter().copied());
        let addresses = variants.iter().map(|variant| address(variant.channel).index());
        let deciding = DECIDING.iter().map(|column| column.index());
        let rule_columns = rule::columns(&inputs.rule).into_iter();
        let projection = Projection::new(rule_columns.chain(deciding).chain(addresses).chain(slots));
        let rule = Plan::new(&inputs.rule, &version.manifest, &projection);
        let variants = variants.into_iter().map(|variant| placed(variant, &projection)).collect();
        Ok(Self { projection, rule, variants })
    }
}

fn address(channel: Channel) -> Stored {
    match channel {
        Channel::Sms => Stored::Msisdn,
        Channel::Email => Stored::Email,
    }
}

fn placed(known: Known, projection: &Projection) -> VariantPlan {
    let Known { number, channel, slots, columns, template, policy } = known;
    VariantPlan {
        number,
        channel,
        address: projection.of(address(channel)),
        cost: Cost::new(channel, template, policy, &slots),
        places: columns.into_iter().map(|column| projection.place(column)).collect(),
        slots,
    }
}

fn known(
    at: usize,
    variant: &pb::FreezeVariant,
    before: &[pb::FreezeVariant],
    version: &Version,
    faults: &mut Vec<Fault>,
) -> Option<Known> {
    let count = faults.len();
    let mut fault = |field: &str, problem: String| faults.push(Fault::new(format!("variants[{at}].{field}"), problem));
    if before.iter().any(|other| other.variant == variant.variant) || u16::try_from(variant.variant).is_err() {
        fault("variant", format!("{} stands twice or is above 65535; number the variants from 0", variant.variant));
    }
    let channel = Channel::from_code(variant.channel);
    if channel.is_none() {
        fault("channel", "it is not given; use sms or email".to_owned());
    }
    let policy = match variant.diacritics.as_str() {
        "" => Some(Diacritics::AsIs),
        word => word.parse().map_err(|error| fault("diacritics", format!("{error}"))).ok(),
    };
    let template = TemplateText::parse(&variant.text).map_err(|error| fault("text", error.to_string())).ok();
    // The slots of the content, and any that only the text names.
    let mut slots = variant.slots.clone();
    let in_text = template.iter().flat_map(TemplateText::slots).map(|slot| slot.name.to_string());
    in_text.for_each(|name| {
        if !slots.contains(&name) {
            slots.push(name)
        }
    });
    let mut columns = Vec::with_capacity(slots.len());
    for slot in &slots {
        match version.slot(slot) {
            Some(column) => columns.push(column),
            None => fault("slots", no_slot(slot, version)),
        }
    }
    if faults.len() > count {
        return None;
    }
    Some(Known { number: variant.variant, channel: channel?, slots, columns, template: template?, policy: policy? })
}

fn no_slot(slot: &str, version: &Version) -> String {
    let manifest = &version.manifest;
    let dataset = format!("version {} of dataset {}", manifest.version, manifest.dataset);
    match manifest.slots.as_slice() {
        [] => format!(
            "`{slot}` has no column slots.{slot} in {dataset}, which has no slots at all; import a file with it"
        ),
        known => format!("`{slot}` has no column slots.{slot} in {dataset}; there are: {}", known.join(", ")),
    }
}
