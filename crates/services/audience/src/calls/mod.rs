//! The gRPC methods: rights first, then every faulty field at once, then the work.
//!
//! Must stay true: a call without its right touches nothing.

mod chunks;
mod datasets;
mod field;
mod freeze;
mod import;
mod suppressions;

use std::pin::Pin;
use std::sync::Arc;

use loa_contract::pb::audience::v1::audience_service_server::AudienceService;
use loa_contract::pb::audience::v1::*;
use loa_runtime::rpc::{Right, require};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::core::Core;

/// The service's methods.
pub struct AudienceCalls {
    core: Arc<Core>,
}

impl AudienceCalls {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// Answers of a streaming call.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AudienceService for AudienceCalls {
    type ImportDatasetStream = Answers<ImportDatasetResponse>;
    type ReadRejectsStream = Answers<ReadRejectsResponse>;
    type ReadChunksStream = Answers<ReadChunksResponse>;

    async fn import_dataset(
        &self,
        request: Request<Streaming<ImportDatasetRequest>>,
    ) -> Result<Response<Self::ImportDatasetStream>, Status> {
        require(&request, Right::Operator)?;
        Ok(Response::new(import::import(&self.core, request.into_inner()).await?))
    }

    async fn read_rejects(
        &self,
        request: Request<ReadRejectsRequest>,
    ) -> Result<Response<Self::ReadRejectsStream>, Status> {
        require(&request, Right::Operator)?;
        Ok(Response::new(datasets::read_rejects(&self.core, &request.into_inner())?))
    }

    async fn list_datasets(
        &self,
        request: Request<ListDatasetsRequest>,
    ) -> Result<Response<ListDatasetsResponse>, Status> {
        require(&request, Right::Viewer)?;
        Ok(Response::new(datasets::list(&self.core, &request.into_inner()).await?))
    }

    async fn count_segment(
        &self,
        request: Request<CountSegmentRequest>,
    ) -> Result<Response<CountSegmentResponse>, Status> {
        require(&request, Right::Viewer)?;
        Ok(Response::new(datasets::count(&self.core, &request.into_inner()).await?))
    }

    async fn freeze(&self, request: Request<FreezeRequest>) -> Result<Response<FreezeResponse>, Status> {
        require(&request, Right::System)?;
        Ok(Response::new(freeze::freeze(&self.core, request.into_inner()).await?))
    }

    async fn read_chunks(
        &self,
        request: Request<ReadChunksRequest>,
    ) -> Result<Response<Self::ReadChunksStream>, Status> {
        require(&request, Right::System)?;
        Ok(Response::new(chunks::read(&self.core, &request.into_inner())?))
    }

    async fn add_suppression(
        &self,
        request: Request<AddSuppressionRequest>,
    ) -> Result<Response<AddSuppressionResponse>, Status> {
        let caller = require(&request, Right::Operator)?;
        let suppression = suppressions::add(&self.core, request.into_inner().suppression, &caller.user).await?;
        Ok(Response::new(AddSuppressionResponse { suppression: Some(suppression) }))
    }

    async fn remove_suppression(
        &self,
        request: Request<RemoveSuppressionRequest>,
    ) -> Result<Response<RemoveSuppressionResponse>, Status> {
        let caller = require(&request, Right::Operator)?;
        let removed = suppressions::remove(&self.core, request.into_inner().suppression, &caller.user).await?;
        Ok(Response::new(RemoveSuppressionResponse { removed }))
    }

    async fn list_suppressions(
        &self,
        request: Request<ListSuppressionsRequest>,
    ) -> Result<Response<ListSuppressionsResponse>, Status> {
        require(&request, Right::Operator)?;
        Ok(Response::new(suppressions::list(&self.core, &request.into_inner()).await?))
    }
}
