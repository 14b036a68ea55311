//! Every method once without its right, and once with every field bad.

use loa_contract::pb::audience::v1::*;
use loa_runtime::rpc::Right;
use tonic::{Code, Status};

use super::world::{World, fields, with};

/// Calls every method with a right; name and outcome.
async fn call_all(world: &World, right: Right) -> Vec<(&'static str, Result<(), Status>)> {
    let mut client = world.client.clone();
    let upload = tokio_stream::iter(Vec::<ImportDatasetRequest>::new());
    vec![
        ("ImportDataset", client.import_dataset(with(right, upload)).await.map(|_| ())),
        ("ReadRejects", client.read_rejects(with(right, ReadRejectsRequest::default())).await.map(|_| ())),
        ("ListDatasets", client.list_datasets(with(right, ListDatasetsRequest::default())).await.map(|_| ())),
        ("CountSegment", client.count_segment(with(right, CountSegmentRequest::default())).await.map(|_| ())),
        ("Freeze", client.freeze(with(right, FreezeRequest::default())).await.map(|_| ())),
        ("ReadChunks", client.read_chunks(with(right, ReadChunksRequest::default())).await.map(|_| ())),
        ("AddSuppression", client.add_suppression(with(right, AddSuppressionRequest::default())).await.map(|_| ())),
        (
            "RemoveSuppression",
            client.remove_suppression(with(right, RemoveSuppressionRequest::default())).await.map(|_| ()),
        ),
        (
            "ListSuppressions",
            client.list_suppressions(with(right, ListSuppressionsRequest::default())).await.map(|_| ()),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_come_first() {
    let world = World::new().await;
    for right in Right::ALL {
        for (method, outcome) in call_all(&world, right).await {
            let allowed = match method {
                "ListDatasets" | "CountSegment" => true,
                "Freeze" | "ReadChunks" => right == Right::System,
                _ => matches!(right, Right::Operator | Right::System),
            };
            let denied = outcome.is_err_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(denied, !allowed, "{method} with {right:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let world = World::new().await;
    let mut client = world.client.clone();
    #[track_caller]
    fn bad<T: std::fmt::Debug>(outcome: Result<T, Status>, expected: &[&str]) {
        assert_eq!(fields(&outcome.unwrap_err()), expected);
    }

    let rejects = ReadRejectsRequest { import_id: "7".to_owned() };
    bad(client.read_rejects(with(Right::Operator, rejects)).await, &["import_id"]);
    let list = ListDatasetsRequest { page_size: 1_001, page_token: "x".to_owned() };
    bad(client.list_datasets(with(Right::Viewer, list)).await, &["page_size", "page_token"]);
    let count = CountSegmentRequest { dataset: String::new(), segment: "has fax".to_owned() };
    bad(client.count_segment(with(Right::Viewer, count)).await, &["dataset", "segment"]);
    let freeze = FreezeRequest {
        campaign_id: "x".to_owned(),
        dataset: "A".to_owned(),
        segment: "has".to_owned(),
        unit_code: "\n".to_owned(),
        topic: "t".repeat(65),
        variants: vec![FreezeVariant::default()],
        ..Default::default()
    };
    let expected =
        ["campaign_id", "campaign_version", "dataset", "segment", "class", "unit_code", "topic", "variants[0].channel"];
    bad(client.freeze(with(Right::System, freeze.clone())).await, &expected);
    let many = FreezeRequest { variants: vec![FreezeVariant { channel: 1, ..Default::default() }; 17], ..freeze };
    bad(client.freeze(with(Right::System, many)).await, &[&expected[..7], &["variants"]].concat());
    let chunks =
        ReadChunksRequest { freeze_id: "x".to_owned(), variant: 65_536, shard: Some(64), ..Default::default() };
    bad(client.read_chunks(with(Right::System, chunks)).await, &["freeze_id", "variant", "shard"]);
    let suppression = |address: &str| Suppression {
        address: address.to_owned(),
        unit_code: "u".repeat(65),
        class: "spam".to_owned(),
        topic: "a\tb".to_owned(),
        channel: 1,
        ..Default::default()
    };
    let rest = ["suppression.unit_code", "suppression.topic", "suppression.class"];
    let add = AddSuppressionRequest { suppression: Some(suppression("lan@")) };
    let expected = [&["suppression.channel", "suppression.address"], &rest[..]].concat();
    bad(client.add_suppression(with(Right::Operator, add)).await, &expected);
    let remove = RemoveSuppressionRequest { suppression: Some(suppression("113")) };
    bad(
        client.remove_suppression(with(Right::Operator, remove)).await,
        &[&["suppression.address"], &rest[..]].concat(),
    );
    bad(
        client.add_suppression(with(Right::Operator, AddSuppressionRequest::default())).await,
        &["suppression.address"],
    );
    let list = ListSuppressionsRequest { page_size: 1_001, page_token: "?".to_owned() };
    bad(client.list_suppressions(with(Right::Operator, list)).await, &["page_size", "page_token"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let id = uuid::Uuid::from_u128(1).to_string();
    assert_eq!(world.rejects(&id).await.unwrap_err().code(), Code::NotFound);
    let status = world.count("none", "").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("ImportDataset makes one"), "{status:?}");
}
