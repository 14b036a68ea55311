//! Every call of every service: once right, once per missing right, once with every field bad and all faults in one reply;
//! and creates that are repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use loa_contract::DESCRIPTORS;
use loa_contract::pb::{
    audience::v1 as audience, dispatch::v1 as dispatch, registry::v1 as registry, report::v1 as report,
};
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::users::Users;
use loa_harness::wait::{answer, patiently};
use loa_harness::{Fault, Plan, SiteOptions, TestResult, fault, plan, wait_for};
use loa_real::Parts;
use loa_runtime::rpc::Right;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::raw::Raw;

const ID: &str = "campaign-7";

/// One call: who may, a request in which every field is bad, and the fields that must be named.
struct Call {
    path: &'static str,
    right: Right,
    bad: Vec<u8>,
    fields: &'static [&'static str],
}

fn call(path: &'static str, right: Right, bad: &impl prost::Message, fields: &'static [&'static str]) -> Call {
    Call { path, right, bad: bad.encode_to_vec(), fields }
}

fn bad_time() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: -1, nanos: 0 })
}

fn registry_calls() -> Vec<Call> {
    let id = || ID.to_owned();
    let (page_size, token) = (1_001, || "next".to_owned());
    let unit = registry::Unit { code: "A B".to_owned(), kind: "king".to_owned(), ..Default::default() };
    let notice =
        registry::Notice { title: "x".repeat(201), class: 9, unit_code: "nobody".to_owned(), ..Default::default() };
    let campaign = registry::Campaign {
        id: id(),
        task_ref: "x".repeat(41),
        topic: "Số".to_owned(),
        starts_at: bad_time(),
        variants: vec![registry::Variant::default()],
        dataset: "../etc".to_owned(),
        segment: "commune is".to_owned(),
        ..Default::default()
    };
    const CAMPAIGN: &[&str] = &[
        "campaign.title",
        "campaign.task_ref",
        "campaign.lead_units",
        "campaign.legal_basis",
        "campaign.class",
        "campaign.lane",
        "campaign.topic",
        "campaign.starts_at",
        "campaign.ends_at",
        "campaign.variants[0].template",
        "campaign.dataset",
        "campaign.segment",
    ];
    const PAGE: &[&str] = &["page_size", "page_token"];
    use Right::{Approver, Author, Operator, System, Viewer};
    let at = |name: &'static str| name;
    vec![
        call(
            at("loa.registry.v1.RegistryService/PutUnit"),
            Operator,
            &registry::PutUnitRequest { unit: Some(unit) },
            &["unit.code", "unit.name", "unit.kind"],
        ),
        call(
            "loa.registry.v1.RegistryService/ListUnits",
            Viewer,
            &registry::ListUnitsRequest { valid_at: bad_time(), page_size, page_token: token() },
            &["valid_at", "page_size", "page_token"],
        ),
        call(
            "loa.registry.v1.RegistryService/PutTemplate",
            Author,
            &registry::PutTemplateRequest { name: "a b".to_owned(), content: None },
            &["name", "content.channel"],
        ),
        call(
            "loa.registry.v1.RegistryService/ListTemplates",
            Viewer,
            &registry::ListTemplatesRequest { page_size, page_token: token() },
            PAGE,
        ),
        call(
            "loa.registry.v1.RegistryService/GetContent",
            Viewer,
            &registry::GetContentRequest { content_hash: vec![1] },
            &["content_hash"],
        ),
        call(
            "loa.registry.v1.RegistryService/PreviewContent",
            Viewer,
            &registry::PreviewContentRequest::default(),
            &["content"],
        ),
        call(
            "loa.registry.v1.RegistryService/CreateNotice",
            Author,
            &registry::CreateNoticeRequest { notice: Some(notice), idempotency_key: "a b".to_owned() },
            &[
                "notice.title",
                "notice.class",
                "notice.lane",
                "notice.unit_code",
                "notice.daily_ceiling",
                "notice.template",
                "idempotency_key",
            ],
        ),
        call(
            "loa.registry.v1.RegistryService/ApproveNotice",
            Approver,
            &registry::ApproveNoticeRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/SetNoticeState",
            Operator,
            &registry::SetNoticeStateRequest { id: id(), stopped: true },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/ListNotices",
            Viewer,
            &registry::ListNoticesRequest { page_size, page_token: token() },
            PAGE,
        ),
        call(
            "loa.registry.v1.RegistryService/CreateCampaign",
            Author,
            &registry::CreateCampaignRequest { campaign: Some(campaign.clone()), idempotency_key: "x".repeat(65) },
            CAMPAIGN,
        ),
        call(
            "loa.registry.v1.RegistryService/UpdateCampaign",
            Author,
            &registry::UpdateCampaignRequest { campaign: Some(campaign) },
            CAMPAIGN,
        ),
        call(
            "loa.registry.v1.RegistryService/GetCampaign",
            Viewer,
            &registry::GetCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/ListCampaigns",
            Viewer,
            &registry::ListCampaignsRequest { page_size, page_token: token() },
            PAGE,
        ),
        call(
            "loa.registry.v1.RegistryService/SubmitCampaign",
            Author,
            &registry::SubmitCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/ApproveCampaign",
            Approver,
            &registry::ApproveCampaignRequest { id: id(), manifest_hash: vec![1] },
            &["id", "manifest_hash"],
        ),
        call(
            "loa.registry.v1.RegistryService/RejectCampaign",
            Approver,
            &registry::RejectCampaignRequest { id: id(), reason: String::new() },
            &["id", "reason"],
        ),
        call(
            "loa.registry.v1.RegistryService/ScheduleCampaign",
            Operator,
            &registry::ScheduleCampaignRequest { id: id(), at: None },
            &["id", "at"],
        ),
        call(
            "loa.registry.v1.RegistryService/StartCampaign",
            Operator,
            &registry::StartCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/PauseCampaign",
            Operator,
            &registry::PauseCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/ResumeCampaign",
            Operator,
            &registry::ResumeCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/CancelCampaign",
            Operator,
            &registry::CancelCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/HaltCampaign",
            System,
            &registry::HaltCampaignRequest { id: id(), reason: String::new() },
            &["id", "reason"],
        ),
        call(
            "loa.registry.v1.RegistryService/CompleteCampaign",
            System,
            &registry::CompleteCampaignRequest { id: id() },
            &["id"],
        ),
        call(
            "loa.registry.v1.RegistryService/PutHold",
            Operator,
            &registry::PutHoldRequest { id: id(), reason: String::new(), seconds: 9 },
            &["id", "reason", "seconds"],
        ),
        call("loa.registry.v1.RegistryService/EndHold", Operator, &registry::EndHoldRequest { id: id() }, &["id"]),
        call("loa.registry.v1.RegistryService/GetHold", Viewer, &registry::GetHoldRequest {}, &[]),
        call(
            "loa.registry.v1.RegistryService/ListAudit",
            Viewer,
            &registry::ListAuditRequest { object_id: "x".repeat(65), page_size, page_token: token() },
            &["object_id", "page_size", "page_token"],
        ),
    ]
}

fn other_calls() -> Vec<Call> {
    use Right::{Operator, System, Viewer};
    use audience::import_dataset_request::Part;
    let start = audience::ImportStart { dataset: "A B".to_owned(), ..Default::default() };
    let import = audience::ImportDatasetRequest { part: Some(Part::Start(start)) };
    let suppression =
        Some(audience::Suppression { address: "113".to_owned(), class: "news".to_owned(), ..Default::default() });
    let freeze = audience::FreezeRequest {
        campaign_id: ID.to_owned(),
        dataset: "A B".to_owned(),
        segment: "commune is".to_owned(),
        ..Default::default()
    };
    let chunks = audience::ReadChunksRequest { freeze_id: ID.to_owned(), shard: Some(64), ..Default::default() };
    let send = dispatch::SendRequest {
        notice_id: ID.to_owned(),
        to: "113".to_owned(),
        expires_at: bad_time(),
        ..Default::default()
    };
    vec![
        call("loa.audience.v1.AudienceService/ImportDataset", Operator, &import, &["start.dataset"]),
        call(
            "loa.audience.v1.AudienceService/ReadRejects",
            Operator,
            &audience::ReadRejectsRequest { import_id: ID.to_owned() },
            &["import_id"],
        ),
        call(
            "loa.audience.v1.AudienceService/ListDatasets",
            Viewer,
            &audience::ListDatasetsRequest { page_size: 1_001, page_token: "next".to_owned() },
            &["page_size", "page_token"],
        ),
        call(
            "loa.audience.v1.AudienceService/CountSegment",
            Viewer,
            &audience::CountSegmentRequest { dataset: "A B".to_owned(), segment: "commune is".to_owned() },
            &["dataset", "segment"],
        ),
        call("loa.audience.v1.AudienceService/Freeze", System, &freeze, &["campaign_id", "dataset", "segment"]),
        call("loa.audience.v1.AudienceService/ReadChunks", System, &chunks, &["freeze_id", "shard"]),
        call(
            "loa.audience.v1.AudienceService/AddSuppression",
            Operator,
            &audience::AddSuppressionRequest { suppression: suppression.clone() },
            &["suppression.address", "suppression.class"],
        ),
        call(
            "loa.audience.v1.AudienceService/RemoveSuppression",
            Operator,
            &audience::RemoveSuppressionRequest { suppression },
            &["suppression.address", "suppression.class"],
        ),
        call(
            "loa.audience.v1.AudienceService/ListSuppressions",
            Operator,
            &audience::ListSuppressionsRequest { page_size: 1_001, page_token: "next".to_owned() },
            &["page_size", "page_token"],
        ),
        call("loa.dispatch.v1.DispatchService/Send", Operator, &send, &["notice_id", "idempotency_key", "expires_at"]),
        call("loa.dispatch.v1.DispatchService/GetStatus", Viewer, &dispatch::GetStatusRequest {}, &[]),
        call("loa.sms.v1.SmsService/GetStatus", Viewer, &loa_contract::pb::sms::v1::GetStatusRequest {}, &[]),
        call("loa.email.v1.EmailService/GetStatus", Viewer, &loa_contract::pb::email::v1::GetStatusRequest {}, &[]),
        call(
            "loa.report.v1.ReportService/GetLedger",
            Viewer,
            &report::GetLedgerRequest { campaign_id: ID.to_owned() },
            &["campaign_id"],
        ),
        call(
            "loa.report.v1.ReportService/WatchLedger",
            Viewer,
            &report::WatchLedgerRequest { campaign_id: ID.to_owned() },
            &["campaign_id"],
        ),
        call(
            "loa.report.v1.ReportService/Find",
            Operator,
            &report::FindRequest { address: "113".to_owned() },
            &["address"],
        ),
        call(
            "loa.report.v1.ReportService/ExportLedger",
            Operator,
            &report::ExportLedgerRequest { campaign_id: ID.to_owned() },
            &["campaign_id"],
        ),
    ]
}

/// Whether a user with one right may make a call that needs another.
fn opens(has: Right, needs: Right) -> bool {
    let system = has == Right::System && !matches!(needs, Right::Author | Right::Approver);
    has == needs || needs == Right::Viewer || system
}

/// Every method of our services, as a process tells it by reflection.
fn methods() -> Result<BTreeSet<String>, Fault> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS)?.file;
    let mut all = BTreeSet::new();
    for file in files.iter().filter(|file| file.package().starts_with("loa.")) {
        for service in &file.service {
            let path = |method: &prost_types::MethodDescriptorProto| {
                format!("{}.{}/{}", file.package(), service.name(), method.name())
            };
            all.extend(service.method.iter().map(path));
        }
    }
    Ok(all)
}

fn named(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    details.into_iter().flat_map(|details| details.field_violations).map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_checks_rights_and_names_every_fault() -> TestResult {
    let _turn = beside_others().await;
    rights_and_faults(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_checks_rights_and_names_every_fault_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    rights_and_faults(SiteOptions::storm(seed("contract in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn every_call_checks_rights_and_names_every_fault_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    rights_and_faults(parts.site()?).await
}

async fn rights_and_faults(options: SiteOptions) -> TestResult {
    let site = options.start().await?;
    let keys = loa::keys::Keys::read(&site.data()).map_err(fault)?;
    let url = format!("http://{}", site.grpc()?);
    let calls: Vec<_> = registry_calls().into_iter().chain(other_calls()).collect();
    let tested: BTreeSet<_> = calls.iter().map(|call| call.path.to_owned()).collect();
    assert_eq!(tested, methods()?, "every call of the contract is in the table");

    let asked = async |key: &str, path: &str, request: &[u8]| {
        let caller = Raw::to(&url, key)?;
        Ok::<_, Fault>(answer(async || caller.call(path, request.to_vec()).await).await)
    };
    let mut wrong = Vec::new();
    for Call { path, right, bad, fields } in &calls {
        let nobody = asked("no-such-key", path, &[]).await?.err().map(|status| status.code());
        if nobody != Some(Code::Unauthenticated) {
            wrong.push(format!("{path} with an unknown key: {nobody:?}"));
        }
        for has in Right::ALL {
            let key = keys.of(has.name()).ok_or_else(|| fault("no key"))?;
            let answer = asked(key, path, bad).await?;
            let refused = answer.as_ref().err().is_some_and(|status| status.code() == Code::PermissionDenied);
            if refused == opens(has, *right) {
                wrong.push(format!("{path} as {}: {answer:?}", has.name()));
            }
        }
        if fields.is_empty() {
            continue;
        }
        let key = keys.of(right.name()).ok_or_else(|| fault("no key"))?;
        match asked(key, path, bad).await? {
            Err(status) if status.code() == Code::InvalidArgument => {
                let named = named(&status);
                let missing: Vec<_> = fields.iter().filter(|field| !named.iter().any(|name| name == *field)).collect();
                if !missing.is_empty() {
                    wrong.push(format!("{path} does not name {missing:?}, only {named:?}"));
                }
            }
            other => wrong.push(format!("{path} with every field bad: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    site.finish().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_once_right() -> TestResult {
    let _turn = beside_others().await;
    all_right(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_once_right_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    all_right(SiteOptions::storm(seed("calls in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn every_call_once_right_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    all_right(parts.site()?).await
}

async fn all_right(options: SiteOptions) -> TestResult {
    let mut site = options.rate(100).start().await?;
    let people = site.people(200).await?;
    let users = site.users().clone();
    let id = site.running(&Plan::default()).await?; // units, templates, create, submit, approve, start
    registry_reads(&users, &id).await?;
    site.pause(&id).await?;
    site.resume(&id).await?;
    let halt = registry::HaltCampaignRequest { id: id.clone(), reason: "rehearsal".to_owned() };
    let halted = patiently(async || users.system.registry().halt_campaign(halt.clone()).await).await?.into_inner();
    assert_eq!(halted.campaign.map(|campaign| campaign.state).as_deref(), Some("halted"));
    site.resume(&id).await?;

    audience_calls(&users, &site.campaign(&id).await?.freeze_id, people.msisdn(199)).await?;
    status_and_report(&users, &id, people.msisdn(0)).await?;
    other_lives(&users).await?;
    hold(&users).await?;
    site.finished(&id).await?;
    let complete = registry::CompleteCampaignRequest { id: id.clone() };
    patiently(async || users.system.registry().complete_campaign(complete.clone()).await).await?;
    site.finish().await.map(drop)
}

async fn registry_reads(users: &Users, id: &str) -> TestResult {
    let viewer = || users.viewer.registry();
    let units = patiently(async || viewer().list_units(registry::ListUnitsRequest::default()).await).await?;
    assert_eq!(units.into_inner().units.len(), 1);
    let templates =
        patiently(async || viewer().list_templates(registry::ListTemplatesRequest::default()).await).await?;
    let templates = templates.into_inner().templates;
    assert_eq!(templates.len(), 2);
    let content_hash = templates.into_iter().next().map(|template| template.content_hash).unwrap_or_default();
    let content = registry::GetContentRequest { content_hash };
    let content = patiently(async || viewer().get_content(content.clone()).await).await?;
    assert!(content.into_inner().content.is_some());
    let campaigns =
        patiently(async || viewer().list_campaigns(registry::ListCampaignsRequest::default()).await).await?;
    assert_eq!(campaigns.into_inner().campaigns.len(), 1);
    let audit = registry::ListAuditRequest { object_id: id.to_owned(), ..Default::default() };
    let audit = patiently(async || viewer().list_audit(audit.clone()).await).await?;
    assert!(audit.into_inner().entries.len() >= 4);
    let content = registry::Content { channel: 1, text: "Chào {ten}".to_owned(), ..Default::default() };
    let slots = [("ten".to_owned(), "Lan".to_owned())].into();
    let preview = registry::PreviewContentRequest { content: Some(content), content_hash: Vec::new(), slots };
    let preview = patiently(async || viewer().preview_content(preview.clone()).await).await?;
    assert_eq!(preview.into_inner().sms.map(|sms| sms.text).as_deref(), Some("Chào Lan"));
    Ok(())
}

async fn audience_calls(users: &Users, freeze_id: &str, number: u64) -> TestResult {
    let (viewer, operator) = (|| users.viewer.audience(), || users.operator.audience());
    let datasets = patiently(async || viewer().list_datasets(audience::ListDatasetsRequest::default()).await).await?;
    let datasets = datasets.into_inner().datasets;
    assert_eq!(datasets.len(), 1);
    let import_id = datasets.into_iter().next().map(|dataset| dataset.import_id).unwrap_or_default();
    assert!(plan::rejects(users, &import_id).await?.starts_with("line,column,reason,cure,row"));
    let count = audience::CountSegmentRequest { dataset: plan::DATASET.to_owned(), segment: "has mobile".to_owned() };
    let count = patiently(async || viewer().count_segment(count.clone()).await).await?;
    assert_eq!(count.into_inner().selected, 200);
    let chunks = audience::ReadChunksRequest { freeze_id: freeze_id.to_owned(), ..Default::default() };
    let chunks = patiently(async || users.system.audience().read_chunks(chunks.clone()).await).await?;
    assert!(chunks.into_inner().message().await?.is_some());
    let suppression =
        Some(audience::Suppression { address: number.to_string(), topic: "khac".to_owned(), ..Default::default() });
    let add = audience::AddSuppressionRequest { suppression: suppression.clone() };
    patiently(async || operator().add_suppression(add.clone()).await).await?;
    let list = audience::ListSuppressionsRequest::default();
    let listed = patiently(async || operator().list_suppressions(list.clone()).await).await?.into_inner().suppressions;
    assert_eq!(listed.len(), 1);
    assert!(listed.iter().all(|entry| entry.address.is_empty() && !entry.address_hash.is_empty()), "{listed:?}");
    let remove = audience::RemoveSuppressionRequest { suppression };
    let mut asked = 0;
    let removed = patiently(async || {
        asked += 1;
        operator().remove_suppression(remove.clone()).await
    });
    // Asked again since an answer was lost, it may be gone already.
    assert!(removed.await?.into_inner().removed || asked > 1);
    let listed = patiently(async || operator().list_suppressions(list.clone()).await).await?.into_inner().suppressions;
    assert_eq!(listed, []);
    Ok(())
}

async fn status_and_report(users: &Users, id: &str, number: u64) -> TestResult {
    let (viewer, ask) = (&users.viewer, loa_contract::pb::sms::v1::GetStatusRequest {});
    patiently(async || viewer.sms().get_status(ask).await).await?;
    let ask = loa_contract::pb::email::v1::GetStatusRequest {};
    patiently(async || viewer.email().get_status(ask).await).await?;
    patiently(async || viewer.dispatch().get_status(dispatch::GetStatusRequest {}).await).await?;
    let find = report::FindRequest { address: number.to_string() };
    // The ledger follows: its owner may still be loading the campaign.
    wait_for("the number is found", Duration::from_secs(30), async || {
        let found = users.operator.report().find(find.clone()).await?.into_inner().found;
        Ok((found.len() == 1).then_some(()))
    })
    .await?;
    let watch = report::WatchLedgerRequest { campaign_id: id.to_owned() };
    let watch = patiently(async || viewer.report().watch_ledger(watch.clone()).await).await?;
    assert!(watch.into_inner().message().await?.is_some(), "a watch begins with the ledger as it stands");
    Ok(())
}

/// Makes a call that leads the campaign into a state. An answer may be lost after the call took effect; asked again, the
/// call would not fit the new state.
async fn leads_to(
    users: &Users,
    id: &str,
    state: &str,
    mut call: impl AsyncFnMut() -> Result<(), Status>,
) -> TestResult<registry::Campaign> {
    patiently(async || {
        let answer = call().await;
        let there = plan::campaign(users, id).await.ok().filter(|campaign| campaign.state == state);
        match (answer, there) {
            (Ok(()), Some(campaign)) => Ok(campaign),
            (Ok(()), None) => Err(Status::internal(format!("the campaign is not {state}"))),
            (Err(status), Some(campaign)) if status.code() == Code::Unavailable => Ok(campaign),
            (Err(status), _) => Err(status),
        }
    })
    .await
}

/// Holds and lets go: one hold at a time, and one that is over does not come back.
async fn hold(users: &Users) -> TestResult {
    let operator = || users.operator.registry();
    let put = |number: u128| {
        let id = uuid::Uuid::from_u128(number).to_string();
        registry::PutHoldRequest { id, reason: "rehearsal".to_owned(), seconds: 30 }
    };
    let refused = async |number: u128| {
        let answer = answer(async || operator().put_hold(put(number)).await).await;
        answer.err().and_then(|status| Some(status.get_details_error_info()?.reason))
    };
    for _ in 0..2 {
        patiently(async || operator().put_hold(put(7)).await).await?;
    }
    let held = patiently(async || users.viewer.registry().get_hold(registry::GetHoldRequest {}).await).await?;
    assert_eq!(held.into_inner().hold.map(|hold| (hold.reason, hold.seconds)), Some(("rehearsal".to_owned(), 30)));
    assert_eq!(refused(8).await.as_deref(), Some("HELD"));
    let end = registry::EndHoldRequest { id: put(7).id };
    for _ in 0..2 {
        patiently(async || operator().end_hold(end.clone()).await).await?;
    }
    let held = patiently(async || users.viewer.registry().get_hold(registry::GetHoldRequest {}).await).await?;
    assert_eq!(held.into_inner().hold, None);
    assert_eq!(refused(7).await.as_deref(), Some("HOLD_ENDED"));
    Ok(())
}

/// Reject, schedule, update and cancel, on campaigns of their own that send nothing.
async fn other_lives(users: &Users) -> TestResult {
    let id = Plan::default().draft(users, "mau-khac").await?;
    plan::submit(users, &id).await?;
    let reject = registry::RejectCampaignRequest { id: id.clone(), reason: "sửa lại câu chào".to_owned() };
    let call = async || users.approver.registry().reject_campaign(reject.clone()).await.map(drop);
    leads_to(users, &id, "draft", call).await?;
    patiently(async || {
        let campaign = Some(plan::campaign(users, &id).await.map_err(|fault| Status::unavailable(fault.to_string()))?);
        users.author.registry().update_campaign(registry::UpdateCampaignRequest { campaign }).await
    })
    .await?;
    plan::submit(users, &id).await?;
    let approved = plan::approved(users, &id).await?;
    let at = approved.ends_at.map(|ends| prost_types::Timestamp { seconds: ends.seconds - 60, nanos: 0 });
    let schedule = registry::ScheduleCampaignRequest { id: id.clone(), at };
    let call = async || users.operator.registry().schedule_campaign(schedule.clone()).await.map(drop);
    leads_to(users, &id, "scheduled", call).await?;
    let cancel = registry::CancelCampaignRequest { id: id.clone() };
    let call = async || users.operator.registry().cancel_campaign(cancel.clone()).await.map(drop);
    leads_to(users, &id, "cancelled", call).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_is_one_object() -> TestResult {
    let _turn = beside_others().await;
    repeated_create(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_is_one_object_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    repeated_create(SiteOptions::storm(seed("creates in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_repeated_create_is_one_object_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    repeated_create(parts.site()?).await
}

async fn repeated_create(options: SiteOptions) -> TestResult {
    let mut site = options.start().await?;
    site.people(20).await?;
    let users = site.users().clone();
    let plan = Plan::default();
    plan.draft(&users, "mau").await?;
    let campaign = plan.campaign("mau");
    let create =
        registry::CreateCampaignRequest { campaign: Some(campaign.clone()), idempotency_key: "don-1".to_owned() };
    let created = async |request: &registry::CreateCampaignRequest| {
        let answer = answer(async || users.author.registry().create_campaign(request.clone()).await).await;
        answer.map(|answer| answer.into_inner().campaign.map(|campaign| campaign.id).unwrap_or_default())
    };
    let first = created(&create).await?;
    assert_eq!(created(&create).await?, first, "the same create twice gives one object");
    let other = registry::Campaign { title: "Khác".to_owned(), ..campaign };
    let other = registry::CreateCampaignRequest { campaign: Some(other), ..create };
    assert_eq!(created(&other).await.map_err(|status| status.code()), Err(Code::Aborted), "another body");
    let list = registry::ListCampaignsRequest::default();
    let all = patiently(async || users.viewer.registry().list_campaigns(list.clone()).await).await?.into_inner();
    assert_eq!(all.campaigns.iter().filter(|campaign| campaign.id == first).count(), 1);
    assert_eq!(all.campaigns.len(), 2, "the draft of the test and the one that was created");
    site.finish().await.map(drop)
}
