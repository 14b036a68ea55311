//! requests.v1: single sends asked for by internal services as CloudEvents; a refused one is answered on results.v1 here,
//! one that is taken in by report.
//!
//! Must stay true: a request is answered before its offset is stored, so none is lost; one that is read again is the same
//! request (its id is the idempotency key).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{RequestsTopic, ResultsTopic, Topic as _};
use loa_ports::lease::{Fence, Held};
use loa_ports::log::{Append, LogError, Position, Reader, Record};
use loa_ports::store::Offset;
use loa_runtime::lease::Change;
use loa_runtime::record::TRACEPARENT;
use loa_runtime::{ServiceError, record};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::{Asked, Batch, Intake};
use crate::work::{LOG_GAPS, LOG_GAPS_HELP};

/// The kind of lease of a partition of requests.v1.
pub(crate) const REQUESTS: &str = "requests";
/// Partitions of requests.v1.
pub(crate) const REQUEST_PARTITIONS: u32 = 16;
/// The type of a request.
const SEND_TYPE: &str = "vn.loa.send.v1";
/// The type of an answer.
const OUTCOME_TYPE: &str = "vn.loa.outcome.v1";
/// Requests of one read, at most.
const READ_MAX: usize = 256;
/// What failed is tried again after so long.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// Bytes of a request's record key, which goes back with each result.
const RECORD_KEY_BYTES_MAX: usize = 256;
/// Characters of a refused request's id that its refusal repeats; ids that are taken in are shorter.
const SUBJECT_CHARS_MAX: usize = 256;
const JSON: &str = "application/json";

/// Reads the partitions whose leases come in, until the context stops.
pub(crate) async fn run(intake: Arc<Intake>, mut changes: mpsc::Receiver<Change>) {
    let ctx = intake.ctx.clone();
    let reader = loop {
        match intake.log.reader(RequestsTopic::SPEC, Vec::new()).await {
            Ok(reader) => break reader,
            Err(error) => tracing::warn!(%error, "requests.v1 cannot be read; it is tried again"),
        }
        tokio::select! {
            () = ctx.stopping() => return,
            () = tokio::time::sleep(RETRY_WAIT) => {}
        }
    };
    let mut known = intake.view.changed();
    let mut requests = Requests { intake, reader, held: BTreeMap::new() };
    loop {
        let is_held = requests.intake.view.is_held();
        tokio::select! {
            biased;
            () = ctx.stopping() => return,
            Some(change) = changes.recv() => requests.lease(change).await,
            records = requests.reader.next(READ_MAX), if !is_held => requests.read(records).await,
            // Requests wait on the log while the installation is held.
            Ok(()) = known.changed(), if is_held => {}
        }
    }
}

struct Requests {
    intake: Arc<Intake>,
    reader: Box<dyn Reader>,
    held: BTreeMap<u32, Held>,
}

impl Requests {
    async fn lease(&mut self, change: Change) {
        match change {
            // Never asked: its offset stands with what it led to.
            Change::Surplus(_) => {}
            Change::Lost(held) => {
                if self.held.get(&held.number) == Some(&held) {
                    self.held.remove(&held.number);
                    self.reader.unassign(held.number);
                }
            }
            Change::Gained(held) => {
                while let Err(ServiceError(error)) = self.begin(&held).await {
                    tracing::warn!(partition = held.number, %error, "requests.v1 could not be begun; it is tried again");
                    if self.intake.ctx.is_stopping() {
                        return;
                    }
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            }
        }
    }

    async fn begin(&mut self, held: &Held) -> Result<(), ServiceError> {
        let offsets = self.intake.store.offsets(RequestsTopic::SPEC.name).await?;
        let stored = offsets.iter().find(|offset| offset.partition == held.number).map(|offset| offset.next);
        let offset = match stored {
            Some(next) => next,
            None => {
                let starts = self.intake.log.starts(RequestsTopic::SPEC).await?;
                usize::try_from(held.number).ok().and_then(|at| starts.get(at)).copied().unwrap_or(0)
            }
        };
        self.reader.assign(Position { partition: held.number, offset });
        self.held.insert(held.number, held.clone());
        Ok(())
    }

    async fn read(&mut self, records: Result<Vec<Record>, LogError>) {
        let records = match records {
            Ok(records) => records,
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                self.intake.ctx.metrics().counter(LOG_GAPS, LOG_GAPS_HELP).inc();
                tracing::error!(
                    code = "LOA-111",
                    partition,
                    start,
                    wanted,
                    "log gap: requests were lost; who asked must ask again"
                );
                return self.reader.assign(Position { partition, offset: start });
            }
            Err(error) => {
                tracing::warn!(%error, "requests.v1 could not be read");
                return tokio::time::sleep(RETRY_WAIT).await;
            }
        };
        let mut partitions: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        records.into_iter().for_each(|record| partitions.entry(record.partition).or_default().push(record));
        for (partition, records) in partitions {
            let Some(first) = records.first().map(|record| record.offset) else { continue };
            if let Err(status) = self.take(partition, records).await {
                tracing::warn!(partition, why = status.message(), "requests wait for what they need");
                self.reader.assign(Position { partition, offset: first });
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }

    async fn take(&mut self, partition: u32, records: Vec<Record>) -> Result<(), Status> {
        let Some(held) = self.held.get(&partition).cloned() else { return Ok(()) };
        let next = records.last().map_or(0, |record| record.offset + 1);
        let offset = Offset { topic: RequestsTopic::SPEC.name.to_owned(), partition, next };
        let read: Vec<_> = records.iter().map(asked).collect();
        let good = read.iter().filter_map(|asked| asked.as_ref().ok()).cloned().collect();
        let batch = Batch { asked: good, fence: Fence::of(held.clone()) };
        let mut answers = self.intake.send_all(batch).await?.into_iter();
        let mut results = Vec::new();
        for (record, asked) in records.iter().zip(read) {
            let answer = asked.and_then(|_| answers.next().unwrap_or_else(|| Err(Status::internal("no answer"))));
            results.extend(answer.err().map(|status| refused(record, &status, self.intake.ctx.now_us())));
        }
        if !results.is_empty() {
            self.intake.log.append(results).await.map_err(|error| loa_runtime::rpc::log_status(&error))?;
        }
        let stored = self.intake.store.accept(&Fence::of(held), &[], &[offset]).await;
        stored.map(drop).map_err(|error| loa_runtime::rpc::store_status(&error))
    }
}

/// Whether the same request may be taken later.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Internal | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

/// Reads a CloudEvent in binary mode: attributes in headers (named `ce_…`, as CloudEvents' Kafka binding says), the request
/// as its body.
fn asked(record: &Record) -> Result<Asked, Status> {
    let kind = header(record, "ce_type");
    if kind != SEND_TYPE {
        return Err(Status::invalid_argument(format!("ce_type: must be {SEND_TYPE}")));
    }
    if record.key.len() > RECORD_KEY_BYTES_MAX {
        return Err(Status::invalid_argument(format!("key of the record: at most {RECORD_KEY_BYTES_MAX} bytes")));
    }
    let (caller, key) = (header(record, "ce_source"), header(record, "ce_id"));
    let request = if header(record, "content-type").starts_with(JSON) {
        from_json(&record.value)?
    } else {
        event::SendRequest::decode(record.value.clone()).map_err(|_| {
            Status::invalid_argument(
                "body: not a loa.event.v1.SendRequest; for JSON set content-type to application/json",
            )
        })?
    };
    let event::SendRequest { notice_id, to, slots, expires_at_us } = request;
    let traceparent = Some(header(record, TRACEPARENT)).filter(|text| !text.is_empty());
    let reply_to = Some(event::ReplyTo { partition: record.partition, key: record.key.to_vec() });
    Ok(Asked { caller, key, notice_id, to, slots, expires_at_us: Some(expires_at_us), traceparent, reply_to })
}

fn header(record: &Record, name: &str) -> String {
    let found = record.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

/// The request as JSON, with names as in the .proto or in lowerCamelCase.
fn from_json(body: &[u8]) -> Result<event::SendRequest, Status> {
    let bad = |what: &str| Status::invalid_argument(format!("body: {what}"));
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| bad(&format!("not JSON: fault at line {}, column {}", error.line(), error.column())))?;
    let object = value.as_object().ok_or_else(|| bad("must be a JSON object"))?;
    let known = ["notice_id", "noticeId", "to", "slots", "expires_at_us", "expiresAtUs"];
    if let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) {
        let name: String = name.chars().take(40).collect();
        return Err(bad(&format!("`{name}` is no field; known: notice_id, to, slots, expires_at_us")));
    }
    let field = |names: [&str; 2]| names.iter().find_map(|name| object.get(*name));
    let text = |names: [&str; 2]| match field(names) {
        None => Ok(String::new()),
        Some(value) => {
            value.as_str().map(str::to_owned).ok_or_else(|| bad(&format!("`{}` must be a string", names[0])))
        }
    };
    let mut slots = HashMap::new();
    if let Some(value) = field(["slots", "slots"]) {
        for (name, value) in value.as_object().ok_or_else(|| bad("`slots` must be an object of strings"))? {
            let value = value.as_str().ok_or_else(|| bad("`slots` must be an object of strings"))?;
            slots.insert(name.clone(), value.to_owned());
        }
    }
    // 64-bit numbers are strings in the JSON form of Protobuf; plain numbers are taken too.
    let expires_at_us = match field(["expires_at_us", "expiresAtUs"]) {
        None => 0,
        Some(value) => value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
            .ok_or_else(|| bad("`expires_at_us` must be microseconds since 1970"))?,
    };
    Ok(event::SendRequest {
        notice_id: text(["notice_id", "noticeId"])?,
        to: text(["to", "to"])?,
        slots,
        expires_at_us,
    })
}

/// The answer to a request that was refused, for its sender's partition.
fn refused(record: &Record, status: &Status, at_us: i64) -> Append {
    let result = event::SendResult {
        message_id: String::new(),
        state: "refused".to_owned(),
        reason: status.message().to_owned(),
        at_us,
    };
    // Whatever was asked, its refusal fits on the log.
    let id: String = header(record, "ce_id").chars().take(SUBJECT_CHARS_MAX).collect();
    let key = if record.key.len() > RECORD_KEY_BYTES_MAX { Bytes::new() } else { record.key.clone() };
    let mut append = record::append::<ResultsTopic>(record.partition, key, &result);
    let attributes = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", OUTCOME_TYPE.to_owned()),
        ("ce_source", "loa".to_owned()),
        ("ce_id", format!("{}-{}", record.partition, record.offset)),
        ("ce_subject", id),
        ("content-type", "application/protobuf".to_owned()),
    ];
    append.headers.extend(attributes.map(|(name, value)| (name.to_owned(), Bytes::from(value))));
    append
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &[(&str, &str)], value: impl Into<Bytes>) -> Record {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from((*value).to_owned()))).collect();
        Record { partition: 3, offset: 7, at_us: 0, key: Bytes::from_static(b"k"), headers, value: value.into() }
    }

    const HEADERS: [(&str, &str); 4] = [
        ("ce_type", SEND_TYPE),
        ("ce_source", "/billing"),
        ("ce_id", "id-1"),
        ("content-type", "application/json; charset=utf-8"),
    ];

    #[test]
    fn reads_both_forms_of_a_request() {
        let json = r#"{"noticeId": "n", "to": "0912345678", "slots": {"ten": "An"}, "expiresAtUs": "77"}"#;
        let from_json = asked(&record(&HEADERS, json)).unwrap();
        let plain = event::SendRequest {
            notice_id: "n".to_owned(),
            to: "0912345678".to_owned(),
            slots: [("ten".to_owned(), "An".to_owned())].into(),
            expires_at_us: 77,
        };
        assert_eq!(asked(&record(&HEADERS[..3], plain.encode_to_vec())).unwrap(), from_json);
        assert_eq!(
            (from_json.caller.as_str(), from_json.key.as_str(), from_json.expires_at_us),
            ("/billing", "id-1", Some(77))
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_request() {
        #[track_caller]
        fn check(headers: &[(&str, &str)], body: &str, says: &str) {
            let status = asked(&record(headers, body.to_owned())).unwrap_err();
            assert!(status.message().contains(says), "{}", status.message());
            assert!(!is_passing(&status));
        }
        check(&[("ce_type", "other")], "{}", "ce_type: must be vn.loa.send.v1");
        check(&HEADERS, "{", "not JSON: fault at line 1");
        check(&HEADERS, "[]", "must be a JSON object");
        check(&HEADERS, r#"{"text": "free"}"#, "`text` is no field");
        check(&HEADERS, r#"{"to": 5}"#, "`to` must be a string");
        check(&HEADERS, r#"{"slots": {"a": 1}}"#, "`slots` must be an object of strings");
        check(&HEADERS, r#"{"expires_at_us": "soon"}"#, "microseconds");
        check(&HEADERS[..3], "{}", "content-type");
    }

    #[test]
    fn a_result_goes_where_the_request_came_from() {
        let reply_to = asked(&record(&HEADERS, "{}")).unwrap().reply_to;
        assert_eq!(reply_to, Some(event::ReplyTo { partition: 3, key: b"k".to_vec() }));
        let long = Record { key: vec![0; RECORD_KEY_BYTES_MAX + 1].into(), ..record(&HEADERS, "{}") };
        assert!(asked(&long).unwrap_err().message().contains("at most 256 bytes"));
    }

    #[test]
    fn a_refusal_names_its_request() {
        let answer = refused(&record(&HEADERS, ""), &Status::invalid_argument("to: bad"), 9);
        let header = |name: &str| answer.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!((answer.partition, header("ce_subject")), (3, Some(Bytes::from_static(b"id-1"))));
        let result = event::SendResult::decode(answer.value.clone()).unwrap();
        assert_eq!((result.state.as_str(), result.reason.as_str()), ("refused", "to: bad"));
    }
}
