//! How long an urgent text waits from its acceptance to the carrier while bulk runs, once with accounts that bulk keeps
//! full, once with a machine that bulk keeps full.
//!
//! Must stay true: every send was accepted while bulk was running; the books of both add up.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use loa_harness::books::Books;
use loa_harness::clock::unix_us;
use loa_harness::wait::{patiently, wait_for};
use loa_harness::{Fault, Plan, SiteOptions, fault, notice, say};
use loa_sim::people::People;

use crate::figures::{self, Figure, Waits};
use crate::meter::{Goal, Meter};
use crate::spine::fast;
use crate::world::{On, Servers};

/// Recipients of the bulk campaign.
const BULK: u64 = 200_000;
/// Urgent sends of a run, at most.
const SENDS_MAX: u64 = 2_000;
/// Between two sends, while accounts are the limit.
const EVERY: Duration = Duration::from_millis(10);
/// Texts a second of both accounts together, while accounts are the limit.
const RATE: u32 = 10_000;
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);
/// The goal is about the wait; see [`one_run`].
const GOAL: Goal = Goal { words: "p99 < 1 s", met: |_, _| true };
const P99_MS: f64 = 1_000.0;

/// Both runs.
pub(crate) async fn run(on: On, servers: &Servers) -> Result<(), Fault> {
    let full_accounts = one_run(on, servers, "accounts full", |options| options.rate(RATE), EVERY).await?;
    let full_machine = one_run(on, servers, "machine full", fast, Duration::ZERO).await?;
    figures::write("urgent", on, servers.settings(), &[full_accounts, full_machine])
}

async fn one_run(
    on: On,
    servers: &Servers,
    name: &'static str,
    with: fn(SiteOptions) -> SiteOptions,
    every: Duration,
) -> Result<Figure, Fault> {
    say(format!("{} parts, urgent, {name}", on.name()));
    let mut world = on.start(servers, with).await?;
    let bulk = world.site.people(BULK).await?;
    let known: HashSet<u64> = (0..BULK).map(|person| bulk.msisdn(person)).collect();
    let notice = notice::written(world.site.users()).await?;
    notice::approved(world.site.users(), &notice).await?;
    let text = Plan { email: None, segment: "has mobile".to_owned(), ..Plan::default() };
    let campaign = world.site.running(&text).await?;
    world.site.accepted(BULK / 100).await?;

    let meter = Meter::start(&mut world)?;
    let strangers = People { seed: 7, count: SENDS_MAX, bad_rows: 0 };
    let (mut sent, mut accepted_us) = (Vec::new(), HashMap::new());
    for person in 0..SENDS_MAX {
        let msisdn = strangers.msisdn(person);
        if world.site.sims.accepted().0 >= BULK * 9 / 10 {
            break;
        }
        if known.contains(&msisdn) || accepted_us.contains_key(&msisdn.to_string()) {
            continue;
        }
        world.site.secrets.add_number(msisdn);
        let request = notice::send(&notice, msisdn, format!("urgent-{person}"));
        let users = world.site.users();
        patiently(async || users.operator.dispatch().send(request.clone()).await).await?;
        accepted_us.insert(msisdn.to_string(), unix_us());
        sent.push(msisdn);
        tokio::time::sleep(every).await;
    }
    let measured = meter.measured();
    let sends = u64::try_from(sent.len())?;
    let waits_us: Vec<u64> = wait_for("every urgent text has arrived", ARRIVE_WITHIN, async || {
        let lines = world.site.sims.sms_lines()?;
        let of_sends =
            lines.iter().filter_map(|line| Some(line.unix_us.saturating_sub(*accepted_us.get(&line.address)?)));
        let waits: Vec<u64> = of_sends.collect();
        Ok((waits.len() >= sent.len()).then_some(waits))
    })
    .await?;
    world.site.finished(&campaign).await?;
    let mut books = Books::new(&world.site.sims).await?;
    books.add(world.site.users(), &campaign).await?;
    sent.iter().for_each(|msisdn| books.add_single("sms", msisdn));
    books.check()?;
    let wait = Waits::of(waits_us).ok_or_else(|| fault("bulk was over before anything urgent was sent"))?;
    let figure = meter.figure(&mut world, (name, sends), measured, GOAL)?;
    world.stop().await?;
    Ok(Figure { met: wait.p99_ms < P99_MS, wait: Some(wait), ..figure })
}
