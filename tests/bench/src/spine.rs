//! The spine end to end: import, freeze, texts with receipts, 2 kB mails; claims and ledger on.
//!
//! Loa is a process of its own; the simulated carrier and mail server are in this one, and so is the raw SMPP engine that
//! is measured beside it. Each run begins on an empty folder and ends with equal books.

use std::time::{Duration, Instant};

use loa_harness::sims::Sims;
use loa_harness::wait::until;
use loa_harness::{Fault, Plan, Site, SiteOptions, fault, plan, say, usage};
use loa_sim::people::People;
use loa_sim::smsc::Receipts;

use crate::figures::{self, Cpu, Figure, Raw};

const RUNS: usize = 3;
/// People of a run: each gets a text and a mail.
const PEOPLE: u64 = 300_000;
/// Texts of the raw engine.
const RAW_TEXTS: u64 = 1_000_000;
const WINDOW: u32 = 100;
const CONNECTIONS: u32 = 20;
/// How long the last receipts may take.
const RECEIPTS_LIMIT: Duration = Duration::from_secs(60);

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
        .set("telemetry.level", "info")
        .start()
        .await?;
    // The raw engine first, while nothing else runs.
    let raw = raw().await?;
    let raw_per_second = Some(Raw { per_second: raw.per_second });
    figures.push(raw);

    let people = People { seed: 1, count: PEOPLE, bad_rows: 0 };
    let mut file = Vec::new();
    people.write(&mut file)?;
    let meter = Meter::start(&mut site)?;
    plan::import_file(site.users(), &file, plan::DATASET).await?;
    let measured = meter.measured();
    figures.push(meter.figure(&mut site, "import", measured, "≥ 300,000 rows/s", |rate, _| rate >= 300_000.0)?);

    let text = Plan { title: "bench sms".to_owned(), email: None, ..Plan::default() };
    let draft = text.draft(site.users(), "bench-sms").await?;
    let meter = Meter::start(&mut site)?;
    plan::submit(site.users(), &draft).await?;
    let measured = meter.measured();
    figures.push(meter.figure(&mut site, "freeze", measured, "≥ 500,000/s", |rate, _| rate >= 500_000.0)?);
    plan::approved(site.users(), &draft).await?;
    let mut sms =
        send(&mut site, &draft, "sms", "≥ 50,000/s and ≤ 15 µs", |rate, cpu| rate >= 50_000.0 && cpu <= 15.0).await?;
    sms.raw = raw_per_second;
    figures.push(sms);

    let mail = Plan { title: "bench email".to_owned(), sms: None, email: Some(two_kilobytes()), ..Plan::default() };
    let draft = mail.draft(site.users(), "bench-mail").await?;
    plan::submit(site.users(), &draft).await?;
    plan::approved(site.users(), &draft).await?;
    let goal = "≥ 8,000/s and ≤ 100 µs";
    figures.push(send(&mut site, &draft, "email", goal, |rate, cpu| rate >= 8_000.0 && cpu <= 100.0).await?);
    site.finish().await.map(drop)
}

/// A campaign. Its time is from the start until the sinks have accepted everything and every receipt was acknowledged (they
/// are asked, so that nobody keeps Loa busy with questions); its CPU is what Loa used until the ledger was final.
async fn send(
    site: &mut Site,
    campaign: &str,
    name: &'static str,
    goal: &'static str,
    met: fn(f64, f64) -> bool,
) -> Result<Figure, Fault> {
    let (texts, mails) = site.sims.accepted();
    let receipts = site.sims.smsc.stats().receipts_acknowledged;
    let meter = Meter::start(site)?;
    plan::start(site.users(), campaign).await?;
    site.adopt(campaign.to_owned());
    site.accepted(texts + mails + PEOPLE).await?;
    if name == "sms" {
        let acknowledged = async || site.sims.smsc.stats().receipts_acknowledged >= receipts + PEOPLE;
        until("every receipt is acknowledged", RECEIPTS_LIMIT, acknowledged).await?;
    }
    let measured = meter.measured();
    let ledger = site.finished(campaign).await?;
    let figure = meter.figure(site, name, measured, goal, met)?;
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
        cpu_us_per_message: Cpu { loa: cpu, sink: None },
        rss_mib_peak: 0,
        raw: None,
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

    /// Time since the start.
    fn measured(&self) -> Duration {
        self.at.elapsed()
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    fn figure(
        self,
        site: &mut Site,
        name: &'static str,
        measured: Duration,
        goal: &'static str,
        met: fn(f64, f64) -> bool,
    ) -> Result<Figure, Fault> {
        let (n, seconds) = (PEOPLE, measured.as_secs_f64());
        let pid = site.process()?.pid();
        let each = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() * 1e6 / n as f64;
        let (loa, sink) = (each(usage::cpu(pid)?, self.loa), each(usage::cpu(std::process::id())?, self.own));
        let per_second = n as f64 / seconds;
        let cpu_us_per_message = Cpu { loa, sink: Some(sink) };
        let rss_mib_peak = usage::memory_kib(pid, "VmHWM")? / 1_024;
        let met = met(per_second, loa);
        Ok(Figure { name, n, seconds, per_second, cpu_us_per_message, rss_mib_peak, raw: None, goal, met })
    }
}
