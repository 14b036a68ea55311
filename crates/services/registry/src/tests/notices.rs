//! Notices: proposed by one, approved by another, stopped and let go on by an operator.

use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_domain::campaign::CampaignState;
use loa_runtime::rpc::Right;
use tonic::{Code, Status};

use super::world::{APPROVER, AUTHOR, OPERATOR, World, by, fields, reason, with};

fn notice() -> Notice {
    Notice {
        title: "Mã xác nhận".to_owned(),
        template: "moi-hop".to_owned(),
        class: 6,
        lane: 1,
        sender: "1022".to_owned(),
        unit_code: "so-tttt".to_owned(),
        daily_ceiling: 1_000,
        ..Notice::default()
    }
}

async fn create(world: &World, key: &str, notice: Notice) -> Result<Notice, Status> {
    let request = CreateNoticeRequest { notice: Some(notice), idempotency_key: key.to_owned() };
    world.calls.create_notice(by(AUTHOR, request)).await.map(|response| response.into_inner().notice.unwrap())
}

async fn approve(world: &World, user: &str, id: &str) -> Result<Notice, Status> {
    let request = with(user, &[Right::Approver], ApproveNoticeRequest { id: id.to_owned() });
    world.calls.approve_notice(request).await.map(|response| response.into_inner().notice.unwrap())
}

async fn stop(world: &World, id: &str, stopped: bool) -> Result<Notice, Status> {
    let request = SetNoticeStateRequest { id: id.to_owned(), stopped };
    world.calls.set_notice_state(by(OPERATOR, request)).await.map(|response| response.into_inner().notice.unwrap())
}

#[tokio::test]
async fn a_notice_sends_only_while_it_is_approved() {
    let world = World::seeded().await;
    let proposed = create(&world, "k", notice()).await.unwrap();
    assert_eq!((proposed.state.as_str(), proposed.template_version, proposed.channel), ("proposed", 1, 1));
    assert_eq!(proposed.slots, ["ten"]);
    let id = proposed.id.as_str();

    let early = stop(&world, id, true).await.unwrap_err();
    assert_eq!((early.code(), reason(&early).as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    let own = approve(&world, AUTHOR, id).await.unwrap_err();
    assert_eq!((own.code(), reason(&own).as_str()), (Code::PermissionDenied, "FOUR_EYES"));
    assert_eq!(approve(&world, APPROVER, id).await.unwrap().approved_by, APPROVER);
    assert_eq!(approve(&world, APPROVER, id).await.unwrap().state, "approved");
    assert_eq!(stop(&world, id, true).await.unwrap().state, "stopped");
    assert_eq!(approve(&world, APPROVER, id).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(stop(&world, id, false).await.unwrap().state, "approved");

    let published = world.published(id).await;
    let states: Vec<_> = published
        .iter()
        .map(|(version, control)| (*version, CampaignState::from_code(control.state.cast_signed()).unwrap().name()))
        .collect();
    // The repeated approval said again what is so.
    assert_eq!(states, [(1, "submitted"), (2, "running"), (2, "running"), (3, "paused"), (4, "running")]);
    let (_, control) = published.last().unwrap();
    assert!(control.notice && control.daily_ceiling == 1_000 && control.freeze_id.is_empty());
    assert_eq!(control.variants[0].content_hash, proposed.content_hash);
    assert!(control.ends_at_us > world.core.now_us());
    let actions: Vec<_> = world.audit(id).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["proposed", "approved", "stopped", "approved"]);
}

#[tokio::test]
async fn a_notice_is_checked_like_a_campaign() {
    let world = World::seeded().await;
    for (faulty, field) in [
        (Notice { lane: 1, class: 4, ..notice() }, "notice.lane"), // urgent is for emergencies and persons
        (Notice { daily_ceiling: 10_000_001, ..notice() }, "notice.daily_ceiling"),
        (Notice { template_version: 2, ..notice() }, "notice.template"),
        (Notice { sender: "Bến Tre".to_owned(), ..notice() }, "notice.sender"),
        (Notice { sender_name: "x".to_owned(), ..notice() }, "notice.sender_name"),
    ] {
        assert_eq!(fields(&create(&world, "k", faulty).await.unwrap_err()), [field]);
    }
    let mail = Notice { template: "thu-moi".to_owned(), sender: "tin@example.test".to_owned(), ..notice() };
    assert_eq!(create(&world, "k", mail).await.unwrap().channel, 2);
}

#[tokio::test]
async fn the_same_call_makes_one_notice() {
    let world = World::seeded().await;
    let first = create(&world, "k", notice()).await.unwrap();
    let again = create(&world, "k", notice()).await.unwrap();
    assert_eq!(first, again);
    let other = create(&world, "k", Notice { daily_ceiling: 5, ..notice() }).await.unwrap_err();
    assert_eq!(other.code(), Code::Aborted);
    create(&world, "k2", notice()).await.unwrap();
    let listed = world.calls.list_notices(by(AUTHOR, ListNoticesRequest::default())).await.unwrap().into_inner();
    assert_eq!(listed.notices.len(), 2);
    assert_eq!(listed.notices[1], first); // newest first
}
