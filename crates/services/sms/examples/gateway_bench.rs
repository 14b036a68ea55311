//! What the gateway costs per text: releases are on the log, a carrier in the process takes everything and gives a receipt
//! for each. Prints messages, seconds, and CPU per message of all of it (gateway, correlator, log, store).
//!
//! Must stay true: nothing is left out that a real run does but the sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that is run by hand")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::topics::{OutcomesTopic, SettlementsTopic, SmsBulkTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_domain::mask::Mask;
use loa_domain::state::RecipientState;
use loa_embedded::EmbeddedLog;
use loa_gateway::{LocalBucket, Registry, RegistryAway};
use loa_ports::carrier::{
    Bind, BindState, Carrier, CarrierAccount, CarrierReceipt, Pulled, SubmitResult, SubmitSource, SubmitVerdict,
};
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::log::{Log, Position};
use loa_runtime::config::{SmsAccount, SmsConfig};
use loa_runtime::control::{self, ControlView};
use loa_runtime::{Ctx, Service as _, record};
use loa_sms::{SmsGateway, SmsPorts};
use loa_store::{Db, SqlClaims, SqlLeases};
use loa_testkit::gateway::sms_account;
use prost::Message as _;

fn chunks() -> u32 {
    std::env::args().nth(2).map_or(600, |chunks| chunks.parse().unwrap())
}
const CHUNK: u64 = 500;

#[derive(Debug)]
struct Taker(Arc<AtomicUsize>);

struct Line(tokio::task::JoinHandle<()>);

impl Carrier for Taker {
    #[allow(clippy::disallowed_methods, reason = "a bench")]
    fn open(&self, _: &CarrierAccount, slot: u32, source: Arc<dyn SubmitSource>) -> Box<dyn Bind> {
        source.bind_changed(slot, BindState::Bound);
        Box::new(Line(tokio::spawn(take(source, Arc::clone(&self.0)))))
    }
}

async fn take(source: Arc<dyn SubmitSource>, taken: Arc<AtomicUsize>) {
    let (mut submits, mut results) = (Vec::new(), Vec::new());
    let mut id = 0_u64;
    let (send, mut receipts) = tokio::sync::mpsc::channel::<Vec<CarrierReceipt>>(64);
    let receiver = Arc::clone(&source);
    #[allow(clippy::disallowed_methods, reason = "a bench")]
    tokio::spawn(async move {
        while let Some(receipts) = receipts.recv().await {
            receiver.receipts(receipts).await.unwrap();
        }
    });
    loop {
        let pulled = source.pull(100, &mut submits);
        let mut told = Vec::with_capacity(submits.len());
        for submit in submits.drain(..) {
            id += 1;
            let name = format!("{id:X}");
            told.push(CarrierReceipt {
                id: name.clone(),
                state: Some(RecipientState::Delivered),
                error: String::new(),
                done_at_us: 4_000_000_000_000_000,
                number: None,
                sender: String::new(),
            });
            results.push(SubmitResult {
                handle: submit.handle,
                part: submit.part,
                verdict: SubmitVerdict::Accepted { id: name },
            });
        }
        if !told.is_empty() {
            taken.fetch_add(told.len(), Ordering::Relaxed);
            source.settled(&mut results);
            send.send(told).await.unwrap();
        }
        match pulled {
            Pulled::Empty => source.ready().await,
            Pulled::Full => tokio::task::yield_now().await,
            Pulled::Paced(wait) => tokio::time::sleep(wait).await,
        }
    }
}

#[async_trait]
impl Bind for Line {
    async fn stop(self: Box<Self>, _: Duration) {
        self.0.abort();
    }
    fn in_flight(&self) -> u32 {
        0
    }
}

#[derive(Debug)]
struct Contents;

#[async_trait]
impl Registry for Contents {
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        Ok(Some(registry::Content { text: String::from_utf8(hash.to_vec()).unwrap(), ..Default::default() }))
    }
    async fn halt(&self, _: CampaignId, _: &str) -> Result<(), RegistryAway> {
        Ok(())
    }
}

fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000
}

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log: Arc<dyn Log> = Arc::new(
        EmbeddedLog::open(&directory.path().join("log.db"), Arc::clone(&clock), loa_embedded::Options::default())
            .await
            .unwrap(),
    );
    let campaign = event::CampaignControl {
        campaign_id: vec![9; 16],
        state: CampaignState::Running.code().into(),
        ..Default::default()
    };
    let object = Some(event::control::Object::Campaign(campaign));
    control::publish(&*log, &event::Control { version: 1, at_us: 0, object }).await.unwrap();
    for chunk in 0..chunks() {
        let first = u64::from(chunk) * CHUNK;
        let release = event::Release {
            chunk: Some(event::ChunkKey { freeze_id: vec![7; 16], variant: 0, chunk }),
            release_no: 1,
            shard: chunk % 64,
            campaign_id: vec![9; 16],
            account: "a".to_owned(),
            lane: event::Lane::Bulk.into(),
            class: event::Class::PublicInformation.into(),
            sender: "BENTRE".to_owned(),
            hand_over_by_us: clock.now_us() + 600_000_000,
            slice_length: 100,
            content_hash:
                b"Kinh gui {ten}, moi ong ba den hop luc 8 gio sang thu hai tai hoi truong UBND xa. Tran trong."
                    .to_vec(),
            mask: Mask::first(500).to_vec(),
            msisdns: (first..first + CHUNK).map(|number| 84_910_000_000 + number).collect(),
            slots: vec![event::SlotColumn { name: "ten".to_owned(), values: vec!["Nguyen Thi Lan".to_owned(); 500] }],
            synthetic: true,
            ..Default::default()
        };
        log.append(vec![record::append::<SmsBulkTopic>(chunk % 64, bytes::Bytes::new(), &release)]).await.unwrap();
    }
    let db = Db::open(&directory.path().join("sms.db"), "sms").await.unwrap();
    let ctx = Ctx::test(Arc::clone(&clock), "one");
    let taken = Arc::new(AtomicUsize::new(0));
    let ports = SmsPorts {
        claims: Arc::new(SqlClaims::new(db.clone())),
        leases: Arc::new(SqlLeases::new(db)),
        log: Arc::clone(&log),
        carrier: Arc::new(Taker(Arc::clone(&taken))),
        bucket: Arc::new(LocalBucket::new(Arc::clone(&clock))),
    };
    let view = ControlView::start(&ctx, Arc::clone(&log)).await.unwrap();
    let rate = std::env::args().nth(1).map_or(200_000.0, |rate| rate.parse().unwrap());
    let mut account = SmsAccount { binds: 1, rate, ..sms_account("a") };
    account.carrier.window = 100;
    let gateway =
        SmsGateway::with_registry(&ctx, ports, view, SmsConfig { accounts: vec![account] }, Arc::new(Contents));
    let gateway = gateway.await.unwrap_or_else(|error| panic!("{}", error.0));
    let (start, cpu) = (clock.monotonic(), cpu_us());
    let run = ctx.spawn("sms", Box::new(gateway).run(ctx.clone()));
    let total = usize::try_from(u64::from(chunks()) * CHUNK).unwrap();
    while taken.load(Ordering::Relaxed) < total {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = clock.monotonic().saturating_sub(start);
    let mut told = 0;
    let mut next = vec![0; 64];
    while told < total {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for shard in 0..64_u32 {
            let from = next[shard as usize];
            let mut reader =
                log.reader(OutcomesTopic::SPEC, vec![Position { partition: shard, offset: from }]).await.unwrap();
            let end = log.end(OutcomesTopic::SPEC, shard).await.unwrap();
            next[shard as usize] = end;
            while reader.position(shard).unwrap() < end {
                for record in reader.next(1_000).await.unwrap() {
                    told += event::Outcomes::decode(record.value).unwrap().outcomes.len();
                }
            }
        }
        if clock.monotonic().saturating_sub(start) > Duration::from_secs(100) {
            println!("only {told} outcomes");
            break;
        }
    }
    let (all, cpu) = (clock.monotonic().saturating_sub(start), cpu_us() - cpu);
    let ends: i64 = log.ends(SettlementsTopic::SPEC).await.unwrap().iter().sum();
    println!(
        "{total} messages; handed over in {sent:?} ({:.0}/s), told in {all:?}; cpu {:.2} us per message (with counting); {ends} settlement records",
        total as f64 / sent.as_secs_f64(),
        cpu as f64 / total as f64,
    );
    ctx.stop();
    drop(run.await);
}
