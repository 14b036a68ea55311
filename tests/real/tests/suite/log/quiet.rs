//! What a broker that runs on does with the log: what every log must do, topics, logins, and what lag tools are told.
//!
//! Must stay true: all tests here share one broker, and nobody kills it; each has a prefix of its own.

use std::sync::{Arc, Weak};

use loa_harness::authority::Authority;
use loa_harness::turns::beside_others;
use loa_harness::wait::until;
use loa_harness::{Fault, TestResult, fault, say};
use loa_kafka::{COMPACTION_LAG, KafkaConfig, KafkaLog, Mechanism, OpenError, Report, Sasl, Tls, apply, verify};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::{Log as _, Position};
use loa_real::kafka::{Kafka, PASSWORD, USER};
use loa_testkit::FakeClock;
use loa_testkit::suites::log::{LogUnderTest, log_holds};
use tokio::sync::Mutex;

use super::aged::{Admin, Aged, BACK, committed};
use super::{READ_WITHIN, WIDE, config, next, open, record};

/// The broker, while a test has it.
static SHARED: Mutex<Weak<Kafka>> = Mutex::const_new(Weak::new());

/// Who waits for a turn holds it meanwhile.
async fn shared() -> Result<Arc<Kafka>, Fault> {
    let mut shared = SHARED.lock().await;
    if let Some(kafka) = shared.upgrade() {
        return Ok(kafka);
    }
    let kafka = Arc::new(Kafka::start_sweeping().await?);
    *shared = Arc::downgrade(&kafka);
    Ok(kafka)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_does_what_every_log_must() -> TestResult {
    let kafka = shared().await?;
    let _turn = beside_others().await;
    let (admin, config) = (Admin::new(&kafka.brokers()), config(&kafka, "loa."));
    apply(&config, &mut Report::default()).await?;
    log_holds(async || {
        // Of a log that is left only what a case has used is made anew.
        admin.remove(&["loa.settlements.v1", "loa.blocks.v1", "loa.control.v1"]).await;
        apply(&config, &mut Report::default()).await.expect("the topics are made");
        let back = i64::try_from(BACK.as_micros()).expect("a year");
        let clock = FakeClock::at((SystemClock::new().now_us() - back) / 1_000 * 1_000);
        let log = Aged::open(config.clone(), Arc::clone(&clock), kafka.data(0)).await;
        LogUnderTest { log: Arc::new(log), clock, compaction_lag: COMPACTION_LAG, keeps: Box::new(()) }
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_topics_are_made_once_and_never_changed() -> TestResult {
    let kafka = shared().await?;
    let _turn = beside_others().await;
    let config = config(&kafka, "topics.");
    let Err(missing) = KafkaLog::open(config.clone(), Arc::new(SystemClock::new())).await else {
        return Err(fault("a log without topics was opened"));
    };
    assert!(missing.to_string().contains("`loa topics apply`"), "{missing}");

    let mut first = Report::default();
    apply(&config, &mut first).await?;
    assert_eq!((first.created.len(), first.kept.len()), (16, 0));
    let mut second = Report::default();
    apply(&config, &mut second).await?;
    assert_eq!((second.created.len(), second.kept.len()), (0, 16));
    verify(&config).await?;

    let admin = Admin::new(&kafka.brokers());
    admin.set("topics.blocks.v1", &[("retention.ms", "60000".to_owned())]).await;
    admin.set("topics.control.v1", &[("cleanup.policy", "delete".to_owned())]).await;
    let mut third = Report::default();
    let Err(OpenError::Topics { differences }) = apply(&config, &mut third).await else {
        return Err(fault("changed topics were taken as they are"));
    };
    assert_eq!(differences, third.differences);
    let told: Vec<_> = differences.iter().map(|it| (it.topic.as_str(), it.what.as_str(), it.found.as_str())).collect();
    assert_eq!(
        told,
        [("topics.control.v1", "cleanup.policy", "delete"), ("topics.blocks.v1", "retention.ms", "60000")]
    );
    assert_eq!(third.kept.len(), 14);
    assert!(verify(&config).await.is_err_and(|error| error.to_string().contains("retention.ms=3600000")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_asks_for_a_login() -> TestResult {
    let kafka = shared().await?;
    let _turn = beside_others().await;
    for (partition, mechanism) in [(3, Mechanism::Plain), (4, Mechanism::ScramSha512)] {
        let login = |password: &str| {
            let sasl = Sasl { mechanism, user: USER.to_owned(), password: password.to_owned() };
            KafkaConfig { brokers: kafka.brokers_with_login(), sasl: Some(sasl), ..config(&kafka, "login.") }
        };
        serves(login(PASSWORD), partition).await?;
        refuses(login("another"), "uthentication").await?;
    }
    Ok(())
}

/// A log under this configuration takes a record and gives it back.
async fn serves(config: KafkaConfig, partition: u32) -> TestResult {
    let log = open(config).await?;
    assert_eq!(log.append(vec![record(partition, "in".to_owned())]).await?, [0]);
    let mut reader = log.reader(WIDE, vec![Position { partition, offset: 0 }]).await?;
    assert_eq!(next(reader.as_mut()).await?, [(partition, 0, "in".to_owned())]);
    Ok(())
}

/// A log under this configuration is refused with words that have this in them.
async fn refuses(config: KafkaConfig, why: &str) -> TestResult {
    let Err(refused) = KafkaLog::open(config, Arc::new(SystemClock::new())).await else {
        return Err(fault(format!("opened, where `{why}` was expected")));
    };
    say(&refused);
    assert!(matches!(refused, OpenError::Away { .. }) && refused.to_string().contains(why), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_speaks_tls() -> TestResult {
    let kafka = shared().await?;
    let _turn = beside_others().await;
    let ours = kafka.client();
    let certified =
        |tls: Tls| KafkaConfig { brokers: kafka.brokers_with_certificates(), tls: Some(tls), ..config(&kafka, "tls.") };
    serves(certified(ours.clone()), 3).await?;
    let unknown = Tls { identity: None, ..ours.clone() };
    refuses(certified(unknown.clone()), "certificate").await?;
    let others = kafka.data(0).with_file_name("others.pem");
    std::fs::write(&others, Authority::new()?.pem())?;
    refuses(certified(Tls { ca: Some(others), ..ours.clone() }), "certificate verify failed").await?;

    let secure = |password: &str| {
        let sasl = Sasl { mechanism: Mechanism::ScramSha512, user: USER.to_owned(), password: password.to_owned() };
        KafkaConfig {
            brokers: kafka.brokers_with_tls(),
            tls: Some(unknown.clone()),
            sasl: Some(sasl),
            ..config(&kafka, "tls.")
        }
    };
    serves(secure(PASSWORD), 4).await?;
    refuses(secure("another"), "uthentication").await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn kafka_is_told_how_far_readers_are() -> TestResult {
    let kafka = shared().await?;
    let _turn = beside_others().await;
    let log = open(config(&kafka, "told.")).await?;
    log.append(vec![record(5, "one".to_owned())]).await?;
    let next = [Position { partition: 5, offset: 1 }, Position { partition: 6, offset: 0 }];
    until("the offsets are written down", READ_WITHIN, async || log.commit("report", WIDE, &next).await.is_ok())
        .await?;
    assert_eq!(committed(&kafka.brokers(), "told.report", "told.settlements.v1", 5), Some(1));
    Ok(())
}
