//! Dispatch is killed again and again at the two moments at which it must not forget: when its rows are stored and their
//! records are not published, and when they are published and nothing is settled. It runs as a process of its own, so
//! nothing of a gateway dies with it: everybody is reached once, and nobody is in doubt.
//!
//! Must stay true: each moment is made, not hoped for: the log holds the record while PostgreSQL has the row; the carrier
//! holds its answers while the log has the record.

use std::time::Duration;

use loa_harness::claims::Releases;
use loa_harness::proxy::{Frame, Framing, Proxy, Way};
use loa_harness::{TestResult, books, say, wait_for};
use loa_runtime::Role;

use super::gate::Gate;
use super::submits::answered;
use super::{World, carrier_at, count, texts};

/// Kills at each moment; a long run takes 25.
const KILLS: u64 = 4;
/// Parts a second: slow enough that there is something to release at each moment.
const RATE: u32 = 60;
const LIMIT: Duration = Duration::from_secs(60);
/// People that a kill and a start may use up.
const PEOPLE_EACH: u64 = 250;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_dispatch_killed_at_its_two_moments_forgets_nobody() -> TestResult {
    let kills = count("LOA_DISPATCH_KILLS", KILLS);
    let people = kills * 2 * PEOPLE_EACH;
    let world = World::start().await?;
    let (at_log, at_carrier) = (Gate::new(), Gate::new());
    let (port, broker) = world.parts.kafka.proxied(0);
    let log = Proxy::start_on(port, broker, Framing::Kafka, at_log.rule(is_release)).await?;
    let answers = |frame: &Frame<'_>| answered(frame).is_some();
    let carrier = Proxy::start(world.sinks.carrier(0).addr(), Framing::Smpp, at_carrier.rule(answers)).await?;
    let brokers = format!("{:?}", world.parts.kafka.brokers_by_proxy());
    let options = carrier_at(world.site(), carrier.addr()).rate(RATE).apart(&[Role::Dispatch]);
    let mut site = options.set_second("log.brokers", brokers).start().await?;
    site.people(people).await?;
    let id = site.running(&texts()).await?;

    for kill in 1..=kills {
        let dispatch = site.cluster()?.second();
        let config = dispatch.config()?;
        // What it publishes again after a start is on the log already: that goes on, until it is a new row's.
        let (rows, records) = wait_for("a row whose record is not on the log", LIMIT, async || {
            at_log.shut();
            at_log.holds("a release on its way to the log").await?;
            let rows: usize = world
                .parts
                .postgres
                .answer(&world.place.database("dispatch"), "select count(*) from release")?
                .parse()?;
            let records = Releases::read(&config).await?.count();
            if rows > records {
                return Ok(Some((rows, records)));
            }
            at_log.open(&log);
            Ok(None)
        })
        .await?;
        dispatch.kill().await?;
        at_log.open_and_cut(&log);
        assert!(rows > records, "{rows} rows, {records} on the log: nothing was between them");
        dispatch.start_again().await?;

        at_carrier.shut();
        at_carrier.holds("an answer of the carrier").await?;
        site.cluster()?.second().kill().await?;
        at_carrier.open(&carrier);
        site.cluster()?.second().start_again().await?;
        say(format!("kill {kill} of {kills} at each moment: {} rows were not on the log", rows - records));
    }
    let open: u64 = site.ledger(&id).await?.variants.iter().map(|one| one.open).sum();
    assert!(open > 0, "the campaign was over before the last kill");
    // What is left may go faster than one at a time.
    let ledger = loa_harness::kills::over(&site, &id).await?;
    say(books::counts(&ledger));
    assert!(ledger.variants.iter().all(|one| one.delivered == people), "no gateway died, so nobody is in doubt");
    site.finish().await.map(drop)
}

/// A Produce request with a record of the lane.
fn is_release(frame: &Frame<'_>) -> bool {
    let is_produce = frame.bytes.get(4..6) == Some(&[0, 0]);
    frame.way == Way::ToServer && is_produce && frame.bytes.windows(LANE.len()).any(|octets| octets == LANE)
}

const LANE: &[u8] = b"sms.bulk.v1";
