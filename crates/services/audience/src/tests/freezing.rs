//! Freeze: asked again and again, frozen once.

use loa_contract::pb::audience::v1::*;
use loa_contract::pb::event::v1 as event;
use loa_ports::store::audience::{FreezeKey, FreezeStore as _};
use loa_store::SqlAudience;
use tonic::Code;

use super::world::{World, campaign, people};

fn excluded(manifest: &Manifest) -> u64 {
    manifest.variants[0].excluded.values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_version_is_frozen_once() {
    let world = World::new().await;
    world.imported("ben-tre", &people(1_200)).await;
    let request = campaign(1, "ben-tre");
    let manifest = world.frozen(&request).await;
    assert_eq!((manifest.selected, manifest.variants[0].frozen, excluded(&manifest)), (1_200, 1_200, 0));
    assert_eq!((manifest.dataset_version, manifest.hash.len(), manifest.synthetic), (1, 32, true));
    // A newer dataset version, asked again: the manifest is the one that was approved.
    world.imported("ben-tre", &people(5)).await;
    assert_eq!(world.frozen(&request).await, manifest);
    let next = world.frozen(&FreezeRequest { campaign_version: 2, ..request.clone() }).await;
    assert_eq!((next.selected, next.dataset_version), (5, 2));
    assert_ne!(next.freeze_id, manifest.freeze_id);
    let other = world.freeze(&FreezeRequest { topic: "khac".to_owned(), ..request }).await.unwrap_err();
    assert_eq!(other.code(), Code::Aborted);
    // What decided it is stored.
    let key = FreezeKey { campaign: manifest.campaign_id.parse().unwrap(), campaign_version: 1 };
    let row = SqlAudience::new(world.db.clone()).freeze(key).await.unwrap().unwrap();
    assert_eq!((row.freeze.to_string(), row.done), (manifest.freeze_id, 1_200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_chunks_are_read_in_parts() {
    let world = World::new().await;
    world.imported("ben-tre", &people(3_000)).await;
    let manifest = world.frozen(&campaign(1, "ben-tre")).await;
    let all = ReadChunksRequest { freeze_id: manifest.freeze_id.clone(), ..Default::default() };
    let chunks = world.chunks(all.clone()).await.unwrap();
    assert_eq!(chunks.len(), manifest.variants[0].chunks as usize);
    assert_eq!(chunks.iter().map(|chunk| chunk.msisdns.len()).sum::<usize>(), 3_000);
    let shard = chunks[7].shard;
    let of_shard = world.chunks(ReadChunksRequest { shard: Some(shard), ..all.clone() }).await.unwrap();
    let expected: Vec<Chunk> = chunks.iter().filter(|chunk| chunk.shard == shard).cloned().collect();
    assert_eq!(of_shard, expected);
    let window = world.chunks(ReadChunksRequest { first_chunk: 5, chunks_max: 3, ..all.clone() }).await.unwrap();
    assert_eq!(window, chunks[5..8]);
    let keys = world.chunks(ReadChunksRequest { keys_only: true, ..all.clone() }).await.unwrap();
    assert!(keys.iter().all(|chunk| chunk.msisdns.is_empty() && chunk.slots.is_empty()));
    assert_eq!(keys.iter().map(|chunk| chunk.address_hashes.len()).sum::<usize>(), 3_000);

    let missing = async |request: ReadChunksRequest| world.chunks(request).await.unwrap_err().code();
    assert_eq!(missing(ReadChunksRequest { variant: 1, ..all }).await, Code::NotFound);
    let freeze_id = uuid::Uuid::from_u128(5).to_string();
    assert_eq!(missing(ReadChunksRequest { freeze_id, ..Default::default() }).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_frozen_says_so_and_can_be_mended() {
    let world = World::new().await;
    let request = campaign(1, "ben-tre");
    let answer = world.freeze(&request).await.unwrap();
    assert!(answer.error.contains("there is no dataset `ben-tre`; import it"), "{answer:?}");
    world.imported("ben-tre", "account_id,msisdn\nA1,0912345678\n").await;
    let error = loop {
        let answer = world.freeze(&request).await.unwrap();
        assert_eq!(answer.manifest, None);
        if !answer.error.is_empty() {
            break answer.error;
        }
    };
    assert!(
        error.contains("variants[0].slots: `ten` has no column slots.ten in version 1 of dataset ben-tre"),
        "{error}"
    );
    // A file with the column, and the same question again: it begins anew.
    world.imported("ben-tre", &people(4)).await;
    assert_eq!(world.frozen(&request).await.selected, 4);
    assert_eq!(world.files("freezes").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn email_is_frozen_beside_sms() {
    let world = World::new().await;
    let csv = "account_id,msisdn,email,slots.ten\nA1,0912345678,lan@example.test,Lan\nA2,,an@example.test,An\nA3,0912345679,,Hoa\n";
    world.imported("ben-tre", csv).await;
    let mut request = FreezeRequest { segment: String::new(), ..campaign(1, "ben-tre") };
    let email = FreezeVariant { variant: 1, channel: event::Channel::Email.into(), ..request.variants[0].clone() };
    request.variants.push(email);
    let manifest = world.frozen(&request).await;
    let frozen: Vec<u64> = manifest.variants.iter().map(|variant| variant.frozen).collect();
    assert_eq!((manifest.selected, frozen), (3, vec![2, 2]));
    let request = ReadChunksRequest { freeze_id: manifest.freeze_id, variant: 1, ..Default::default() };
    let chunks = world.chunks(request).await.unwrap();
    let mut mailboxes: Vec<String> = chunks.into_iter().flat_map(|chunk| chunk.mailboxes).collect();
    mailboxes.sort();
    assert_eq!(mailboxes, ["an@example.test", "lan@example.test"]);
}
