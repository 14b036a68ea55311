//! The world of one seed: log, stores, carrier, operator, and processes of three roles that come and go on them.
//!
//! Must stay true: what a process knows ends with it; what it reaches the world by is its gate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_dispatch::Dispatch;
use loa_domain::hash::HashKey;
use loa_domain::ids::AccountId;
use loa_domain::ids::Incarnation;
use loa_gateway::LocalBucket;
use loa_ports::carrier::{CarrierAccount, IdForm, Secret};
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::lease::Leases;
use loa_ports::log::Log;
use loa_report::Report;
use loa_runtime::config::{ReportConfig, SmsAccount, SmsConfig};
use loa_runtime::control::ControlView;
use loa_runtime::ctx::CtxParts;
use loa_runtime::{Ctx, Service, ServiceError};
use loa_sms::{SmsGateway, SmsPorts};
use loa_testkit::dice::Dice;
use loa_testkit::storm::log::{StormConfig, StormLog};

use crate::campaign::{ACCOUNT, Facts, KEY, Operator, Peers};
use crate::carrier::{Reached, Smsc};
use crate::gate::{Gate, GateClock, Life};
use crate::log::{GateLog, Records};
use crate::stores::{ClaimRows, DispatchRows, ReportRows, Store};

/// Processes of each role.
pub(crate) const NODES: usize = 2;
/// The partitions of the account.
const PARTITIONS: u32 = 8;

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Dispatch,
    Sms,
    Report,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Dispatch, Self::Sms, Self::Report];
}

/// A process that was started.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) gate: Arc<Gate>,
    pub(crate) ctx: Ctx,
}

/// How a seed is, for its whole length.
#[derive(Debug, Clone)]
struct Weather {
    rate: f64,
    storm: StormConfig,
}

/// The world.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) ctx: Ctx,
    pub(crate) records: Arc<Records>,
    pub(crate) dispatch: Store<DispatchRows>,
    pub(crate) claims: Store<ClaimRows>,
    pub(crate) report: Store<ReportRows>,
    pub(crate) smsc: Arc<Smsc>,
    pub(crate) operator: Arc<Operator>,
    weather: Weather,
    processes: Mutex<Vec<(Role, usize, Process)>>,
    ended: Mutex<Vec<Incarnation>>,
    streams: AtomicU64,
}

impl World {
    pub(crate) fn new(seed: u64, dice: &mut Dice) -> Arc<Self> {
        let clock = Arc::new(SystemClock::new());
        let records = Records::new(Arc::clone(&clock));
        let facts = Facts::draw(dice, clock.now_us());
        let mut storm = StormConfig::calm(seed);
        storm.repeat_share = if dice.happens(0.5) { 0.1 } else { 0.0 };
        storm.append_uncertain_share = if dice.happens(0.5) { 0.03 } else { 0.0 };
        storm.delay_ms_max = [0, 20, 300][dice.index(3)];
        #[allow(clippy::cast_precision_loss, reason = "a rate below 100")]
        let rate = 8.0 + dice.below(60) as f64;
        let world_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        Arc::new(Self {
            seed,
            ctx: Ctx::test(world_clock, "world"),
            dispatch: Store::default(),
            claims: Store::default(),
            report: Store::default(),
            smsc: Smsc::new(Arc::clone(&clock), Dice::new(seed, 2)),
            operator: Operator::new(facts, Arc::clone(&records), Arc::clone(&clock)),
            weather: Weather { rate, storm },
            processes: Mutex::default(),
            ended: Mutex::default(),
            streams: AtomicU64::new(100),
            records,
            clock,
        })
    }

    fn processes(&self) -> MutexGuard<'_, Vec<(Role, usize, Process)>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn process(&self, role: Role, node: usize) -> Option<Process> {
        let processes = self.processes();
        processes.iter().find(|(of, at, _)| (*of, *at) == (role, node)).map(|(_, _, process)| process.clone())
    }

    fn put(&self, role: Role, node: usize, process: Process) {
        let mut processes = self.processes();
        processes.retain(|(of, at, _)| (*of, *at) != (role, node));
        processes.push((role, node, process));
    }

    /// Every process that was killed, or has ended.
    pub(crate) fn ended(&self) -> Vec<Incarnation> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The wall time of a moment.
    pub(crate) fn wall_us(&self, at: Duration) -> i64 {
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.clock.now_us() - us(self.clock.monotonic()) + us(at)
    }

    /// Keeps a process of a role alive: whenever it ends, the next one starts a while later.
    pub(crate) fn keep(self: &Arc<Self>, role: Role, node: usize) {
        let world = Arc::clone(self);
        self.ctx.spawn("supervisor", async move {
            loop {
                world.live(role, node).await;
                let stream = world.streams.fetch_add(1, Ordering::Relaxed);
                let wait_ms = 200 + Dice::new(world.seed, stream).below(8_000);
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
        });
    }

    /// One life of a process.
    async fn live(self: &Arc<Self>, role: Role, node: usize) {
        let gate = Gate::new(self.seed, self.streams.fetch_add(1, Ordering::Relaxed));
        let clock: Arc<dyn Clock> = Arc::new(GateClock::new(Arc::clone(&self.clock), Arc::clone(&gate)));
        let ctx = Ctx::new(CtxParts {
            clock,
            node: format!("{role:?}-{node}"),
            hash_key: HashKey::new(KEY),
            metrics: Default::default(),
            peers: Default::default(),
        });
        let process = Process { gate: Arc::clone(&gate), ctx: ctx.clone() };
        self.put(role, node, process);
        let (world, inner, inner_gate) = (Arc::clone(self), ctx.clone(), Arc::clone(&gate));
        let run = ctx.spawn("role", async move { world.run(role, inner, inner_gate).await });
        tokio::select! {
            ended = run => match ended {
                Ok(Err(error)) => tracing::warn!(?role, node, error = %error.0, "a process ended"),
                Ok(Ok(())) => {}
                Err(error) => panic!("a task of the product panicked: {error}"),
            },
            () = gate.died() => {}
            () = ctx.failed() => panic!("a task of the product panicked"),
        }
        // Whatever is left of it: nobody hears it any more.
        gate.set(Life::Dead);
        ctx.stop();
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(ctx.incarnation());
    }

    async fn run(self: Arc<Self>, role: Role, ctx: Ctx, gate: Arc<Gate>) -> Result<(), ServiceError> {
        let seed = gate.throw(Dice::throw);
        let log: Arc<dyn Log> = StormLog::new(
            Arc::new(GateLog::new(Arc::clone(&self.records), Arc::clone(&gate))),
            StormConfig { seed, ..self.weather.storm.clone() },
        );
        let view = ControlView::start(&ctx, Arc::clone(&log)).await?;
        let peers = Peers { operator: Arc::clone(&self.operator), gate: Arc::clone(&gate) };
        let service: Box<dyn Service> = match role {
            Role::Dispatch => {
                let store = self.dispatch.through(&gate);
                let leases: Arc<dyn Leases> = store.clone();
                let ports = (store as _, leases, log);
                let sources = (Arc::new(peers.clone()) as _, Arc::new(peers) as _);
                Box::new(Dispatch::with_sources(&ctx, ports, view, loa_dispatch::Options::default(), sources))
            }
            Role::Sms => {
                let store = self.claims.through(&gate);
                let carrier = Reached::new(Arc::clone(&self.smsc), Arc::clone(&gate), ctx.clone());
                let ports = SmsPorts {
                    claims: store.clone(),
                    leases: store,
                    log,
                    carrier: Arc::new(carrier),
                    bucket: Arc::new(LocalBucket::new(Arc::clone(ctx.clock()))),
                };
                let config = SmsConfig { accounts: vec![self.account()] };
                Box::new(SmsGateway::with_registry(&ctx, ports, view, config, Arc::new(peers)).await?)
            }
            Role::Report => {
                let store = self.report.through(&gate);
                let leases: Arc<dyn Leases> = store.clone();
                let config =
                    ReportConfig { flush: Duration::from_millis(1_500), receipt_wait: Duration::from_secs(72 * 3_600) };
                let others = (Arc::new(peers.clone()) as _, Arc::new(peers) as _);
                Box::new(Report::with_peers(&ctx, (store as _, leases, log), view, config, others))
            }
        };
        service.run(ctx).await
    }

    fn account(&self) -> SmsAccount {
        let carrier = CarrierAccount {
            id: AccountId::new(ACCOUNT).expect("an id"),
            address: String::new(),
            system_id: "loa".to_owned(),
            password: Secret::default(),
            system_type: String::new(),
            window: 10,
            id_form: IdForm::AsIs,
            sender_ton_npi: None,
            status_overrides: Vec::new(),
            response_timeout: Duration::from_secs(5),
            enquire_link: Duration::from_secs(30),
            tls: None,
        };
        SmsAccount {
            carrier,
            binds: 2,
            rate: self.weather.rate,
            prefixes: Vec::new(),
            partitions: (0..PARTITIONS).collect(),
            simulator: true,
            parts_max: 5,
        }
    }
}
