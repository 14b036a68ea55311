//! The same calls while COMMITs and appends lose their answers: nothing is done twice, nothing is lost.

use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;
use loa_testkit::storm::log::StormConfig;
use tonic::{Code, Request, Response, Status};

use super::world::{APPROVER, AUTHOR, OPERATOR, World, by};

/// Repeats a call as a client would until it is answered.
async fn until_ok<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    for _ in 0..100 {
        match call().await {
            Ok(response) => return response.into_inner(),
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Aborted) => {}
            Err(status) => panic!("{status:?}"),
        }
    }
    panic!("a hundred tries were not enough");
}

async fn one_life(seed: u64) {
    let storm = StormConfig { append_uncertain_share: 0.3, ..StormConfig::calm(seed) };
    let world = World::stormy(storm, 0.3).await;
    let faults = world.db.faults().unwrap().clone();
    let unit = || PutUnitRequest { unit: Some(super::world::unit("so-tttt")) };
    until_ok(|| world.calls.put_unit(by(OPERATOR, unit()))).await;
    for (name, content) in [("moi-hop", super::world::sms("Họp lúc 8h")), ("thu-moi", super::world::mail())] {
        let request = || PutTemplateRequest { name: name.to_owned(), content: Some(content.clone()) };
        until_ok(|| world.calls.put_template(by(AUTHOR, request()))).await;
    }
    let request = || CreateCampaignRequest { campaign: Some(world.campaign()), idempotency_key: "k".to_owned() };
    let id = until_ok(|| world.calls.create_campaign(by(AUTHOR, request()))).await.campaign.unwrap().id;
    until_ok(|| world.calls.submit_campaign(by(AUTHOR, SubmitCampaignRequest { id: id.clone() }))).await;
    faults.set_share(0.0);
    world.freeze(&id).await;
    faults.set_share(0.3);
    let request = || ApproveCampaignRequest { id: id.clone(), manifest_hash: vec![7; 32] };
    until_ok(|| world.calls.approve_campaign(by(APPROVER, request()))).await;
    until_ok(|| world.calls.start_campaign(operator(StartCampaignRequest { id: id.clone() }))).await;
    until_ok(|| world.calls.pause_campaign(operator(PauseCampaignRequest { id: id.clone() }))).await;
    until_ok(|| world.calls.resume_campaign(operator(ResumeCampaignRequest { id: id.clone() }))).await;
    until_ok(|| world.calls.cancel_campaign(operator(CancelCampaignRequest { id: id.clone() }))).await;

    faults.set_share(0.0);
    let actions: Vec<_> = world.audit(&id).await.into_iter().map(|entry| entry.action).collect();
    let once = ["create", "submit", "frozen", "approve", "start", "pause", "resume", "cancel"];
    assert_eq!(actions, once, "seed {seed}: each thing was done once");
    assert_eq!(world.get(&id).await.version, 8, "seed {seed}");
    let listed = world.calls.list_campaigns(by(AUTHOR, ListCampaignsRequest::default())).await.unwrap().into_inner();
    assert_eq!(listed.campaigns.len(), 1, "seed {seed}: one campaign");
    let highest = world.published(&id).await.into_iter().max_by_key(|(version, _)| *version).unwrap();
    assert_eq!(highest.1.state, 10, "seed {seed}: everybody knows that it is cancelled");
    world.turn(2);
    for _ in 0..100 {
        if world.core.publisher.publish_left(i64::MAX, 100).await.is_ok_and(|count| count == 0) {
            break;
        }
    }
    assert_eq!(world.core.store.outbox_left(i64::MAX, 10).await.unwrap(), [], "seed {seed}");
}

fn operator<T>(message: T) -> Request<T> {
    by(OPERATOR, message)
}

#[tokio::test]
async fn lost_answers_do_nothing_twice() {
    for seed in 1..=6 {
        one_life(seed).await;
    }
}
