//! The SMS gateway from a release to an outcome, with a carrier made for the test.
//!
//! Must stay true: what the carrier took, what the settlements say and what the outcomes say are one book.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::sms::v1 as pb;
use loa_contract::pb::sms::v1::sms_service_server::SmsService as _;
use loa_contract::topics::{OutcomesTopic, SmsBulkTopic};
use loa_domain::ids::CampaignId;
use loa_domain::state::RecipientState;
use loa_domain::text::{Coding, decode, split_header};
use loa_embedded::EmbeddedLog;
use loa_gateway::{LocalBucket, Registry, RegistryAway};
use loa_ports::carrier::{
    Bind, BindState, Carrier, CarrierAccount, CarrierReceipt, NotStored, Pulled, Submit, SubmitResult, SubmitSource,
    SubmitVerdict,
};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::log::Log;
use loa_runtime::config::SmsConfig;
use loa_runtime::control::ControlView;
use loa_runtime::rpc::{Caller, Right};
use loa_runtime::{Ctx, record};
use loa_sms::{SmsGateway, SmsPorts};
use loa_store::{Db, SqlClaims, SqlLeases};
use loa_testkit::gateway::{self, CAMPAIGN, Line, Running, SHARD, Talk, campaign_runs, sms_account};
use loa_testkit::storm::log::{StormConfig, StormLog};
use loa_testkit::{eventually, records};

/// Phones behind one carrier.
struct Phones {
    ctx: Ctx,
    taken: Arc<Mutex<Vec<Submit>>>,
    /// Receipts that the gateway did not store.
    refused: Arc<Mutex<usize>>,
    verdict: fn(&Submit) -> SubmitVerdict,
}

impl std::fmt::Debug for Phones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phones")
    }
}

impl Carrier for Phones {
    fn open(&self, _: &CarrierAccount, slot: u32, source: Arc<dyn SubmitSource>) -> Box<dyn Bind> {
        source.bind_changed(slot, BindState::Bound);
        let (taken, refused) = (Arc::clone(&self.taken), Arc::clone(&self.refused));
        Line::open(&self.ctx, Bound { source, taken, refused, verdict: self.verdict })
    }
}

/// One bind.
struct Bound {
    source: Arc<dyn SubmitSource>,
    taken: Arc<Mutex<Vec<Submit>>>,
    refused: Arc<Mutex<usize>>,
    verdict: fn(&Submit) -> SubmitVerdict,
}

#[async_trait]
impl Talk for Bound {
    async fn turn(&self) -> Pulled {
        let mut submits = Vec::new();
        let pulled = self.source.pull(50, &mut submits);
        self.taken.lock().unwrap().extend(submits.iter().cloned());
        let (mut results, mut receipts) = (Vec::new(), Vec::new());
        for submit in &submits {
            let verdict = (self.verdict)(submit);
            if let SubmitVerdict::Accepted { id } = &verdict {
                let state = Some(RecipientState::Delivered);
                let done_at_us = SystemClock::new().now_us();
                receipts.push(CarrierReceipt {
                    id: id.clone(),
                    state,
                    error: "000".to_owned(),
                    done_at_us,
                    number: None,
                    sender: String::new(),
                });
            }
            results.push(SubmitResult { handle: submit.handle, part: submit.part, verdict });
        }
        self.source.settled(&mut results);
        if !receipts.is_empty() && self.source.receipts(receipts).await == Err(NotStored) {
            *self.refused.lock().unwrap() += 1;
        }
        pulled
    }

    async fn ready(&self) {
        self.source.ready().await;
    }
}

/// Contents whose hash is their text.
#[derive(Default)]
struct Contents {
    halted: Mutex<Vec<(CampaignId, String)>>,
}

#[async_trait]
impl Registry for Contents {
    async fn content(&self, hash: &[u8]) -> Result<Option<registry::Content>, RegistryAway> {
        let text = String::from_utf8(hash.to_vec()).unwrap();
        Ok(Some(registry::Content { text, diacritics: "as_is".to_owned(), ..Default::default() }))
    }

    async fn halt(&self, campaign: CampaignId, reason: &str) -> Result<(), RegistryAway> {
        self.halted.lock().unwrap().push((campaign, reason.to_owned()));
        Ok(())
    }
}

struct World {
    ctx: Ctx,
    log: Arc<dyn Log>,
    storm: Arc<StormLog>,
    taken: Arc<Mutex<Vec<Submit>>>,
    refused: Arc<Mutex<usize>>,
    contents: Arc<Contents>,
    rpc: Arc<loa_sms::SmsRpc>,
    running: Running,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start(verdict: fn(&Submit) -> SubmitVerdict) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let options = loa_embedded::Options::default();
        let log: Arc<dyn Log> =
            Arc::new(EmbeddedLog::open(&directory.path().join("log.db"), clock.clone(), options).await.unwrap());
        campaign_runs(&*log).await;
        let db = Db::open(&directory.path().join("sms.db"), "sms").await.unwrap();
        let ctx = Ctx::test(clock.clone(), "one");
        let storm = StormLog::new(Arc::clone(&log), StormConfig::calm(1));
        let (taken, refused, contents) = (Arc::default(), Arc::default(), Arc::new(Contents::default()));
        let phones = Phones { ctx: ctx.clone(), taken: Arc::clone(&taken), refused: Arc::clone(&refused), verdict };
        let ports = SmsPorts {
            claims: Arc::new(SqlClaims::new(db.clone())),
            leases: Arc::new(SqlLeases::new(db)),
            log: storm.clone(),
            carrier: Arc::new(phones),
            bucket: Arc::new(LocalBucket::new(clock)),
        };
        let view = ControlView::start(&ctx, Arc::clone(&log)).await.unwrap();
        let config = SmsConfig { accounts: vec![sms_account("a")] };
        let gateway = SmsGateway::with_registry(&ctx, ports, view, config, contents.clone()).await;
        let gateway = gateway.unwrap_or_else(|error| panic!("{}", error.0));
        let rpc = Arc::new(gateway.rpc());
        let running = Running::start(&ctx, gateway);
        Self { ctx, log, storm, taken, refused, contents, rpc, running, _directory: directory }
    }

    async fn release(&self, text: &str, names: &[&str]) {
        let release = event::Release {
            account: "a".to_owned(),
            lane: event::Lane::Bulk.into(),
            sender: "BENTRE".to_owned(),
            content_hash: text.as_bytes().to_vec(),
            msisdns: (0..).map(|number| 84_910_000_000 + number).take(names.len()).collect(),
            ..gateway::release(&self.ctx, names)
        };
        self.log.append(vec![record::append::<SmsBulkTopic>(SHARD, bytes::Bytes::new(), &release)]).await.unwrap();
    }

    async fn outcomes(&self) -> Vec<event::Outcome> {
        records::<OutcomesTopic>(&*self.log, SHARD).await.into_iter().flat_map(|record| record.outcomes).collect()
    }

    async fn settled(&self) -> Option<event::SliceSettled> {
        gateway::settled(&*self.log).await
    }

    async fn status(&self) -> pb::AccountStatus {
        let mut request = tonic::Request::new(pb::GetStatusRequest {});
        request.extensions_mut().insert(Caller { user: "v".to_owned(), rights: vec![Right::Viewer] });
        self.rpc.get_status(request).await.unwrap().into_inner().accounts.remove(0)
    }

    async fn stop(self) {
        self.running.stop().await;
    }
}

fn accepts(submit: &Submit) -> SubmitVerdict {
    SubmitVerdict::Accepted { id: format!("{:X}{}", submit.destination, submit.part) }
}

#[tokio::test]
async fn from_a_release_to_its_outcomes() {
    let world = World::start(accepts).await;
    let long = format!("Chào {{ten}}, {}", "mời bạn đến họp ".repeat(6));
    world.release(&long, &["Lan", "Hùng", "Nguyễn Văn An"]).await;
    eventually("every part has its receipt", async || world.outcomes().await.len() == 6).await;

    let taken = world.taken.lock().unwrap().clone();
    let text = |number: u64| -> String {
        let mut parts: Vec<_> = taken.iter().filter(|submit| submit.destination == number).collect();
        parts.sort_by_key(|submit| submit.part);
        assert!(parts.iter().all(|submit| submit.parts == 2 && &*submit.sender == "BENTRE" && submit.data_coding == 8));
        parts.iter().map(|submit| decode(Coding::Ucs2, split_header(&submit.body).unwrap().1).unwrap()).collect()
    };
    assert_eq!(text(84_910_000_001), long.replace("{ten}", "Hùng"));
    assert_eq!(text(84_910_000_002), long.replace("{ten}", "Nguyễn Văn An"));

    let settled = world.settled().await.unwrap();
    assert_eq!(convert::outcome_at(&settled, 2), Ok(event::SliceOutcome::Submitted));
    assert_eq!(settled.parts, [2, 2, 2]);
    let mut told: Vec<_> = world.outcomes().await.iter().map(|told| (told.index, told.part, told.parts)).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]);

    let status = world.status().await;
    assert_eq!((status.submitted, status.receipts, status.unmatched_receipts), (3, 6, 0));
    assert_eq!(status.binds.iter().map(|bind| bind.state.as_str()).collect::<Vec<_>>(), ["bound", "bound"]);
    world.stop().await;
}

#[tokio::test]
async fn a_refused_sender_halts_its_campaign() {
    let world = World::start(|_| SubmitVerdict::RefusedCampaign { status: 0x0a }).await;
    world.release("Chào {ten}", &["Lan", "Hoa"]).await;
    eventually("the campaign is halted", async || !world.contents.halted.lock().unwrap().is_empty()).await;
    eventually("and its messages rejected", async || world.settled().await.is_some()).await;
    let settled = world.settled().await.unwrap();
    assert_eq!(convert::outcome_at(&settled, 0), Ok(event::SliceOutcome::Rejected));
    assert_eq!(settled.details[0].code, "0x0a");
    let halted = world.contents.halted.lock().unwrap().clone();
    assert_eq!(halted.len(), 1, "once, however many were refused");
    assert_eq!(halted[0].0, CampaignId::from_bytes(&CAMPAIGN).unwrap());
    assert!(halted[0].1.contains("0x0a"), "{}", halted[0].1);
    world.stop().await;
}

#[tokio::test]
async fn receipts_are_refused_while_they_cannot_be_stored() {
    let world = World::start(|submit| {
        // Long enough for the log to go away between the answer and the receipt's acknowledgement.
        std::thread::sleep(Duration::from_millis(20));
        accepts(submit)
    })
    .await;
    world.release("Chào {ten}", &["Lan"]).await;
    eventually("the text has left", async || !world.taken.lock().unwrap().is_empty()).await;
    world.storm.away(true);
    eventually("the carrier keeps the receipt", async || *world.refused.lock().unwrap() == 1).await;
    assert_eq!(world.outcomes().await, []);
    world.storm.away(false);
    eventually("the settlement goes through", async || world.settled().await.is_some()).await;
    world.stop().await;
}
