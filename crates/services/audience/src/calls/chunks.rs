//! The chunks of a freeze, as a stream that never runs ahead of its reader.

use std::sync::Arc;

use loa_contract::pb::audience::v1::{Chunk, ReadChunksRequest, ReadChunksResponse};
use loa_domain::ids::{FreezeId, Shard};
use loa_ports::audience::{ChunksWanted, Datasets};
use loa_runtime::rpc::Violations;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Answers, field};
use crate::core::Core;
use crate::error::dataset_status;

/// Chunks that wait for the caller, at most.
const CHUNKS_WAITING_MAX: usize = 8;

pub(super) fn read(core: &Arc<Core>, request: &ReadChunksRequest) -> Result<Answers<ReadChunksResponse>, Status> {
    let wanted = wanted(request)?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let of_core = Arc::clone(core);
    core.ctx.spawn("read chunks", async move {
        let chunks = sender.clone();
        let each = move |datasets: &dyn Datasets| {
            let send = &mut |chunk: Chunk| chunks.blocking_send(Ok(ReadChunksResponse { chunk: Some(chunk) })).is_ok();
            datasets.read_chunks(&wanted, send)
        };
        if let Err(error) = of_core.heavy(each).await {
            // A caller that has gone needs no answer.
            let _gone = sender.send(Err(dataset_status(&error))).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn wanted(request: &ReadChunksRequest) -> Result<ChunksWanted, Status> {
    let mut faults = Violations::new();
    let freeze = field::id("freeze_id", &request.freeze_id, &mut faults);
    if u16::try_from(request.variant).is_err() {
        faults.add("variant", "at most 65535; variants are numbered from 0");
    }
    let shard = request.shard.and_then(|number| faults.check("shard", Shard::new(number)));
    faults.into_result()?;
    let freeze = freeze.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
    Ok(ChunksWanted {
        freeze: FreezeId(freeze),
        variant: request.variant,
        shard,
        first_chunk: request.first_chunk,
        chunks_max: request.chunks_max,
        keys_only: request.keys_only,
    })
}
