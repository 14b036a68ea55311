//! The roles of a process, each built from its adapters.

use std::sync::Arc;

use async_trait::async_trait;
use loa_audience::Audience;
use loa_console::{Console, Inboxes};
use loa_dispatch::Dispatch;
use loa_domain::channel::Channel;
use loa_email::{EmailGateway, EmailPorts};
use loa_parquet::ParquetDatasets;
use loa_ports::audience::{Route, Router};
use loa_ports::clock::Clock;
use loa_ports::lease::Leases;
use loa_ports::store::{StoreClock, StoreError};
use loa_registry::Registry;
use loa_report::Report;
use loa_runtime::config::{Config, StoreConfig};
use loa_runtime::{Role, Service};
use loa_smpp::SmppCarrier;
use loa_sms::{SmsGateway, SmsPorts};
use loa_smtp::{MimeComposer, SmtpMailer};
use loa_store::{Db, SqlAudience, SqlClaims, SqlDispatch, SqlLeases, SqlOutbox, SqlRegistry, SqlReport};
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::beats::Beats;
use super::leases::RoleLeases;
use super::{Base, buckets, snapshots, stores};
use crate::exit::Failure;

/// Threads of one import or freeze.
const AUDIENCE_THREADS: usize = 2;

/// What was built.
#[derive(Default)]
pub(super) struct Built {
    pub(super) parts: Vec<Box<dyn Service>>,
    pub(super) routes: Routes,
    pub(super) services: Vec<&'static str>,
    /// The databases, by role.
    pub(super) databases: Vec<(&'static str, Arc<dyn StoreClock>)>,
}

impl Built {
    fn add<S, P>(&mut self, server: S, part: P)
    where
        S: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        P: Service + 'static,
    {
        self.services.push(S::NAME);
        self.routes = std::mem::take(&mut self.routes).add_service(server);
        self.parts.push(Box::new(part));
    }
}

/// Builds the roles of this process.
pub(super) async fn build(
    base: &Base,
    roles: &[Role],
    console: TcpListener,
    inbox: Option<Arc<dyn Inboxes>>,
) -> Result<Built, Failure> {
    let mut built = Built::default();
    let beats = beats(base).await?;
    let beats = beats.as_ref();
    for &role in roles {
        match role {
            Role::Registry => registry(base, beats, &mut built).await?,
            Role::Audience => audience(base, beats, &mut built).await?,
            Role::Dispatch => dispatch(base, beats, &mut built).await?,
            Role::Sms => sms(base, beats, &mut built).await?,
            Role::Email => email(base, beats, &mut built).await?,
            Role::Report => report(base, beats, &mut built).await?,
            Role::Console => {}
        }
    }
    if roles.contains(&Role::Console) {
        built.parts.push(Box::new(Console::new(console, inbox)));
    }
    Ok(built)
}

/// The time of the databases in the world of a test.
#[derive(Debug)]
struct TimeOfTest(Arc<dyn Clock>);

#[async_trait]
impl StoreClock for TimeOfTest {
    async fn database_now_us(&self) -> Result<i64, StoreError> {
        Ok(self.0.now_us())
    }
}

/// Opens the store of a role, whose clock is watched from then on.
async fn store_of(base: &Base, role: Role, built: &mut Built) -> Result<Db, Failure> {
    let db = stores::open(base, role).await?;
    let clock: Arc<dyn StoreClock> = match &base.databases_clock {
        Some(clock) => Arc::new(TimeOfTest(Arc::clone(clock))),
        None => Arc::new(db.clone()),
    };
    built.databases.push((role.name(), clock));
    Ok(db)
}

/// The beats of a process whose stores are files; others see its beats in each role's database.
async fn beats(base: &Base) -> Result<Option<Arc<Beats>>, Failure> {
    if !matches!(base.config.store, StoreConfig::Sqlite) {
        return Ok(None);
    }
    let db = Db::open(&base.config.node.data.join("node.db"), "node").await.map_err(|error| Failure::of(&error))?;
    Ok(Some(Arc::new(Beats::new(SqlLeases::new(db), Arc::clone(&base.clock)))))
}

fn leases(base: &Base, role: Role, db: &Db, beats: Option<&Arc<Beats>>) -> Arc<dyn Leases> {
    let own = SqlLeases::new(db.clone());
    Arc::new(RoleLeases::new(own, beats.cloned(), role, base.readiness.clone()))
}

async fn registry(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Registry, built).await?;
    let store = Arc::new(SqlRegistry::new(db.clone()));
    let part = Registry::new(
        store,
        leases(base, Role::Registry, &db, beats),
        Arc::clone(&base.log),
        Arc::clone(&base.clock),
        &base.endpoint,
    );
    built.add(part.server(), part);
    Ok(())
}

async fn audience(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Audience, built).await?;
    let (folder, shelf) = (snapshots::folder(&base.config), snapshots::shelf(&base.config)?);
    let opened = ParquetDatasets::open(&folder, *base.ctx.hash_key(), AUDIENCE_THREADS, Arc::clone(&base.clock));
    let opened = opened.map_err(|error| Failure::of(&error))?;
    let ports = loa_audience::Ports {
        datasets: Arc::new(shelf.into_iter().fold(opened, ParquetDatasets::with_shelf)),
        store: Arc::new(SqlAudience::new(db.clone())),
        leases: leases(base, Role::Audience, &db, beats),
        outbox: Arc::new(SqlOutbox(db)),
        log: Arc::clone(&base.log),
    };
    let options = loa_audience::Options {
        endpoint: base.endpoint.clone(),
        router: router(&base.config),
        respect_dnc_for_public: base.config.dispatch.respect_dnc_for_public,
    };
    let part = Audience::new(&base.ctx, ports, options);
    built.add(part.server(), part);
    Ok(())
}

async fn dispatch(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Dispatch, built).await?;
    let config = &base.config.dispatch;
    let options = loa_dispatch::Options {
        tries_max: u8::try_from(config.tries_max).unwrap_or(u8::MAX),
        respect_dnc_for_public: config.respect_dnc_for_public,
        any_hour: config.demo_hours,
        router: router(&base.config),
        endpoint: base.endpoint.clone(),
    };
    let store = Arc::new(SqlDispatch::new(db.clone()));
    let part = Dispatch::new(
        &base.ctx,
        store,
        leases(base, Role::Dispatch, &db, beats),
        Arc::clone(&base.log),
        base.view.clone(),
        options,
    );
    built.add(part.server(), part);
    Ok(())
}

async fn sms(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Sms, built).await?;
    let bucket = buckets::of(base, Role::Sms, &mut built.parts)?;
    let ports = SmsPorts {
        claims: Arc::new(SqlClaims::new(db.clone())),
        leases: leases(base, Role::Sms, &db, beats),
        log: Arc::clone(&base.log),
        carrier: Arc::new(SmppCarrier::new(&base.ctx)),
        bucket,
    };
    let part = SmsGateway::new(&base.ctx, ports, base.view.clone(), base.config.sms.clone()).await;
    let part = part.map_err(|error| Failure::of(error.0.as_ref()))?;
    built.add(part.server(), part);
    Ok(())
}

async fn email(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Email, built).await?;
    let bucket = buckets::of(base, Role::Email, &mut built.parts)?;
    let ports = EmailPorts {
        claims: Arc::new(SqlClaims::new(db.clone())),
        leases: leases(base, Role::Email, &db, beats),
        log: Arc::clone(&base.log),
        mailer: Arc::new(SmtpMailer::new(base.ctx.clone())),
        composer: Arc::new(MimeComposer::new(*base.ctx.hash_key())),
        bucket,
    };
    let part = EmailGateway::new(&base.ctx, ports, base.view.clone(), base.config.email.clone()).await;
    let part = part.map_err(|error| Failure::of(error.0.as_ref()))?;
    built.add(part.server(), part);
    Ok(())
}

async fn report(base: &Base, beats: Option<&Arc<Beats>>, built: &mut Built) -> Result<(), Failure> {
    let db = store_of(base, Role::Report, built).await?;
    let store = Arc::new(SqlReport::new(db.clone()));
    let config = base.config.report.clone();
    let part = Report::new(
        &base.ctx,
        store,
        leases(base, Role::Report, &db, beats),
        Arc::clone(&base.log),
        base.view.clone(),
        config,
    );
    built.add(part.server(), part);
    Ok(())
}

/// Which account takes which address, at freeze and for single sends alike.
fn router(config: &Config) -> Router {
    let sms = config.sms.accounts.iter().map(|account| Route {
        account: account.carrier.id.to_string(),
        channel: Channel::Sms,
        prefixes: account.prefixes.clone(),
        domains: Vec::new(),
        simulator: account.simulator,
        parts_max: account.parts_max,
    });
    let email = config.email.relays.iter().map(|relay| Route {
        account: relay.relay.id.to_string(),
        channel: Channel::Email,
        prefixes: Vec::new(),
        domains: relay.domains.clone(),
        simulator: relay.simulator,
        parts_max: 1,
    });
    Router::new(sms.chain(email).collect())
}
