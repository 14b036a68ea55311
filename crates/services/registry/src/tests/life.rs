//! A campaign's life: who may do what when, what everybody hears of it, and when a stop is in force.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_domain::campaign::CampaignState;
use tonic::{Code, Status};

use super::world::{APPROVER, AUTHOR, OPERATOR, World, by, reason};

/// What happened, in the words of the audit.
async fn actions(world: &World, id: &str) -> Vec<String> {
    world
        .audit(id)
        .await
        .into_iter()
        .map(|entry| format!("{} {}: {}", entry.user, entry.action, entry.detail))
        .collect()
}

async fn states(world: &World, id: &str) -> Vec<(u64, &'static str)> {
    let published = world.published(id).await;
    let state = |code: u32| CampaignState::from_code(code.cast_signed()).unwrap().name();
    published.iter().map(|(version, control)| (*version, state(control.state))).collect()
}

async fn pause(world: &World, id: &str) -> Result<Campaign, Status> {
    let request = PauseCampaignRequest { id: id.to_owned() };
    world.calls.pause_campaign(by(OPERATOR, request)).await.map(|response| response.into_inner().campaign.unwrap())
}

async fn resume(world: &World, id: &str) -> Result<Campaign, Status> {
    let request = ResumeCampaignRequest { id: id.to_owned() };
    world.calls.resume_campaign(by(OPERATOR, request)).await.map(|response| response.into_inner().campaign.unwrap())
}

async fn halt(world: &World, id: &str, reason: &str) -> Result<Campaign, Status> {
    let request = HaltCampaignRequest { id: id.to_owned(), reason: reason.to_owned() };
    world.calls.halt_campaign(by("report", request)).await.map(|response| response.into_inner().campaign.unwrap())
}

#[tokio::test]
async fn a_whole_life_is_audited_and_told() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    pause(&world, &id).await.unwrap();
    resume(&world, &id).await.unwrap();
    assert_eq!(halt(&world, &id, "15 % bounces").await.unwrap().halt_reason, "15 % bounces");
    assert_eq!(resume(&world, &id).await.unwrap().halt_reason, "");
    world.calls.complete_campaign(by("report", CompleteCampaignRequest { id: id.clone() })).await.unwrap();

    assert_eq!(
        actions(&world, &id).await,
        [
            "an create: draft",
            "an submit: draft → freezing",
            "freeze frozen: freezing → submitted",
            "binh approve: submitted → approved",
            "chi start: approved → running",
            "chi pause: running → paused",
            "chi resume: paused → running",
            "report halt: running → halted: 15 % bounces",
            "chi resume: halted → running",
            "report complete: running → done",
        ]
    );
    let (_, last) = world.published_version(&id, 10).await;
    let told =
        ["draft", "freezing", "submitted", "approved", "running", "paused", "running", "halted", "running", "done"];
    assert_eq!(states(&world, &id).await, (1..).zip(told).collect::<Vec<_>>());
    assert_eq!(last.started_at_us, world.core.now_us());
    assert_eq!(world.core.store.outbox_left(i64::MAX, 10).await.unwrap(), [], "everything published is marked");
    let ended = pause(&world, &id).await.unwrap_err();
    assert_eq!(reason(&ended), "WRONG_STATE");
    assert!(ended.message().contains("possible now: nothing"), "{}", ended.message());
}

#[tokio::test]
async fn what_does_not_fit_the_state_is_refused_with_what_does() {
    let world = World::seeded().await;
    let id = world.created().await.id;
    let refused = world.calls.start_campaign(by(OPERATOR, StartCampaignRequest { id })).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    assert!(refused.message().contains("possible now: submit, cancel"), "{}", refused.message());
}

#[tokio::test]
async fn an_approval_names_what_was_looked_at() {
    let world = World::seeded().await;
    let submitted = world.submitted().await;
    let approve = async |manifest_hash: Vec<u8>| {
        let request = ApproveCampaignRequest { id: submitted.id.clone(), manifest_hash };
        world.calls.approve_campaign(by(APPROVER, request)).await
    };
    let stale = approve(vec![8; 32]).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::FailedPrecondition, "MANIFEST_CHANGED"));
    let approved = approve(vec![7; 32]).await.unwrap().into_inner().campaign.unwrap();
    assert_eq!(approved.approved_by, APPROVER);
    assert_eq!(
        approve(vec![7; 32]).await.unwrap().into_inner().campaign.unwrap(),
        approved,
        "a repeat changes nothing"
    );
    assert_eq!(approve(vec![8; 32]).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_rejected_campaign_is_a_draft_again() {
    let world = World::seeded().await;
    let id = world.approved().await.id;
    let request = RejectCampaignRequest { id: id.clone(), reason: "thiếu căn cứ".to_owned() };
    let draft = world.calls.reject_campaign(by(APPROVER, request)).await.unwrap().into_inner().campaign.unwrap();
    assert_eq!((draft.state.as_str(), draft.approved_by.as_str(), draft.freeze_id.as_str()), ("draft", "", ""));
    assert_eq!(actions(&world, &id).await.pop().unwrap(), "binh reject: approved → draft: thiếu căn cứ");
}

#[tokio::test]
async fn submit_pins_the_newest_template() {
    let world = World::seeded().await;
    let draft = world.created().await;
    let content = super::world::sms("Kính mời {ten} dự họp");
    let request = PutTemplateRequest { name: "moi-hop".to_owned(), content: Some(content) };
    let newest = world.calls.put_template(by(AUTHOR, request)).await.unwrap().into_inner().template.unwrap();
    let submit = async || {
        let request = SubmitCampaignRequest { id: draft.id.clone() };
        world.calls.submit_campaign(by(AUTHOR, request)).await.map(|response| response.into_inner().campaign.unwrap())
    };
    let submitted = submit().await.unwrap();
    assert_eq!(submitted.variants[0].template_version, 2);
    assert_eq!(submitted.variants[0].content_hash, newest.content_hash);
    assert_ne!(draft.variants[0].content_hash, newest.content_hash);
    assert_eq!(submit().await.unwrap(), submitted, "a repeat changes nothing");
}

#[tokio::test]
async fn submit_checks_again_what_may_have_changed() {
    let world = World::seeded().await;
    let id = world.created().await.id;
    let ended = Unit { valid_to: Some(timestamp(world.core.now_us())), ..super::world::unit("so-tttt") };
    world.calls.put_unit(by(OPERATOR, PutUnitRequest { unit: Some(ended) })).await.unwrap();
    let refused = world.calls.submit_campaign(by(AUTHOR, SubmitCampaignRequest { id })).await.unwrap_err();
    assert_eq!(reason(&refused), "CAMPAIGN_INVALID");
    assert!(refused.message().contains("campaign.lead_units[0]"), "{}", refused.message());
}

#[tokio::test]
async fn starts_and_schedules_keep_to_the_window() {
    let world = World::seeded().await;
    let approved = world.approved().await;
    let id = || approved.id.clone();
    let schedule = async |at_us| {
        let request = ScheduleCampaignRequest { id: id(), at: Some(timestamp(at_us)) };
        world
            .calls
            .schedule_campaign(by(OPERATOR, request))
            .await
            .map(|response| response.into_inner().campaign.unwrap())
    };
    let now_us = world.core.now_us();
    let day = 86_400_000_000;
    assert_eq!(reason(&schedule(now_us - 1).await.unwrap_err()), "TOO_EARLY");
    assert_eq!(reason(&schedule(now_us + 10 * day).await.unwrap_err()), "TOO_LATE");
    assert_eq!(schedule(now_us + day).await.unwrap().scheduled_at, Some(timestamp(now_us + day)));
    let again = schedule(now_us + 2 * day).await.unwrap(); // another time is a change
    assert_eq!((again.state.as_str(), again.scheduled_at), ("scheduled", Some(timestamp(now_us + 2 * day))));
    world.turn(11 * 86_400);
    let late = world.calls.start_campaign(by(OPERATOR, StartCampaignRequest { id: id() })).await.unwrap_err();
    assert_eq!(reason(&late), "TOO_LATE");
}

/// T0 is the reply: while the log is away nobody is told that a stop is in force, and it holds once the log is back.
#[tokio::test]
async fn a_pause_is_in_force_when_the_log_has_it() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    let told_before = world.published(&id).await.len();
    world.log.away(true);
    let stored = pause(&world, &id).await.unwrap_err();
    assert_eq!(stored.code(), Code::Unavailable);
    assert!(stored.message().contains("stored; in force as soon as the log is back"), "{}", stored.message());
    assert_eq!(world.get(&id).await.state, "paused", "it is stored");
    assert_eq!(pause(&world, &id).await.unwrap_err().code(), Code::Unavailable, "a repeat does not pretend");

    world.log.away(false);
    assert_eq!(world.published(&id).await.len(), told_before);
    world.turn(2);
    assert_eq!(world.core.publisher.publish_left(world.core.now_us() - 1_000_000, 100).await.ok(), Some(1));
    assert_eq!(states(&world, &id).await.pop(), Some((6, "paused")));
    assert_eq!(pause(&world, &id).await.unwrap().version, 6, "and now the repeat is OK");
    assert_eq!(world.core.store.outbox_left(i64::MAX, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_pause_of_a_person_is_not_weakened_by_a_rule() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    pause(&world, &id).await.unwrap();
    let halted = halt(&world, &id, "late").await.unwrap();
    assert_eq!((halted.state.as_str(), halted.halt_reason.as_str()), ("paused", ""));
}

#[tokio::test]
async fn an_old_record_cannot_undo_a_cancel() {
    let world = World::seeded().await;
    let id = world.running().await.id;
    let request = || CancelCampaignRequest { id: id.clone() };
    let cancelled = world.calls.cancel_campaign(by(OPERATOR, request())).await.unwrap().into_inner().campaign.unwrap();
    assert_eq!(cancelled.state, "cancelled");
    assert_eq!(reason(&resume(&world, &id).await.unwrap_err()), "WRONG_STATE");
    world.calls.cancel_campaign(by(OPERATOR, request())).await.unwrap();
    let versions: Vec<_> = states(&world, &id).await.into_iter().filter(|(_, state)| *state == "cancelled").collect();
    assert_eq!(versions, [(cancelled.version, "cancelled"); 2], "said again under the same version");
}
