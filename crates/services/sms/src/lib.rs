//! The SMS gateway: carrier accounts, binds, texts, and the correlator of receipts.
//!
//! What is common to all gateways (claims, the last look, settlements) is in `loa-gateway`; here a content becomes octets,
//! a command_status a word, and a receipt an outcome.
//!
//! Must stay true: receipts are on receipts.v1 before they are acknowledged; nothing starts before control.v1 and blocks.v1
//! were read to their ends.

mod correlator;
mod receipts;
mod rpc;
mod source;
mod text;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loa_contract::pb::sms::v1::sms_service_server::SmsServiceServer;
use loa_domain::ids::AccountId;
use loa_gateway::{AccountSpec, BlocksView, Engine, Line, Lines, Opening, Others, Parts, PeerRegistry, Registry};
use loa_ports::bucket::Bucket;
use loa_ports::carrier::{Bind, Carrier, CarrierAccount};
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_ports::store::claims::Claims;
use loa_runtime::config::{SmsAccount, SmsConfig};
use loa_runtime::control::ControlView;
use loa_runtime::{Ctx, Service, ServiceError};
use tokio::sync::{mpsc, watch};

use correlator::{Correlator, Unmatched};
use receipts::Pump;
pub use rpc::SmsRpc;
use source::Source;
use text::Texts;

/// Changes of the correlator's leases that may wait for it.
const CHANGES_MAX: usize = 256;

/// What the gateway works with.
pub struct SmsPorts {
    /// Claims of the channel, and the watermarks of the correlator.
    pub claims: Arc<dyn Claims>,
    /// Leases of the role's store.
    pub leases: Arc<dyn Leases>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Binds of carriers.
    pub carrier: Arc<dyn Carrier>,
    /// Account buckets.
    pub bucket: Arc<dyn Bucket>,
}

/// The SMS gateway of one process.
pub struct SmsGateway {
    engine: Arc<Engine<Texts>>,
    receipts: Arc<Pump>,
    unmatched: Unmatched,
    ports: SmsPorts,
    config: SmsConfig,
}

impl SmsGateway {
    /// Reads blocks.v1 to its end; nothing runs yet.
    pub async fn new(ctx: &Ctx, ports: SmsPorts, view: ControlView, config: SmsConfig) -> Result<Self, ServiceError> {
        let registry = Arc::new(PeerRegistry(ctx.clone()));
        Self::with_registry(ctx, ports, view, config, registry).await
    }

    /// The same with contents from elsewhere than the registry role.
    pub async fn with_registry(
        ctx: &Ctx,
        ports: SmsPorts,
        view: ControlView,
        config: SmsConfig,
        registry: Arc<dyn Registry>,
    ) -> Result<Self, ServiceError> {
        let accounts: Vec<AccountId> = config.accounts.iter().map(|account| account.carrier.id.clone()).collect();
        let parts = Parts {
            medium: Texts { parts_max: config.accounts.iter().map(|account| account.parts_max).collect() },
            claims: Arc::clone(&ports.claims),
            log: Arc::clone(&ports.log),
            bucket: Arc::clone(&ports.bucket),
            registry,
            stops: Arc::new(view),
            blocks: BlocksView::start(ctx, Arc::clone(&ports.log)).await?,
            accounts: config.accounts.iter().map(spec).collect(),
        };
        Ok(Self {
            engine: Engine::new(ctx, parts),
            receipts: Pump::new(ctx, Arc::clone(&ports.log), accounts.clone()),
            unmatched: Unmatched::new(ctx, &accounts),
            ports,
            config,
        })
    }

    /// What answers its gRPC calls.
    pub fn rpc(&self) -> SmsRpc {
        SmsRpc {
            engine: Arc::clone(&self.engine),
            receipts: Arc::clone(&self.receipts),
            unmatched: self.unmatched.clone(),
            addresses: self.config.accounts.iter().map(|account| account.carrier.address.clone()).collect(),
        }
    }

    /// Its gRPC service.
    pub fn server(&self) -> SmsServiceServer<SmsRpc> {
        loa_runtime::limited!(SmsServiceServer::new(self.rpc()))
    }
}

#[async_trait]
impl Service for SmsGateway {
    fn name(&self) -> &'static str {
        "sms"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let Self { engine, receipts, unmatched, ports, config } = *self;
        let over = watch::Sender::new(false);
        let (changes, changed) = mpsc::channel(CHANGES_MAX);
        let accounts = config.accounts.iter().map(|account| account.carrier.id.clone()).collect();
        let correlator = Correlator::new(&ctx, ports.log, ports.claims, accounts, unmatched).await?;
        let correlating = ctx.spawn("correlator", correlator.run(changed, ended(over.subscribe())));
        let pumping = ctx.spawn("receipts", Arc::clone(&receipts).run(ended(over.subscribe())));
        let lines = Arc::new(Binds::new(&engine, ports.carrier, config, &receipts));
        let others = Others { wants: vec![correlator::want()], changes };
        let outcome = loa_gateway::run(&ctx, engine, ports.leases, lines, Some(others)).await;
        over.send_replace(true);
        for task in [correlating, pumping] {
            task.await?;
        }
        outcome
    }
}

async fn ended(mut over: watch::Receiver<bool>) {
    // A sender that is gone has ended, too.
    let _ended = over.wait_for(|over| *over).await;
}

fn spec(account: &SmsAccount) -> AccountSpec {
    AccountSpec {
        id: account.carrier.id.clone(),
        rate: account.rate,
        window: account.carrier.window,
        lines: account.binds,
        partitions: account.partitions.clone(),
        simulator: account.simulator,
        lazy_lines: false,
    }
}

/// Opens binds of the configured accounts.
struct Binds {
    carrier: Arc<dyn Carrier>,
    accounts: Vec<CarrierAccount>,
    engine: Arc<Engine<Texts>>,
    receipts: Arc<Pump>,
}

impl Binds {
    fn new(engine: &Arc<Engine<Texts>>, carrier: Arc<dyn Carrier>, config: SmsConfig, receipts: &Arc<Pump>) -> Self {
        let accounts = config.accounts.into_iter().map(|account| account.carrier).collect();
        Self { carrier, accounts, engine: Arc::clone(engine), receipts: Arc::clone(receipts) }
    }
}

impl Lines for Binds {
    fn open(&self, account: usize, slot: u32, opening: Opening) -> Box<dyn Line> {
        let (engine, receipts) = (Arc::clone(&self.engine), Arc::clone(&self.receipts));
        let source = Arc::new(Source { engine, account, opening, receipts });
        Box::new(OneBind(self.carrier.open(&self.accounts[account], slot, source)))
    }
}

struct OneBind(Box<dyn Bind>);

#[async_trait]
impl Line for OneBind {
    async fn stop(self: Box<Self>, drain: Duration) {
        self.0.stop(drain).await;
    }

    fn in_flight(&self) -> u32 {
        self.0.in_flight()
    }
}
