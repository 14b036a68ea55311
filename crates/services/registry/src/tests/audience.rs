//! An audience that answers questions about freezes as a test says, over real gRPC.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use loa_contract::pb::audience::v1::audience_service_server::{AudienceService, AudienceServiceServer};
use loa_contract::pb::audience::v1::*;
use loa_runtime::Ctx;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer = Result<FreezeResponse, Status>;

/// Answers in turn; the last answer stays.
#[derive(Clone)]
pub(super) struct FakeAudience {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<FreezeRequest>>>,
    port: u16,
}

impl FakeAudience {
    pub(super) async fn start(ctx: &Ctx) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self { answers: Arc::default(), asked: Arc::default(), port };
        let (serving, stopping) = (fake.clone(), ctx.clone());
        ctx.spawn("audience", async move {
            let server = tonic::transport::Server::builder().add_service(AudienceServiceServer::new(serving));
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, async move { stopping.stopping().await }).await.unwrap();
        });
        fake
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.answers.lock().unwrap() = answers.into_iter().collect();
    }

    pub(super) fn asked(&self) -> Vec<FreezeRequest> {
        self.asked.lock().unwrap().clone()
    }
}

/// Still at it.
pub(super) fn running() -> Answer {
    Ok(FreezeResponse { done: 10, ..FreezeResponse::default() })
}

pub(super) fn failed(error: &str) -> Answer {
    Ok(FreezeResponse { error: error.to_owned(), ..FreezeResponse::default() })
}

/// Five people on the phone; campaign and version are filled in from the question.
pub(super) fn frozen() -> Answer {
    let route = ManifestRoute { account: "viet".to_owned(), recipients: 5, chunks: 1, ..ManifestRoute::default() };
    let variant = ManifestVariant { frozen: 5, parts: 5, chunks: 1, routes: vec![route], ..ManifestVariant::default() };
    let manifest = Manifest {
        freeze_id: "01999999-0000-7000-8000-000000000001".to_owned(),
        selected: 6,
        dataset_version: 2,
        synthetic: true,
        hash: vec![9; 32],
        variants: vec![variant],
        ..Manifest::default()
    };
    Ok(FreezeResponse { manifest: Some(manifest), ..FreezeResponse::default() })
}

#[tonic::async_trait]
impl AudienceService for FakeAudience {
    async fn freeze(&self, request: Request<FreezeRequest>) -> Result<Response<FreezeResponse>, Status> {
        let request = request.into_inner();
        let mut answers = self.answers.lock().unwrap();
        let mut answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
            .unwrap_or_else(|| Err(Status::unavailable("no answer is prepared")))?;
        if let Some(manifest) = &mut answer.manifest {
            manifest.campaign_id.clone_from(&request.campaign_id);
            manifest.campaign_version = request.campaign_version;
        }
        self.asked.lock().unwrap().push(request);
        Ok(Response::new(answer))
    }

    type ImportDatasetStream = tokio_stream::Pending<Result<ImportDatasetResponse, Status>>;
    type ReadRejectsStream = tokio_stream::Pending<Result<ReadRejectsResponse, Status>>;
    type ReadChunksStream = tokio_stream::Pending<Result<ReadChunksResponse, Status>>;

    async fn import_dataset(
        &self,
        _: Request<tonic::Streaming<ImportDatasetRequest>>,
    ) -> Result<Response<Self::ImportDatasetStream>, Status> {
        Err(not_here())
    }

    async fn read_rejects(&self, _: Request<ReadRejectsRequest>) -> Result<Response<Self::ReadRejectsStream>, Status> {
        Err(not_here())
    }

    async fn list_datasets(&self, _: Request<ListDatasetsRequest>) -> Result<Response<ListDatasetsResponse>, Status> {
        Err(not_here())
    }

    async fn count_segment(&self, _: Request<CountSegmentRequest>) -> Result<Response<CountSegmentResponse>, Status> {
        Err(not_here())
    }

    async fn read_chunks(&self, _: Request<ReadChunksRequest>) -> Result<Response<Self::ReadChunksStream>, Status> {
        Err(not_here())
    }

    async fn add_suppression(
        &self,
        _: Request<AddSuppressionRequest>,
    ) -> Result<Response<AddSuppressionResponse>, Status> {
        Err(not_here())
    }

    async fn remove_suppression(
        &self,
        _: Request<RemoveSuppressionRequest>,
    ) -> Result<Response<RemoveSuppressionResponse>, Status> {
        Err(not_here())
    }

    async fn list_suppressions(
        &self,
        _: Request<ListSuppressionsRequest>,
    ) -> Result<Response<ListSuppressionsResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("the registry asks audience for freezes alone")
}
