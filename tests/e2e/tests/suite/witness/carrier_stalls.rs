//! A carrier stops answering ten seconds before the hours end and answers again five minutes after: nothing is handed over
//! outside of the hours, and who did not get the text gets it the next day, once.
//!
//! The wall clock is turned, which only instances in this process can have; so log and stores are the embedded ones, in calm
//! weather, and the message centre is somebody else's.
//!
//! Must stay true: the time of a hand-over is that at which the text reaches the proxy in front of the message centre.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loa_contract::pb::event::v1::Class;
use loa_domain::state::RecipientState;
use loa_harness::clock::TurnedClock;
use loa_harness::proxy::{Framing, Proxy, Rule, Verdict};
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::alone;
use loa_harness::{Kind, Plan, SiteOptions, TestResult, books, say, wait_for};
use loa_ports::clock::Clock as _;
use loa_real::ThirdParty;

use super::submits::{answered, submit};
use super::{carrier_at, texts};

const PEOPLE: u64 = 1_500;
const RATE: u32 = 60;
const OPENS: i64 = 7 * HOUR_S;
const CLOSES: i64 = 22 * HOUR_S;
const HOUR_S: i64 = 3_600;
/// An hour after they open again.
const NEXT_DAY: i64 = 24 * HOUR_S + OPENS + HOUR_S;
const LIMIT: Duration = Duration::from_secs(60);

/// What passed the proxy, and whether the carrier answers.
#[derive(Default)]
struct Line {
    is_stalled: bool,
    /// When each text arrived, microseconds of the turned clock.
    handed_over_us: Vec<i64>,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_carrier_that_stalls_over_the_end_of_hours_gets_nothing_at_night() -> TestResult {
    let _turn = alone().await;
    let sinks = Arc::new(ThirdParty::start().await?);
    let (clock, line) = (TurnedClock::new(), Arc::new(Mutex::new(Line::default())));
    let rule: Rule = {
        let (clock, line) = (Arc::clone(&clock), Arc::clone(&line));
        Arc::new(move |frame| {
            let Ok(mut line) = line.lock() else { return Verdict::Pass };
            if submit(&frame).is_some() {
                line.handed_over_us.push(clock.now_us());
            }
            // Silent are its answers; what it has heard before it has heard.
            if line.is_stalled && answered(&frame).is_some() { Verdict::Hold } else { Verdict::Pass }
        })
    };
    let carrier = Proxy::start(sinks.carrier(0).addr(), Framing::Smpp, rule).await?;
    // A receipt that is older than its text is none: the carrier's dates are of the last day from the first.
    clock.turn_to_local(NEXT_DAY);
    sinks.carrier(0).turn_clock(clock.ahead_us() / 1_000_000)?;
    clock.turn_to_local(CLOSES - HOUR_S);
    let calm = Kind::Storm(Weather::calm(seed("a carrier stalls")));
    let options = SiteOptions { clock: Arc::clone(&clock), ..SiteOptions::of(calm) }.sinks(Arc::clone(&sinks) as _);
    let mut site = carrier_at(options, carrier.addr()).rate(RATE).legal_hours().start().await?;
    site.people(PEOPLE).await?;
    let minutes = |seconds: i64| u32::try_from(seconds / 60).unwrap_or(0);
    let plan = Plan { class: Class::CustomerCare, hours: Some((minutes(OPENS), minutes(CLOSES))), ..texts() };
    let id = site.approved(&plan).await?;
    clock.turn_to_local(CLOSES - 15);
    loa_harness::plan::start(site.users(), &id).await?;

    let reached = async |second: i64| {
        let reached = async || Ok((clock.local_second() >= second).then_some(()));
        wait_for("the clock goes on", LIMIT, reached).await
    };
    reached(CLOSES - 10).await?;
    let stall =
        |is_stalled: bool| line.lock().map(|mut line| line.is_stalled = is_stalled).map_err(|_| "a rule failed");
    stall(true)?;
    reached(CLOSES + 3).await?;
    clock.turn_to_local(CLOSES + 5 * 60);
    stall(false)?;
    carrier.release();
    reached(CLOSES + 5 * 60 + 4).await?;
    let at_night = line.lock().map(|line| line.handed_over_us.clone()).map_err(|_| "a rule failed")?;
    let closed_us = clock.local_us(CLOSES);
    say(format!("{} texts before the end of hours, {} in the night", at_night.len(), late(&at_night, closed_us)));
    assert!(!at_night.is_empty(), "nothing was under way when the carrier stalled");
    assert_eq!(late(&at_night, closed_us), 0, "texts were handed over after the hours");
    assert_eq!(site.ledger(&id).await?.state, "running");

    clock.turn_to_local(NEXT_DAY);
    let ledger = site.finished(&id).await?;
    say(books::counts(&ledger));
    let books = site.finish().await?;
    let in_doubt = books.page()?.in_state(RecipientState::InDoubt).count();
    let all = line.lock().map(|line| line.handed_over_us.len()).map_err(|_| "a rule failed")?;
    assert_eq!(all as u64, PEOPLE, "everybody was handed over once");
    assert!(in_doubt <= at_night.len(), "in doubt is only what the carrier did not answer");
    Ok(())
}

/// How many are later than that.
fn late(handed_over_us: &[i64], than_us: i64) -> usize {
    handed_over_us.iter().filter(|at_us| **at_us >= than_us).count()
}
