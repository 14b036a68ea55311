//! Nothing leaves without the approval of somebody who did not write it; an edit takes the approval back.

use loa_contract::pb::registry::v1 as registry;
use loa_harness::plan::{self, approved, submit};
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::users::client;
use loa_harness::wait::{answer, patiently};
use loa_harness::{Plan, SiteOptions, TestResult, fault};
use loa_real::Parts;
use loa_runtime::grpc::key_hash;
use tonic::Code;
use tonic_types::StatusExt as _;

const PEOPLE: u64 = 50;
/// The key of somebody who may both write and approve.
const BOTH: &str = "the-key-of-somebody-with-both-rights";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_what_they_wrote() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_what_they_wrote_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("four eyes in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn nobody_approves_what_they_wrote_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let hash: String = key_hash(BOTH).iter().map(|byte| format!("{byte:02x}")).collect();
    let user = format!("[{{ name = \"lan\", key_sha256 = \"{hash}\", rights = [\"author\", \"approver\"] }}]");
    let mut site = options.set("user", user).start().await?;
    site.people(PEOPLE).await?;
    let lan = client(site.grpc()?, BOTH)?;
    let mut users = site.users().clone();
    users.author = lan.clone();

    let plan = Plan::default();
    let id = plan.draft(&users, "mau-4").await?;
    let start = registry::StartCampaignRequest { id: id.clone() };
    let early = answer(async || users.operator.registry().start_campaign(start.clone()).await).await;
    assert_eq!(early.map_err(|status| status.code()).err(), Some(Code::FailedPrecondition), "a draft does not start");

    let frozen = submit(&users, &id).await?;
    let approve = registry::ApproveCampaignRequest { id: id.clone(), manifest_hash: frozen.manifest_hash.clone() };
    let own = answer(async || lan.registry().approve_campaign(approve.clone()).await).await;
    let own = own.err().ok_or("approved by its author")?;
    assert_eq!(own.code(), Code::PermissionDenied, "{own}");
    assert!(own.get_details_error_info().is_some_and(|info| info.reason == "FOUR_EYES"), "{own:?}");
    let unseen = registry::ApproveCampaignRequest { manifest_hash: vec![0; 32], ..approve.clone() };
    let unseen = answer(async || users.approver.registry().approve_campaign(unseen.clone()).await).await;
    let unseen = unseen.err().ok_or("approved unseen")?;
    assert_eq!(unseen.code(), Code::FailedPrecondition, "what was not looked at is not approved");

    approved(&users, &id).await?;
    let now = plan::campaign(&users, &id).await?;
    let edited = registry::Campaign { title: "Đổi tên".to_owned(), ..now };
    let edit = registry::UpdateCampaignRequest { campaign: Some(edited) };
    let edited = patiently(async || lan.registry().update_campaign(edit.clone()).await).await?.into_inner();
    let edited = edited.campaign.ok_or_else(|| fault("no campaign"))?;
    assert_eq!((edited.state.as_str(), edited.approved_by.as_str()), ("draft", ""), "an edit voids the approval");
    let late = answer(async || users.operator.registry().start_campaign(start.clone()).await).await;
    assert_eq!(late.map_err(|status| status.code()).err(), Some(Code::FailedPrecondition), "an edited campaign starts");
    assert_eq!(site.sims.accepted(), (0, 0), "nothing has left so far");

    submit(&users, &id).await?;
    approved(&users, &id).await?;
    plan::start(&users, &id).await?;
    site.finished(&id).await?;
    let audit = registry::ListAuditRequest { object_id: id.clone(), ..Default::default() };
    let audit = patiently(async || users.viewer.registry().list_audit(audit.clone()).await).await?.into_inner().entries;
    let approvals: Vec<_> = audit.iter().filter(|entry| entry.action == "approve").map(|entry| &*entry.user).collect();
    assert_eq!(approvals, ["approver", "approver"], "every approval is in the book: {audit:?}");
    site.adopt(id);
    site.finish().await.map(drop)
}
