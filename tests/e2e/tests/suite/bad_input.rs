//! Bad input of every kind: an error that names the place and its cure, nothing half-done, and a system that goes on.

use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1::Channel;
use loa_contract::pb::registry::v1 as registry;
use loa_harness::plan::{self, DATASET};
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::users::Users;
use loa_harness::wait::{answer, patiently};
use loa_harness::{Fault, Plan, Site, SiteOptions, TestResult};
use loa_real::Parts;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PEOPLE: u64 = 30;
const HEADER: &str = "account_id,msisdn,email,commune_code,slots.ten\n";

/// The faults of an answer as `field: words`.
fn faults(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    let violations = details.into_iter().flat_map(|details| details.field_violations);
    violations.map(|violation| format!("{}: {}", violation.field, violation.description)).collect()
}

async fn versions(users: &Users, dataset: &str) -> Result<u32, Fault> {
    let list = audience::ListDatasetsRequest::default();
    let list = patiently(async || users.viewer.audience().list_datasets(list.clone()).await).await?.into_inner();
    Ok(list.datasets.iter().find(|known| known.name == dataset).map_or(0, |known| known.version))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_rejected_alone() -> TestResult {
    let _turn = beside_others().await;
    bad_rows(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_rejected_alone_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    bad_rows(SiteOptions::storm(seed("bad rows in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn bad_rows_are_rejected_alone_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    bad_rows(parts.site()?).await
}

async fn bad_rows(options: SiteOptions) -> TestResult {
    let site = options.start().await?;
    let row = |row: &str| row.as_bytes().to_vec();
    let long = format!("B1,0912345670,,,{}", "x".repeat(1024 * 1024));
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("short row", row("B1"), "", "short_row"),
        ("extra cell", row("B1,0912345670,,,Lan,more"), "", "extra_cell"),
        ("open quote", row("B1,0912345670,,,\"Lan"), "", "open_quote"),
        ("NUL", row("B1,0912345670,,,La\0n"), "", "nul"),
        ("invalid UTF-8", b"B1,0912345670,,,L\xE1n".to_vec(), "", "encoding"),
        ("1 MiB line", long.into_bytes(), "", "row_too_long"),
        ("bad number", row("B1,8491234567O,,,"), "msisdn", "character"),
        ("short number", row("B1,091234567,,,"), "msisdn", "too_short"),
        ("foreign number", row("B1,+66812345678,,,"), "msisdn", "foreign"),
        ("emergency number", row("B1,113,,,"), "msisdn", "emergency"),
        ("fixed number", row("B1,02753822222,,,"), "msisdn", "fixed_number"),
        ("spreadsheet number", row("B1,9.1E8,,,"), "msisdn", "rounded"),
        ("bad email", row("B1,,lan.example.test,,"), "email", "ADDRESS_SHAPE"),
        ("unknown commune", row("B1,0912345670,,99999,"), "commune_code", "unknown_commune"),
        ("formula cell", row("B1,0912345670,,,=HYPERLINK(1)"), "slots.ten", "formula"),
    ];
    let mut wrong = Vec::new();
    for (what, bad, column, reason) in cases {
        let good = |account: &str, number: &str| format!("{account},{number},,,Lan\n").into_bytes();
        let file = [HEADER.as_bytes(), &good("A1", "0912345678"), &bad, b"\n", &good("A2", "0912345679")].concat();
        let report = plan::import_file(site.users(), &file, "xau").await?;
        let rejects = plan::rejects(site.users(), &report.import_id).await?;
        let said = rejects.lines().nth(1).unwrap_or_default().to_owned();
        let counted = report.reasons.iter().any(|counted| counted.reason == reason && counted.rows == 1);
        let cells: Vec<_> = said.splitn(4, ',').collect();
        let placed = cells.get(..3) == Some(&["3", column, reason]);
        let cured = cells.get(3).is_some_and(|rest| rest.len() > 10);
        if (report.rows, report.accepted, report.rejected) != (3, 2, 1) || !counted || !placed || !cured {
            wrong.push(format!("{what}: {report:?}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    site.finish().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_as_a_whole() -> TestResult {
    let _turn = beside_others().await;
    bad_files(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_as_a_whole_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    bad_files(SiteOptions::storm(seed("bad files in a storm"))).await
}

async fn bad_files(options: SiteOptions) -> TestResult {
    let site = options.start().await?;
    let users = site.users();
    for (what, file, field, words) in [
        ("empty file", "", "file", "is empty"),
        ("two BOMs", "\u{feff}\u{feff}account_id,msisdn\nA1,0912345678\n", "file", "two byte order marks"),
        ("missing header", "A1,0912345678\nA2,0912345679\n", "header", "names no column"),
        ("duplicate header", "account_id,msisdn,msisdn\nA1,0912345678,\n", "msisdn", "stands twice"),
        ("no rows", "account_id,msisdn\n", "file", "no rows"),
        ("all rejected", "account_id,msisdn\nA1,113\n", "file", "were rejected"),
    ] {
        let status = plan::import_file(users, file.as_bytes(), "xau").await.err().ok_or(what)?;
        let status = status.downcast_ref::<Status>().ok_or(what)?;
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        let faults = faults(status);
        assert!(faults.iter().any(|fault| fault.starts_with(field) && fault.contains(words)), "{what}: {faults:?}");
        assert_eq!(versions(users, "xau").await?, 0, "{what}: something was left half-done");
    }
    // Ends of lines may be mixed, and of two rows with one key the later one counts.
    let mixed = "account_id,msisdn\r\nA1,0912345678\nA2,0912345679\r\nA1,0912345670\n";
    let report = plan::import_file(users, mixed.as_bytes(), "xau").await?;
    assert_eq!((report.rows, report.accepted, report.rejected, report.duplicates), (3, 2, 0, 1));
    assert!(plan::rejects(users, &report.import_id).await?.contains("duplicate_key"));
    site.finish().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rules_slots_states_and_sizes() -> TestResult {
    let _turn = beside_others().await;
    bad_requests(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rules_slots_states_and_sizes_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    bad_requests(SiteOptions::storm(seed("bad requests in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn bad_rules_slots_states_and_sizes_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    bad_requests(parts.site()?).await
}

async fn bad_requests(options: SiteOptions) -> TestResult {
    let mut site = options.start().await?;
    site.people(PEOPLE).await?;
    bad_rules(&site).await?;
    bad_slots(&site).await?;
    bad_states(&site).await?;
    bad_sizes(&site).await?;
    // And after all this it works as if nothing had been.
    let id = site.running(&Plan::default()).await?;
    site.finished(&id).await?;
    site.finish().await.map(drop)
}

async fn bad_rules(site: &Site) -> TestResult {
    let deep = format!("{}has mobile{}", "(".repeat(17), ")".repeat(17));
    for (rule, words) in [
        ("commune in district(\"Ba Tre\")", "column 21: there is no district `Ba Tre`; did you mean `Ba Tri`?"),
        ("has mobile an has email", "did you mean `and`?"),
        ("servce = mobile", "did you mean `service`?"),
        ("(has mobile", "is not closed here"),
        ("sample 101%", "`101` is no part of all people"),
        (deep.as_str(), "nested deeper than 16"),
    ] {
        let request = audience::CountSegmentRequest { dataset: DATASET.to_owned(), segment: rule.to_owned() };
        let counted = answer(async || site.users().viewer.audience().count_segment(request.clone()).await).await;
        let status = counted.err().ok_or("a bad rule was counted")?;
        assert_eq!(status.code(), Code::InvalidArgument, "{rule}: {status}");
        assert!(
            faults(&status).iter().any(|fault| fault.starts_with("segment") && fault.contains(words)),
            "{rule}: {status}"
        );
    }
    Ok(())
}

async fn put_template(site: &Site, request: registry::PutTemplateRequest) -> Result<(), Status> {
    answer(async || site.users().author.registry().put_template(request.clone()).await).await.map(drop)
}

async fn bad_slots(site: &Site) -> TestResult {
    for (text, words) in [
        ("Chào {ten", "a slot is opened here and never closed"),
        ("Chào {tên}", "is no slot name"),
        ("Chào ten}", "closes no slot"),
    ] {
        let content = registry::Content { channel: Channel::Sms.into(), text: text.to_owned(), ..Default::default() };
        let request = registry::PutTemplateRequest { name: "xau".to_owned(), content: Some(content) };
        let status = put_template(site, request).await.err().ok_or("a bad template was taken")?;
        assert_eq!(status.code(), Code::InvalidArgument, "{text}: {status}");
        assert!(faults(&status).iter().any(|fault| fault.contains(words)), "{text}: {status}");
    }
    // A slot that the dataset does not have: the freeze says so, and the campaign is a draft again.
    let plan = Plan { sms: Some("Chào {so_nha}".to_owned()), email: None, ..Plan::default() };
    let id = plan.draft(site.users(), "thieu-o").await?;
    let said = plan::submit(site.users(), &id).await.err().ok_or("a slot without values was frozen")?.to_string();
    assert!(said.contains("so_nha"), "{said}");
    assert_eq!(site.campaign(&id).await?.state, "draft");
    Ok(())
}

async fn bad_states(site: &Site) -> TestResult {
    let id = Plan::default().draft(site.users(), "trang-thai").await?;
    let refused =
        |answer: Result<(), Status>| answer.err().map(|status| (status.code(), status.get_details_error_info()));
    let operator = || site.users().operator.registry();
    let id = || id.clone();
    let resume = registry::ResumeCampaignRequest { id: id() };
    let answers = [
        answer(async || operator().start_campaign(registry::StartCampaignRequest { id: id() }).await).await.map(drop),
        answer(async || operator().pause_campaign(registry::PauseCampaignRequest { id: id() }).await).await.map(drop),
        answer(async || operator().resume_campaign(resume.clone()).await).await.map(drop),
    ];
    for answer in answers {
        let (code, info) = refused(answer).ok_or("a draft was started, paused or resumed")?;
        assert_eq!(code, Code::FailedPrecondition);
        assert!(info.is_some_and(|info| !info.reason.is_empty() && info.domain == "loa"));
    }
    assert_eq!(site.campaign(&id()).await?.state, "draft");
    site.cancel(&id()).await?;
    site.cancel(&id()).await?; // again is the same
    let late = answer(async || operator().resume_campaign(resume.clone()).await).await.map(drop);
    assert_eq!(refused(late).map(|(code, _)| code), Some(Code::FailedPrecondition));
    Ok(())
}

async fn bad_sizes(site: &Site) -> TestResult {
    let huge = registry::Content { channel: Channel::Email.into(), text: "x".repeat(5 << 20), ..Default::default() };
    let request = registry::PutTemplateRequest { name: "qua-lon".to_owned(), content: Some(huge) };
    let status = put_template(site, request).await.err().ok_or("5 MiB were taken")?;
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    let legal_basis = vec!["Kế hoạch".to_owned(); 21];
    let many = registry::Campaign { legal_basis, ..Plan::default().campaign("trang-thai") };
    let request = registry::CreateCampaignRequest { campaign: Some(many), idempotency_key: "qua-lon".to_owned() };
    let created = answer(async || site.users().author.registry().create_campaign(request.clone()).await).await;
    let status = created.err().ok_or("21 legal bases were taken")?;
    assert!(faults(&status).iter().any(|fault| fault.starts_with("campaign.legal_basis: 1 to 20")), "{status}");
    let text = "ă".repeat(671); // eleven parts
    let long =
        registry::Content { channel: Channel::Sms.into(), text, diacritics: "as_is".to_owned(), ..Default::default() };
    let request = registry::PutTemplateRequest { name: "qua-dai".to_owned(), content: Some(long) };
    let status = put_template(site, request).await.err().ok_or("eleven parts were taken")?;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(faults(&status).iter().any(|fault| fault.contains("10 parts") || fault.contains("at most 10")), "{status}");
    Ok(())
}
