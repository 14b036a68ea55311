//! A backup of an installation that runs: for a moment nothing is in the air, and what is put back from it elsewhere sends
//! exactly the rest. Of processes, with the commands that an operator types.

use std::path::Path;

use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use loa_harness::turns::{alone, beside_others};
use loa_harness::wait::patiently;
use loa_harness::{Fault, Plan, Site, SiteOptions, TestResult, books, fault, process, wait_for};
use loa_real::Parts;

const PEOPLE: u64 = 600;
const LIMIT: std::time::Duration = std::time::Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_sends_exactly_the_rest() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process(), || Ok(Vec::new())).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn a_restored_backup_sends_exactly_the_rest_on_real_parts() -> TestResult {
    let _turn = alone().await;
    let parts = Parts::shared().await?;
    scenario(parts.site()?, || parts.empty()).await
}

/// A text of its own, so that nobody's two messages are alike.
fn other(title: &str) -> Plan {
    let sms = Some(format!("{title}: {{ten}} oi, moi ba con den du."));
    Plan { title: title.to_owned(), sms, email: None, ..Plan::default() }
}

async fn scenario(options: SiteOptions, empty: impl FnOnce() -> Result<Vec<(String, String)>, Fault>) -> TestResult {
    let folder = tempfile::tempdir()?;
    let to = folder.path().join("backup");
    let mut site = options.rate(60).start().await?;
    site.people(PEOPLE).await?;
    let paused = site.running(&other("Hop to")).await?;
    site.accepted(20).await?;
    site.pause(&paused).await?;
    let scheduled = scheduled(&mut site).await?;
    let running = site.running(&Plan::default()).await?;
    site.accepted(200).await?;

    let mut backup = site.backup(&["--to", &to.display().to_string(), "--stay-held"])?;
    site.whole_backup(&mut backup, &to).await?;
    let (sent, ids) = (site.sims.accepted(), [&paused, &running, &scheduled]);
    let before = ledgers(&site, &ids[..2]).await?;
    assert!(sent.0 + sent.1 < 3 * PEOPLE, "the backup came too late to prove anything");
    site.kill_all().await?;
    backup.start_kill()?;
    backup.wait().await?;
    assert_eq!(site.sims.accepted(), sent, "something left while the installation was held");

    let elsewhere = site.elsewhere(folder.path().join("new"), &empty()?)?;
    let first = elsewhere.first().cloned().ok_or("nowhere")?;
    site.restored(&to, elsewhere).await?;
    for id in ids {
        let campaign = site.campaign(id).await?;
        assert_eq!((campaign.state.as_str(), campaign.halt_reason.as_str()), ("halted", "restored"));
        assert!(audited(&site, id).await?, "a restore is told in the audit");
    }
    wait_for("the ledgers are those at the backup", LIMIT, async || {
        let now = ledgers(&site, &ids[..2]).await?;
        if now == before { Ok(Some(())) } else { Err(fault(format!("{now:?} instead of {before:?}"))) }
    })
    .await?;
    assert_eq!(site.sims.accepted(), sent, "nothing leaves before somebody resumes");

    let again = process::tool(&first, &["restore", "--from", &to.display().to_string()]).await;
    let refused = again.err().ok_or("a restore wrote over what was there")?.to_string();
    assert!(refused.contains("exit status: 2") && refused.contains("is not empty"), "{refused}");
    damaged(&first, &to).await?;

    site.cancel(&scheduled).await?;
    for id in [&paused, &running] {
        site.resume(id).await?;
    }
    for id in [&paused, &running] {
        assert_eq!(site.finished(id).await?.state, "done");
    }
    let (texts, mails) = site.sims.accepted();
    assert_eq!((texts, mails), (2 * PEOPLE, PEOPLE), "everybody once, before and after together");
    site.finish().await.map(drop)
}

/// A campaign that would start by itself in an hour; its id. It sends nothing, so no ledger is compared.
async fn scheduled(site: &mut Site) -> Result<String, Fault> {
    let users = site.users().clone();
    let id = other("Ngay mai").draft(&users, "hen-gio").await?;
    loa_harness::plan::submit(&users, &id).await?;
    let approved = loa_harness::plan::approved(&users, &id).await?;
    let at = approved.ends_at.map(|ends| prost_types::Timestamp { seconds: ends.seconds - 60, nanos: 0 });
    let schedule = registry::ScheduleCampaignRequest { id: id.clone(), at };
    patiently(async || users.operator.registry().schedule_campaign(schedule.clone()).await).await?;
    Ok(id)
}

/// The counts of each ledger.
async fn ledgers(site: &Site, ids: &[&String]) -> Result<Vec<String>, Fault> {
    let mut counts = Vec::new();
    for id in ids {
        let ledger: report::CampaignLedger = site.ledger(id).await?;
        counts.push(books::counts(&ledger));
    }
    Ok(counts)
}

async fn audited(site: &Site, id: &str) -> Result<bool, Fault> {
    let list = registry::ListAuditRequest { object_id: id.to_owned(), ..Default::default() };
    let entries = site.users().viewer.registry().list_audit(list).await?.into_inner().entries;
    Ok(entries.iter().any(|entry| entry.action == "restore" && entry.detail.ends_with("halted: restored")))
}

/// A backup in which one file is another is refused by that file's name.
async fn damaged(start: &process::Start, backup: &Path) -> TestResult {
    let stores = backup.join("stores");
    let one = std::fs::read_dir(&stores)?.next().ok_or("no store in the backup")??.path();
    let whole = std::fs::read(&one)?;
    std::fs::write(&one, &whole[..whole.len() / 2])?;
    let start = process::Start { data: backup.with_extension("target"), ..start.clone() };
    let answer = process::tool(&start, &["restore", "--from", &backup.display().to_string()]).await;
    let refused = answer.err().ok_or("a damaged backup was put back")?.to_string();
    let name = one.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    assert!(refused.contains("exit status: 1") && refused.contains(&name), "{refused}");
    Ok(std::fs::write(&one, whole)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_backup_it_goes_on() -> TestResult {
    let _turn = beside_others().await;
    let folder = tempfile::tempdir()?;
    let mut site = SiteOptions::process().rate(60).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;
    let mut backup = site.backup(&["--to", &folder.path().join("whole").display().to_string()])?;
    assert!(backup.wait().await?.success());
    assert!(folder.path().join("whole/backup.json").exists());
    assert!(site.sims.accepted().0 < PEOPLE, "the backup came too late to prove anything");

    // Killed while it holds: what it held goes on by itself, and there is no backup.
    let to = folder.path().join("dead");
    let mut dead = site.backup(&["--to", &to.display().to_string(), "--stay-held"])?;
    wait_for("it is held", LIMIT, async || {
        let held = site.users().viewer.registry().get_hold(registry::GetHoldRequest {}).await?.into_inner().hold;
        Ok(held.filter(|hold| hold.reason == "backup"))
    })
    .await?;
    dead.start_kill()?;
    dead.wait().await?;
    assert_eq!(site.finished(&id).await?.state, "done");
    site.finish().await.map(drop)
}
