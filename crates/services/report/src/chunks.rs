//! Where the ledger gets a campaign's chunks from: audience, by gRPC.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loa_contract::convert;
use loa_contract::pb::audience::v1 as audience;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, FreezeId};
use loa_ports::store::report::ChunkFacts;
use loa_runtime::{Ctx, Role};
use tonic::Status;

/// Which chunks are asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The campaign they belong to.
    pub campaign: CampaignId,
    /// Its freeze.
    pub freeze: FreezeId,
    /// The variant.
    pub variant: u16,
    /// Its channel.
    pub channel: Channel,
    /// One shard, or all.
    pub shard: Option<u32>,
}

/// Gives frozen chunks.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Keys of chunks, in order.
    async fn keys(&self, wanted: Wanted) -> Result<BoxStream<'static, Result<ChunkFacts, Status>>, Status>;

    /// Whole chunks with addresses, from a number on; for exports.
    async fn whole(&self, wanted: Wanted, first_chunk: u32, chunks_max: u32) -> Result<Vec<audience::Chunk>, Status>;
}

/// Chunks over gRPC.
pub(crate) struct RemoteChunks(pub Ctx);

impl RemoteChunks {
    async fn read(
        &self,
        request: audience::ReadChunksRequest,
    ) -> Result<tonic::Streaming<audience::ReadChunksResponse>, Status> {
        let peer = self.0.peers().channel(Role::Audience);
        let mut client = audience::audience_service_client::AudienceServiceClient::new(peer)
            .max_decoding_message_size(loa_runtime::grpc::MESSAGE_BYTES_MAX);
        Ok(client.read_chunks(request).await?.into_inner())
    }
}

#[async_trait]
impl Chunks for RemoteChunks {
    async fn keys(&self, wanted: Wanted) -> Result<BoxStream<'static, Result<ChunkFacts, Status>>, Status> {
        let request = audience::ReadChunksRequest { keys_only: true, ..request(&wanted) };
        let stream = self.read(request).await?;
        Ok(stream
            .map(move |answer| {
                facts(&wanted, answer?.chunk.ok_or_else(|| Status::internal("an answer without a chunk"))?)
            })
            .boxed())
    }

    async fn whole(&self, wanted: Wanted, first_chunk: u32, chunks_max: u32) -> Result<Vec<audience::Chunk>, Status> {
        let mut stream = self.read(audience::ReadChunksRequest { first_chunk, chunks_max, ..request(&wanted) }).await?;
        let mut chunks = Vec::new();
        while let Some(answer) = stream.message().await? {
            chunks.extend(answer.chunk);
        }
        Ok(chunks)
    }
}

fn request(wanted: &Wanted) -> audience::ReadChunksRequest {
    audience::ReadChunksRequest {
        freeze_id: wanted.freeze.to_string(),
        variant: u32::from(wanted.variant),
        shard: wanted.shard,
        ..Default::default()
    }
}

fn facts(wanted: &Wanted, chunk: audience::Chunk) -> Result<ChunkFacts, Status> {
    let key = convert::chunk_key(chunk.key.as_ref()).map_err(|error| Status::internal(error.to_string()))?;
    Ok(ChunkFacts {
        key,
        campaign: wanted.campaign,
        shard: chunk.shard,
        account: chunk.account,
        channel: wanted.channel.code(),
        keys: chunk.address_hashes.into_iter().map(AddressHash).collect(),
    })
}
