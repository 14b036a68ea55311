//! One person looked up in every way an address is written, and the export that says the same of everybody.

use loa_contract::pb::report::v1::FindRequest;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult, fault};
use loa_real::Parts;
use loa_sim::smsc::Receipts;
use tonic::Code;

const PEOPLE: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_in_every_writing() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("find in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_person_is_found_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let receipts = Receipts { undelivered_permille: 100, ..Receipts::default() };
    let mut site = options.receipts(receipts).start().await?;
    let people = site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.finished(&id).await?;
    let books = site.compared().await?;
    let page = books.page()?;

    for person in 0..20 {
        let (number, mailbox) = (people.msisdn(person), people.mailbox(person));
        let national = number - 84_000_000_000;
        let spaced = format!("0{} {:03} {:03}", national / 1_000_000, national / 1_000 % 1_000, national % 1_000);
        for written in [
            number.to_string(),
            format!("+{number}"),
            format!("0{national}"),
            spaced,
            mailbox.to_uppercase(),
            mailbox.clone(),
        ] {
            let request = FindRequest { address: written };
            let found = site.users().operator.report().find(request).await?.into_inner().found;
            let [found] = found.as_slice() else {
                return Err(fault(format!("{} messages to one address", found.len())));
            };
            let line = page.lines.iter().find(|line| line.message.to_string() == found.message_id);
            let line = line.ok_or_else(|| fault("what was found is not in the export"))?;
            assert!(line.address == number.to_string() || line.address == mailbox);
            assert_eq!((found.state.as_str(), found.reason.as_str()), (line.state.name(), line.reason.name()));
            assert_eq!((&found.campaign_id, &found.account), (&id, &line.account));
            assert!(found.submitted_at.is_some() && found.final_at.is_some(), "{found:?}");
        }
    }
    let mut operator = site.users().operator.report();
    let stranger = FindRequest { address: format!("+{}", people.msisdn(PEOPLE + 7)) };
    assert_eq!(operator.find(stranger).await?.into_inner().found, []);
    let nobody = operator.find(FindRequest { address: "xin chào".to_owned() }).await.err().map(|status| status.code());
    assert_eq!(nobody, Some(Code::InvalidArgument));
    let unknown = loa_contract::pb::report::v1::ExportLedgerRequest {
        campaign_id: "01999999-0000-7000-8000-000000000000".to_owned(),
    };
    assert_eq!(operator.export_ledger(unknown).await.err().map(|status| status.code()), Some(Code::NotFound));
    site.finish().await.map(drop)
}
