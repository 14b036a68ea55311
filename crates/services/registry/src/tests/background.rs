//! Work in the background: freezing, schedules, the outbox, mending; by whoever holds the lease.

use std::sync::Arc;

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_domain::campaign::CampaignState;
use loa_ports::clock::SystemClock;
use loa_runtime::Ctx;
use loa_testkit::eventually;
use tonic::Status;

use super::audience::{FakeAudience, failed, frozen, running};
use super::world::{AUTHOR, OPERATOR, World, by};

/// The campaign as it was submitted; what its freeze comes to may stand in the store already.
async fn submit(world: &World, id: &str) -> Campaign {
    let request = SubmitCampaignRequest { id: id.to_owned() };
    world.calls.submit_campaign(by(AUTHOR, request)).await.unwrap().into_inner().campaign.unwrap()
}

async fn state_is(world: &World, id: &str, state: &str) {
    eventually(&format!("the campaign is {state}"), async || world.get(id).await.state == state).await;
}

async fn stop(ctx: Ctx) {
    ctx.stop();
    ctx.idle().await;
}

/// The fake audience lives in a context of its own: a registry's stop does not take it along.
async fn audience() -> (Ctx, FakeAudience) {
    let ctx = Ctx::test(Arc::new(SystemClock::new()), "audience");
    let audience = FakeAudience::start(&ctx).await;
    (ctx, audience)
}

#[tokio::test]
async fn a_freeze_is_asked_for_until_it_has_its_manifest() {
    let world = World::seeded().await;
    let (audience_ctx, audience) = audience().await;
    audience.answer([Err(Status::unavailable("not yet")), running(), running(), frozen()]);
    let ctx = world.run("n1", Some(&audience)).await;
    let draft = world.created().await;
    submit(&world, &draft.id).await;
    state_is(&world, &draft.id, "submitted").await;

    let submitted = world.get(&draft.id).await;
    assert_eq!((submitted.manifest_hash, submitted.synthetic), (vec![9; 32], true));
    let summary = submitted.freeze.unwrap();
    assert_eq!((summary.selected, summary.variants[0].frozen, summary.variants[0].accounts["viet"]), (6, 5, 5));
    // One after the other, so exactly one question to each answer; the refused call was none.
    let asked = audience.asked();
    assert_eq!(asked.len(), 3);
    let question = &asked[0];
    assert_eq!(
        (question.campaign_version, question.dataset.as_str(), question.unit_code.as_str()),
        (2, "thue-bao", "so-tttt")
    );
    assert_eq!(question.variants[0].text, "Kính gửi {ten}: họp lúc 8h");
    assert_eq!((question.variants[1].variant, question.variants[1].channel), (1, 2));
    let (_, control) = world.published_version(&draft.id, submitted.version).await;
    assert_eq!((control.variants[0].recipients, control.freeze_id.len(), control.synthetic), (5, 16, true));

    let later = world.created_by_key("k2").await;
    submit(&world, &later.id).await;
    state_is(&world, &later.id, "submitted").await;
    let about_first = audience.asked().iter().filter(|asked| asked.campaign_id == draft.id).count();
    assert_eq!(about_first, 3, "once it had its manifest nobody asked again");
    stop(ctx).await;
    stop(audience_ctx).await;
}

#[tokio::test]
async fn a_freeze_that_cannot_be_done_returns_it_to_draft() {
    let world = World::seeded().await;
    let (audience_ctx, audience) = audience().await;
    audience.answer([failed("dataset `thue-bao` is not there; import it first")]);
    let ctx = world.run("n1", Some(&audience)).await;
    let id = world.created().await.id;
    submit(&world, &id).await;
    state_is(&world, &id, "draft").await;
    assert_eq!(world.get(&id).await.freeze_error, "dataset `thue-bao` is not there; import it first");

    audience.answer([Err(Status::invalid_argument("segment: line 1"))]);
    assert_eq!(submit(&world, &id).await.freeze_error, "", "a new try begins clean");
    state_is(&world, &id, "draft").await;
    assert_eq!(world.get(&id).await.freeze_error, "segment: line 1");
    stop(ctx).await;
    stop(audience_ctx).await;
}

#[tokio::test]
async fn another_instance_goes_on_with_a_freeze() {
    let world = World::seeded().await;
    let (audience_ctx, audience) = audience().await;
    audience.answer([running()]);
    let first = world.run("n1", Some(&audience)).await;
    let id = world.created().await.id;
    submit(&world, &id).await;
    eventually("the first instance has asked", async || !audience.asked().is_empty()).await;
    stop(first).await;

    audience.answer([frozen()]);
    let second = world.second().await;
    let ctx = second.run("n2", Some(&audience)).await;
    state_is(&second, &id, "submitted").await;
    stop(ctx).await;
    stop(audience_ctx).await;
}

#[tokio::test]
async fn an_edit_wins_over_a_freeze_under_way() {
    let world = World::seeded().await;
    let (audience_ctx, audience) = audience().await;
    audience.answer([running()]);
    let ctx = world.run("n1", Some(&audience)).await;
    let id = world.created().await.id;
    submit(&world, &id).await;
    eventually("it is being frozen", async || !audience.asked().is_empty()).await;
    let edited = Campaign { title: "Mới".to_owned(), ..world.get(&id).await };
    world.calls.update_campaign(by(AUTHOR, UpdateCampaignRequest { campaign: Some(edited) })).await.unwrap();
    audience.answer([frozen()]);
    submit(&world, &id).await;
    state_is(&world, &id, "submitted").await;
    assert_eq!(world.get(&id).await.title, "Mới");
    assert_eq!(audience.asked().last().unwrap().campaign_version, 4, "the freeze is that of the new version");
    stop(ctx).await;
    stop(audience_ctx).await;
}

#[tokio::test]
async fn a_scheduled_campaign_starts_at_its_time() {
    let world = World::seeded().await;
    let id = world.approved().await.id;
    let at = Some(timestamp(world.core.now_us() + 3_600 * 1_000_000));
    let request = ScheduleCampaignRequest { id: id.clone(), at };
    world.calls.schedule_campaign(by(OPERATOR, request)).await.unwrap();
    let ctx = world.run("n1", None).await;
    let in_state = async |state, due_us| world.core.store.campaigns_in(state, due_us, 9).await.unwrap().len();
    world.turn(3_599);
    assert_eq!(in_state(CampaignState::Scheduled, Some(world.core.now_us())).await, 0, "not due yet");
    world.turn(1);
    state_is(&world, &id, "running").await;
    assert_eq!(world.audit(&id).await.pop().unwrap().user, "schedule");
    stop(ctx).await;
}

#[tokio::test]
async fn a_schedule_that_was_slept_through_is_cancelled() {
    let world = World::seeded().await;
    let id = world.approved().await.id;
    let request = ScheduleCampaignRequest { id: id.clone(), at: Some(timestamp(world.core.now_us())) };
    world.calls.schedule_campaign(by(OPERATOR, request)).await.unwrap();
    world.turn(11 * 86_400);
    let ctx = world.run("n1", None).await;
    state_is(&world, &id, "cancelled").await;
    assert!(world.audit(&id).await.pop().unwrap().detail.contains("its end had passed"));
    stop(ctx).await;
}

#[tokio::test]
async fn what_is_left_is_published_by_the_holder() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    world.log.away(true);
    let paused = world.calls.pause_campaign(by(OPERATOR, PauseCampaignRequest { id: id.clone() })).await;
    assert!(paused.is_err());
    world.log.away(false);
    let ctx = world.run("n1", None).await;
    world.turn(2);
    let left = async || world.core.store.outbox_left(i64::MAX, 10).await.unwrap().len();
    eventually("nothing is left", async || left().await == 0).await;
    let (_, control) = world.published(&id).await.pop().unwrap();
    assert_eq!(control.state, u32::from(CampaignState::Paused.code()));
    stop(ctx).await;
}

#[tokio::test]
async fn an_older_state_behind_a_newer_one_is_mended() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    let old = crate::control::of_campaign(&world.get(&id).await, world.core.now_us());
    world.calls.cancel_campaign(by(OPERATOR, CancelCampaignRequest { id: id.clone() })).await.unwrap();
    let newest = world.published(&id).await.last().unwrap().0;

    // An instance that was frozen between its COMMIT and its append wakes up, before and while another one looks.
    loa_runtime::control::publish(world.log.as_ref(), &old).await.unwrap();
    let ctx = world.run("n1", None).await;
    let last = async || world.published(&id).await.last().unwrap().0;
    eventually("the newest state is last again", async || last().await == newest).await;
    loa_runtime::control::publish(world.log.as_ref(), &old).await.unwrap();
    eventually("and again", async || last().await == newest).await;
    let count = world.published(&id).await.len();
    stop(ctx).await;

    // Another instance reads the log from its start. Twice it mends another campaign: the second time it is through with
    // all that it found the first time.
    let other = world.created_by_key("later").await;
    let older = crate::control::of_campaign(&other, world.core.now_us());
    let newest = submit(&world, &other.id).await.version;
    let ctx = world.run("n2", None).await;
    for round in ["once", "and once more"] {
        loa_runtime::control::publish(world.log.as_ref(), &older).await.unwrap();
        eventually(round, async || world.published(&other.id).await.last().unwrap().0 == newest).await;
    }
    stop(ctx).await;
    assert_eq!(world.published(&id).await.len(), count, "what was mended stays as it is");
}
