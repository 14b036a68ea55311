//! The claims of one channel: the first stands, whoever asks and however often.

use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, Incarnation, ReleaseKey, SliceKey};
use loa_domain::state::Returned;
use loa_ports::store::claims::{Claim, Claims, Intent, Mark};
use loa_ports::store::{Offset, StoreError};
use uuid::Uuid;

use loa_store::SqlClaims;

use super::Make;

const ME: Incarnation = Incarnation(Uuid::from_u128(1));
const OTHER: Incarnation = Incarnation(Uuid::from_u128(2));

fn slice(freeze: u128, number: u16) -> SliceKey {
    let chunk = ChunkKey { freeze: FreezeId(Uuid::from_u128(freeze)), variant: 1, chunk: 7 };
    SliceKey { release: ReleaseKey { chunk, release_no: 2 }, slice: number }
}

fn claim(number: u16, intent: Intent) -> Claim {
    Claim { slice: slice(9, number), campaign: CampaignId(Uuid::from_u128(5)), intent }
}

/// Runs the whole suite.
pub(crate) async fn hold(make: &impl Make) {
    the_first_claim_stands(make).await;
    one_of_two_processes_wins(make).await;
    marks_and_watermarks_are_stored_together(make).await;
    a_commit_without_answer_is_found_by_its_nonce(make).await;
    what_is_over_is_forgotten(make).await;
}

/// Every slice has one claim, and both are told the same, in whatever order they ask.
async fn one_of_two_processes_wins(make: &impl Make) {
    let [one, two] = make.open("sms").await.map(SqlClaims::new);
    for round in 0..10 {
        // All of one freeze: who is the first to write of a freeze keeps others waiting anyway.
        let wanted: Vec<_> = (0..500).map(|number| claim(round * 500 + number, Intent::Begun)).collect();
        let backwards: Vec<_> = wanted.iter().rev().copied().collect();
        let (first, second) = tokio::join!(one.claim(ME, 1, 10, &wanted), two.claim(OTHER, 2, 10, &backwards));
        let (first, mut second) = (first.unwrap(), second.unwrap());
        second.reverse();
        assert_eq!(first, second, "round {round}");
    }
}

async fn the_first_claim_stands(make: &impl Make) {
    let [claims, other] = make.open("sms").await.map(SqlClaims::new);
    let wanted: Vec<_> = (0..120).map(|number| claim(number, Intent::Begun)).collect();
    let mine = claims.claim(ME, 1, 10, &wanted).await.unwrap();
    assert!(mine.iter().all(|standing| standing.incarnation == ME && standing.nonce == 1));

    // Another process on another handle wants some of them, and new ones.
    let wanted: Vec<_> = (100..140).map(|number| claim(number, Intent::Returning(Returned::Late))).collect();
    let standing = other.claim(OTHER, 1, 11, &wanted).await.unwrap();
    for (at, standing) in standing.iter().enumerate() {
        let (whose, intent) = if at < 20 { (ME, Intent::Begun) } else { (OTHER, Intent::Returning(Returned::Late)) };
        assert_eq!((standing.incarnation, standing.intent), (whose, intent), "{at}");
        assert_eq!(standing.settlement, None);
    }
    assert_eq!(claims.unsettled(1_000).await.unwrap().len(), 120);
}

async fn marks_and_watermarks_are_stored_together(make: &impl Make) {
    let [claims, other] = make.open("sms").await.map(SqlClaims::new);
    let wanted: Vec<_> = (0..70).map(|number| claim(number, Intent::Begun)).collect();
    claims.claim(ME, 1, 10, &wanted).await.unwrap();
    let settled =
        |number: u16| Mark { slice: slice(9, number), settlement: vec![3, u8::try_from(number).unwrap()].into() };
    let marks: Vec<_> = (0..60).map(settled).collect();
    let at = |next| Offset { topic: "sms.bulk.v1".to_owned(), partition: 4, next };
    claims.mark(&marks, "gateway", &[at(17)]).await.unwrap();
    claims.mark(&[], "gateway", &[at(12)]).await.unwrap();
    assert_eq!(claims.watermarks("gateway").await.unwrap(), [at(17)], "a watermark never goes back");
    assert_eq!(claims.watermarks("correlator").await.unwrap(), []);

    // A process that knows no numbers yet marks, too.
    other.mark(&[settled(65)], "gateway", &[]).await.unwrap();
    let standing = other.claim(OTHER, 1, 12, &wanted).await.unwrap();
    for number in [0, 59, 65] {
        assert_eq!(standing[number].settlement.as_deref(), Some(&[3, u8::try_from(number).unwrap()][..]));
    }
    assert_eq!(standing[60].settlement, None);
    assert_eq!(claims.unsettled(3).await.unwrap(), [slice(9, 60), slice(9, 61), slice(9, 62)]);
}

async fn a_commit_without_answer_is_found_by_its_nonce(make: &impl Make) {
    let [db, _] = make.open("sms").await;
    let claims = SqlClaims::new(db.with_faults(7, 0.5));
    let mut uncertain = 0;
    for number in 0..40 {
        let wanted = [claim(number, Intent::Begun)];
        let nonce = u64::from(number);
        let standing = loop {
            match claims.claim(ME, nonce, 10, &wanted).await {
                Ok(standing) => break standing,
                Err(StoreError::Uncertain { .. }) => uncertain += 1,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!((standing[0].incarnation, standing[0].nonce), (ME, nonce));
    }
    assert!(uncertain > 5, "the storm must have struck: {uncertain}");
}

async fn what_is_over_is_forgotten(make: &impl Make) {
    let [claims, _] = make.open("sms").await.map(SqlClaims::new);
    let wanted: Vec<_> = (0..25).map(|number| claim(number, Intent::Begun)).collect();
    claims.claim(ME, 1, 10, &wanted).await.unwrap();
    let freeze = slice(9, 0).release.chunk.freeze;
    claims.note_over(freeze, 50).await.unwrap();
    claims.note_over(freeze, 60).await.unwrap();
    let known = claims.freezes().await.unwrap();
    assert_eq!((known[0].freeze, known[0].first_claim_at_us, known[0].over_at_us), (freeze, 10, 50));
    assert_eq!(claims.forget(freeze, 10).await.unwrap(), 10);
    assert_eq!(claims.forget(freeze, 100).await.unwrap(), 15);
    assert!(claims.freezes().await.unwrap().is_empty());
    assert_eq!(claims.unsettled(10).await.unwrap(), []);
}
