//! The answer to the COMMIT of a claim is lost: the transaction took effect, the connection is gone. The gateway asks again
//! under its own name and nonce, finds its own claim, and goes on; nobody is in doubt and nobody gets anything twice.
//!
//! Must stay true: a connection is cut only when PostgreSQL has said that the transaction with the claims is committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use loa_harness::proxy::{Frame, Framing, Proxy, Rule, Verdict, Way};
use loa_harness::{Plan, TestResult, books, say};
use loa_real::parts::Place;

use super::World;

const PEOPLE: u64 = 800;
const RATE: u32 = 200;
/// So many answers pass between two that are lost.
const EVERY: u32 = 4;
/// Answers that must have been lost.
const LOST_MIN: u32 = 10;

/// One connection as it stands.
#[derive(Default)]
struct Connection {
    /// Prepared statements that store claims, and those that are COMMIT.
    claims: HashSet<Vec<u8>>,
    commits: HashSet<Vec<u8>>,
    /// The transaction stores claims.
    has_claims: bool,
    /// Its COMMIT is on its way.
    is_committing: bool,
}

#[derive(Default)]
struct Losing {
    connections: HashMap<u64, Connection>,
    committed: u32,
    lost: u32,
}

impl Losing {
    fn look(&mut self, frame: &Frame<'_>) -> Verdict {
        let connection = self.connections.entry(frame.connection).or_default();
        let Some((&kind, rest)) = frame.bytes.split_first() else { return Verdict::Pass };
        let mut texts = rest.get(4..).unwrap_or_default().split(|octet| *octet == 0);
        let mut text = || texts.next().unwrap_or_default();
        match (frame.way, kind) {
            // Parse: the statement's name, its words.
            (Way::ToServer, b'P') => {
                let (name, words) = (text().to_vec(), text());
                connection.claims.remove(&name);
                connection.commits.remove(&name);
                if words.starts_with(b"insert into claim (") {
                    connection.claims.insert(name);
                } else if words.eq_ignore_ascii_case(b"commit") {
                    connection.commits.insert(name);
                }
            }
            // Bind: the portal, the statement's name.
            (Way::ToServer, b'B') => {
                let (_portal, name) = (text(), text());
                connection.has_claims |= connection.claims.contains(name);
                connection.is_committing |= connection.commits.contains(name);
            }
            (Way::ToServer, b'Q') => connection.is_committing |= text().eq_ignore_ascii_case(b"commit"),
            // CommandComplete.
            (Way::ToClient, b'C') if connection.is_committing && text() == b"COMMIT" => {
                let of_claims = std::mem::take(&mut connection.has_claims);
                connection.is_committing = false;
                self.committed += u32::from(of_claims);
                if of_claims && self.committed.is_multiple_of(EVERY) {
                    self.lost += 1;
                    return Verdict::Cut;
                }
            }
            _ => {}
        }
        Verdict::Pass
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_lost_answers_to_commits_of_claims_cost_nobody_anything() -> TestResult {
    let world = World::start().await?;
    let losing = Arc::new(Mutex::new(Losing::default()));
    let rule: Rule = {
        let losing = Arc::clone(&losing);
        Arc::new(move |frame| losing.lock().map_or(Verdict::Pass, |mut losing| losing.look(&frame)))
    };
    let store = Proxy::start(world.parts.postgres.addr(), Framing::Postgres, rule).await?;
    let place = Place { store: world.parts.place.store_by(store.addr()), ..world.parts.place.clone() };
    let mut site = place.site().sinks(Arc::clone(&world.sinks) as _).rate(RATE).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    let ledger = site.finished(&id).await?;
    let (lost, committed) = losing.lock().map(|losing| (losing.lost, losing.committed)).map_err(|_| "a rule failed")?;
    say(format!("{lost} answers of {committed} COMMITs with claims were lost; {}", books::counts(&ledger)));
    assert!(lost >= LOST_MIN, "only {lost} answers were lost");
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "who asks again finds its own claim");
    site.finish().await.map(drop)
}
