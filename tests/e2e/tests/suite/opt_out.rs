//! Two seconds after the reply to a person's opt-out nothing reaches them any more, in the middle of a campaign.

use std::collections::HashMap;

use loa_contract::pb::audience::v1::{AddSuppressionRequest, Suppression};
use loa_domain::state::{Reason, RecipientState};
use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::wait::patiently;
use loa_harness::{Plan, SiteOptions, TestResult};
use loa_real::Parts;

use crate::stopped::STOP_US;

const PEOPLE: u64 = 800;
/// Who opts out: every so-manieth person of the file.
const EVERY: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_out_gets_nothing_more() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_out_gets_nothing_more_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("opt-out in a storm"))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn who_opts_out_gets_nothing_more_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    scenario(parts.site()?).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let mut site = options.rate(100).start().await?;
    let people = site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(50).await?;

    let mut replied_us = HashMap::new();
    for person in (0..PEOPLE).step_by(EVERY) {
        for address in [people.msisdn(person).to_string(), people.mailbox(person)] {
            let suppression = Suppression { address: address.clone(), ..Default::default() };
            let request = AddSuppressionRequest { suppression: Some(suppression) };
            patiently(async || site.users().operator.audience().add_suppression(request.clone()).await).await?;
            replied_us.insert(address, unix_us());
        }
    }
    site.finished(&id).await?;

    let lines = site.sims.sms_lines()?.into_iter().chain(site.sims.mail_lines()?);
    for line in lines {
        if let Some(t0_us) = replied_us.get(&line.address) {
            assert!(
                line.unix_us <= t0_us + STOP_US,
                "accepted {} ms after the opt-out",
                (line.unix_us - t0_us) / 1_000
            );
        }
    }
    let books = site.finish().await?;
    let skipped: Vec<_> = books.page()?.in_state(RecipientState::Skipped).collect();
    assert!(!skipped.is_empty(), "the opt-outs came too late to prove anything");
    for line in skipped {
        assert_eq!(line.reason, Reason::Suppressed);
        assert!(replied_us.contains_key(&line.address), "skipped without an opt-out");
    }
    Ok(())
}
