//! Where frozen chunks come from: audience, by gRPC.
//!
//! Must stay true: a freeze never changes, so reading it again gives the same.

use std::time::Duration;

use async_trait::async_trait;
use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::audience::v1::audience_service_client::AudienceServiceClient;
use loa_domain::ids::{AccountId, FreezeId, Shard};
use loa_runtime::{Ctx, Role};
use tonic::Request;

pub use crate::core::Head;

/// Audience answers within this time, or is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Why chunks could not be read; all of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ChunksError {
    /// Audience does not answer, or not with chunks.
    #[error("audience does not give its chunks: {why}")]
    Away {
        /// What it said.
        why: String,
    },
    /// An answer that is no chunk.
    #[error("audience gave a chunk that cannot be used")]
    Bad(#[from] convert::BadRecord),
}

/// Frozen chunks.
#[async_trait]
pub trait Chunks: Send + Sync + std::fmt::Debug {
    /// Number, account and size of every chunk of a variant in a shard, ascending.
    async fn heads(&self, freeze: FreezeId, variant: u16, shard: Shard) -> Result<Vec<Head>, ChunksError>;

    /// Chunks with their recipients: of that shard, from that number on, at most so many.
    async fn read(
        &self,
        freeze: FreezeId,
        variant: u16,
        shard: Shard,
        first_chunk: u32,
        chunks_max: u32,
    ) -> Result<Vec<audience::Chunk>, ChunksError>;
}

/// Chunks over gRPC.
#[derive(Clone)]
pub struct RemoteChunks(pub Ctx);

impl std::fmt::Debug for RemoteChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RemoteChunks")
    }
}

impl RemoteChunks {
    async fn ask(&self, ask: audience::ReadChunksRequest) -> Result<Vec<audience::Chunk>, ChunksError> {
        let away = |status: tonic::Status| ChunksError::Away { why: status.message().to_owned() };
        let peer = self.0.peers().channel(Role::Audience);
        let mut client =
            AudienceServiceClient::new(peer).max_decoding_message_size(loa_runtime::grpc::MESSAGE_BYTES_MAX);
        let mut request = Request::new(ask);
        request.set_timeout(ANSWER_WAIT);
        let mut stream = client.read_chunks(request).await.map_err(away)?.into_inner();
        let mut chunks = Vec::new();
        while let Some(answer) = stream.message().await.map_err(away)? {
            chunks.extend(answer.chunk);
        }
        Ok(chunks)
    }
}

#[async_trait]
impl Chunks for RemoteChunks {
    async fn heads(&self, freeze: FreezeId, variant: u16, shard: Shard) -> Result<Vec<Head>, ChunksError> {
        let ask = audience::ReadChunksRequest { keys_only: true, ..request(freeze, variant, shard) };
        self.ask(ask).await?.iter().map(head).collect()
    }

    async fn read(
        &self,
        freeze: FreezeId,
        variant: u16,
        shard: Shard,
        first_chunk: u32,
        chunks_max: u32,
    ) -> Result<Vec<audience::Chunk>, ChunksError> {
        self.ask(audience::ReadChunksRequest { first_chunk, chunks_max, ..request(freeze, variant, shard) }).await
    }
}

fn request(freeze: FreezeId, variant: u16, shard: Shard) -> audience::ReadChunksRequest {
    audience::ReadChunksRequest {
        freeze_id: freeze.to_string(),
        variant: u32::from(variant),
        shard: Some(shard.number()),
        ..Default::default()
    }
}

/// What a plan needs of a chunk.
pub(crate) fn head(chunk: &audience::Chunk) -> Result<Head, ChunksError> {
    let key = convert::chunk_key(chunk.key.as_ref())?;
    let account = AccountId::new(&chunk.account).map_err(|error| convert::BadRecord::new("account", error))?;
    let size =
        u16::try_from(chunk.address_hashes.len()).map_err(|error| convert::BadRecord::new("address_hashes", error))?;
    Ok(Head { chunk: key.chunk, account, size })
}
