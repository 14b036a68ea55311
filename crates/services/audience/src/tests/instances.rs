//! Two instances on one store and one data directory: each job is done once, and by the other if its worker goes.

use loa_ports::store::audience::DatasetStore as _;
use loa_store::SqlAudience;
use loa_testkit::eventually;

use super::world::{World, campaign, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_the_holder_does_it() {
    let first = World::new().await;
    let second = first.second("node-b").await;
    second.run();
    // Both take uploads at once; versions are given one after the other.
    let (csv_a, csv_b) = (people(500), people(700));
    let (a, b) = tokio::join!(first.imported("ben-tre", &csv_a), second.imported("ben-tre", &csv_b));
    let mut versions = [a.version, b.version];
    versions.sort_unstable();
    assert_eq!(versions, [1, 2]);
    assert_eq!(first.files("versions").len(), 2);
    // Both ask for the same freeze; there is one.
    let request = campaign(1, "ben-tre");
    let (one, other) = tokio::join!(first.frozen(&request), second.frozen(&request));
    assert_eq!(one, other);
    assert_eq!(second.files("freezes").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_goes_on_when_the_holder_stops() {
    let first = World::new().await;
    first.imported("ben-tre", &people(100)).await;
    let second = first.second("node-b").await;
    second.run();
    first.stop().await;
    let report = second.imported("ben-tre", &people(200)).await;
    assert_eq!(report.version, 2);
    assert_eq!(second.frozen(&campaign(1, "ben-tre")).await.selected, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_was_cut_off_is_done_by_the_next_start() {
    let first = World::new().await;
    first.imported("ben-tre", &people(60_000)).await;
    let idle = first.second("node-b").await;
    first.stop().await;
    // Nobody works: the jobs are rows, and nothing else happens.
    let csv = people(40_000);
    let upload = idle.import(super::world::start("ben-tre"), &csv);
    let request = campaign(1, "ben-tre");
    let asked = async {
        let answer = idle.freeze(&request).await.unwrap();
        assert_eq!((answer.manifest, answer.error.as_str()), (None, ""));
        // Begun, and stopped somewhere on the way.
        let cut_off = idle.second("node-c").await;
        cut_off.run();
        let store = SqlAudience::new(idle.db.clone());
        // On a quiet machine it may even be done by the time somebody looks.
        eventually("the import waits, is under way or is done", async || {
            let version = store.newest("ben-tre").await.unwrap().map(|row| row.version);
            version == Some(2) || store.next_import().await.unwrap().is_some()
        })
        .await;
        cut_off.stop().await;
        let last = idle.second("node-d").await;
        last.run();
        last.frozen(&request).await
    };
    let (report, manifest) = tokio::join!(upload, asked);
    assert_eq!(report.unwrap().version, 2);
    assert!([40_000, 60_000].contains(&manifest.selected), "{}", manifest.selected);
    assert!(idle.files("tmp").is_empty(), "what was cut off left nothing");
    assert_eq!(idle.files("freezes").len(), 1);
}
