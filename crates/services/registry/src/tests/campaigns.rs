//! Campaigns as they are written: checks, idempotency, edits, lists, audit.

use loa_contract::convert::{micros, timestamp};
use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use tonic::{Code, Status};

use super::world::{APPROVER, AUTHOR, OPERATOR, World, by, fields, reason};

async fn create(world: &World, user: &str, key: &str, campaign: Campaign) -> Result<Campaign, Status> {
    let request = CreateCampaignRequest { campaign: Some(campaign), idempotency_key: key.to_owned() };
    world.calls.create_campaign(by(user, request)).await.map(|response| response.into_inner().campaign.unwrap())
}

async fn update(world: &World, user: &str, campaign: Campaign) -> Result<Campaign, Status> {
    let request = UpdateCampaignRequest { campaign: Some(campaign) };
    world.calls.update_campaign(by(user, request)).await.map(|response| response.into_inner().campaign.unwrap())
}

#[tokio::test]
async fn each_fault_is_named() {
    type Bend = fn(&mut Campaign);
    let world = World::seeded().await;
    let cases: &[(&str, Bend)] = &[
        ("campaign.title", |c| c.title = "x".repeat(201)),
        ("campaign.task_ref", |c| c.task_ref.clear()),
        ("campaign.lead_units[0]", |c| c.lead_units = vec!["nobody".to_owned()]),
        ("campaign.lead_units[1]", |c| c.lead_units.push("so-tttt".to_owned())),
        ("campaign.lead_units", |c| c.lead_units.clear()),
        ("campaign.legal_basis[0]", |c| c.legal_basis = vec![" ".to_owned()]),
        ("campaign.class", |c| c.class = 0),
        ("campaign.lane", |c| c.lane = 1), // public information is never urgent
        ("campaign.topic", |c| c.topic = "Số hóa".to_owned()),
        ("campaign.ends_at", |c| c.ends_at = c.starts_at),
        ("campaign.ends_at", |c| c.ends_at = c.starts_at.map(|at| timestamp(micros(&at) + 90 * 86_400_000_000 + 1))),
        ("campaign.ends_at", |c| {
            c.starts_at = Some(timestamp(1));
            c.ends_at = Some(timestamp(2));
        }),
        ("campaign.hours", |c| c.hours = Some(DailyHours { open_minute: 0, close_minute: 1_440 })), // wider than its class
        ("campaign.hours", |c| c.hours = Some(DailyHours { open_minute: 600, close_minute: 1_441 })),
        ("campaign.variants", |c| c.variants.clear()),
        ("campaign.variants[1].template", |c| c.variants[1] = c.variants[0].clone()), // one per channel
        ("campaign.variants[0].sender", |c| c.variants[0].sender = "0912345678".to_owned()),
        ("campaign.variants[1].sender", |c| c.variants[1].sender = "BenTre".to_owned()),
        ("campaign.variants[0].template", |c| c.variants[0].template_version = 9),
        ("campaign.dataset", |c| c.dataset.clear()),
        ("campaign.segment", |c| c.segment = "age in".to_owned()),
        ("campaign.resend_in_doubt", |c| c.resend_in_doubt = true),
    ];
    for (index, (field, bend)) in cases.iter().enumerate() {
        let mut campaign = world.campaign();
        bend(&mut campaign);
        let refused = create(&world, AUTHOR, "k", campaign).await.unwrap_err();
        assert_eq!(fields(&refused), [*field], "case {index}");
    }
    let urgent = Campaign { class: 5, lane: 1, resend_in_doubt: true, ..world.campaign() };
    create(&world, AUTHOR, "k", urgent).await.unwrap();
    create(&world, AUTHOR, "k1", Campaign { segment: String::new(), ..world.campaign() }).await.unwrap();
    let narrower = Some(DailyHours { open_minute: 8 * 60, close_minute: 11 * 60 });
    create(&world, AUTHOR, "k2", Campaign { hours: narrower, ..world.campaign() }).await.unwrap();
}

#[tokio::test]
async fn a_draft_shows_what_the_registry_adds() {
    let world = World::seeded().await;
    let claimed = Campaign {
        id: "mine".to_owned(),
        state: "running".to_owned(),
        approved_by: AUTHOR.to_owned(),
        version: 9,
        ..world.campaign()
    };
    let draft = create(&world, AUTHOR, "k", claimed).await.unwrap();
    assert_eq!((draft.state.as_str(), draft.version, draft.created_by.as_str()), ("draft", 1, AUTHOR));
    assert_eq!(draft.approved_by, "");
    assert_eq!(draft.variants.iter().map(|variant| variant.channel).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(draft.variants[0].content_hash.len(), 32);
    assert_eq!(draft.created_at, Some(timestamp(world.core.now_us())));
    assert_eq!(world.get(&draft.id).await, draft);
    let (version, control) = world.published_version(&draft.id, 1).await;
    assert_eq!((version, control.unit_id.as_str()), (1, "so-tttt"));
    assert_eq!(world.published(&draft.id).await.len(), 1);
}

#[tokio::test]
async fn the_same_create_twice_gives_one_object() {
    let world = World::seeded().await;
    let first = create(&world, AUTHOR, "k", world.campaign()).await.unwrap();
    assert_eq!(create(&world, AUTHOR, "k", world.campaign()).await.unwrap(), first);
    let other_body = Campaign { title: "Khác".to_owned(), ..world.campaign() };
    assert_eq!(create(&world, AUTHOR, "k", other_body.clone()).await.unwrap_err().code(), Code::Aborted);
    let other_caller = create(&world, "dung", "k", other_body).await.unwrap(); // keys are each caller's own
    assert_ne!(other_caller.id, first.id);

    let ended = Unit { valid_to: Some(timestamp(world.core.now_us())), ..super::world::unit("so-tttt") };
    world.calls.put_unit(by(OPERATOR, PutUnitRequest { unit: Some(ended) })).await.unwrap();
    world.turn(72 * 3_600 - 1);
    assert_eq!(create(&world, AUTHOR, "k", keyed(&world, &first)).await.unwrap().id, first.id);
    world.turn(2);
    let forgotten = create(&world, AUTHOR, "k", keyed(&world, &first)).await.unwrap_err();
    assert_eq!(fields(&forgotten), ["campaign.lead_units[0]"], "after 72 h it is a new call, and checked like one");
}

/// The same body as before, whatever the time.
fn keyed(world: &World, first: &Campaign) -> Campaign {
    Campaign { starts_at: first.starts_at, ends_at: first.ends_at, ..world.campaign() }
}

#[tokio::test]
async fn two_creates_at_once_make_one_object() {
    let world = World::seeded().await;
    let second = world.second().await;
    let (one, two) =
        tokio::join!(create(&world, AUTHOR, "k", world.campaign()), create(&second, AUTHOR, "k", world.campaign()));
    assert_eq!(one.unwrap().id, two.unwrap().id);
}

#[tokio::test]
async fn an_edit_needs_the_version_that_was_read() {
    let world = World::seeded().await;
    let draft = world.created().await;
    let edited = Campaign { title: "Mới".to_owned(), ..draft.clone() };
    let stored = update(&world, AUTHOR, edited.clone()).await.unwrap();
    assert_eq!((stored.version, stored.title.as_str(), stored.created_at), (2, "Mới", draft.created_at));
    assert_eq!(update(&world, AUTHOR, edited).await.unwrap_err().code(), Code::Aborted);
    let same = update(&world, AUTHOR, stored.clone()).await.unwrap();
    assert_eq!(same.version, 2, "what changes nothing is no change");
    let faulty = Campaign { title: String::new(), ..stored };
    assert_eq!(fields(&update(&world, AUTHOR, faulty).await.unwrap_err()), ["campaign.title"]);
}

#[tokio::test]
async fn an_edit_voids_the_approval_and_the_freeze() {
    let world = World::seeded().await;
    let approved = world.approved().await;
    let edited = update(&world, AUTHOR, Campaign { title: "Mới".to_owned(), ..approved.clone() }).await.unwrap();
    assert_eq!(edited.state, "draft");
    assert_eq!((edited.approved_by.as_str(), edited.freeze_id.as_str(), edited.manifest_hash.len()), ("", "", 0));
    let start =
        world.calls.start_campaign(by(OPERATOR, StartCampaignRequest { id: edited.id.clone() })).await.unwrap_err();
    assert_eq!(reason(&start), "WRONG_STATE");
    let (version, control) = world.published_version(&edited.id, edited.version).await;
    assert_eq!((version, control.state, control.freeze_id.len()), (edited.version, 1, 0));
    let running = world.calls.start_campaign(by(OPERATOR, StartCampaignRequest { id: approved.id }));
    assert!(running.await.is_err());
}

#[tokio::test]
async fn who_has_edited_may_not_approve() {
    let world = World::seeded().await;
    let draft = world.created().await;
    update(&world, APPROVER_WHO_WRITES, Campaign { title: "Mới".to_owned(), ..draft.clone() }).await.unwrap();
    world.calls.submit_campaign(by(AUTHOR, SubmitCampaignRequest { id: draft.id.clone() })).await.unwrap();
    let Campaign { id, manifest_hash, .. } = world.freeze(&draft.id).await;
    for (user, may) in [(AUTHOR, false), (APPROVER_WHO_WRITES, false), (APPROVER, true)] {
        let request = ApproveCampaignRequest { id: id.clone(), manifest_hash: manifest_hash.clone() };
        let request = super::world::with(user, &[loa_runtime::rpc::Right::Approver], request);
        let result = world.calls.approve_campaign(request).await;
        assert_eq!(result.is_ok(), may, "{user}");
        if let Err(status) = result {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "FOUR_EYES"));
        }
    }
}

const APPROVER_WHO_WRITES: &str = "em";

#[tokio::test]
async fn lists_are_newest_first_in_pages() {
    let world = World::seeded().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.insert(0, create(&world, AUTHOR, &format!("k{number}"), world.campaign()).await.unwrap().id);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListCampaignsRequest { page_size: 2, page_token };
        let page = world.calls.list_campaigns(by(AUTHOR, request)).await.unwrap().into_inner();
        found.extend(page.campaigns.into_iter().map(|campaign| campaign.id));
        page_token = page.next_page_token;
        if found.len() == 2 {
            create(&world, AUTHOR, "late", world.campaign()).await.unwrap(); // shifts no page
        }
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ids);
}
