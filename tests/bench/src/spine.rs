//! The spine end to end: import, freeze, texts with receipts, 2 kB mails; claims and ledger on.
//!
//! Loa is a process of its own; the simulated carrier and mail server are in this one, and so is the raw SMPP engine that
//! is measured beside it. Each run begins on an empty folder and ends with equal books.

use std::time::Duration;

use loa_harness::sims::Sims;
use loa_harness::wait::until;
use loa_harness::{Fault, Plan, SiteOptions, fault, plan, say};
use loa_sim::people::People;
use loa_sim::smsc::Receipts;

use crate::figures::{self, Cpu, Figure, Raw};
use crate::meter::{Goal, Meter};
use crate::world::{On, Servers, World};

const RUNS: usize = 3;
/// People of a run: each gets a text and a mail.
const PEOPLE: u64 = 300_000;
/// Texts of the raw engine.
const RAW_TEXTS: u64 = 1_000_000;
const WINDOW: u32 = 100;
/// Binds of the account, as a carrier gives to who sends much. One bind waits for the carrier's answers, which come late where
/// servers share its two cores.
const BINDS: u32 = 4;
const CONNECTIONS: u32 = 20;
/// How long the last receipts may take after everything was accepted.
const RECEIPTS_LIMIT: Duration = Duration::from_secs(300);

const IMPORT: Goal = Goal { words: "≥ 300,000 rows/s", met: |rate, _| rate >= 300_000.0 };
const FREEZE: Goal = Goal { words: "≥ 500,000/s", met: |rate, _| rate >= 500_000.0 };
const SMS: Goal = Goal { words: "≥ 100,000/s and ≤ 10 µs", met: |rate, cpu| rate >= 100_000.0 && cpu <= 10.0 };
const SMS_REAL: Goal = Goal { words: "≥ 60,000/s and ≤ 10 µs", met: |rate, cpu| rate >= 60_000.0 && cpu <= 10.0 };
const EMAIL: Goal = Goal { words: "≥ 15,000/s and ≤ 60 µs", met: |rate, cpu| rate >= 15_000.0 && cpu <= 60.0 };

/// Three runs, the median printed, all kept.
pub(crate) async fn run(on: On, servers: &Servers) -> Result<(), Fault> {
    let mut figures = Vec::new();
    for number in 1..=RUNS {
        say(format!("{} parts, run {number} of {RUNS}", on.name()));
        one_run(on, servers, &mut figures).await?;
    }
    figures::write("spine", on, servers.settings(), &figures)
}

/// A million people or more, once: what a stage takes and how much memory.
pub(crate) async fn many(on: On, servers: &Servers, people: u64) -> Result<(), Fault> {
    const MEMORY_MIB: u64 = 512;
    let mut world = on.start(servers, fast).await?;
    let mut figures = Vec::new();
    import(&mut world, people, &mut figures).await?;
    let draft = frozen_sms(&mut world, people, "many", &mut figures).await?;
    figures.push(send(&mut world, &draft, ("sms", people), sms_goal(on)).await?);
    world.finish().await?;
    let name = if people == 1_000_000 { "million" } else { "millions" };
    figures::write(name, on, servers.settings(), &figures)?;
    match figures.iter().find(|figure| figure.rss_mib_peak > MEMORY_MIB) {
        None => Ok(()),
        Some(over) => Err(fault(format!("{} MiB were used by {}, over {MEMORY_MIB}", over.rss_mib_peak, over.name))),
    }
}

/// Accounts that hold nothing back.
pub(crate) fn fast(options: SiteOptions) -> SiteOptions {
    options
        .set("sms.account.sim-a.prefixes", "[]")
        .set("sms.account.sim-a.partitions", "[\"0-62\"]")
        .set("sms.account.sim-a.window", WINDOW)
        .set("sms.account.sim-a.binds", BINDS)
        .set("sms.account.sim-a.rate", 1_000_000)
        .set("sms.account.sim-b.prefixes", "[\"1\"]")
        .set("sms.account.sim-b.partitions", "[\"63\"]")
        .set("email.relay.sim-mail.rate", 1_000_000)
        .set("email.relay.sim-mail.connections", CONNECTIONS)
}

fn sms_goal(on: On) -> Goal {
    match on {
        On::Embedded => SMS,
        On::Real => SMS_REAL,
    }
}

async fn one_run(on: On, servers: &Servers, figures: &mut Vec<Figure>) -> Result<(), Fault> {
    let mut world = on.start(servers, fast).await?;
    // The raw engine first, while nothing else runs.
    let raw = raw().await?;
    let raw_per_second = Some(Raw { per_second: raw.per_second });
    figures.push(raw);
    import(&mut world, PEOPLE, figures).await?;
    let draft = frozen_sms(&mut world, PEOPLE, "bench", figures).await?;
    let mut sms = send(&mut world, &draft, ("sms", PEOPLE), sms_goal(on)).await?;
    sms.raw = raw_per_second;
    figures.push(sms);

    let mail = Plan { title: "bench email".to_owned(), sms: None, email: Some(two_kilobytes()), ..Plan::default() };
    let draft = mail.draft(world.site.users(), "bench-mail").await?;
    plan::submit(world.site.users(), &draft).await?;
    plan::approved(world.site.users(), &draft).await?;
    figures.push(send(&mut world, &draft, ("email", PEOPLE), EMAIL).await?);
    world.finish().await
}

async fn import(world: &mut World, count: u64, figures: &mut Vec<Figure>) -> Result<(), Fault> {
    let people = People { seed: 1, count, bad_rows: 0 };
    let mut file = Vec::new();
    people.write(&mut file)?;
    let meter = Meter::start(world)?;
    plan::import_file(world.site.users(), &file, plan::DATASET).await?;
    let measured = meter.measured();
    figures.push(meter.figure(world, ("import", count), measured, IMPORT)?);
    Ok(())
}

/// A campaign of texts, submitted and approved.
async fn frozen_sms(world: &mut World, count: u64, name: &str, figures: &mut Vec<Figure>) -> Result<String, Fault> {
    let text = Plan { title: format!("{name} sms"), email: None, ..Plan::default() };
    let draft = text.draft(world.site.users(), &format!("{name}-sms")).await?;
    let meter = Meter::start(world)?;
    plan::submit(world.site.users(), &draft).await?;
    let measured = meter.measured();
    figures.push(meter.figure(world, ("freeze", count), measured, FREEZE)?);
    plan::approved(world.site.users(), &draft).await?;
    Ok(draft)
}

/// A campaign. Its time is from the start until the sinks have accepted everything and every receipt was acknowledged (they
/// are asked, so that nobody keeps Loa busy with questions); its CPU is what Loa used until the ledger was final.
async fn send(
    world: &mut World,
    campaign: &str,
    (name, people): (&'static str, u64),
    goal: Goal,
) -> Result<Figure, Fault> {
    let (texts, mails) = world.site.sims.accepted();
    let receipts = world.site.sims.smsc.stats().receipts_acknowledged;
    let meter = Meter::start(world)?;
    plan::start(world.site.users(), campaign).await?;
    world.site.adopt(campaign.to_owned());
    world.site.accepted(texts + mails + people).await?;
    if name == "sms" {
        let acknowledged = async || world.site.sims.smsc.stats().receipts_acknowledged >= receipts + people;
        until("every receipt is acknowledged", RECEIPTS_LIMIT, acknowledged).await?;
    }
    let measured = meter.measured();
    let ledger = world.site.finished(campaign).await?;
    let figure = meter.figure(world, (name, people), measured, goal)?;
    let whole = ledger.variants.iter().all(|one| one.adds_up && one.repeated == 0 && one.open == 0);
    if whole { Ok(figure) } else { Err(fault(format!("the ledger of {name} does not add up: {ledger:?}"))) }
}

/// A text body of about 2 kB without slots, and a short HTML one with a name.
fn two_kilobytes() -> (String, String, String) {
    let line = "Bà con nộp hồ sơ trực tuyến, theo dõi kết quả tại nhà, không cần xếp hàng. ";
    let html = format!("<p>Kính gửi <b>{{ten}}</b>,</p><p>{}</p>", line.repeat(8));
    ("Bến Tre: nộp hồ sơ trực tuyến".to_owned(), line.repeat(8), html)
}

/// The SMPP engine alone against a carrier of its own, which keeps its book like the other.
async fn raw() -> Result<Figure, Fault> {
    let folder = tempfile::tempdir()?;
    let sims = Sims::start(folder.path(), Receipts::default()).await?;
    let addr = sims.smsc.addr();
    let measured = tokio::task::spawn_blocking(move || loa_smpp::engine::raw_engine(addr, RAW_TEXTS, WINDOW)).await?;
    sims.smsc.stop().await;
    let figures = measured.map_err(|error| fault(format!("the raw engine: {error}")))?;
    let cpu = figures.cpu_us_per_message.ok_or_else(|| fault("this machine tells no CPU time of a thread"))?;
    Ok(Figure {
        name: "raw engine",
        n: figures.messages,
        seconds: figures.seconds,
        per_second: figures.per_second,
        cpu_us_per_message: Cpu { loa: cpu, sink: None, parts: None },
        rss_mib_peak: 0,
        raw: None,
        wait: None,
        goal: "≤ 1 µs",
        met: cpu <= 1.0,
    })
}
