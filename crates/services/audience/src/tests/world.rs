//! One instance of audience, and the files that a second one may share.

use std::sync::Arc;

use bytes::Bytes;
use loa_contract::pb::audience::v1::audience_service_client::AudienceServiceClient;
use loa_contract::pb::audience::v1::import_dataset_request::Part;
use loa_contract::pb::audience::v1::import_dataset_response::Part as Answer;
use loa_contract::pb::audience::v1::*;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::Topic;
use loa_domain::channel::Channel;
use loa_embedded::EmbeddedLog;
use loa_parquet::ParquetDatasets;
use loa_ports::audience::{Route, Router};
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::log::Log;
use loa_runtime::rpc::{Caller, Right};
use loa_runtime::{Ctx, Service};
use loa_store::{Db, SqlAudience, SqlLeases, SqlOutbox};
use loa_testkit::records;
use loa_testkit::storm::log::{StormConfig, StormLog};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel as Transport, Endpoint};
use tonic::{Request, Status};

pub(super) use loa_testkit::status::fields;

use crate::{Audience, Options, Ports};

pub(super) type Client = AudienceServiceClient<Transport>;

/// Names the right that a call is made with.
const RIGHT_HEADER: &str = "test-right";

pub(super) struct World {
    directory: Arc<TempDir>,
    pub(super) db: Db,
    pub(super) log: Arc<StormLog>,
    pub(super) ctx: Ctx,
    pub(super) client: Client,
}

impl World {
    /// Calm, and running.
    pub(super) async fn new() -> Self {
        Self::stormy(StormConfig::calm(0), 0.0).await
    }

    pub(super) async fn stormy(storm: StormConfig, commits_lost: f64) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let file = directory.path().join("log.db");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let embedded = EmbeddedLog::open(&file, clock, loa_embedded::Options::default()).await.unwrap();
        let seed = storm.seed;
        let log = StormLog::new(Arc::new(embedded), storm);
        let world = Self::over(directory, log, "node-a", seed, commits_lost).await;
        world.run();
        world
    }

    /// Another instance on the same files; it does not run yet.
    pub(super) async fn second(&self, node: &str) -> Self {
        Self::over(Arc::clone(&self.directory), Arc::clone(&self.log), node, 0, 0.0).await
    }

    async fn over(directory: Arc<TempDir>, log: Arc<StormLog>, node: &str, seed: u64, commits_lost: f64) -> Self {
        let db = Db::open(&directory.path().join("audience.db"), "audience").await.unwrap();
        let db = if commits_lost > 0.0 { db.with_faults(seed, commits_lost) } else { db };
        let ctx = Ctx::test(Arc::new(SystemClock::new()), node);
        let client = serve(&ctx, audience(&ctx, &directory, &db, &log)).await;
        Self { directory, db, log, ctx, client }
    }

    /// Does the background work until the context is stopped.
    pub(super) fn run(&self) {
        let part = Box::new(audience(&self.ctx, &self.directory, &self.db, &self.log));
        let ctx = self.ctx.clone();
        self.ctx.spawn("audience", async move { part.run(ctx).await.unwrap() });
    }

    /// Stops it and waits for everything it does.
    pub(super) async fn stop(&self) {
        self.ctx.stop();
        self.ctx.idle().await;
    }

    /// Files of a kind in the data directory.
    pub(super) fn files(&self, kind: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path().join("people").join(kind)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().display().to_string()).collect()
    }

    /// Imports a file: every answer but the report, and the report.
    pub(super) async fn import(&self, start: ImportStart, csv: &str) -> Result<ImportReport, Status> {
        let pieces = csv.as_bytes().chunks(50_000).map(Bytes::copy_from_slice).map(data);
        let messages: Vec<ImportDatasetRequest> = std::iter::once(begin(start)).chain(pieces).collect();
        self.upload(messages).await
    }

    pub(super) async fn upload(&self, messages: Vec<ImportDatasetRequest>) -> Result<ImportReport, Status> {
        let request = with(Right::Operator, tokio_stream::iter(messages));
        let mut answers = self.client.clone().import_dataset(request).await?.into_inner();
        loop {
            match answers.message().await?.expect("the last answer is the report").part {
                Some(Answer::Report(report)) => return Ok(report),
                Some(Answer::Progress(_)) | None => {}
            }
        }
    }

    pub(super) async fn imported(&self, dataset: &str, csv: &str) -> ImportReport {
        self.import(start(dataset), csv).await.unwrap_or_else(|status| panic!("{status:?}"))
    }

    pub(super) async fn rejects(&self, import_id: &str) -> Result<String, Status> {
        let request = with(Right::Operator, ReadRejectsRequest { import_id: import_id.to_owned() });
        let mut pieces = self.client.clone().read_rejects(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.message().await? {
            bytes.extend(piece.data);
        }
        Ok(String::from_utf8(bytes).unwrap())
    }

    pub(super) async fn count(&self, dataset: &str, segment: &str) -> Result<CountSegmentResponse, Status> {
        let request = CountSegmentRequest { dataset: dataset.to_owned(), segment: segment.to_owned() };
        Ok(self.client.clone().count_segment(with(Right::Viewer, request)).await?.into_inner())
    }

    pub(super) async fn freeze(&self, request: &FreezeRequest) -> Result<FreezeResponse, Status> {
        Ok(self.client.clone().freeze(with(Right::System, request.clone())).await?.into_inner())
    }

    /// Asks until there is a manifest.
    pub(super) async fn frozen(&self, request: &FreezeRequest) -> Manifest {
        let asking = async {
            loop {
                let answer = self.freeze(request).await.unwrap_or_else(|status| panic!("{status:?}"));
                assert_eq!(answer.error, "", "it can be done");
                if let Some(manifest) = answer.manifest {
                    return manifest;
                }
            }
        };
        tokio::time::timeout(loa_testkit::eventually::LIMIT, asking).await.expect("a freeze ends")
    }

    pub(super) async fn chunks(&self, request: ReadChunksRequest) -> Result<Vec<Chunk>, Status> {
        let mut answers = self.client.clone().read_chunks(with(Right::System, request)).await?.into_inner();
        let mut chunks = Vec::new();
        while let Some(answer) = answers.message().await? {
            chunks.extend(answer.chunk);
        }
        Ok(chunks)
    }

    pub(super) async fn suppress(&self, suppression: Suppression) -> Result<Suppression, Status> {
        let request = AddSuppressionRequest { suppression: Some(suppression) };
        let answer = self.client.clone().add_suppression(with(Right::Operator, request)).await?;
        Ok(answer.into_inner().suppression.unwrap())
    }

    /// Every block on a topic's partition.
    pub(super) async fn blocks<T: Topic<Event = event::Blocks>>(&self, partition: u32) -> Vec<event::Block> {
        records::<T>(&*self.log, partition).await.into_iter().flat_map(|told| told.blocks).collect()
    }
}

fn audience(ctx: &Ctx, directory: &TempDir, db: &Db, log: &Arc<StormLog>) -> Audience {
    let people = directory.path().join("people");
    let datasets = ParquetDatasets::open(&people, *ctx.hash_key(), 2, Arc::clone(ctx.clock())).unwrap();
    let ports = Ports {
        datasets: Arc::new(datasets),
        store: Arc::new(SqlAudience::new(db.clone())),
        leases: Arc::new(SqlLeases::new(db.clone())),
        outbox: Arc::new(SqlOutbox(db.clone())),
        log: Arc::clone(log) as Arc<dyn Log>,
    };
    let route = |account: &str, channel: Channel| Route {
        account: account.to_owned(),
        channel,
        prefixes: vec![],
        domains: vec![],
        simulator: true,
        parts_max: 10,
    };
    let router = Router::new(vec![route("sim", Channel::Sms), route("post", Channel::Email)]);
    Audience::new(ctx, ports, Options { endpoint: String::new(), router, respect_dnc_for_public: true })
}

/// Serves on a free port; the caller is whoever the call says.
async fn serve(ctx: &Ctx, audience: Audience) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = InterceptedService::new(audience.server(), let_in);
    let stopping = ctx.clone();
    ctx.spawn("grpc", async move {
        let serving = tonic::transport::Server::builder().add_service(server);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        serving.serve_with_incoming_shutdown(incoming, async move { stopping.stopping().await }).await.unwrap();
    });
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    AudienceServiceClient::new(endpoint.connect_lazy())
}

#[allow(clippy::result_large_err, reason = "an interceptor's type")]
fn let_in(mut request: Request<()>) -> Result<Request<()>, Status> {
    let named = request.metadata().get(RIGHT_HEADER).map(|right| right.to_str().unwrap().to_owned());
    let right = named.and_then(|name| Right::ALL.into_iter().find(|right| right.name() == name));
    request.extensions_mut().insert(Caller { user: "lan".to_owned(), rights: right.into_iter().collect() });
    Ok(request)
}

/// A call made with a right.
pub(super) fn with<T>(right: Right, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(RIGHT_HEADER, right.name().parse().unwrap());
    request
}

pub(super) fn start(dataset: &str) -> ImportStart {
    ImportStart {
        dataset: dataset.to_owned(),
        synthetic: true,
        file_name: "people.csv".to_owned(),
        ..Default::default()
    }
}

pub(super) fn begin(start: ImportStart) -> ImportDatasetRequest {
    ImportDatasetRequest { part: Some(Part::Start(start)) }
}

pub(super) fn data(bytes: impl Into<Bytes>) -> ImportDatasetRequest {
    ImportDatasetRequest { part: Some(Part::Data(bytes.into())) }
}

/// A campaign version with one SMS text for everybody with a number.
pub(super) fn campaign(number: u128, dataset: &str) -> FreezeRequest {
    FreezeRequest {
        campaign_id: uuid::Uuid::from_u128(number).to_string(),
        campaign_version: 1,
        dataset: dataset.to_owned(),
        segment: "has mobile".to_owned(),
        class: event::Class::PublicInformation.into(),
        unit_code: "so-tttt".to_owned(),
        topic: "so-hoa".to_owned(),
        variants: vec![FreezeVariant {
            channel: event::Channel::Sms.into(),
            text: "Kinh gui {ten}".to_owned(),
            slots: vec!["ten".to_owned()],
            ..Default::default()
        }],
    }
}

/// `count` people with numbers from 0912000000 on and names.
pub(super) fn people(count: u32) -> String {
    let rows: String = (0..count).map(|number| format!("A{number},0{},Ten{number}\n", 912_000_000 + number)).collect();
    format!("account_id,msisdn,slots.ten\n{rows}")
}
