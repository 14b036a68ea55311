//! A carrier and a mail relay that are away: nothing is released to them, each is named, and all that was not handed over
//! goes out once they are back. What was written and not answered is in doubt, never repeated.

use std::time::Duration;

use loa_harness::turns::beside_others;
use loa_harness::{Fault, Plan, Site, SiteOptions, TestResult, wait_for};

use super::{Begun, accepted};

const PEOPLE: u64 = 1_000;
/// Their names on /ready.
const AWAY: [&str; 3] = ["sms account sim-a: LOA-203", "sms account sim-b: LOA-203", "email account sim-mail: LOA-203"];
/// How long the offers of dispatch are watched.
const WATCHED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn carriers_that_are_away_are_waited_for() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::process().rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    let begun = Begun::now(&site, "LOA-203").await?;
    site.sims.leave().await;
    begun.is_named(&site, 200).await?;
    wait_for("each account is named", Duration::from_secs(10), async || {
        let said = site.ready().await?.into_iter().map(|(_, text)| text).collect::<String>();
        Ok(AWAY.iter().all(|account| said.contains(account)).then_some(()))
    })
    .await?;
    nothing_is_offered(&site).await?;
    assert!(accepted(&site) < 2 * PEOPLE, "they left too late to prove anything");
    site.sims.come_back().await?;
    begun.is_gone(&site).await?;

    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.delivered + one.in_doubt == PEOPLE), "{ledger:?}");
    site.finish().await.map(drop)
}

/// What was offered when they left comes back, late, and is not offered again.
async fn nothing_is_offered(site: &Site) -> TestResult {
    let mut known = offered(site).await?;
    let clock = loa_ports::clock::SystemClock::new();
    let mut since = loa_ports::clock::Clock::monotonic(&clock);
    wait_for("dispatch offers nothing", Duration::from_secs(15), async || {
        let (now, offers) = (loa_ports::clock::Clock::monotonic(&clock), offered(site).await?);
        if offers != known {
            (known, since) = (offers, now);
        }
        Ok((now - since >= WATCHED).then_some(()))
    })
    .await
}

/// Recipients that were offered to gateways so far.
async fn offered(site: &Site) -> Result<String, Fault> {
    let printed = site.printed().await?;
    let line = printed.lines().find(|line| line.starts_with("loa_dispatch_offered_total "));
    line.map(str::to_owned).ok_or_else(|| "dispatch does not say what it offers".into())
}
