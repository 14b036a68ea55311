//! Campaigns and notices as everybody else hears of them: absolute states on control.v1.
//!
//! Must stay true: the control's version is the object's version, which rises with every change, so the highest version is
//! the newest state whatever the order of the records.

use loa_contract::convert::micros;
use loa_contract::pb::event::v1::{CampaignControl, Control, FrozenVariant, control::Object};
use loa_contract::pb::registry::v1::{Campaign, Notice};
use loa_contract::topics::{ControlTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Class;
use loa_domain::hours::DailyWindow;
use loa_domain::ids::{CampaignId, FreezeId};
use loa_ports::store::OutboxRecord;
use loa_ports::store::registry::StoredNotice;
use loa_runtime::control::key;
use prost::Message as _;

use crate::rules::campaign::window;
use crate::rules::field::TIME_US_MAX;

/// A notice's place in the life of a campaign: single sends leave only while it is approved.
pub(crate) fn notice_state(state: &str) -> CampaignState {
    match state {
        "approved" => CampaignState::Running,
        "stopped" => CampaignState::Paused,
        _ => CampaignState::Submitted,
    }
}

/// A campaign's state for control.v1.
pub(crate) fn of_campaign(campaign: &Campaign, now_us: i64) -> Control {
    let class = Class::from_code(campaign.class).unwrap_or(Class::PublicInformation);
    let (open_minute, close_minute) = minutes(window(campaign.hours.as_ref(), class));
    let at = |time: &Option<prost_types::Timestamp>| time.as_ref().map_or(0, micros);
    let object = CampaignControl {
        campaign_id: id_bytes(&campaign.id),
        state: state_code(campaign.state.parse().unwrap_or(CampaignState::Draft)),
        halt_reason: campaign.halt_reason.clone(),
        freeze_id: campaign.freeze_id.parse::<FreezeId>().map(FreezeId::to_vec).unwrap_or_default(),
        unit_id: campaign.lead_units.first().cloned().unwrap_or_default(),
        class: campaign.class,
        lane: campaign.lane,
        topic: campaign.topic.clone(),
        starts_at_us: at(&campaign.starts_at),
        ends_at_us: at(&campaign.ends_at),
        open_minute,
        close_minute,
        variants: frozen_variants(campaign),
        synthetic: campaign.synthetic,
        resend_in_doubt: campaign.resend_in_doubt,
        notice: false,
        daily_ceiling: 0,
        title: campaign.title.clone(),
        started_at_us: at(&campaign.started_at),
    };
    Control { version: campaign.version, at_us: now_us, object: Some(Object::Campaign(object)) }
}

fn frozen_variants(campaign: &Campaign) -> Vec<FrozenVariant> {
    let summaries = campaign.freeze.as_ref().map_or(&[][..], |freeze| &freeze.variants);
    let numbered = (0_u32..).zip(&campaign.variants);
    let frozen = numbered.map(|(number, variant)| {
        let summary = summaries.iter().find(|summary| summary.variant == number).cloned().unwrap_or_default();
        FrozenVariant {
            variant: number,
            channel: variant.channel,
            content_hash: variant.content_hash.clone(),
            sender: variant.sender.clone(),
            sender_name: variant.sender_name.clone(),
            recipients: summary.frozen,
            chunks: summary.chunks,
            parts: summary.parts,
        }
    });
    frozen.collect()
}

/// A notice's state for control.v1: a campaign that is never frozen and has no end.
pub(crate) fn of_notice(stored: &StoredNotice, now_us: i64) -> Control {
    let Notice { channel, content_hash, sender, sender_name, .. } = stored.notice.clone();
    let notice = &stored.notice;
    let class = Class::from_code(notice.class).unwrap_or(Class::PublicInformation);
    let (open_minute, close_minute) = minutes(window(None, class));
    let variant = FrozenVariant { channel, content_hash, sender, sender_name, ..FrozenVariant::default() };
    let created_us = notice.created_at.as_ref().map_or(0, micros);
    let object = CampaignControl {
        campaign_id: id_bytes(&notice.id),
        state: state_code(notice_state(&notice.state)),
        unit_id: notice.unit_code.clone(),
        class: notice.class,
        lane: notice.lane,
        starts_at_us: created_us,
        ends_at_us: TIME_US_MAX,
        open_minute,
        close_minute,
        variants: vec![variant],
        notice: true,
        daily_ceiling: notice.daily_ceiling,
        title: notice.title.clone(),
        started_at_us: created_us,
        ..CampaignControl::default()
    };
    Control { version: stored.version, at_us: now_us, object: Some(Object::Campaign(object)) }
}

/// The record that is stored with the change.
pub(crate) fn record(control: &Control) -> OutboxRecord {
    OutboxRecord {
        topic: ControlTopic::SPEC.name.to_owned(),
        partition: 0,
        key: key(control),
        value: control.encode_to_vec().into(),
    }
}

/// Both 0 = any hour.
fn minutes(window: DailyWindow) -> (u32, u32) {
    if window.is_always() { (0, 0) } else { (window.from_minute().into(), window.to_minute().into()) }
}

fn state_code(state: CampaignState) -> u32 {
    u32::from(state.code())
}

fn id_bytes(id: &str) -> Vec<u8> {
    id.parse::<CampaignId>().map(CampaignId::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::pb::registry::v1::{DailyHours, FreezeSummary, FreezeVariantSummary, Variant};

    #[test]
    fn a_campaign_says_what_gateways_need() {
        let id = "01999999-0000-7000-8000-000000000000";
        let freeze = FreezeVariantSummary { variant: 1, frozen: 10, parts: 20, chunks: 2, ..Default::default() };
        let campaign = Campaign {
            id: id.to_owned(),
            version: 7,
            state: "running".to_owned(),
            class: 4,
            freeze_id: id.to_owned(),
            variants: vec![Variant::default(), Variant { sender: "Loa".to_owned(), ..Variant::default() }],
            freeze: Some(FreezeSummary { variants: vec![freeze], ..Default::default() }),
            ..Campaign::default()
        };
        let hours = |campaign: &Campaign| match of_campaign(campaign, 1).object {
            Some(Object::Campaign(control)) => (control.open_minute, control.close_minute),
            other => panic!("{other:?}"),
        };
        let control = of_campaign(&campaign, 1);
        assert_eq!(control.version, 7);
        assert_eq!(&key(&control)[..], format!("campaign/{id}").as_bytes());
        let Some(Object::Campaign(object)) = control.object else { panic!("not a campaign") };
        assert_eq!(CampaignState::from_code(object.state.cast_signed()), Some(CampaignState::Running));
        assert_eq!((object.campaign_id.len(), object.freeze_id.len()), (16, 16));
        assert_eq!((object.variants[1].recipients, object.variants[1].chunks), (10, 2));
        assert_eq!(object.variants[0].recipients, 0);
        assert_eq!(hours(&campaign), (7 * 60, 21 * 60)); // of its class
        let own = Some(DailyHours { open_minute: 480, close_minute: 600 });
        assert_eq!(hours(&Campaign { hours: own, ..campaign.clone() }), (480, 600));
        assert_eq!(hours(&Campaign { class: 5, ..campaign }), (0, 0)); // emergencies have no hours
    }

    #[test]
    fn only_an_approved_notice_sends() {
        for (state, sends) in [("proposed", false), ("approved", true), ("stopped", false), ("", false)] {
            assert_eq!(notice_state(state).may_send(), sends, "{state}");
        }
    }
}
