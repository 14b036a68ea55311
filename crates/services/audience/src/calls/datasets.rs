//! Datasets: list, count, rejects.

use std::sync::Arc;

use loa_contract::convert::timestamp;
use loa_contract::pb::audience::v1::*;
use loa_ports::store::audience::VersionRow;
use loa_runtime::rpc::{Violations, page_size, page_start, page_token, store_status};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Answers, field};
use crate::core::{Core, rule};
use crate::error::dataset_status;

/// Pieces of a rejects file that wait for the caller, at most.
const PIECES_WAITING_MAX: usize = 4;

pub(super) async fn list(core: &Core, request: &ListDatasetsRequest) -> Result<ListDatasetsResponse, Status> {
    let mut faults = Violations::new();
    let size = page_size(request.page_size, &mut faults);
    let start = page_start(&request.page_token, &mut faults);
    faults.into_result()?;
    // One more than asked: whether there is a next page.
    let mut rows = core.store.newest_page(start, size + 1).await.map_err(|error| store_status(&error))?;
    let is_last = rows.len() <= usize::try_from(size).unwrap_or(usize::MAX);
    let next_page_token = if is_last { String::new() } else { page_token(start + u64::from(size)) };
    rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(ListDatasetsResponse { datasets: rows.into_iter().map(dataset).collect(), next_page_token })
}

fn dataset(row: VersionRow) -> Dataset {
    Dataset {
        name: row.dataset,
        version: row.version,
        rows: row.rows,
        synthetic: row.synthetic,
        created_at: Some(timestamp(row.created_at_us)),
        import_id: row.import_id.to_string(),
        rejected: row.rejected,
    }
}

pub(super) async fn count(core: &Core, request: &CountSegmentRequest) -> Result<CountSegmentResponse, Status> {
    let mut faults = Violations::new();
    field::dataset("dataset", &request.dataset, &mut faults);
    let rule = faults.check("segment", rule(&request.segment));
    faults.into_result()?;
    let rule = rule.ok_or_else(|| Status::internal("a rule was neither read nor refused"))?;
    let newest = core.store.newest(&request.dataset).await.map_err(|error| store_status(&error))?;
    let version = newest.ok_or_else(|| field::no_dataset(&request.dataset))?;
    let canonical = rule.to_string();
    let _turn = core.counts.acquire().await.map_err(|_| Status::unavailable("this process is stopping; try again"))?;
    let import_id = version.import_id;
    let counts = core.heavy(move |datasets| datasets.count(import_id, &rule)).await;
    let counts = counts.map_err(|error| dataset_status(&error))?;
    Ok(CountSegmentResponse {
        selected: counts.selected,
        with_mobile: counts.with_mobile,
        with_email: counts.with_email,
        dataset_version: version.version,
        canonical,
    })
}

pub(super) fn read_rejects(
    core: &Arc<Core>,
    request: &ReadRejectsRequest,
) -> Result<Answers<ReadRejectsResponse>, Status> {
    let mut faults = Violations::new();
    let id = field::id("import_id", &request.import_id, &mut faults);
    faults.into_result()?;
    let id = id.ok_or_else(|| Status::internal("an id was neither read nor refused"))?;
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    let of_core = Arc::clone(core);
    core.ctx.spawn("read rejects", async move {
        let pieces = sender.clone();
        let each = move |datasets: &dyn loa_ports::audience::Datasets| {
            let piece = &mut |bytes: bytes::Bytes| {
                pieces.blocking_send(Ok(ReadRejectsResponse { data: bytes.to_vec() })).is_ok()
            };
            datasets.read_rejects(id, piece)
        };
        if let Err(error) = of_core.heavy(each).await {
            // A caller that has gone needs no answer.
            let _gone = sender.send(Err(dataset_status(&error))).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}
