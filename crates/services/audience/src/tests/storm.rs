//! The same calls while COMMITs and appends lose their answers: nothing is done twice, nothing is lost.

use loa_contract::pb::audience::v1::*;
use loa_contract::topics::BlocksTopic;
use loa_testkit::eventually;
use loa_testkit::storm::log::StormConfig;
use tonic::{Code, Status};

use super::world::{World, campaign, people, start};

fn is_weather(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Aborted)
}

async fn one_life(seed: u64) {
    let storm = StormConfig { append_uncertain_share: 0.3, ..StormConfig::calm(seed) };
    let world = World::stormy(storm, 0.3).await;
    let faults = world.db.faults().unwrap().clone();
    let mut imports = 0;
    for _ in 0..3 {
        // An import whose answer was lost may be there all the same; the next one is another version.
        match world.import(start("ben-tre"), &people(300)).await {
            Ok(_) => imports += 1,
            Err(status) => assert!(is_weather(&status), "seed {seed}: {status:?}"),
        }
    }
    while imports == 0 {
        imports += u32::from(world.import(start("ben-tre"), &people(300)).await.is_ok());
    }
    let request = campaign(1, "ben-tre");
    let manifest = loop {
        match world.freeze(&request).await {
            Ok(FreezeResponse { manifest: Some(manifest), .. }) => break manifest,
            Ok(answer) => assert_eq!(answer.error, "", "seed {seed}"),
            Err(status) => assert!(is_weather(&status), "seed {seed}: {status:?}"),
        }
    };
    assert_eq!((manifest.selected, manifest.variants[0].frozen), (300, 300), "seed {seed}");
    let entry = || Suppression { address: "0912000003".to_owned(), ..Default::default() };
    let added = loop {
        match world.suppress(entry()).await {
            Ok(added) => break added,
            Err(status) => assert!(is_weather(&status), "seed {seed}: {status:?}"),
        }
    };
    faults.set_share(0.0);
    assert_eq!(added.position, 1, "seed {seed}: one entry, however often it was asked for");
    assert_eq!(world.frozen(&request).await, manifest, "seed {seed}: frozen once");
    let told = world.blocks::<BlocksTopic>(0).await;
    assert!(told.iter().all(|block| block.position == 1 && !block.lifted), "seed {seed}: {told:?}");
    assert!(!told.is_empty(), "seed {seed}: OK means that it was told");
    eventually("nothing under way is left", async || world.files("tmp").is_empty()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_do_no_harm() {
    for seed in 1..=2 {
        one_life(seed).await;
    }
}
