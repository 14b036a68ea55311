//! Composition: the only file that knows which adapter serves which port.
//!
//! Order: bind all ports → open the log and the stores → read control.v1 → build the roles → serve. A port that is taken
//! or a file that cannot be opened is known before anything runs.
//!
//! Must stay true: roles in one process talk through the log and loopback gRPC, as they do in many.

mod beats;
mod beside;
mod buckets;
mod leases;
mod logs;
mod parts;
mod reach;
mod snapshots;
mod stores;
mod upkeep;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use loa_domain::hash::HashKey;
use loa_ports::carrier::Secret;
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::log::Log;
use loa_runtime::clocks::ClockWatch;
use loa_runtime::config::{Config, TlsFiles};
use loa_runtime::control::ControlView;
use loa_runtime::ctx::CtxParts;
use loa_runtime::grpc::{GrpcServer, Users};
use loa_runtime::metrics::Metrics;
use loa_runtime::peers::Peers;
use loa_runtime::probes::{Probes, Readiness};
use loa_runtime::rpc::{Caller, Right};
use loa_runtime::supervise::{Ended, supervise};
use loa_runtime::telemetry::Telemetry;
use loa_runtime::{Ctx, Role, Service};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::exit::Failure;
use crate::keys::Keys;
use crate::place::{Addresses, Place};

pub use beside::{Beside, Bounds, records_of};
pub use logs::{OwnLog, apply_topics};
pub use reach::{Reached, reach};
pub use snapshots::{SNAPSHOTS, folder as snapshots_folder, shelf};
pub use stores::{StoreFaults, WITH_STORE, lag, migrate, open_store, put_back};

/// What a composition is given beside its configuration; the default is what `loa run` needs.
#[derive(Default)]
pub struct Options {
    /// The log, if somebody else holds it (a second instance in one process, a storm).
    pub log: Option<Arc<dyn Log>>,
    /// Lost COMMIT answers (a storm).
    pub store_faults: Option<StoreFaults>,
    /// The data folder, if it is locked already.
    pub place: Option<Arc<Place>>,
    /// Demo users and the system key.
    pub keys: Option<Keys>,
    /// The simulated inbox.
    pub inbox: Option<Arc<dyn loa_console::Inboxes>>,
    /// The clock, if a test turns it.
    pub clock: Option<Arc<dyn Clock>>,
    /// The databases' clock, if a test has them keep another time than `clock`.
    pub databases_clock: Option<Arc<dyn Clock>>,
    /// Addresses of the simulators, for `run.json`.
    pub sims: (Option<SocketAddr>, Option<SocketAddr>),
}

/// A composed process, not yet serving.
pub struct Cluster {
    /// Its context; stopping it stops everything.
    pub ctx: Ctx,
    /// Where it listens.
    pub addresses: Addresses,
    /// What must hold before it is ready.
    pub readiness: Readiness,
    /// control.v1 as this process has read it.
    pub view: ControlView,
    config: Config,
    parts: Vec<Box<dyn Service>>,
    own_log: Option<OwnLog>,
    _place: Arc<Place>,
    telemetry: Telemetry,
}

impl Cluster {
    /// Serves until the signal or the first failure, then settles.
    pub async fn serve(self, signal: impl Future<Output = ()>) -> Result<(), Failure> {
        let Self { ctx, config, parts, own_log, telemetry, .. } = self;
        let ended = supervise(&ctx, parts, signal, config.node.grace).await;
        if let Some(log) = own_log {
            log.close().await;
        }
        telemetry.close();
        match ended {
            Ended::Well => Ok(()),
            Ended::Badly { why } => Err(Failure::Failed(why)),
        }
    }
}

/// What every role is built from.
pub(crate) struct Base {
    pub(crate) ctx: Ctx,
    pub(crate) config: Config,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) view: ControlView,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readiness: Readiness,
    /// The databases' clock, if a test turns it.
    pub(crate) databases_clock: Option<Arc<dyn Clock>>,
    pub(crate) endpoint: String,
    pub(crate) faults: Option<StoreFaults>,
}

/// Opens everything and builds the roles.
pub async fn compose(config: Config, roles: &[Role], options: Options) -> Result<Cluster, Failure> {
    let telemetry = Telemetry::open(&config.telemetry).map_err(|error| Failure::of(&error))?;
    let grpc_listener = listen(config.grpc.listen, "grpc.listen").await?;
    let probes_listener = listen(config.probes_listen, "probes.listen").await?;
    let console_listener = listen(config.console_listen, "console.listen").await?;
    let addresses = Addresses {
        grpc: local(&grpc_listener)?,
        console: local(&console_listener)?,
        probes: local(&probes_listener)?,
        smsc: options.sims.0,
        mail: options.sims.1,
        pid: std::process::id(),
    };
    let place = match options.place {
        Some(place) => place,
        None => Arc::new(Place::open(&config.node.data, false).map_err(Failure::Failed)?),
    };
    let hash_key = place.hash_key(config.node.hash_key.as_deref()).map_err(Failure::Failed)?;
    let databases_clock = options.databases_clock.or_else(|| options.clock.clone());
    let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
    let (users, system_key) = users(&config, options.keys.as_ref())?;
    let ctx = Ctx::new(CtxParts {
        clock: Arc::clone(&clock),
        node: config.node.name.clone(),
        hash_key,
        metrics: Metrics::default(),
        peers: peers(&config, roles, addresses.grpc, &system_key)?,
    });
    let (log, own_log) = match options.log {
        Some(log) => (log, None),
        None => {
            let own = OwnLog::open(&config, Arc::clone(&clock)).await?;
            (own.port(), Some(own))
        }
    };
    let view = ControlView::start(&ctx, Arc::clone(&log)).await.map_err(|error| Failure::of(&error))?;
    same_installation(&view, log.as_ref(), &hash_key, ctx.now_us()).await?;
    let readiness = ctx.readiness().clone();
    let endpoint = own_url(&config, addresses.grpc);
    let base = Base {
        ctx: ctx.clone(),
        config: config.clone(),
        log,
        view: view.clone(),
        clock,
        readiness: readiness.clone(),
        databases_clock,
        endpoint,
        faults: options.store_faults,
    };
    let mut built = parts::build(&base, roles, console_listener, options.inbox).await?;
    built.parts.push(Box::new(GrpcServer {
        listener: grpc_listener,
        routes: built.routes,
        services: built.services,
        users,
        tls: config.grpc.tls.as_ref().map(server_tls).transpose()?,
    }));
    built.parts.push(Box::new(Probes {
        listener: probes_listener,
        readiness: readiness.clone(),
        metrics: ctx.metrics().clone(),
    }));
    built.parts.push(Box::new(ClockWatch { databases: built.databases, readiness: readiness.clone() }));
    let log = Arc::clone(&base.log);
    built.parts.push(Box::new(upkeep::Upkeep::new(&config, log, view.clone(), readiness.clone())));
    addresses.write(&place.path)?;
    Ok(Cluster { ctx, addresses, readiness, view, config, parts: built.parts, own_log, _place: place, telemetry })
}

/// A process with another hash key must not work here: its hashes would name other people.
async fn same_installation(view: &ControlView, log: &dyn Log, key: &HashKey, now_us: i64) -> Result<(), Failure> {
    use loa_contract::pb::event::v1 as event;
    let own = key.fingerprint();
    match view.installation() {
        Some(known) if known.hash_key_fingerprint == own => Ok(()),
        Some(_) => Err(Failure::Failed(
            "LOA-003 the hash key is not the one of this installation: restore <data>/hash.key from the backup, or name it under node.hash_key".to_owned(),
        )),
        None => {
            let installation = event::InstallationControl { hash_key_fingerprint: own };
            let control = event::Control {
                version: 1,
                at_us: now_us,
                object: Some(event::control::Object::Installation(installation)),
            };
            loa_runtime::control::publish(log, &control).await.map_err(|error| Failure::of(&error))
        }
    }
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(format!(
            "LOA-001 cannot listen on {address} ({key}): {error}; stop what holds the port, or use --port-base"
        ))
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    Ok(listener.local_addr()?)
}

/// Users of the configuration and of `loa dev`, and the key by which roles call each other.
fn users(config: &Config, keys: Option<&Keys>) -> Result<(Users, String), Failure> {
    let demo = keys.map(Keys::demo_users).unwrap_or_default();
    let configured = config.grpc.system_key.as_ref().map(|Secret(key)| key.as_str());
    let system_key = match configured.or_else(|| keys.and_then(|keys| keys.of(crate::keys::SYSTEM))) {
        Some(key) => key.to_owned(),
        // Roles of one process need no key that anybody else knows.
        None => uuid::Uuid::new_v4().simple().to_string(),
    };
    let system = Caller { user: crate::keys::SYSTEM.to_owned(), rights: vec![Right::System] };
    let named = config
        .users
        .iter()
        .chain(&demo)
        .map(|user| (user.key_sha256, Caller { user: user.name.clone(), rights: user.rights.clone() }));
    let all = named.chain([(loa_runtime::grpc::key_hash(&system_key), system)]);
    Ok((Users::new(all), system_key))
}

fn peers(config: &Config, roles: &[Role], grpc: SocketAddr, system_key: &str) -> Result<Peers, Failure> {
    let own = own_url(config, grpc);
    let mut endpoints: HashMap<Role, String> = config.endpoints.clone();
    for &role in roles {
        endpoints.insert(role, own.clone());
    }
    let tls = config.grpc.tls.as_ref().map(client_tls).transpose()?;
    Peers::new(&endpoints, tls.as_ref(), system_key).map_err(|error| Failure::of(&error))
}

/// How this process's gRPC is reached.
fn own_url(config: &Config, grpc: SocketAddr) -> String {
    let scheme = if config.grpc.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(grpc))
}

/// A wildcard address is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Usage(format!("`{}` cannot be read: {error}", path.display())))
}

fn server_tls(files: &TlsFiles) -> Result<ServerTlsConfig, Failure> {
    let identity = Identity::from_pem(read(&files.certificate)?, read(&files.key)?);
    let config = ServerTlsConfig::new().identity(identity);
    match &files.client_ca {
        Some(ca) => Ok(config.client_ca_root(Certificate::from_pem(read(ca)?))),
        None => Ok(config),
    }
}

fn client_tls(files: &TlsFiles) -> Result<ClientTlsConfig, Failure> {
    let mut config = ClientTlsConfig::new();
    if let Some(ca) = &files.peer_ca {
        config = config.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    if files.client_ca.is_some() {
        config = config.identity(Identity::from_pem(read(&files.certificate)?, read(&files.key)?));
    }
    Ok(config)
}
