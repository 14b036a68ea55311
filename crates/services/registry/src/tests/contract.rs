//! Every call once without its right and once with every field bad: nothing is done, and all faults are in one reply.

use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_runtime::rpc::Right;
use tonic::{Code, Request};

use super::world::{World, fields, with};

/// Every right that does not open a call which needs `right`.
fn without(right: Right) -> Vec<Right> {
    let opens = |other: &Right| match right {
        Right::Viewer => true, // who may do anything may read
        Right::Author | Right::Approver => *other == right,
        Right::Operator | Right::System => *other == right || *other == Right::System,
    };
    Right::ALL.into_iter().filter(|other| !opens(other)).collect()
}

macro_rules! every_call {
    ($world:ident, $($right:ident $method:ident($bad:expr) -> $faults:expr;)+) => {{
        let mut calls = 0;
        $(
            let refused = $world.calls.$method(with("x", &without(Right::$right), Default::default())).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{} without its right", stringify!($method));
            let nobody = $world.calls.$method(Request::new(Default::default())).await.unwrap_err();
            assert_eq!(nobody.code(), Code::Unauthenticated, "{} without a caller", stringify!($method));
            let bad = $world.calls.$method(with("x", &[Right::$right], $bad)).await.unwrap_err();
            assert_eq!(fields(&bad), $faults, "{}", stringify!($method));
            calls += 1;
        )+
        calls
    }};
}

const BAD_ID: &str = "campaign-7";

fn bad_time() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: -1, nanos: 0 })
}

fn long(characters: usize) -> String {
    "x".repeat(characters)
}

fn bad_unit() -> Unit {
    Unit {
        code: "A B".to_owned(),
        name: String::new(),
        kind: "king".to_owned(),
        parent_code: "Ủy-ban".to_owned(),
        valid_from: None,
        valid_to: bad_time(),
        successor_code: long(41),
    }
}

fn bad_notice() -> Notice {
    Notice { title: long(201), class: 9, lane: 0, unit_code: "nobody".to_owned(), ..Notice::default() }
}

fn bad_campaign() -> Campaign {
    Campaign {
        id: BAD_ID.to_owned(),
        title: "\n".to_owned(),
        task_ref: long(41),
        coordinating_units: vec!["nobody".to_owned()],
        topic: "Số".to_owned(),
        starts_at: bad_time(),
        hours: Some(DailyHours { open_minute: 600, close_minute: 600 }),
        variants: vec![Variant::default()],
        dataset: "../etc".to_owned(),
        segment: "commune is".to_owned(),
        resend_in_doubt: true,
        ..Campaign::default()
    }
}

const CAMPAIGN_FAULTS: [&str; 15] = [
    "campaign.title",
    "campaign.task_ref",
    "campaign.lead_units",
    "campaign.coordinating_units[0]",
    "campaign.legal_basis",
    "campaign.class",
    "campaign.lane",
    "campaign.topic",
    "campaign.starts_at",
    "campaign.ends_at",
    "campaign.hours",
    "campaign.variants[0].template",
    "campaign.dataset",
    "campaign.segment",
    "campaign.resend_in_doubt",
];

#[tokio::test]
async fn every_call_names_the_missing_right_and_all_faults() {
    let world = World::seeded().await;
    let id = || BAD_ID.to_owned();
    let (size, token) = (1_001, || "next".to_owned());
    let slots = [("ten", "a\nb"), ("khac", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let content = Content { text: "{ten} {xa}".to_owned(), ..super::world::sms("") };
    let page = ["page_size", "page_token"];
    let created = |first: &[&'static str]| [first, &["idempotency_key"]].concat();
    let updated = [&["campaign.id"][..], &CAMPAIGN_FAULTS].concat();

    let calls = every_call! { world,
        Operator put_unit(PutUnitRequest { unit: Some(bad_unit()) }) -> [
            "unit.code", "unit.name", "unit.kind", "unit.parent_code", "unit.successor_code", "unit.valid_from",
            "unit.valid_to",
        ];
        Viewer list_units(ListUnitsRequest { valid_at: bad_time(), page_size: size, page_token: token() })
            -> ["valid_at", "page_size", "page_token"];
        Author put_template(PutTemplateRequest { name: "a b".to_owned(), content: None }) -> ["name", "content.channel"];
        Viewer list_templates(ListTemplatesRequest { page_size: size, page_token: token() }) -> page;
        Viewer get_content(GetContentRequest { content_hash: vec![1] }) -> ["content_hash"];
        Viewer preview_content(PreviewContentRequest {
            content: Some(content), content_hash: Vec::new(), slots: slots.into(),
        }) -> ["slots.ten", "slots.xa", "slots.khac"];
        Author create_notice(CreateNoticeRequest { notice: Some(bad_notice()), idempotency_key: "a b".to_owned() })
            -> created(&["notice.title", "notice.class", "notice.lane", "notice.unit_code", "notice.daily_ceiling",
                         "notice.template"]);
        Approver approve_notice(ApproveNoticeRequest { id: id() }) -> ["id"];
        Operator set_notice_state(SetNoticeStateRequest { id: id(), stopped: true }) -> ["id"];
        Viewer list_notices(ListNoticesRequest { page_size: size, page_token: token() }) -> page;
        Author create_campaign(CreateCampaignRequest { campaign: Some(bad_campaign()), idempotency_key: long(65) })
            -> created(&CAMPAIGN_FAULTS);
        Author update_campaign(UpdateCampaignRequest { campaign: Some(bad_campaign()) }) -> updated;
        Viewer get_campaign(GetCampaignRequest { id: id() }) -> ["id"];
        Viewer list_campaigns(ListCampaignsRequest { page_size: size, page_token: token() }) -> page;
        Author submit_campaign(SubmitCampaignRequest { id: id() }) -> ["id"];
        Approver approve_campaign(ApproveCampaignRequest { id: id(), manifest_hash: vec![1] }) -> ["id", "manifest_hash"];
        Approver reject_campaign(RejectCampaignRequest { id: id(), reason: String::new() }) -> ["id", "reason"];
        Operator schedule_campaign(ScheduleCampaignRequest { id: id(), at: None }) -> ["id", "at"];
        Operator start_campaign(StartCampaignRequest { id: id() }) -> ["id"];
        Operator pause_campaign(PauseCampaignRequest { id: id() }) -> ["id"];
        Operator resume_campaign(ResumeCampaignRequest { id: id() }) -> ["id"];
        Operator cancel_campaign(CancelCampaignRequest { id: id() }) -> ["id"];
        System halt_campaign(HaltCampaignRequest { id: id(), reason: long(201) }) -> ["id", "reason"];
        System complete_campaign(CompleteCampaignRequest { id: id() }) -> ["id"];
        Operator put_hold(PutHoldRequest { id: id(), reason: String::new(), seconds: 0 }) -> ["id", "reason", "seconds"];
        Operator end_hold(EndHoldRequest { id: id() }) -> ["id"];
        Viewer list_audit(ListAuditRequest { object_id: long(65), page_size: size, page_token: token() })
            -> ["object_id", "page_size", "page_token"];
    };

    // Viewer get_hold(GetHoldRequest {}): no field of it can be wrong.
    let refused = world.calls.get_hold(with("x", &without(Right::Viewer), GetHoldRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let proto = include_str!("../../../../../proto/loa/registry/v1/registry.proto");
    assert_eq!(
        calls + 1,
        proto.lines().filter(|line| line.trim_start().starts_with("rpc ")).count(),
        "a call is not in the table"
    );
    let kept = world.calls.list_campaigns(with("x", &[Right::Viewer], ListCampaignsRequest::default())).await.unwrap();
    assert_eq!(kept.into_inner().campaigns, [], "a refused call has left something behind");
}

/// The right beside each call in the proto file is the one that is checked.
#[test]
fn the_proto_names_the_rights() {
    let proto = include_str!("../../../../../proto/loa/registry/v1/registry.proto");
    let table = include_str!("contract.rs");
    let mut right = "";
    let mut named = 0;
    for line in proto.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("// Right: ") {
            right = text.split([' ', '.', ',']).next().unwrap_or_default();
        }
        let Some(call) = line.strip_prefix("rpc ").and_then(|rest| rest.split('(').next()) else { continue };
        let snake: String = call
            .char_indices()
            .map(|(at, letter)| if at > 0 && letter.is_uppercase() { format!("_{letter}") } else { letter.to_string() })
            .collect();
        let row = format!("{right} {}(", snake.to_lowercase());
        assert!(table.to_lowercase().contains(&row), "`{row}` is not in the table");
        named += 1;
    }
    assert!(named > 20);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let id = || "01999999-0000-7000-8000-000000000000".to_owned();
    let status = [
        world.calls.get_campaign(with("x", &[Right::Viewer], GetCampaignRequest { id: id() })).await.err(),
        world.calls.pause_campaign(with("x", &[Right::Operator], PauseCampaignRequest { id: id() })).await.err(),
        world.calls.submit_campaign(with("x", &[Right::Author], SubmitCampaignRequest { id: id() })).await.err(),
        world.calls.approve_notice(with("x", &[Right::Approver], ApproveNoticeRequest { id: id() })).await.err(),
        world
            .calls
            .get_content(with("x", &[Right::Viewer], GetContentRequest { content_hash: vec![0; 32] }))
            .await
            .err(),
    ];
    for status in status {
        assert_eq!(status.unwrap().code(), Code::NotFound);
    }
}
