//! `loa audience …`, `loa suppress …`.

use std::path::{Path, PathBuf};

use loa_contract::pb::audience::v1 as audience;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::args::{AudienceCommand, Global, SuppressArgs, SuppressCommand};
use super::client::Client;
use super::json;
use super::text::{Lang, note, say};
use crate::exit::Failure;

/// Bytes of one message of an import.
const BLOCK_BYTES: usize = 256 * 1024;
/// Messages that may wait to be sent.
const BLOCKS_WAITING_MAX: usize = 8;

/// `loa audience …`
pub async fn run(global: &Global, command: AudienceCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    match command {
        AudienceCommand::Import { file, dataset, delta, synthetic, rejects } => {
            let start = audience::ImportStart { dataset, delta, synthetic, file_name: file_name(&file), size_bytes: 0 };
            let report = import(&client, &file, start).await?;
            show_report(global, &report);
            save_rejects(&client, &file, rejects, &report).await
        }
        AudienceCommand::List => {
            let mut token = String::new();
            loop {
                let request = audience::ListDatasetsRequest { page_size: 0, page_token: token };
                let answer = client.audience().list_datasets(request).await?.into_inner();
                answer.datasets.iter().for_each(|dataset| show_dataset(global, dataset));
                token = answer.next_page_token;
                if token.is_empty() {
                    return Ok(());
                }
            }
        }
        AudienceCommand::Count { dataset, rule } => {
            let request = audience::CountSegmentRequest { dataset, segment: rule };
            let count = client.audience().count_segment(request).await?.into_inner();
            let lang = Lang::of(global);
            match global.json {
                true => say(json!({
                    "selected": count.selected, "with_mobile": count.with_mobile, "with_email": count.with_email,
                    "dataset_version": count.dataset_version, "canonical": count.canonical,
                })
                .to_string()),
                false => say(format!(
                    "{}: {}  ({} SMS, {} email)\n  {}",
                    lang.pick("được chọn", "selected"),
                    lang.number(count.selected),
                    lang.number(count.with_mobile),
                    lang.number(count.with_email),
                    count.canonical
                )),
            }
            Ok(())
        }
    }
}

fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Streams a file into a dataset, with a progress bar.
pub async fn import(
    client: &Client,
    file: &Path,
    mut start: audience::ImportStart,
) -> Result<audience::ImportReport, Failure> {
    let fault = |error: std::io::Error| Failure::Usage(format!("`{}`: {error}", file.display()));
    let source: Box<dyn AsyncRead + Send + Unpin> = if file == Path::new("-") {
        Box::new(tokio::io::stdin())
    } else {
        let opened = tokio::fs::File::open(file).await.map_err(fault)?;
        start.size_bytes = opened.metadata().await.map_err(fault)?.len();
        Box::new(opened)
    };
    let bar = indicatif::ProgressBar::new(start.size_bytes);
    let style = indicatif::ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    let (sender, receiver) = tokio::sync::mpsc::channel(BLOCKS_WAITING_MAX);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut audience = client.audience();
    let (call, sent) = tokio::join!(receive(&mut audience, requests, &bar), feed(source, start, sender));
    bar.finish_and_clear();
    // The server's answer says more than our end of the stream being closed.
    let report = call?;
    sent.map_err(fault)?;
    Ok(report)
}

async fn feed(
    mut source: Box<dyn AsyncRead + Send + Unpin>,
    start: audience::ImportStart,
    sender: tokio::sync::mpsc::Sender<audience::ImportDatasetRequest>,
) -> std::io::Result<()> {
    use audience::import_dataset_request::Part;
    let message = |part| audience::ImportDatasetRequest { part: Some(part) };
    if sender.send(message(Part::Start(start))).await.is_err() {
        return Ok(());
    }
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let count = source.read(&mut block).await?;
        block.truncate(count);
        // A closed channel means that the server has answered already.
        if count == 0 || sender.send(message(Part::Data(block.into()))).await.is_err() {
            return Ok(());
        }
    }
}

async fn receive(
    audience: &mut audience::audience_service_client::AudienceServiceClient<super::client::Link>,
    requests: tokio_stream::wrappers::ReceiverStream<audience::ImportDatasetRequest>,
    bar: &indicatif::ProgressBar,
) -> Result<audience::ImportReport, Failure> {
    use audience::import_dataset_response::Part;
    let mut answers = audience.import_dataset(requests).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.part {
            Some(Part::Progress(progress)) => {
                bar.set_position(progress.bytes);
                bar.set_message(format!("{} rows, {} rejected, {}", progress.rows, progress.rejected, progress.stage));
            }
            Some(Part::Report(report)) => return Ok(report),
            None => {}
        }
    }
    Err(Failure::Failed("the server ended the import without a report".to_owned()))
}

/// Shows the report of an import.
pub fn show_report(global: &Global, report: &audience::ImportReport) {
    if global.json {
        return say(json::import(report).to_string());
    }
    let lang = Lang::of(global);
    say(format!(
        "{} v{}: {} {}, {} {}, {} {}",
        report.dataset,
        report.version,
        lang.number(report.accepted),
        lang.pick("nhận", "accepted"),
        lang.number(report.rejected),
        lang.pick("loại", "rejected"),
        lang.number(report.duplicates),
        lang.pick("trùng", "duplicates"),
    ));
    for reason in &report.reasons {
        say(format!("  {}: {}", reason.reason, lang.number(reason.rows)));
    }
}

async fn save_rejects(
    client: &Client,
    file: &Path,
    target: Option<PathBuf>,
    report: &audience::ImportReport,
) -> Result<(), Failure> {
    if report.rejected == 0 {
        return Ok(());
    }
    let target = target.unwrap_or_else(|| PathBuf::from(format!("{}.rejects.csv", file.display())));
    let request = audience::ReadRejectsRequest { import_id: report.import_id.clone() };
    let mut stream = client.audience().read_rejects(request).await?.into_inner();
    let mut out = tokio::fs::File::create(&target).await?;
    while let Some(block) = stream.message().await? {
        out.write_all(&block.data).await?;
    }
    out.flush().await?;
    note(format!("rejected rows with line, column, reason and cure: {}", target.display()));
    Ok(())
}

fn show_dataset(global: &Global, dataset: &audience::Dataset) {
    match global.json {
        true => say(
            json!({"name": dataset.name, "version": dataset.version, "rows": dataset.rows, "synthetic": dataset.synthetic}).to_string(),
        ),
        false => say(format!(
            "{:<24} v{:<4} {:>12}{}",
            dataset.name,
            dataset.version,
            Lang::of(global).number(dataset.rows),
            if dataset.synthetic { "  synthetic" } else { "" }
        )),
    }
}

/// `loa suppress …`
pub async fn suppress(global: &Global, command: SuppressCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let mut audience = client.audience();
    let entry = |args: SuppressArgs| audience::Suppression {
        address: args.address,
        unit_code: args.unit,
        class: args.class,
        topic: args.topic,
        ..Default::default()
    };
    match command {
        SuppressCommand::Add(args) => {
            let request = audience::AddSuppressionRequest { suppression: Some(entry(args)) };
            let answer = audience.add_suppression(request).await?.into_inner();
            answer.suppression.iter().for_each(|entry| show_entry(global, entry));
        }
        SuppressCommand::Remove(args) => {
            let request = audience::RemoveSuppressionRequest { suppression: Some(entry(args)) };
            let removed = audience.remove_suppression(request).await?.into_inner().removed;
            say(if removed { "removed" } else { "was not there" });
        }
        SuppressCommand::List => {
            let mut token = String::new();
            loop {
                let request = audience::ListSuppressionsRequest { page_size: 0, page_token: token };
                let answer = audience.list_suppressions(request).await?.into_inner();
                answer.suppressions.iter().for_each(|entry| show_entry(global, entry));
                token = answer.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn show_entry(global: &Global, entry: &audience::Suppression) {
    let at = json::time(entry.at.as_ref());
    match global.json {
        true => say(json!({
            "address_hash": entry.address_hash, "hint": entry.hint, "unit": entry.unit_code, "class": entry.class,
            "topic": entry.topic, "at": at, "by": entry.by, "position": entry.position,
        })
        .to_string()),
        false => say(format!(
            "{}  …{}  {} {} {}  {}",
            entry.address_hash,
            entry.hint,
            any(&entry.unit_code),
            any(&entry.class),
            any(&entry.topic),
            at.as_str().unwrap_or("")
        )),
    }
}

fn any(text: &str) -> &str {
    if text.is_empty() { "*" } else { text }
}
