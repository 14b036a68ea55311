//! A campaign reaches everybody once: short and long texts and mails, receipts of every kind, and a ledger that adds up.

use loa_domain::state::RecipientState;
use loa_harness::secrets::CANARY;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult};
use loa_real::Parts;
use loa_sim::smsc::Receipts;

const PEOPLE: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_reached_once() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_reached_once_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("campaign in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn everybody_is_reached_once_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let receipts =
        Receipts { undelivered_permille: 40, expired_permille: 10, duplicate_permille: 50, ..Receipts::default() };
    let mut site = options.receipts(receipts).start().await?;
    site.people(PEOPLE).await?;
    let long = format!(
        "UBND huyện Ba Tri kính mời ông/bà {{ten}} ở {{xa}} dự họp về chuyển đổi số lúc 8h ngày 10/10. {CANARY}"
    );
    let plan = Plan { sms: Some(long), diacritics: "as_is".to_owned(), ..Plan::default() };

    let id = site.running(&plan).await?;
    let ledger = site.finished(&id).await?;

    let [sms, email] = ledger.variants.as_slice() else { return Err("two variants were frozen".into()) };
    assert_eq!((sms.frozen, email.frozen), (PEOPLE, PEOPLE));
    assert_eq!(sms.delivered + sms.undelivered + sms.expired + sms.in_doubt, PEOPLE, "receipts of every kind");
    assert!(sms.undelivered > 0 && sms.delivered > PEOPLE / 2, "{sms:?}");
    assert_eq!(email.delivered + email.in_doubt, PEOPLE);
    let texts = site.sims.smsc.inbox().search("kính mời ông/bà", 10);
    assert!(
        texts.iter().all(|text| text.parts > 1 && text.parts_seen == text.parts),
        "long texts come whole: {texts:?}"
    );
    assert!(!texts.is_empty());
    let mails = site.sims.mail.inbox().search("Kính gửi", 10);
    assert!(mails.iter().all(|mail| mail.subject == "Bến Tre: nộp hồ sơ trực tuyến" && mail.html.contains("<b>")));
    assert!(!mails.is_empty());

    let books = site.finish().await?;
    let whole = books.page()?.in_state(RecipientState::Delivered).filter(|line| line.channel == "sms");
    assert!(whole.into_iter().all(|line| line.parts > 1 && line.parts_delivered == line.parts));
    Ok(())
}
