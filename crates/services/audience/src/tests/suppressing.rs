//! Suppression: stored, told to everybody, then answered; and it bites at the next freeze.

use loa_contract::pb::audience::v1::*;
use loa_contract::topics::{BlocksTopic, SuppressionTopic};
use loa_domain::hash::HashKey;
use loa_domain::policy::Scope;
use loa_runtime::rpc::Right;
use loa_testkit::eventually;
use tonic::{Code, Status};

use super::world::{World, campaign, people, with};

fn entry(address: &str) -> Suppression {
    Suppression { address: address.to_owned(), ..Default::default() }
}

async fn lift(world: &World, suppression: Suppression) -> Result<bool, Status> {
    let request = RemoveSuppressionRequest { suppression: Some(suppression) };
    Ok(world.client.clone().remove_suppression(with(Right::Operator, request)).await?.into_inner().removed)
}

async fn listed(world: &World, page_size: u32, page_token: &str) -> ListSuppressionsResponse {
    let request = ListSuppressionsRequest { page_size, page_token: page_token.to_owned() };
    world.client.clone().list_suppressions(with(Right::Operator, request)).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_before_the_answer() {
    let world = World::new().await;
    let key: &HashKey = world.ctx.hash_key();
    let added = world.suppress(Suppression { unit_code: "so-tttt".to_owned(), ..entry("0912 000 007") }).await.unwrap();
    let hash = key.number(84_912_000_007);
    assert_eq!((added.address.as_str(), added.hint.as_str(), added.by.as_str()), ("", "07", "lan"));
    assert_eq!((added.address_hash, added.position, added.channel), (format!("{:016x}", hash.0), 1, 1));
    let of_dispatch = world.blocks::<SuppressionTopic>(hash.shard().number()).await;
    let of_gateways = world.blocks::<BlocksTopic>(0).await;
    assert_eq!(of_dispatch, of_gateways);
    let [block] = of_gateways.as_slice() else { panic!("one change is one word: {of_gateways:?}") };
    assert_eq!((block.address_hash, block.scope), (hash.0, Scope::of(key, "so-tttt", "", "").0));
    assert_eq!((block.position, block.lifted), (1, false));

    // A mailbox in any case is one person.
    let mailbox = world.suppress(entry("Lan@Example.test")).await.unwrap();
    assert_eq!((mailbox.channel, mailbox.hint.as_str()), (2, "st"));
    assert_eq!(mailbox.address_hash, format!("{:016x}", key.mailbox("lan@example.test").0));
    assert!(lift(&world, entry("LAN@example.test")).await.unwrap());
    assert!(!lift(&world, entry("lan@example.test")).await.unwrap(), "it is lifted already");
    let of_gateways = world.blocks::<BlocksTopic>(0).await;
    let shown: Vec<(u64, bool)> = of_gateways.iter().map(|block| (block.position, block.lifted)).collect();
    assert_eq!(shown, [(1, false), (2, false), (3, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_bites_at_the_next_freeze() {
    let world = World::new().await;
    world.imported("ben-tre", &people(10)).await;
    world.suppress(entry("0912000003")).await.unwrap();
    world.suppress(Suppression { class: "public_information".to_owned(), ..entry("0912000004") }).await.unwrap();
    world.suppress(Suppression { topic: "khac".to_owned(), ..entry("0912000005") }).await.unwrap();
    let manifest = world.frozen(&campaign(1, "ben-tre")).await;
    assert_eq!(manifest.variants[0].excluded, [("SUPPRESSED".to_owned(), 2)].into());
    assert_eq!((manifest.variants[0].frozen, manifest.suppression_position), (8, 3));
    assert!(lift(&world, entry("0912000003")).await.unwrap());
    let manifest = world.frozen(&campaign(2, "ben-tre")).await;
    assert_eq!((manifest.variants[0].frozen, manifest.suppression_position), (9, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_it_is_stored_and_told_later() {
    let world = World::new().await;
    world.log.away(true);
    let status = world.suppress(entry("0912000003")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("stored; in force as soon as the log is back"), "{status:?}");
    assert_eq!(listed(&world, 0, "").await.suppressions.len(), 1, "it is stored");
    world.log.away(false);
    // Nobody repeats the call: the holder of the outbox lease tells it.
    eventually("the gateways are told", async || world.blocks::<BlocksTopic>(0).await.len() == 1).await;
    // Whoever repeats it gets the same entry, and may be sure now.
    let again = world.suppress(entry("0912000003")).await.unwrap();
    assert_eq!(again.position, 1);
    eventually("nothing is left", async || {
        let outbox = loa_store::SqlOutbox(world.db.clone());
        loa_ports::store::Outbox::outbox_left(&outbox, i64::MAX, 10).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_newest_first_and_shows_no_address() {
    let world = World::new().await;
    for number in 0..5 {
        world.suppress(entry(&format!("091200000{number}"))).await.unwrap();
    }
    let first = listed(&world, 2, "").await;
    let second = listed(&world, 2, &first.next_page_token).await;
    let third = listed(&world, 2, &second.next_page_token).await;
    let pages = [&first, &second, &third];
    let hints: Vec<String> = pages.iter().flat_map(|page| &page.suppressions).map(|found| found.hint.clone()).collect();
    assert_eq!(hints, ["04", "03", "02", "01", "00"]);
    assert_eq!(third.next_page_token, "");
    assert!(pages.iter().flat_map(|page| &page.suppressions).all(|found| found.address.is_empty()));
}
