//! Nobody's number, mailbox or text is in logs, metrics or spans, even at the finest level and when things go wrong; and
//! the search that says so finds a canary.

use std::time::Duration;

use loa_contract::pb::audience::v1::{AddSuppressionRequest, Suppression};
use loa_contract::pb::report::v1::FindRequest;
use loa_harness::secrets::Secrets;
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::beside_others;
use loa_harness::wait::patiently;
use loa_harness::{Kind, Plan, SiteOptions, TestResult, capture, wait_for};
use loa_sim::mail::{Fault, Rule, Who};
use loa_sim::people::People;
use loa_sim::smsc::{Faults, Refusal};
use loa_testkit::otlp::Spans;

const PEOPLE: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_names_anybody() -> TestResult {
    let _turn = beside_others().await;
    let spans = Spans::listen().await?;
    let options = SiteOptions::process().set("telemetry.level", "\"info,loa=trace\"");
    scenario(options.set("telemetry.otlp_endpoint", spans.endpoint()), spans).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_in_a_storm_names_anybody() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("privacy in a storm")), capture::spans()?).await
}

async fn scenario(options: SiteOptions, spans: Spans) -> TestResult {
    let mut site = options.start().await?;
    // What goes wrong is told with more words, so everything goes wrong for somebody.
    let refusals = vec![
        Refusal { number_ends: "7".to_owned(), status: 0x0b },
        Refusal { number_ends: "3".to_owned(), status: 0x65 },
    ];
    site.sims.smsc.set_faults(Faults { refusals, ..Faults::default() });
    let rule = |who, fault| Rule { who, fault };
    site.sims.mail.set_faults(loa_sim::mail::Faults {
        rules: vec![
            rule(Who::Permille(100), Fault::RefuseRecipient("550 5.1.1 no such user".to_owned())),
            rule(Who::Ends("1@example.test".to_owned()), Fault::RefuseContent("554 5.7.1 not here".to_owned())),
            rule(Who::Ends("2@example.test".to_owned()), Fault::TakeAndClose),
        ],
        ..Default::default()
    });
    let people = People { seed: 41, count: PEOPLE, bad_rows: 48 };
    site.import(&people).await?;
    let id = site.running(&Plan::default()).await?;
    let entry = Suppression { address: people.msisdn(1).to_string(), ..Default::default() };
    let entry = AddSuppressionRequest { suppression: Some(entry) };
    patiently(async || site.users().operator.audience().add_suppression(entry.clone()).await).await?;
    for address in [people.mailbox(2), people.msisdn(3).to_string(), format!("{}9", people.msisdn(4))] {
        // A look-up of something that is no number is refused; neither answer may stand in the log.
        let _answer = site.users().operator.report().find(FindRequest { address }).await.map(drop);
    }
    site.kill_and_start().await?;
    site.finished(&id).await?;

    let printed = site.printed().await?;
    assert!(printed.lines().count() > 100, "too little was printed to prove anything");
    assert_eq!(site.secrets.found_in(&printed), [0_usize; 0], "personal data in logs or metrics");
    let received = async || Ok((!spans.received().is_empty()).then_some(()));
    wait_for("a span is received", Duration::from_secs(20), received).await?;
    let told = spans.received().iter().map(|span| format!("{span:?}\n")).collect::<String>();
    assert_eq!(site.secrets.found_in(&told), [0_usize; 0], "personal data in spans");
    site.finish().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_caught() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::of(Kind::Storm(Weather::calm(seed("canary")))).start().await?;
    let people = People { seed: 42, count: 5, bad_rows: 0 };
    site.import(&people).await?;
    site.nobody_is_printed().await?;
    tracing::info!(to = people.msisdn(3), "a canary");
    let caught = site.nobody_is_printed().await.err().ok_or("a number in a log line was not found")?;
    assert!(caught.to_string().starts_with("personal data in 1 printed lines"), "{caught}");
    // This site's log holds a number now, which must not be found again at the end.
    site.secrets = Secrets::default();
    site.end().await
}
