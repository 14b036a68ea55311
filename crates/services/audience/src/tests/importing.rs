//! Import, list, count, rejects: as a person and as a program meets them.

use std::time::Duration;

use bytes::Bytes;
use loa_contract::pb::audience::v1::import_dataset_response::Part as Answer;
use loa_contract::pb::audience::v1::*;
use loa_runtime::rpc::Right;
use loa_testkit::eventually;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::world::{World, begin, data, fields, people, start, with};

/// Longest upload of a few pieces.
const UPLOAD_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_becomes_a_dataset() {
    let world = World::new().await;
    let csv = format!("{}A0,0912000000,Ten moi\nB1,113,Lan\n", people(50));
    let report = world.imported("ben-tre", &csv).await;
    assert_eq!((report.rows, report.accepted, report.rejected, report.duplicates), (52, 50, 1, 1));
    assert_eq!((report.version, report.with_mobile), (1, 50));
    let rejects = world.rejects(&report.import_id).await.unwrap();
    assert!(rejects.contains("53,msisdn,emergency,"), "{rejects}");

    let delta = ImportStart { delta: true, ..start("ben-tre") };
    let report = world.import(delta, "account_id,msisdn\nC1,0913000001\n").await.unwrap();
    assert_eq!((report.version, report.rows, report.accepted), (2, 1, 1));
    world.imported("another", &people(3)).await;
    let page = async |size, token: &str| {
        let request = ListDatasetsRequest { page_size: size, page_token: token.to_owned() };
        world.client.clone().list_datasets(with(Right::Viewer, request)).await.unwrap().into_inner()
    };
    let shown = |answer: &ListDatasetsResponse| {
        answer
            .datasets
            .iter()
            .map(|found| (found.name.clone(), found.version, found.rows, found.synthetic))
            .collect::<Vec<_>>()
    };
    let all = page(0, "").await;
    assert_eq!(shown(&all), [("another".to_owned(), 1, 3, true), ("ben-tre".to_owned(), 2, 51, true)]);
    assert_eq!(all.next_page_token, "");
    let first = page(1, "").await;
    let second = page(1, &first.next_page_token).await;
    assert_eq!(
        (first.datasets.len(), second.datasets[0].name.as_str(), second.next_page_token.as_str()),
        (1, "ben-tre", "")
    );
    assert!(world.files("spool").is_empty() && world.files("tmp").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_pieces_are_all_there_at_once_never_waits_for_its_writer() {
    let world = World::new().await;
    let csv = people(2);
    for round in 0..12 {
        let pieces = csv.as_bytes().chunks(8).map(Bytes::copy_from_slice).map(data);
        let messages = std::iter::once(begin(start(&format!("tron-{round}")))).chain(pieces).collect();
        let report = tokio::time::timeout(UPLOAD_LIMIT, world.upload(messages)).await.expect("the upload stands still");
        assert_eq!(report.unwrap().accepted, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_is_counted_or_pointed_at() {
    let world = World::new().await;
    world.imported("ben-tre", &people(20)).await;
    let counted = world.count("ben-tre", "has   mobile").await.unwrap();
    assert_eq!((counted.selected, counted.with_mobile, counted.with_email), (20, 20, 0));
    assert_eq!((counted.canonical.as_str(), counted.dataset_version), ("has mobile", 1));
    assert_eq!(world.count("ben-tre", " ").await.unwrap().selected, 20, "no words select everybody");

    let status = world.count("ben-tre", "commune in district(\"Ba Tre\")").await.unwrap_err();
    assert_eq!(fields(&status), ["segment"]);
    assert!(
        status.message().contains("did you mean `Ba Tri`?") && status.message().contains('^'),
        "{}",
        status.message()
    );
    assert_eq!(world.count("none", "has mobile").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_answered_with_all_its_faults() {
    let world = World::new().await;
    let refused = world.import(start("ben-tre"), "account_id,phone,tuoi\n1,0912345678,20\n").await.unwrap_err();
    assert_eq!(fields(&refused), ["phone", "tuoi", "msisdn", "import_id"]);
    // All rows are bad: nothing becomes a version, and the rejects say why.
    let refused = world.import(start("ben-tre"), "account_id,msisdn\nA1,113\n").await.unwrap_err();
    assert_eq!(fields(&refused), ["file", "import_id"]);
    let faults = refused.get_details_bad_request().unwrap().field_violations;
    let id = faults[1].description.split(':').next().unwrap().to_owned();
    assert!(world.rejects(&id).await.unwrap().contains("2,msisdn,emergency,"));
    assert_eq!(world.count("ben-tre", "").await.unwrap_err().code(), Code::NotFound);
    // And the next one is imported as ever.
    assert_eq!(world.imported("ben-tre", &people(5)).await.version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_upload_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    assert_eq!(fields(&world.upload(vec![data("account_id")]).await.unwrap_err()), ["start"]);
    assert_eq!(fields(&world.upload(vec![]).await.unwrap_err()), ["start"]);
    let bad = ImportStart {
        dataset: "Bến Tre".to_owned(),
        file_name: "a\nb".to_owned(),
        size_bytes: u64::MAX,
        ..Default::default()
    };
    let status = world.upload(vec![begin(bad)]).await.unwrap_err();
    assert_eq!(fields(&status), ["start.dataset", "start.file_name", "start.size_bytes"]);
    let twice = vec![begin(start("ben-tre")), begin(start("ben-tre"))];
    assert_eq!(fields(&world.upload(twice).await.unwrap_err()), ["start"]);
    let large = vec![begin(start("ben-tre")), data(vec![b'a'; 1024 * 1024 + 1])];
    assert_eq!(fields(&world.upload(large).await.unwrap_err()), ["data"]);
    assert_eq!(fields(&world.upload(vec![begin(start("ben-tre"))]).await.unwrap_err()), ["file", "import_id"]);

    let delta = ImportStart { delta: true, ..start("ben-tre") };
    let status = world.import(delta.clone(), &people(1)).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "NO_VERSION");
    world.imported("ben-tre", &people(1)).await;
    let status = world.import(ImportStart { synthetic: false, ..delta }, &people(1)).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "SYNTHETIC");
    eventually("given-up spools are gone", async || world.files("spool").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_is_forgotten() {
    let world = World::new().await;
    let (messages, upload) = tokio::sync::mpsc::channel(2);
    let request = with(Right::Operator, tokio_stream::wrappers::ReceiverStream::new(upload));
    messages.send(begin(start("ben-tre"))).await.unwrap();
    let answers = world.client.clone().import_dataset(request).await.unwrap();
    messages.send(data("account_id,msisdn\n")).await.unwrap();
    eventually("the upload is being written", async || !world.files("spool").is_empty()).await;
    drop(answers);
    drop(messages);
    eventually("nothing of it is left", async || world.files("spool").is_empty()).await;
    assert_eq!(world.count("ben-tre", "").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_uploaded_it_is_imported_whoever_waits() {
    let world = World::new().await;
    let messages = vec![begin(start("ben-tre")), data(people(2_000))];
    let request = with(Right::Operator, tokio_stream::iter(messages));
    let mut answers = world.client.clone().import_dataset(request).await.unwrap().into_inner();
    // Whatever the first word is, the caller does not wait for the last one.
    let first = answers.message().await.unwrap().and_then(|answer| answer.part);
    assert!(matches!(first, Some(Answer::Progress(_) | Answer::Report(_))));
    drop(answers);
    eventually("it is imported", async || world.count("ben-tre", "").await.is_ok()).await;
}
