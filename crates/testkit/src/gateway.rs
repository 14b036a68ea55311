//! What tests of a gateway share: a campaign that runs, a release of it, lines to a made-up far end, what was settled.
//!
//! Must stay true: a line pulls on only when its source says so, and a stopped line pulls no more, as a real bind or
//! connection does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SettlementsTopic, SmsBulkTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::AccountId;
use loa_domain::mask::Mask;
use loa_ports::carrier::{Bind, CarrierAccount, IdForm, Pulled, Secret};
use loa_ports::log::Log;
use loa_ports::mailer::Connection;
use loa_runtime::config::SmsAccount;
use loa_runtime::{Ctx, Service, control};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::topic::records;

/// The one partition and shard that these tests use.
pub const SHARD: u32 = 3;
/// The one campaign.
pub const CAMPAIGN: [u8; 16] = [0xca; 16];
/// How long a release may be handed over, in microseconds.
const HAND_OVER_WITHIN_US: i64 = 20_000_000;

/// Tells everybody that the campaign runs.
pub async fn campaign_runs(log: &dyn Log) {
    let campaign = event::CampaignControl {
        campaign_id: CAMPAIGN.to_vec(),
        state: CampaignState::Running.code().into(),
        ..Default::default()
    };
    let object = Some(event::control::Object::Campaign(campaign));
    control::publish(log, &event::Control { version: 1, at_us: 0, object }).await.expect("the log takes it");
}

/// A release of the campaign to people with these names, without channel, lane, account, sender and addresses.
pub fn release(ctx: &Ctx, names: &[&str]) -> event::Release {
    let values = names.iter().map(|name| (*name).to_owned()).collect();
    event::Release {
        chunk: Some(event::ChunkKey { freeze_id: vec![7; 16], variant: 0, chunk: 1 }),
        release_no: 1,
        shard: SHARD,
        campaign_id: CAMPAIGN.to_vec(),
        class: event::Class::PublicInformation.into(),
        hand_over_by_us: ctx.now_us() + HAND_OVER_WITHIN_US,
        slice_length: 100,
        mask: Mask::first(names.len()).to_vec(),
        slots: vec![event::SlotColumn { name: "ten".to_owned(), values }],
        synthetic: true,
        ..Default::default()
    }
}

/// A carrier account whose carrier is made for the test, with every partition.
pub fn sms_account(id: &str) -> SmsAccount {
    let carrier = CarrierAccount {
        id: AccountId::new(id).expect("an id"),
        address: "127.0.0.1:2775".to_owned(),
        system_id: "loa".to_owned(),
        password: Secret(String::new()),
        system_type: String::new(),
        window: 50,
        id_form: IdForm::AsIs,
        sender_ton_npi: None,
        status_overrides: Vec::new(),
        response_timeout: Duration::from_secs(5),
        enquire_link: Duration::from_secs(30),
        tls: None,
    };
    let partitions = (0..SmsBulkTopic::SPEC.partitions).collect();
    SmsAccount { carrier, binds: 2, rate: 10_000.0, prefixes: Vec::new(), partitions, simulator: true, parts_max: 5 }
}

/// The first slice that was settled, if one was.
pub async fn settled(log: &dyn Log) -> Option<event::SliceSettled> {
    records::<SettlementsTopic>(log, SHARD).await.into_iter().flat_map(|record| record.slices).next()
}

/// A service that runs.
pub struct Running {
    ctx: Ctx,
    task: JoinHandle<()>,
}

impl Running {
    /// Runs it until it is stopped; its failure is the test's.
    pub fn start(ctx: &Ctx, service: impl Service + 'static) -> Self {
        let (name, task_ctx) = (service.name(), ctx.clone());
        let run = async move { Box::new(service).run(task_ctx).await.unwrap_or_else(|error| panic!("{}", error.0)) };
        Self { ctx: ctx.clone(), task: ctx.spawn(name, run) }
    }

    /// Stops it and waits for everything under its context.
    pub async fn stop(self) {
        self.ctx.stop();
        self.task.await.expect("it did not fail");
        self.ctx.idle().await;
    }
}

/// What a line does.
#[async_trait]
pub trait Talk: Send + Sync + 'static {
    /// Pulls once, answers what came, and says what the pull said.
    async fn turn(&self) -> Pulled;

    /// Resolves when a pull may yield something again.
    async fn ready(&self);
}

/// A bind or connection made for a test.
pub struct Line {
    task: JoinHandle<()>,
    stop: Arc<Notify>,
}

impl Line {
    /// Talks until it is stopped.
    pub fn open(ctx: &Ctx, talk: impl Talk) -> Box<Self> {
        let stop = Arc::new(Notify::new());
        let task = ctx.spawn("test line", run(talk, Arc::clone(&stop)));
        Box::new(Self { task, stop })
    }

    async fn close(self) {
        self.stop.notify_one();
        self.task.await.expect("the line did not fail");
    }
}

async fn run(talk: impl Talk, stop: Arc<Notify>) {
    loop {
        let pulled = talk.turn().await;
        let wait = async {
            match pulled {
                Pulled::Empty | Pulled::Full => talk.ready().await,
                Pulled::Paced(wait) => tokio::time::sleep(wait).await,
            }
        };
        tokio::select! {
            () = stop.notified() => return,
            () = wait => {}
        }
    }
}

#[async_trait]
impl Bind for Line {
    async fn stop(self: Box<Self>, _: Duration) {
        self.close().await;
    }

    fn in_flight(&self) -> u32 {
        0
    }
}

#[async_trait]
impl Connection for Line {
    async fn stop(self: Box<Self>, _: Duration) {
        self.close().await;
    }
}
