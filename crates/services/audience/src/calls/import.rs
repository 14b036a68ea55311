//! Import: the bytes are spooled as they arrive, then the job is a row like any other, and the caller follows it.
//!
//! Must stay true: what arrives faster than the disk takes it waits in the connection, not in memory; bytes of an upload
//! that broke off are removed; once the last byte is durable the import is done whether or not its caller waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::pb::audience::v1::import_dataset_request::Part;
use loa_contract::pb::audience::v1::import_dataset_response::Part as Answer;
use loa_contract::pb::audience::v1::*;
use loa_ports::audience::DatasetError;
use loa_ports::store::audience::{ImportRow, JobState, NewImport};
use loa_runtime::rpc::{Violations, failed_precondition, store_status};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Answers, field};
use crate::core::Core;
use crate::error::{dataset_status, faulty};

/// Bytes of one message of an upload, at most.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one file, at most.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Messages that wait for the disk, at most.
const PIECES_WAITING_MAX: usize = 4;
/// Answers that wait for the caller, at most.
const ANSWERS_WAITING_MAX: usize = 4;
/// Between two words on the progress.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Characters of a file's name that are kept.
const FILE_NAME_CHARS_MAX: usize = 255;

type Teller = mpsc::Sender<Result<ImportDatasetResponse, Status>>;

/// Takes the first message at once, so that a bad start is refused before the upload.
pub(super) async fn import(
    core: &Arc<Core>,
    mut upload: Streaming<ImportDatasetRequest>,
) -> Result<Answers<ImportDatasetResponse>, Status> {
    let first = upload.message().await?.and_then(|message| message.part);
    let import = started(core, first).await?;
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let of_core = Arc::clone(core);
    core.ctx.spawn("import", async move {
        if let Err(status) = take(&of_core, &import, upload, &answers).await {
            // A caller that has gone needs no answer.
            let _gone = answers.send(Err(status)).await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

async fn started(core: &Core, first: Option<Part>) -> Result<NewImport, Status> {
    let mut faults = Violations::new();
    let Some(Part::Start(start)) = first else {
        faults.add("start", "it is missing; the first message names the dataset, the bytes follow");
        return Err(faults.into_result().err().unwrap_or_else(|| Status::internal("a fault without words")));
    };
    field::dataset("start.dataset", &start.dataset, &mut faults);
    field::text("start.file_name", &start.file_name, FILE_NAME_CHARS_MAX, &mut faults);
    if start.size_bytes > FILE_BYTES_MAX {
        faults
            .add("start.size_bytes", format!("at most {FILE_BYTES_MAX}; split the file and import the rest as deltas"));
    }
    faults.into_result()?;
    let newest = core.store.newest(&start.dataset).await.map_err(|error| store_status(&error))?;
    match newest {
        None if start.delta => Err(failed_precondition(
            "NO_VERSION",
            format!("`{}` has no version that a delta could change; import the whole file first", start.dataset),
        )),
        Some(newest) if start.delta && newest.synthetic != start.synthetic => Err(failed_precondition(
            "SYNTHETIC",
            "synthetic and real people cannot stand in one dataset; import them under two names",
        )),
        _ => Ok(NewImport {
            import_id: Uuid::now_v7(),
            dataset: start.dataset,
            synthetic: start.synthetic,
            delta: start.delta,
            file_name: start.file_name,
            created_at_us: core.now_us(),
        }),
    }
}

async fn take(
    core: &Core,
    import: &NewImport,
    upload: Streaming<ImportDatasetRequest>,
    answers: &Teller,
) -> Result<(), Status> {
    spool(core, import, upload, answers).await?;
    core.store.add_import(import).await.map_err(|error| store_status(&error))?;
    core.ring();
    follow(core, import.import_id, answers).await
}

/// Writes the upload to the spool, at the pace of the disk.
async fn spool(
    core: &Core,
    import: &NewImport,
    mut upload: Streaming<ImportDatasetRequest>,
    answers: &Teller,
) -> Result<(), Status> {
    let (pieces, to_write) = mpsc::channel(PIECES_WAITING_MAX);
    let import_id = import.import_id;
    let written = core.heavy(move |datasets| write(datasets.spool(import_id)?, to_write));
    tokio::pin!(written);
    let mut received = Received { bytes: 0, told_at: Instant::now() };
    loop {
        let message = tokio::select! {
            // The disk failed, or it would still be waiting for pieces.
            early = &mut written => return Err(early.err().map_or_else(lost, |error| dataset_status(&error))),
            () = core.ctx.stopping() => return Err(dataset_status(&DatasetError::Stopped)),
            message = upload.message() => message?,
        };
        let Some(message) = message else { break };
        let piece = received.piece(message)?;
        // A full queue waits here, and with it the connection; a writer that ended is met above.
        if pieces.send(Some(piece)).await.is_ok() {
            received.tell(answers).await;
        }
    }
    // The end is said, not guessed: an upload that broke off drops the queue without it.
    let _told = pieces.send(None).await;
    drop(pieces);
    written.await.map(|_bytes| ()).map_err(|error| dataset_status(&error))
}

fn lost() -> Status {
    Status::internal("the upload was written before it had ended")
}

/// Runs on a blocking thread; gives up if the queue ends without its last word.
fn write(
    mut spool: Box<dyn loa_ports::audience::Spool>,
    mut pieces: mpsc::Receiver<Option<Bytes>>,
) -> Result<u64, DatasetError> {
    loop {
        match pieces.blocking_recv() {
            Some(Some(piece)) => spool.write(&piece)?,
            Some(None) => return spool.finish(),
            None => return Err(DatasetError::Stopped),
        }
    }
}

/// What has arrived.
struct Received {
    bytes: u64,
    told_at: Instant,
}

impl Received {
    fn piece(&mut self, message: ImportDatasetRequest) -> Result<Bytes, Status> {
        let mut faults = Violations::new();
        let piece = match message.part {
            Some(Part::Data(data)) => data,
            Some(Part::Start(_)) => {
                faults.add("start", "it comes once, as the first message; send the bytes as data");
                Bytes::new()
            }
            None => {
                faults.add("part", "the message is empty; send the bytes as data");
                Bytes::new()
            }
        };
        if piece.len() > PIECE_BYTES_MAX {
            faults.add("data", format!("at most {PIECE_BYTES_MAX} bytes in one message; send smaller pieces"));
        }
        self.bytes += u64::try_from(piece.len()).unwrap_or(0);
        if self.bytes > FILE_BYTES_MAX {
            faults.add("data", format!("at most {FILE_BYTES_MAX} bytes; split the file and import the rest as deltas"));
        }
        faults.into_result().map(|()| piece)
    }

    async fn tell(&mut self, answers: &Teller) {
        if self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            let progress = ImportProgress { bytes: self.bytes, stage: "receiving".to_owned(), ..Default::default() };
            tell(answers, progress).await;
        }
    }
}

/// A caller that has gone needs no answer; the work goes on.
async fn tell(answers: &Teller, progress: ImportProgress) {
    let _gone = answers.send(Ok(ImportDatasetResponse { part: Some(Answer::Progress(progress)) })).await;
}

/// Tells how far the import is, and in the end what became of it.
async fn follow(core: &Core, import_id: Uuid, answers: &Teller) -> Result<(), Status> {
    let mut bell = core.bell();
    let (mut told, mut told_at) = (ImportProgress::default(), Instant::now());
    loop {
        let row = core.store.import(import_id).await;
        match row {
            Ok(Some(ImportRow { state: JobState::Done, report: Some(report), .. })) => {
                let _gone = answers.send(Ok(ImportDatasetResponse { part: Some(Answer::Report(report)) })).await;
                return Ok(());
            }
            Ok(Some(ImportRow { state: JobState::Failed, mut faults, .. })) => {
                let hint = format!("{import_id}: its rejected rows, if there are any, can be read under this id");
                faults.push(loa_ports::audience::Fault::new("import_id", hint));
                return Err(faulty(&faults));
            }
            Ok(Some(row)) if row.progress != told && told_at.elapsed() >= TELL_EVERY => {
                (told, told_at) = (row.progress.clone(), Instant::now());
                tell(answers, row.progress).await;
            }
            Ok(Some(_)) => {}
            Ok(None) => return Err(Status::internal("the import was stored and is not there")),
            // It is done in the background all the same; only the look at it failed.
            Err(error) if error.is_away() => tracing::debug!(%error, "could not look at an import"),
            Err(error) => return Err(store_status(&error)),
        }
        tokio::select! {
            _rung = bell.changed() => {}
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = answers.closed() => return Ok(()),
            () = core.ctx.stopping() => {
                let message = format!("this process is stopping; import {import_id} is done by another or at its next start");
                return Err(Status::unavailable(message));
            }
        }
    }
}
