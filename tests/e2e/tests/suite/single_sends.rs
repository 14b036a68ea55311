//! Single sends under an approved notice: by gRPC and by requests.v1, each once and answered on results.v1, urgent ones not
//! delayed by bulk; that delay is measured on the binary alone, since a storm delays what is read as it likes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use loa::keys::Keys;
use loa_contract::pb::dispatch::v1::SendRequest;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1::FindRequest;
use loa_contract::topics::{RequestsTopic, ResultsTopic, Topic as _};
use loa_harness::claims::records;
use loa_harness::clock::unix_us;
use loa_harness::seed::seed;
use loa_harness::storm::Weather;
use loa_harness::turns::{alone, beside_others};
use loa_harness::users::Users;
use loa_harness::{Fault, Kind, Plan, Site, SiteOptions, TestResult, fault, notice, say, wait_for};
use loa_ports::log::{Append, Log as _};
use loa_sim::people::People;
use prost::Message as _;
use tonic::{Code, Status};

const LIMIT: Duration = Duration::from_secs(40);
/// An urgent message is handed over so long after its acceptance, at most.
const URGENT_US: u64 = 1_000_000;
const BULK: u64 = 3_000;
const SINGLES: u64 = 40;

/// An approved notice for texts on the urgent lane; its id.
pub(crate) async fn approved_notice(users: &Users) -> Result<String, Fault> {
    let id = notice::written(users).await?;
    let own = registry::ApproveNoticeRequest { id: id.clone() };
    let refused = users.author.registry().approve_notice(own).await.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::PermissionDenied), "an author does not approve");
    notice::approved(users, &id).await?;
    Ok(id)
}

pub(crate) fn request(notice: &str, people: &People, person: u64) -> SendRequest {
    notice::send(notice, people.msisdn(person), format!("ho-so-{person}"))
}

pub(crate) async fn send(users: &Users, request: &SendRequest) -> Result<String, Fault> {
    // A notice that was just approved is known everywhere a moment later.
    wait_for("the send is taken in", LIMIT, async || {
        let answer = users.operator.dispatch().send(request.clone()).await?;
        Ok(Some(answer.into_inner().message_id))
    })
    .await
}

/// Waits until each person's message is delivered, as a look-up shows it.
async fn delivered(site: &Site, people: &People, persons: std::ops::Range<u64>) -> TestResult {
    for person in persons {
        wait_for("a single send is delivered", LIMIT, async || {
            let request = FindRequest { address: people.msisdn(person).to_string() };
            let found = site.users().operator.report().find(request).await?.into_inner().found;
            let singles = found.iter().filter(|found| found.campaign_title == notice::TITLE);
            let states: Vec<_> = singles.map(|found| (found.state.as_str(), found.reason.as_str())).collect();
            if states.iter().any(|(state, _)| *state == "delivered") {
                Ok(Some(()))
            } else {
                Err(fault(format!("{states:?}")))
            }
        })
        .await?;
    }
    Ok(())
}

async fn compared(site: &Site, people: &People, persons: std::ops::Range<u64>, campaigns: &[&str]) -> TestResult {
    let mut books = loa_harness::books::Books::new(site.sinks()).await?;
    for id in campaigns {
        books.add(site.users(), id).await?;
    }
    persons.for_each(|person| books.add_single("sms", people.msisdn(person)));
    books.check()?;
    site.nobody_is_printed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_sends_are_not_delayed_by_bulk() -> TestResult {
    let _turn = alone().await;
    let mut site = SiteOptions::process().rate(200).start().await?;
    let people = site.people(BULK + SINGLES).await?;
    let notice = approved_notice(site.users()).await?;
    let bulk = Plan { email: None, segment: "has mobile".to_owned(), ..Plan::default() };
    let campaign = site.running(&bulk).await?;
    site.accepted(200).await?;

    let mut accepted_us = BTreeMap::new();
    for person in 0..SINGLES {
        let request = request(&notice, &people, person);
        let id = send(site.users(), &request).await?;
        accepted_us.insert(people.msisdn(person).to_string(), unix_us());
        assert_eq!(send(site.users(), &request).await?, id, "the same key and body is the same message");
    }
    let other =
        SendRequest { slots: HashMap::from([("ten".to_owned(), "Mai".to_owned())]), ..request(&notice, &people, 0) };
    let other = site.users().operator.dispatch().send(other).await.err().map(|status| status.code());
    assert_eq!(other, Some(Code::Aborted), "the same key and another body");
    delivered(&site, &people, 0..SINGLES).await?;
    assert!(site.sims.accepted().0 < BULK, "bulk was over too early to prove anything");

    let single = texts_of(&site, "da xong").await?;
    let mut waits: Vec<u64> = Vec::new();
    for line in site.sims.sms_lines()? {
        if let Some(at_us) = accepted_us.get(&line.address).filter(|_| single.contains(&line.text_hash)) {
            waits.push(line.unix_us.saturating_sub(*at_us));
        }
    }
    waits.sort_unstable();
    assert_eq!(u64::try_from(waits.len())?, SINGLES, "each was handed over once");
    let longest = waits.last().copied().unwrap_or(0);
    say(format!(
        "urgent during bulk: {SINGLES} sends, longest wait {} ms, median {} ms",
        longest / 1_000,
        waits[waits.len() / 2] / 1_000
    ));
    assert!(longest <= URGENT_US, "an urgent message waited {} ms", longest / 1_000);

    site.cancel(&campaign).await?;
    site.finished(&campaign).await?;
    let strangers = request_without_slots(&notice);
    let refused =
        site.users().operator.dispatch().send(strangers).await.err().ok_or("a send without its slot was taken")?;
    assert_eq!(refused.code(), Code::InvalidArgument);
    compared(&site, &people, 0..SINGLES, &[&campaign]).await?;
    site.end().await
}

fn request_without_slots(notice: &str) -> SendRequest {
    SendRequest {
        notice_id: notice.to_owned(),
        to: "0912345678".to_owned(),
        slots: HashMap::new(),
        idempotency_key: "thieu".to_owned(),
        expires_at: None,
    }
}

/// Hashes of the texts in the sink that hold these words: singles and bulk differ in their text.
async fn texts_of(site: &Site, words: &str) -> Result<std::collections::HashSet<u64>, Fault> {
    let inbox = site.sims.smsc.inbox();
    let messages = inbox.search(words, usize::MAX);
    Ok(messages.iter().map(|message| loa_sim::log::text_hash(message.text.as_bytes())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_internal_services_are_sent_and_answered() -> TestResult {
    let _turn = beside_others().await;
    requests(SiteOptions::of(Kind::Storm(Weather::calm(seed("requests.v1"))))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_once_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    requests(SiteOptions::storm(seed("requests.v1 in a storm"))).await
}

async fn requests(options: SiteOptions) -> TestResult {
    let mut site = options.start().await?;
    let people = People { seed: 77, count: SINGLES, bad_rows: 0 };
    (0..SINGLES).for_each(|person| site.secrets.add_number(people.msisdn(person)));
    let notice = approved_notice(site.users()).await?;
    // Until the notice is known to a dispatch, it would refuse a request; one send by gRPC, the same to each, shows that it is.
    let keys = Keys::read(&site.data()).map_err(fault)?;
    for addresses in site.addresses() {
        send(&Users::of(addresses.grpc, &keys, None)?, &request(&notice, &people, 0)).await?;
    }

    for person in 1..SINGLES {
        append(&mut site, &notice, &people, person, "Lan").await?;
    }
    append(&mut site, &notice, &people, 1, "Lan").await?; // again
    append(&mut site, "no-such-notice", &people, 1, "Lan").await?;
    delivered(&site, &people, 0..SINGLES).await?;

    let answers = wait_for("every request is answered to its end", LIMIT, async || {
        let answers = results(&mut site).await?;
        let open = (1..SINGLES).filter(|person| !is_delivered(answers.get(&format!("ho-so-r{person}"))));
        match (open.count(), answers.contains_key("ho-so-sai")) {
            (0, true) => Ok(Some(answers)),
            (open, refused) => Err(fault(format!("{open} are open; the bad one is refused: {refused}"))),
        }
    })
    .await?;
    let asked = (1..SINGLES).map(|person| format!("ho-so-r{person}")).chain(["ho-so-sai".to_owned()]);
    let asked: BTreeSet<_> = asked.collect();
    assert_eq!(answers.keys().cloned().collect::<BTreeSet<_>>(), asked, "what was asked for by gRPC is not told");
    for (id, states) in &answers {
        if id == "ho-so-sai" {
            assert!(states.iter().all(|state| state == "refused"), "{states:?}");
        } else {
            assert_eq!(states.first().map(String::as_str), Some("accepted"), "{id}: {states:?}");
            assert!(!states.iter().any(|state| state == "refused"), "{id}: {states:?}");
        }
    }
    compared(&site, &people, 0..SINGLES, &[]).await?;
    site.end().await
}

/// Told of its acceptance and, after that, of its delivery.
fn is_delivered(states: Option<&Vec<String>>) -> bool {
    let place = |wanted: &str| states?.iter().position(|state| state == wanted);
    matches!((place("accepted"), place("delivered")), (Some(accepted), Some(delivered)) if accepted < delivered)
}

/// A CloudEvent in binary mode, as an internal service would produce it.
async fn append(site: &mut Site, notice: &str, people: &People, person: u64, name: &str) -> Result<(), Fault> {
    let body = event::SendRequest {
        notice_id: notice.to_owned(),
        to: people.msisdn(person).to_string(),
        slots: HashMap::from([("ten".to_owned(), name.to_owned())]),
        expires_at_us: 0,
    };
    let id = if notice == "no-such-notice" { "ho-so-sai".to_owned() } else { format!("ho-so-r{person}") };
    let header = |name: &str, value: &str| (name.to_owned(), bytes::Bytes::copy_from_slice(value.as_bytes()));
    let headers = vec![
        header("ce_specversion", "1.0"),
        header("ce_type", "vn.loa.send.v1"),
        header("ce_source", "mot-cua"),
        header("ce_id", &id),
        header("content-type", "application/protobuf"),
    ];
    let append = Append {
        topic: RequestsTopic::SPEC,
        partition: u32::try_from(person % 16)?,
        key: bytes::Bytes::new(),
        headers,
        value: body.encode_to_vec().into(),
    };
    let log = site.storm()?.log.clone();
    wait_for("the request is on the log", LIMIT, async || Ok(Some(log.append(vec![append.clone()]).await?)))
        .await
        .map(drop)
}

/// States of the answers so far, by subject.
async fn results(site: &mut Site) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records(site.storm()?.log.as_ref(), ResultsTopic::SPEC).await? {
        let subject = record.headers.iter().find(|(name, _)| name == "ce_subject");
        let subject = subject.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        let told = format!("{:?} {}", record.headers, String::from_utf8_lossy(&record.value));
        assert_eq!(site.secrets.found_in(&told), Vec::<usize>::new(), "a result holds neither address nor text");
        let result = event::SendResult::decode(record.value).map_err(|error| Status::internal(error.to_string()))?;
        answers.entry(subject).or_default().push(result.state);
    }
    Ok(answers)
}
