//! Against the simulated mail world, whose log is the second book.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::Path;

use loa_ports::mailer::Mailer as _;
use loa_sim::log::{LogLine, SinkLog, lines, summary};
use loa_sim::mail::{Fault, Faults, MailConfig, MailWorld, Rule, Who};
use tokio::net::TcpListener;

use super::*;

async fn world(config: MailConfig) -> MailWorld {
    MailWorld::start(TcpListener::bind("127.0.0.1:0").await.expect("a port"), config).expect("a world")
}

fn rule(who: Who, fault: Fault) -> Rule {
    Rule { who, fault }
}

fn rules(rules: Vec<Rule>) -> MailConfig {
    MailConfig { faults: Faults { rules, ..Faults::default() }, ..MailConfig::default() }
}

fn to_one(number: u64) -> Who {
    Who::Address(address(number))
}

/// Sends `mails` over one connection to a world and gives back what each became.
async fn sent(config: MailConfig, mails: u64) -> (Vec<MailVerdict>, MailWorld, Arc<Letters>) {
    let world = world(config).await;
    let letters = Letters::count(mails);
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    let verdicts = letters.verdicts(usize::try_from(mails).expect("few")).await;
    connection.stop(LIMIT).await;
    (verdicts, world, letters)
}

fn logged(path: &Path) -> Vec<LogLine> {
    lines(path).expect("a log").map(|line| line.expect("a line")).collect()
}

#[tokio::test]
async fn mails_arrive_whole_and_connections_are_used_again() {
    for pipelining in [true, false] {
        let (verdicts, world, _) = sent(MailConfig { pipelining, ..MailConfig::default() }, 200).await;
        assert!(verdicts.iter().all(|verdict| *verdict == MailVerdict::Accepted));
        assert_eq!((world.stats().accepted, world.stats().connections), (200, 1));
        let mail = &world.inbox().to(&address(7), 1)[0];
        assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("mail 7", "Xin chao 7\r\n.\r\n"));
        assert_eq!(mail.return_path, "b+7@bounce.example.test");
        eventually("the connection is closed", || world.stats().connected == 0).await;
        world.stop().await;
    }
}

#[tokio::test]
async fn a_connection_carries_no_more_than_its_share() {
    for pipeline in [0, 1] {
        let world = world(MailConfig::default()).await;
        let letters = Letters::count(25);
        let relay = Relay { mails_per_connection_max: 10, pipeline, ..relay(&world.addr().to_string()) };
        let connection = mailer().open(&relay, 0, letters.clone());
        letters.verdicts(25).await;
        connection.stop(LIMIT).await;
        assert_eq!((world.stats().accepted, world.stats().connections), (25, 3));
        assert_eq!(letters.lock().connections, [Ok(()), Ok(()), Ok(())]);
        world.stop().await;
    }
}

#[tokio::test]
async fn each_refusal_has_its_verdict_and_costs_only_its_mail() {
    let refuse = |reply: &str| Fault::RefuseRecipient(reply.to_owned());
    let config = rules(vec![
        rule(to_one(2), refuse("550 5.1.1 <p2@example.test> no such user")),
        rule(to_one(4), refuse("450 4.2.1 too quickly")),
        rule(to_one(6), Fault::RefuseContent("552 5.2.2 full".to_owned())),
        rule(to_one(8), Fault::RefuseContent("550 5.7.26 unauthenticated".to_owned())),
    ]);
    let (verdicts, world, _) = sent(config, 9).await;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let expected = [
        MailVerdict::Accepted,
        MailVerdict::NoMailbox { reply: "550 5.1.1 … no such user".to_owned() },
        MailVerdict::Accepted,
        MailVerdict::Retry { after: minutes(30), reply: "450 4.2.1 too quickly".to_owned() },
        MailVerdict::Accepted,
        MailVerdict::Undelivered { reply: "552 5.2.2 full".to_owned() },
        MailVerdict::Accepted,
        MailVerdict::PolicyHalt { reply: "550 5.7.26 unauthenticated".to_owned() },
        MailVerdict::Accepted,
    ];
    assert_eq!(verdicts, expected);
    assert_eq!((world.stats().accepted, world.stats().refused, world.stats().connections), (5, 4, 1));
    world.stop().await;
}

#[tokio::test]
async fn greylisting_is_a_retry_that_succeeds() {
    let config = MailConfig { faults: Faults { greylist: true, ..Faults::default() }, ..MailConfig::default() };
    let (verdicts, world, letters) = sent(config, 3).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, MailVerdict::Retry { .. })), "{verdicts:?}");
    letters.lock().results.clear();
    (1..=3).for_each(|handle| letters.add(letter(handle, &address(handle))));
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    assert!(letters.verdicts(3).await.iter().all(|verdict| *verdict == MailVerdict::Accepted));
    connection.stop(LIMIT).await;
    world.stop().await;
}

#[tokio::test]
async fn a_throttling_server_is_left_and_tried_again() {
    let throttle = Fault::RefuseRecipient("421 4.7.0 too many".to_owned());
    let (verdicts, world, letters) = sent(rules(vec![rule(to_one(3), throttle)]), 5).await;
    let throttled = MailVerdict::Throttle { after: Duration::from_secs(300), reply: "421 4.7.0 too many".to_owned() };
    let ok = MailVerdict::Accepted;
    assert_eq!(verdicts, [ok.clone(), ok.clone(), throttled, ok.clone(), ok]);
    assert_eq!(world.stats().connections, 2);
    let away = "the server closed the connection with 421 4.7.0".to_owned();
    assert_eq!(letters.lock().connections, [Ok(()), Err(away), Ok(())]);
    world.stop().await;
}

#[tokio::test]
async fn a_lost_connection_leaves_in_doubt_only_what_may_have_arrived() {
    for (fault, expected, in_the_log) in [
        (Fault::TakeAndClose, "in doubt", true),
        (Fault::DropAndClose, "in doubt", false),
        (Fault::CloseInContent, "in doubt", false),
        (Fault::CloseAtData, "not written", false),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mail.log");
        let log = Arc::new(SinkLog::append_to(&path).expect("a log"));
        let config = MailConfig { log, ..rules(vec![rule(to_one(3), fault.clone())]) };
        let (verdicts, world, _) = sent(config, 6).await;
        world.stop().await;
        let arrived: BTreeSet<_> = logged(&path).into_iter().map(|line| line.address).collect();
        for (number, verdict) in (1..).zip(verdicts) {
            let word = match verdict {
                MailVerdict::Accepted => "accepted",
                MailVerdict::InDoubt => "in doubt",
                MailVerdict::NotWritten { .. } => "not written",
                other => panic!("{fault:?}: {other:?}"),
            };
            // Only the envelope of the mail behind it had left: that one may come back unwritten.
            match (number, word) {
                (3, word) => assert_eq!(word, expected, "{fault:?}"),
                (4, "not written") => {}
                (_, word) => assert_eq!(word, "accepted", "{fault:?} {number}"),
            }
            let there = if number == 3 { in_the_log } else { word == "accepted" };
            assert_eq!(arrived.contains(&address(number)), there, "{fault:?} {number}");
        }
    }
}

#[tokio::test]
async fn whatever_breaks_nobody_gets_a_mail_twice_and_the_books_agree() {
    const MAILS: u64 = 3_000;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mail.log");
    let log = Arc::new(SinkLog::append_to(&path).expect("a log"));
    let every = |count| Who::Every(NonZeroU64::new(count).expect("not zero"));
    let world = world(MailConfig {
        log,
        ..rules(vec![
            rule(every(97), Fault::TakeAndClose),
            rule(every(89), Fault::CloseAtData),
            rule(every(83), Fault::CloseInContent),
            rule(every(79), Fault::DropAndClose),
        ])
    })
    .await;
    let letters = Letters::count(MAILS);
    letters.lock().again = true;
    let relay = relay(&world.addr().to_string());
    let connections: Vec<_> = (0..8).map(|slot| mailer().open(&relay, slot, letters.clone())).collect();
    for part in 1..=4 {
        let answered = || letters.lock().results.len() as u64 >= MAILS * part / 5;
        eventually("a part of the mails is answered", answered).await;
        world.hang_up();
    }
    let verdicts = letters.verdicts(usize::try_from(MAILS).expect("few")).await;
    for connection in connections {
        connection.stop(LIMIT).await;
    }
    world.stop().await;

    assert_eq!(summary(&path).expect("a log").repeated, 0);
    let mut arrived: BTreeMap<_, _> = logged(&path).into_iter().map(|line| (line.address, line.id)).collect();
    let mut in_doubt = 0;
    for (number, verdict) in (1..).zip(verdicts) {
        let there = arrived.remove(&address(number)).is_some();
        match verdict {
            MailVerdict::Accepted => assert!(there, "{number} was accepted and did not arrive"),
            MailVerdict::InDoubt => in_doubt += 1,
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(arrived.len(), 0, "nothing arrived that was not sent");
    assert!((30..300).contains(&in_doubt), "{in_doubt} in doubt");
}

#[tokio::test]
async fn connects_when_there_is_work_and_says_what_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let letters = Letters::count(0);
    let connection = mailer().open(&relay(&address.to_string()), 0, letters.clone());
    tokio::task::yield_now().await;
    assert!(letters.lock().connections.is_empty(), "nothing to send, nothing tried");
    letters.add(letter(1, "an@example.test"));
    eventually("it has failed", || !letters.lock().connections.is_empty()).await;
    let why = letters.lock().connections[0].clone().expect_err("nobody listens");
    assert!(why.starts_with(&format!("could not connect to {address}; check that the relay runs")), "{why}");
    assert_eq!(letters.lock().pulled, 0, "no mail is taken for a connection that is not there");

    let world = MailWorld::start(TcpListener::bind(address).await.expect("the port"), MailConfig::default());
    assert_eq!(letters.verdicts(1).await, [MailVerdict::Accepted]);
    connection.stop(LIMIT).await;
    world.expect("a world").stop().await;
}

#[tokio::test]
async fn a_stop_answers_everything_that_was_pulled() {
    let faults = Faults { latency: Duration::from_millis(5), ..Faults::default() };
    let world = world(MailConfig { faults, ..MailConfig::default() }).await;
    let letters = Letters::count(1_000);
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    eventually("some are answered", || letters.lock().results.len() >= 3).await;
    connection.stop(LIMIT).await;
    let (results, pulled, waiting) = {
        let state = letters.lock();
        (state.results.clone(), state.pulled, state.queue.len())
    };
    assert!(results.iter().all(|result| result.verdict == MailVerdict::Accepted));
    assert_eq!((results.len(), pulled + waiting), (pulled, 1_000));
    assert_eq!(world.stats().accepted, pulled as u64);
    world.stop().await;
}

#[tokio::test]
async fn a_paced_source_is_asked_again() {
    let world = world(MailConfig::default()).await;
    let letters = Letters::count(20);
    letters.lock().pace = Some(Duration::from_millis(2));
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    letters.verdicts(20).await;
    connection.stop(LIMIT).await;
    world.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_made_again() {
    let world = world(MailConfig::default()).await;
    let letters = Letters::count(1);
    let mailer = mailer().with_timeouts(Timeouts { idle: Duration::from_millis(20), ..Timeouts::default() });
    let connection = mailer.open(&relay(&world.addr().to_string()), 0, letters.clone());
    letters.verdicts(1).await;
    eventually("the idle connection is closed", || world.stats().connected == 0).await;
    letters.add(letter(2, &address(2)));
    letters.verdicts(2).await;
    assert_eq!(world.stats().connections, 2);
    connection.stop(LIMIT).await;
    world.stop().await;
}

#[tokio::test]
async fn a_connection_that_failed_comes_back_before_there_is_work() {
    let (verdicts, world, letters) = {
        let world = world(rules(vec![rule(to_one(1), Fault::TakeAndClose)])).await;
        let letters = Letters::count(1);
        let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
        let verdicts = letters.verdicts(1).await;
        let comes_back = || letters.lock().connections.iter().filter(|state| state.is_ok()).count() == 2;
        eventually("the connection is open again", comes_back).await;
        connection.stop(LIMIT).await;
        (verdicts, world, letters)
    };
    assert_eq!(verdicts, [MailVerdict::InDoubt]);
    assert!(matches!(letters.lock().connections.as_slice(), [Ok(()), Err(_), Ok(())]));
    world.stop().await;
}

#[tokio::test]
async fn a_server_that_clears_up_idle_connections_is_well() {
    let world = world(MailConfig::default()).await;
    let letters = Letters::count(1);
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    letters.verdicts(1).await;
    world.hang_up();
    eventually("the connection is closed", || world.stats().connected == 0).await;
    letters.add(letter(2, &address(2)));
    letters.verdicts(2).await;
    assert_eq!(letters.lock().connections, [Ok(()), Ok(())]);
    connection.stop(LIMIT).await;
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_at_all_is_answered_without_the_server() {
    let world = world(MailConfig { mail_octets_max: 1_000, ..MailConfig::default() }).await;
    let letters = Letters::of(["a b@example.test".to_owned(), address(2), address(3)]);
    letters.lock().queue[1].data = vec![b'x'; 1_001].into();
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    let verdicts = letters.verdicts(3).await;
    let reply = "the address holds a character that cannot stand in an envelope".to_owned();
    assert_eq!(verdicts[0], MailVerdict::NoMailbox { reply });
    assert!(matches!(&verdicts[1], MailVerdict::PolicyHalt { reply } if reply.contains("1000 octets")));
    assert_eq!(verdicts[2], MailVerdict::Accepted);
    connection.stop(LIMIT).await;
    world.stop().await;
}

#[tokio::test]
async fn a_server_that_parts_in_good_order_leaves_nothing_in_doubt() {
    let faults = Faults { mails_per_connection_max: NonZeroU64::new(7), ..Faults::default() };
    let world = world(MailConfig { faults, ..MailConfig::default() }).await;
    let letters = Letters::count(30);
    let connection = mailer().open(&relay(&world.addr().to_string()), 0, letters.clone());
    let verdicts = letters.verdicts(30).await;
    connection.stop(LIMIT).await;
    let accepted = verdicts.iter().filter(|verdict| **verdict == MailVerdict::Accepted).count();
    // The mail whose envelope met the 421 is told to wait, or was not written at all.
    let waits =
        |verdict: &MailVerdict| matches!(verdict, MailVerdict::Throttle { .. } | MailVerdict::NotWritten { .. });
    assert_eq!(accepted as u64, world.stats().accepted);
    assert_eq!(accepted + verdicts.iter().filter(|verdict| waits(verdict)).count(), 30);
    world.stop().await;
}
