//! Single sends from the request to the release.

use loa_contract::pb::dispatch::v1 as pb;
use loa_contract::pb::dispatch::v1::dispatch_service_server::DispatchService as _;
use loa_contract::topics::{RequestsTopic, ResultsTopic, SmsUrgentTopic};
use loa_runtime::rpc::{Caller, Right};
use prost::Message as _;
use tonic::{Code, Request};

use super::*;
use crate::intake::Asked;

const NOTICE: Uuid = Uuid::from_u128(5);

async fn installation() -> (Installation, Process) {
    let installation = Installation::new(Frozen::default()).await;
    installation.announce(100.0).await;
    notice(&installation, 1, CampaignState::Running, 3).await;
    let process = installation.start("one").await;
    (installation, process)
}

async fn notice(installation: &Installation, version: u64, state: CampaignState, daily_ceiling: u32) {
    let notice = event::CampaignControl {
        campaign_id: NOTICE.as_bytes().to_vec(),
        state: u32::from(state.code()),
        class: i32::from(Class::Personal.code()),
        lane: i32::from(Lane::Urgent.code()),
        started_at_us: 1,
        variants: vec![event::FrozenVariant {
            variant: 0,
            channel: 1,
            content_hash: vec![9; 32],
            sender: "Loa".to_owned(),
            ..Default::default()
        }],
        notice: true,
        daily_ceiling,
        ..Default::default()
    };
    installation.publish(version, event::control::Object::Campaign(notice)).await;
}

fn asked(key: &str, to: &str) -> Asked {
    Asked {
        caller: "billing".to_owned(),
        key: key.to_owned(),
        notice_id: NOTICE.to_string(),
        to: to.to_owned(),
        slots: [("ten".to_owned(), "An".to_owned())].into(),
        expires_at_us: None,
        traceparent: None,
        reply_to: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_send_is_released_once_however_often_it_is_asked_for() {
    let (installation, process) = installation().await;
    let id = process.intake.send(asked("k1", "0912345678")).await.unwrap();
    assert_eq!(process.intake.send(asked("k1", "+84912345678")).await.unwrap(), id, "the same number in another form");
    assert_eq!(process.intake.send(asked("k1", "0912345679")).await.unwrap_err().code(), Code::Aborted);
    process.intake.send(asked("k2", "0912345678")).await.unwrap();
    let _gateways = installation.serve(Lane::Urgent);
    eventually("both were handed over", async || installation.sent().len() == 2).await;
    eventually("every row is settled", async || installation.open_rows().await == 0).await;
    assert_eq!(singles(&installation).await, 3, "a repeat appends again");
    assert_eq!(installation.sent(), [1, 1]);
    let releases = installation.all::<SmsUrgentTopic>().await;
    let (_, release) = &releases[0];
    assert_eq!((release.msisdns[0], release.sender.as_str(), release.single), (84_912_345_678, "Loa", true));
    assert_eq!(release.slots[0].values, vec!["An"; release.msisdns.len()]);
    let accepted = async || {
        let words = installation.all::<OutcomesTopic>().await;
        words.into_iter().flat_map(|(_, outcomes)| outcomes.accepted).collect::<Vec<_>>()
    };
    eventually("report is told", async || accepted().await.len() == 2).await;
    assert_eq!(accepted().await[0].caller, "billing");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_with_every_fault_and_the_cure() {
    let (installation, process) = installation().await;
    let bad = Asked { slots: HashMap::new(), key: String::new(), ..asked("k", "5656") };
    let status = process.intake.send(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for field in ["idempotency_key:", "to:", "slots.ten:"] {
        assert!(status.message().contains(field), "{}", status.message());
    }
    let unknown = Asked { notice_id: Uuid::from_u128(77).to_string(), ..asked("k", "0912345678") };
    assert_eq!(process.intake.send(unknown).await.unwrap_err().code(), Code::InvalidArgument);
    for key in ["a", "b", "c"] {
        process.intake.send(asked(key, "0912345678")).await.unwrap();
    }
    assert_eq!(process.intake.send(asked("d", "0912345678")).await.unwrap_err().code(), Code::ResourceExhausted);
    assert!(process.intake.send(asked("a", "0912345678")).await.is_ok(), "a repeat does not count");
    notice(&installation, 2, CampaignState::Paused, 3).await;
    eventually("the stop is known", async || {
        process
            .intake
            .send(asked("a", "0912345678"))
            .await
            .is_err_and(|status| status.code() == Code::FailedPrecondition)
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_a_death() {
    let (installation, process) = installation().await;
    process.intake.send(asked("k1", "0912345678")).await.unwrap();
    process.kill();
    let second = installation.start("one").await;
    let _gateways = installation.serve(Lane::Urgent);
    eventually("it was handed over", async || installation.sent() == [1]).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_taken_in_and_bad_ones_answered() {
    let (installation, process) = installation().await;
    let request = |key: &str, to: &str| {
        let request = event::SendRequest {
            notice_id: NOTICE.to_string(),
            to: to.to_owned(),
            slots: [("ten".to_owned(), "An".to_owned())].into(),
            expires_at_us: 0,
        };
        let mut append = record::append::<RequestsTopic>(3, bytes::Bytes::new(), &request);
        let attributes = [("ce_type", "vn.loa.send.v1"), ("ce_source", "/billing"), ("ce_id", key)];
        append.headers.extend(attributes.map(|(name, value)| (name.to_owned(), bytes::Bytes::from(value.to_owned()))));
        append
    };
    installation
        .log
        .append(vec![request("r1", "0912345678"), request("r2", "abc"), request("r1", "0912345678")])
        .await
        .unwrap();
    let _gateways = installation.serve(Lane::Urgent);
    eventually("the good one was handed over", async || installation.sent() == [1]).await;
    eventually("the bad one is answered", async || installation.all::<ResultsTopic>().await.len() == 1).await;
    let (read, result) = installation.all::<ResultsTopic>().await.remove(0);
    assert_eq!(result.state, "refused");
    assert!(result.reason.contains("to:"), "{}", result.reason);
    assert!(!result.encode_to_vec().is_empty() && read.partition == 3);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_need_their_rights() {
    let (_installation, process) = installation().await;
    let with = |right: Right| Caller { user: "lan".to_owned(), rights: vec![right] };
    let send = |right: Right| {
        let mut request = Request::new(pb::SendRequest {
            notice_id: NOTICE.to_string(),
            to: "0912345678".to_owned(),
            slots: [("ten".to_owned(), "An".to_owned())].into(),
            idempotency_key: "k".to_owned(),
            expires_at: None,
        });
        request.extensions_mut().insert(with(right));
        process.calls.send(request)
    };
    assert_eq!(send(Right::Viewer).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(send(Right::Operator).await.unwrap().into_inner().message_id.len(), 16);
    let mut request = Request::new(pb::GetStatusRequest {});
    request.extensions_mut().insert(with(Right::Viewer));
    let status = process.calls.get_status(request).await.unwrap().into_inner();
    assert_eq!(status.shards.len(), 64);
    assert!(
        status
            .accounts
            .iter()
            .any(|credit| credit.account == ACCOUNT && credit.lane == "urgent" && credit.bound && credit.credit == 300)
    );
    process.stop().await;
}
