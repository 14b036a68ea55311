//! A registry on real files, a clock to turn, and people with their rights.

use std::sync::Arc;
use std::time::Duration;

use loa_contract::convert::timestamp;
use loa_contract::pb::event::v1::{CampaignControl, Control, control::Object};
use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_contract::topics::ControlTopic;
use loa_embedded::{EmbeddedLog, Options};
use loa_ports::lease::Leases;
use loa_runtime::peers::Peers;
use loa_runtime::rpc::{Caller, Right};
use loa_runtime::{Ctx, Role};
use loa_store::{Db, SqlLeases, SqlRegistry};
use loa_testkit::storm::log::{StormConfig, StormLog};
use loa_testkit::{FakeClock, eventually, records};
use tempfile::TempDir;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

pub(super) use loa_testkit::status::fields;

use super::audience::FakeAudience;
use crate::Registry;
use crate::calls::RegistryCalls;
use crate::core::Core;

pub(super) const AUTHOR: &str = "an";
pub(super) const APPROVER: &str = "binh";
pub(super) const OPERATOR: &str = "chi";
pub(super) const SECOND: u64 = 1_000_000;

/// One instance of the registry, and the files that a second one may share.
pub(super) struct World {
    _directory: Arc<TempDir>,
    pub db: Db,
    pub log: Arc<StormLog>,
    pub clock: Arc<FakeClock>,
    pub core: Arc<Core>,
    pub calls: RegistryCalls,
}

impl World {
    /// Empty.
    pub(super) async fn new() -> Self {
        Self::stormy(StormConfig::calm(0), 0.0).await
    }

    /// With a unit, an SMS template and a mail template.
    pub(super) async fn seeded() -> Self {
        let world = Self::new().await;
        world.seed().await;
        world
    }

    pub(super) async fn stormy(log: StormConfig, commits_lost: f64) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let clock = FakeClock::new();
        let file = directory.path().join("log.db");
        let embedded = EmbeddedLog::open(&file, clock.clone(), Options::default()).await.unwrap();
        let seed = log.seed;
        let log = StormLog::new(Arc::new(embedded), log);
        let db = Db::open(&directory.path().join("registry.db"), "registry").await.unwrap();
        Self::over(directory, db.with_faults(seed, commits_lost), log, clock)
    }

    /// A second instance with its own connections to the same files.
    pub(super) async fn second(&self) -> Self {
        let db = Db::open(self.db.path().unwrap(), "registry").await.unwrap();
        Self::over(Arc::clone(&self._directory), db, Arc::clone(&self.log), Arc::clone(&self.clock))
    }

    fn over(directory: Arc<TempDir>, db: Db, log: Arc<StormLog>, clock: Arc<FakeClock>) -> Self {
        let core = Arc::new(Core::new(Arc::new(SqlRegistry::new(db.clone())), log.clone(), clock.clone()));
        let calls = RegistryCalls::new(Arc::clone(&core));
        Self { _directory: directory, db, log, clock, core, calls }
    }

    pub(super) async fn seed(&self) {
        self.calls.put_unit(by(OPERATOR, PutUnitRequest { unit: Some(unit("so-tttt")) })).await.unwrap();
        for (name, content) in [("moi-hop", sms("Kính gửi {ten}: họp lúc 8h")), ("thu-moi", mail())] {
            let request = PutTemplateRequest { name: name.to_owned(), content: Some(content) };
            self.calls.put_template(by(AUTHOR, request)).await.unwrap();
        }
    }

    /// Runs the background work of an instance until the context is stopped.
    pub(super) async fn run(&self, node: &str, audience: Option<&FakeAudience>) -> Ctx {
        let peers = match audience {
            Some(audience) => Peers::new(&[(Role::Audience, audience.url())].into(), None, "key").unwrap(),
            None => Peers::default(),
        };
        let parts = loa_runtime::ctx::CtxParts {
            clock: self.clock.clone(),
            node: node.to_owned(),
            hash_key: loa_domain::hash::HashKey::new([42; 16]),
            metrics: loa_runtime::metrics::Metrics::default(),
            peers,
        };
        let ctx = Ctx::new(parts);
        let leases: Arc<dyn Leases> = Arc::new(SqlLeases::new(self.db.clone()));
        let registry = Registry { core: Arc::clone(&self.core), leases, endpoint: String::new() };
        let running = ctx.clone();
        ctx.spawn("registry", async move {
            loa_runtime::Service::run(Box::new(registry), running).await.unwrap();
        });
        ctx
    }

    /// A campaign that passes every check, from now for ten days.
    pub(super) fn campaign(&self) -> Campaign {
        let now_us = self.core.now_us();
        let variant = |template: &str, sender: &str| Variant {
            template: template.to_owned(),
            sender: sender.to_owned(),
            ..Variant::default()
        };
        Campaign {
            title: "Chuyển đổi số cho mọi nhà".to_owned(),
            task_ref: "T2".to_owned(),
            lead_units: vec!["so-tttt".to_owned()],
            legal_basis: vec!["Kế hoạch 123/KH-UBND".to_owned()],
            class: 4,
            lane: 3,
            topic: "so-hoa".to_owned(),
            starts_at: Some(timestamp(now_us)),
            ends_at: Some(timestamp(now_us + 10 * 86_400 * 1_000_000)),
            variants: vec![variant("moi-hop", "BenTre"), variant("thu-moi", "tin@example.test")],
            dataset: "thue-bao".to_owned(),
            segment: "has mobile".to_owned(),
            ..Campaign::default()
        }
    }

    pub(super) async fn created(&self) -> Campaign {
        self.created_by_key("k1").await
    }

    /// Another key makes another campaign.
    pub(super) async fn created_by_key(&self, key: &str) -> Campaign {
        let request = CreateCampaignRequest { campaign: Some(self.campaign()), idempotency_key: key.to_owned() };
        self.calls.create_campaign(by(AUTHOR, request)).await.unwrap().into_inner().campaign.unwrap()
    }

    /// Frozen by hand, as the background work would.
    pub(super) async fn submitted(&self) -> Campaign {
        let id = self.created().await.id;
        self.calls.submit_campaign(by(AUTHOR, SubmitCampaignRequest { id: id.clone() })).await.unwrap();
        self.freeze(&id).await
    }

    pub(super) async fn freeze(&self, id: &str) -> Campaign {
        let change = crate::change::Change {
            user: "freeze",
            event: loa_domain::campaign::CampaignEvent::Frozen,
            note: String::new(),
            fence: loa_ports::lease::Fence::default(),
            acknowledge: loa_runtime::outbox::Acknowledge::May,
        };
        let edit = |stored: &mut loa_ports::store::registry::StoredCampaign| {
            stored.campaign.freeze_id = "01999999-0000-7000-8000-000000000000".to_owned();
            stored.campaign.manifest_hash = vec![7; 32];
            Ok(())
        };
        self.core.change(id.parse().unwrap(), change, edit).await.unwrap()
    }

    pub(super) async fn approved(&self) -> Campaign {
        let Campaign { id, manifest_hash, .. } = self.submitted().await;
        let request = ApproveCampaignRequest { id, manifest_hash };
        self.calls.approve_campaign(by(APPROVER, request)).await.unwrap().into_inner().campaign.unwrap()
    }

    pub(super) async fn running(&self) -> Campaign {
        let id = self.approved().await.id;
        self.calls
            .start_campaign(by(OPERATOR, StartCampaignRequest { id }))
            .await
            .unwrap()
            .into_inner()
            .campaign
            .unwrap()
    }

    pub(super) async fn get(&self, id: &str) -> Campaign {
        let request = GetCampaignRequest { id: id.to_owned() };
        self.calls.get_campaign(by(AUTHOR, request)).await.unwrap().into_inner().campaign.unwrap()
    }

    pub(super) async fn audit(&self, object_id: &str) -> Vec<AuditEntry> {
        let request = ListAuditRequest { object_id: object_id.to_owned(), ..ListAuditRequest::default() };
        self.calls.list_audit(by(AUTHOR, request)).await.unwrap().into_inner().entries
    }

    /// Every state of an object on control.v1, in order: (version, state).
    pub(super) async fn published(&self, id: &str) -> Vec<(u64, CampaignControl)> {
        let id = id.parse::<loa_domain::ids::CampaignId>().unwrap().to_vec();
        let of_object = |control: Control| match control.object {
            Some(Object::Campaign(campaign)) if campaign.campaign_id == id => Some((control.version, campaign)),
            _ => None,
        };
        records::<ControlTopic>(&*self.log, 0).await.into_iter().filter_map(of_object).collect()
    }

    /// The newest state of an object on control.v1, once that is this version or a newer one: a change is published after
    /// it was stored, so whoever saw it in the store may be earlier than the log.
    pub(super) async fn published_version(&self, id: &str, version: u64) -> (u64, CampaignControl) {
        let newest = async || self.published(id).await.into_iter().max_by_key(|(on_log, _)| *on_log);
        let is_there = async || newest().await.is_some_and(|(on_log, _)| on_log >= version);
        eventually(&format!("version {version} is on the log"), is_there).await;
        newest().await.expect("it was there")
    }

    pub(super) fn turn(&self, seconds: u64) {
        self.clock.turn(Duration::from_micros(seconds * SECOND));
    }
}

/// A call of one of the people above, with that person's rights.
pub(super) fn by<T>(user: &str, message: T) -> Request<T> {
    let right = match user {
        APPROVER => Right::Approver,
        OPERATOR => Right::Operator,
        "report" => Right::System,
        _ => Right::Author,
    };
    with(user, &[right], message)
}

pub(super) fn with<T>(user: &str, rights: &[Right], message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller { user: user.to_owned(), rights: rights.to_vec() });
    request
}

/// The stable reason of a refusal.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

pub(super) fn unit(code: &str) -> Unit {
    Unit {
        code: code.to_owned(),
        name: "Sở Thông tin và Truyền thông".to_owned(),
        kind: "so".to_owned(),
        valid_from: Some(timestamp(0)),
        ..Unit::default()
    }
}

pub(super) fn sms(text: &str) -> Content {
    Content { channel: 1, text: text.to_owned(), diacritics: "as_is".to_owned(), ..Content::default() }
}

pub(super) fn mail() -> Content {
    Content {
        channel: 2,
        subject: "Thư mời {ten}".to_owned(),
        text: "Kính gửi {ten}".to_owned(),
        html: "<p>Kính gửi {ten}</p>".to_owned(),
        ..Content::default()
    }
}
