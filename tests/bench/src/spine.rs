//! The spine end to end: import, freeze, texts with receipts, 2 kB mails; claims and ledger on.
//!
//! Loa is a process of its own; the simulated carrier and mail server are in this one, and so is the raw SMPP engine that
//! is measured beside it. Each run begins on an empty folder and ends with equal books.

use std::time::{Duration, Instant};

use loa_harness::{Fault, Plan, Site, SiteOptions, fault, plan, say, usage};

use crate::figures::{self, Cpu, Figure};

const RUNS: usize = 3;
/// People of a run: each gets a text and a mail.
const PEOPLE: u64 = 100_000;
/// Texts of the raw engine.
const RAW_TEXTS: u64 = 1_000_000;
const WINDOW: u32 = 100;
const CONNECTIONS: u32 = 20;

/// Three runs, the median printed, all kept.
pub(crate) async fn run() -> Result<(), Fault> {
    let mut figures = Vec::new();
    for number in 1..=RUNS {
        say(format!("run {number} of {RUNS}"));
        one_run(&mut figures).await?;
    }
    figures::write("spine", &figures)
}

async fn one_run(figures: &mut Vec<Figure>) -> Result<(), Fault> {
    let mut site = SiteOptions::process()
        .set("sms.account.sim-a.prefixes", "[]")
        .set("sms.account.sim-a.partitions", "[\"0-62\"]")
        .set("sms.account.sim-a.window", WINDOW)
        .set("sms.account.sim-a.rate", 1_000_000)
        .set("sms.account.sim-b.prefixes", "[\"1\"]")
        .set("sms.account.sim-b.partitions", "[\"63\"]")
        .set("email.relay.sim-mail.rate", 1_000_000)
        .set("email.relay.sim-mail.connections", CONNECTIONS)
        .start()
        .await?;
    let meter = Meter::start(&mut site)?;
    site.people(PEOPLE).await?;
    figures.push(meter.stop(&mut site, "import", PEOPLE, "≥ 300,000 rows/s", |rate, _| rate >= 300_000.0)?);

    let text = Plan { title: "bench sms".to_owned(), email: None, ..Plan::default() };
    let draft = text.draft(site.users(), "bench-sms").await?;
    let meter = Meter::start(&mut site)?;
    plan::submit(site.users(), &draft).await?;
    figures.push(meter.stop(&mut site, "freeze", PEOPLE, "≥ 500,000/s", |rate, _| rate >= 500_000.0)?);
    plan::approved(site.users(), &draft).await?;
    send(&mut site, &draft, "sms", "≥ 50,000/s and ≤ 15 µs", |rate, cpu| rate >= 50_000.0 && cpu <= 15.0, figures)
        .await?;

    let mail = Plan { title: "bench email".to_owned(), sms: None, email: Some(two_kilobytes()), ..Plan::default() };
    let draft = mail.draft(site.users(), "bench-mail").await?;
    plan::submit(site.users(), &draft).await?;
    plan::approved(site.users(), &draft).await?;
    send(&mut site, &draft, "email", "≥ 8,000/s and ≤ 100 µs", |rate, cpu| rate >= 8_000.0 && cpu <= 100.0, figures)
        .await?;

    figures.push(raw(&site).await?);
    site.end().await
}

/// From the start of a campaign to its last final state, and equal books behind it.
async fn send(
    site: &mut Site,
    campaign: &str,
    name: &'static str,
    goal: &'static str,
    met: fn(f64, f64) -> bool,
    figures: &mut Vec<Figure>,
) -> Result<(), Fault> {
    let meter = Meter::start(site)?;
    plan::start(site.users(), campaign).await?;
    site.adopt(campaign.to_owned());
    let ledger = site.finished(campaign).await?;
    figures.push(meter.stop(site, name, PEOPLE, goal, met)?);
    let whole = ledger.variants.iter().all(|one| one.adds_up && one.repeated == 0 && one.open == 0);
    if whole { Ok(()) } else { Err(fault(format!("the ledger of {name} does not add up: {ledger:?}"))) }
}

/// A text body of about 2 kB without slots, and a short HTML one with a name.
fn two_kilobytes() -> (String, String, String) {
    let line = "Bà con nộp hồ sơ trực tuyến, theo dõi kết quả tại nhà, không cần xếp hàng. ";
    let html = format!("<p>Kính gửi <b>{{ten}}</b>,</p><p>{}</p>", line.repeat(8));
    ("Bến Tre: nộp hồ sơ trực tuyến".to_owned(), line.repeat(8), html)
}

/// The SMPP engine alone against the same carrier.
async fn raw(site: &Site) -> Result<Figure, Fault> {
    let addr = site.sims.smsc.addr();
    let measured = tokio::task::spawn_blocking(move || loa_smpp::engine::raw_engine(addr, RAW_TEXTS, WINDOW)).await?;
    let figures = measured.map_err(|error| fault(format!("the raw engine: {error}")))?;
    let cpu = figures.cpu_us_per_message.ok_or_else(|| fault("this machine tells no CPU time of a thread"))?;
    Ok(Figure {
        name: "raw engine",
        n: figures.messages,
        seconds: figures.seconds,
        per_second: figures.per_second,
        cpu_us_per_message: Cpu { loa: cpu, sink: None },
        rss_mib_peak: 0,
        goal: "≤ 1 µs",
        met: cpu <= 1.0,
    })
}

/// Time and CPU since it was started.
struct Meter {
    at: Instant,
    loa: Duration,
    own: Duration,
}

impl Meter {
    #[allow(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
    fn start(site: &mut Site) -> Result<Self, Fault> {
        let loa = usage::cpu(site.process()?.pid())?;
        Ok(Self { at: Instant::now(), loa, own: usage::cpu(std::process::id())? })
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    fn stop(
        self,
        site: &mut Site,
        name: &'static str,
        n: u64,
        goal: &'static str,
        met: fn(f64, f64) -> bool,
    ) -> Result<Figure, Fault> {
        let seconds = self.at.elapsed().as_secs_f64();
        let pid = site.process()?.pid();
        let each = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() * 1e6 / n as f64;
        let (loa, sink) = (each(usage::cpu(pid)?, self.loa), each(usage::cpu(std::process::id())?, self.own));
        let per_second = n as f64 / seconds;
        Ok(Figure {
            name,
            n,
            seconds,
            per_second,
            cpu_us_per_message: Cpu { loa, sink: Some(sink) },
            rss_mib_peak: usage::memory_kib(pid, "VmHWM")? / 1_024,
            goal,
            met: met(per_second, loa),
        })
    }
}
