//! A freeze is killed when it has asked for six tenths of the suppression list, and done again by the other process while
//! people have opted out: what is frozen is one of the two sets, whole, and nobody who opted out is sent to.
//!
//! Must stay true: the place of the kill is made: the freeze asks shard by shard who is suppressed, and a proxy holds the
//! answer from that question on until its asker is dead.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loa_contract::pb::audience::v1::{AddSuppressionRequest, Suppression};
use loa_contract::pb::registry::v1::SubmitCampaignRequest;
use loa_domain::limits::SHARDS;
use loa_domain::state::{Reason, RecipientState};
use loa_harness::proxy::{Frame, Framing, Proxy, Rule, Verdict, Way};
use loa_harness::wait::patiently;
use loa_harness::{Fault, Plan, TestResult, books, fault, plan, say, wait_for};
use loa_real::parts::Place;

use super::World;

const PEOPLE: u64 = 2_000;
/// Who opts out: every so-manieth person.
const EVERY: usize = 10;
const CHANNELS: u64 = 2;
const LIMIT: Duration = Duration::from_secs(60);
/// The question of a freeze.
const ASKS: &[u8] = b"select distinct hash from suppression";

/// How often a freeze has asked, and who is held.
#[derive(Default)]
struct Questions {
    /// Statements that ask, by process and connection.
    prepared: HashMap<(usize, u64), HashSet<Vec<u8>>>,
    asked: u64,
    /// Held from this question on.
    held_from: Option<u64>,
    /// The process whose question is held.
    held: Option<usize>,
}

impl Questions {
    fn look(&mut self, process: usize, frame: &Frame<'_>) -> Verdict {
        let Some((&kind, rest)) = frame.bytes.split_first() else { return Verdict::Pass };
        let mut texts = rest.get(4..).unwrap_or_default().split(|octet| *octet == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        let prepared = self.prepared.entry((process, frame.connection)).or_default();
        match (frame.way, kind) {
            // Parse: the statement's name, its words.
            (Way::ToServer, b'P') if second.starts_with(ASKS) => drop(prepared.insert(first.to_vec())),
            // Bind: the portal, the statement's name.
            (Way::ToServer, b'B') if prepared.contains(second) => {
                self.asked += 1;
                if self.held_from.is_some_and(|from| self.asked >= from) {
                    self.held = Some(process);
                    return Verdict::Hold;
                }
            }
            _ => {}
        }
        Verdict::Pass
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn witness_a_freeze_that_was_killed_is_whole_or_not_at_all() -> TestResult {
    let world = World::start().await?;
    let questions = Arc::new(Mutex::new(Questions::default()));
    let mut stores = Vec::new();
    for process in 0..2 {
        let questions = Arc::clone(&questions);
        let rule: Rule =
            Arc::new(move |frame| questions.lock().map_or(Verdict::Pass, |mut all| all.look(process, &frame)));
        stores.push(Proxy::start(world.parts.postgres.addr(), Framing::Postgres, rule).await?);
    }
    let place = Place { store: world.parts.place.store_by(stores[0].addr()), ..world.parts.place.clone() };
    let second = format!("{:?}", world.parts.place.store_by(stores[1].addr()));
    let site = place.site().sinks(Arc::clone(&world.sinks) as _).set_second("store.url", second);
    let mut site = site.start().await?;
    let people = site.people(PEOPLE).await?;

    let whole = u64::from(SHARDS) * CHANNELS;
    let tell = |held_from: Option<u64>| {
        let mut questions = questions.lock().map_err(|_| fault("a rule failed"))?;
        (questions.held_from, questions.asked) = (held_from, 0);
        Ok::<_, Fault>(())
    };
    tell(Some(whole * 6 / 10))?;
    let id = Plan::default().draft(site.users(), "bi-ngat").await?;
    site.adopt(id.clone());
    let submit = SubmitCampaignRequest { id: id.clone() };
    patiently(async || site.users().author.registry().submit_campaign(submit.clone()).await).await?;
    let victim = wait_for("a freeze has come that far", LIMIT, async || {
        Ok(questions.lock().map_err(|_| fault("a rule failed"))?.held)
    })
    .await?;
    let cluster = site.cluster()?;
    let victims = if victim == 0 { cluster.first() } else { cluster.second() };
    victims.kill().await?;
    tell(None)?;
    stores[victim].cut_all();

    let other = if victim == 0 { cluster.second() } else { cluster.first() };
    let other = other.users.clone();
    let mut opted_out = BTreeSet::new();
    for person in (0..PEOPLE).step_by(EVERY) {
        for address in [people.msisdn(person).to_string(), people.mailbox(person)] {
            let suppression = Suppression { address: address.clone(), ..Default::default() };
            let request = AddSuppressionRequest { suppression: Some(suppression) };
            patiently(async || other.operator.audience().add_suppression(request.clone()).await).await?;
            opted_out.insert(address);
        }
    }
    let victims = if victim == 0 { site.cluster()?.first() } else { site.cluster()?.second() };
    victims.start_again().await?;
    let frozen = wait_for("the freeze is done again", LIMIT, async || {
        let campaign = site.campaign(&id).await?;
        Ok((campaign.state == "submitted").then_some(campaign.freeze).flatten())
    })
    .await?;

    let out = opted_out.len() as u64 / CHANNELS;
    let sets: BTreeSet<u64> = frozen.variants.iter().map(|variant| variant.frozen).collect();
    say(format!(
        "process {victim} was killed at {} of {whole} questions; frozen {sets:?}, {out} opted out",
        whole * 6 / 10
    ));
    assert!(sets == [PEOPLE].into() || sets == [PEOPLE - out].into(), "neither set: {sets:?}");
    for variant in &frozen.variants {
        let excluded: u64 = variant.excluded.values().sum();
        assert_eq!(variant.frozen + excluded, frozen.selected, "the manifest does not add up: {variant:?}");
    }
    plan::approved(site.users(), &id).await?;
    plan::start(site.users(), &id).await?;
    say(books::counts(&site.finished(&id).await?));
    let books = site.finish().await?;

    let everybody = (0..PEOPLE).flat_map(|person| [people.msisdn(person).to_string(), people.mailbox(person)]);
    let wanted: BTreeSet<String> = match sets.contains(&PEOPLE) {
        true => everybody.collect(),
        false => everybody.filter(|address| !opted_out.contains(address)).collect(),
    };
    let found: BTreeSet<String> = books.page()?.lines.iter().map(|line| line.address.clone()).collect();
    assert!(found == wanted, "{} of {} are frozen", found.len(), wanted.len());
    for line in books.page()?.lines.iter().filter(|line| opted_out.contains(&line.address)) {
        assert_eq!((line.state, line.reason), (RecipientState::Skipped, Reason::Suppressed));
    }
    Ok(())
}
