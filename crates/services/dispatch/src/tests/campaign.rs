//! Campaigns from freeze to settlement, through stops, deaths and a store that loses answers.

use loa_contract::topics::SuppressionTopic;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Lane;
use loa_domain::state::RecipientState;

use loa_testkit::storm::log::{StormConfig, StormLog};

use super::*;
use crate::core::tests::world::chunk;

/// Chunks in shards 0 and 1.
fn frozen(chunks: u32, size: u16) -> Frozen {
    Frozen((0..chunks).map(|number| chunk(FREEZE, number, size)).collect())
}

async fn is_done(installation: &Installation, recipients: usize) {
    eventually("everybody was handed over", async || installation.sent().len() == recipients).await;
    eventually("every row is settled", async || installation.open_rows().await == 0).await;
    assert!(installation.sent().iter().all(|&times| times == 1), "nobody was handed over twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_is_released_and_settled() {
    let installation = Installation::new(frozen(8, 500)).await;
    let process = installation.start("one").await;
    installation.announce(1_000.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let _gateways = installation.serve(Lane::Bulk);
    is_done(&installation, 4_000).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_goes_on_exactly_there() {
    let installation = Installation::new(frozen(8, 200)).await;
    installation.announce(200.0).await; // 600 parts of credit
    installation.campaign(1, CampaignState::Running).await;
    let first = installation.start("one").await;
    eventually("something is released", async || installation.open_rows().await > 0).await;
    first.kill();
    let second = installation.start("one").await; // the same name: its leases are its own
    let _gateways = installation.serve(Lane::Bulk);
    eventually("some were handed over", async || installation.sent().len() > 600).await;
    second.stop().await;
    let third = installation.start("two").await;
    installation.announce(2_000.0).await;
    is_done(&installation, 1_600).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_work() {
    let installation = Installation::new(frozen(8, 100)).await;
    let (one, two) = (installation.start("one").await, installation.start("two").await);
    installation.announce(1_000.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let _gateways = installation.serve(Lane::Bulk);
    is_done(&installation, 800).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_of_the_store_neither_lose_nor_repeat() {
    let mut installation = Installation::new(frozen(10, 100)).await;
    installation.db = installation.db.clone().with_faults(7, 0.2);
    let process = installation.start("one").await;
    installation.announce(100.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let _gateways = installation.serve(Lane::Bulk);
    is_done(&installation, 1_000).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_and_a_cancel_closes() {
    let installation = Installation::new(frozen(4, 500)).await;
    installation.announce(100.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let process = installation.start("one").await;
    eventually("something is released", async || installation.open_rows().await > 0).await;
    installation.campaign(2, CampaignState::Paused).await;
    let _gateways = installation.serve(Lane::Bulk);
    eventually("what was released is settled", async || {
        !installation.sent().is_empty() && installation.open_rows().await == 0
    })
    .await;
    let sent = installation.sent().len();
    assert!(sent < 2_000, "the pause came too late to prove anything");
    installation.campaign(3, CampaignState::Cancelled).await;
    let cancelled = u32::from(RecipientState::Cancelled.code());
    let rest = 2_000 - sent;
    eventually("the rest is cancelled", async || words(&installation).await.get(&cancelled) == Some(&rest)).await;
    assert_eq!(installation.sent().len(), sent);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_over_log_and_store_neither_loses_nor_repeats() {
    let mut installation = Installation::new(frozen(12, 100)).await;
    installation.db = installation.db.clone().with_faults(11, 0.1);
    installation.log = StormLog::new(installation.log.clone(), StormConfig::rough(11));
    installation.announce(100.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let _gateways = installation.serve(Lane::Bulk);
    let (one, two) = (installation.start("one").await, installation.start("two").await);
    eventually("some were handed over", async || installation.sent().len() > 150).await;
    one.kill();
    let one = installation.start("one").await;
    installation.announce(300.0).await;
    is_done(&installation, 1_200).await;
    one.kill();
    two.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_with_a_hole_in_its_suppression_list_releases_nothing() {
    let installation = Installation::new(frozen(2, 10)).await;
    let block = event::Block { address_hash: 1, position: 1, ..Default::default() };
    let blocks = event::Blocks { blocks: vec![block] };
    installation.log.append(vec![record::append::<SuppressionTopic>(0, bytes::Bytes::new(), &blocks)]).await.unwrap();
    let later_us = loa_ports::clock::Clock::now_us(&*installation.clock) + 15 * 24 * 3_600 * 1_000_000;
    installation.log.retain(later_us).await.unwrap(); // shard 0 begins behind what was never read
    assert_eq!(installation.log.starts(SuppressionTopic::SPEC).await.unwrap()[..2], [1, 0]);
    installation.announce(100.0).await;
    installation.campaign(1, CampaignState::Running).await;
    let process = installation.start("one").await;
    let _gateways = installation.serve(Lane::Bulk);
    eventually("shard 1 was handed over", async || installation.sent().len() == 10).await;
    eventually("it is settled", async || installation.open_rows().await == 0).await;
    assert_eq!(installation.sent().len(), 10, "nothing of shard 0");
    process.stop().await;
}
