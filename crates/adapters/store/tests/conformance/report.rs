//! The ledger's store: a flush is whole or fenced, and an open answer stays until it was given.

use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_domain::state::RecipientState;
use loa_ports::lease::{Fence, Held, Leases as _};
use loa_ports::store::report::{ChunkFacts, ChunkHit, ChunkState, Flush, GapRow, ReplyRow, ReportStore as _};
use loa_ports::store::{Offset, StoreError};
use loa_store::{SqlLeases, SqlReport};
use uuid::Uuid;

use super::Make;

/// Runs the whole suite.
pub(crate) async fn holds(make: &impl Make) {
    a_flush_is_whole_or_fenced(make).await;
    an_open_answer_stays_until_it_was_given(make).await;
}

fn facts(chunk: u32, keys: &[u64]) -> ChunkFacts {
    ChunkFacts {
        key: ChunkKey { freeze: FreezeId(Uuid::from_u128(9)), variant: 0, chunk },
        campaign: CampaignId(Uuid::from_u128(7)),
        shard: 3,
        account: "sim-a".to_owned(),
        channel: 1,
        keys: keys.iter().map(|&key| AddressHash(key)).collect(),
    }
}

async fn a_flush_is_whole_or_fenced(make: &impl Make) {
    let [db, _] = make.open("report").await;
    let (leases, store) = (SqlLeases::new(db.clone()), SqlReport::new(db));
    leases.rows("shard", 64).await.unwrap();
    let epoch = leases.take("shard", 3, 0, "n1").await.unwrap().unwrap();
    let fence = |epoch| Fence::of(Held { kind: "shard".to_owned(), number: 3, epoch });
    let (low, high) = (facts(0, &[5, 9]), facts(1, &[u64::MAX - 1, u64::MAX]));
    let state = ChunkState { key: low.key, blob: vec![1, 2] };
    let offset = Offset { topic: "settlements.v1".to_owned(), partition: 3, next: 4 };
    let flush = Flush {
        chunks: vec![low.clone(), high.clone()],
        states: vec![state],
        loaded: vec![(low.campaign, 3)],
        offsets: vec![offset.clone()],
        ..Default::default()
    };
    store.flush(&fence(epoch), &flush).await.unwrap();
    let fenced = store
        .flush(&fence(epoch + 1), &Flush { offsets: vec![Offset { next: 9, ..offset.clone() }], ..Default::default() })
        .await;
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })));

    assert_eq!(store.offsets().await.unwrap(), [offset]);
    assert_eq!(store.loaded(3).await.unwrap(), [low.campaign]);
    let shard = store.load_shard(3).await.unwrap();
    assert_eq!(
        shard,
        [ChunkHit { facts: low.clone(), blob: vec![1, 2] }, ChunkHit { facts: high.clone(), blob: vec![] }]
    );
    let found = |key| {
        let store = store.clone();
        async move { store.find(3, AddressHash(key)).await.unwrap().len() }
    };
    assert_eq!((found(5).await, found(7).await, found(10).await, found(u64::MAX).await), (1, 1, 0, 1));
    let after = store.chunks(low.campaign, Some(low.key), 10).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].facts.key, high.key);
}

async fn an_open_answer_stays_until_it_was_given(make: &impl Make) {
    let [store, _] = make.open("report").await.map(SqlReport::new);
    let key = facts(0, &[]).key;
    let reply = |index, told| ReplyRow {
        key,
        index,
        shard: 3,
        idempotency_key: format!("k{index}"),
        message_id: u64::MAX - u64::from(index),
        partition: 15,
        record_key: vec![0, 255],
        accepted_at_us: 7,
        told,
    };
    let (accepted, nothing) = (reply(1, Some(RecipientState::Open)), reply(2, None));
    let gap = |from| GapRow {
        campaign: facts(0, &[]).campaign,
        topic: "outcomes.v1".to_owned(),
        shard: 3,
        from,
        next: 9,
        at_us: 1,
    };
    let first = Flush { replies: vec![reply(1, None), nothing.clone()], gaps: vec![gap(1)], ..Default::default() };
    let second = Flush { replies: vec![accepted.clone()], gaps: vec![gap(1), gap(2)], ..Default::default() };
    for flush in [&first, &second] {
        store.flush(&Fence::default(), flush).await.unwrap();
    }
    assert_eq!(store.replies(3).await.unwrap(), [accepted, nothing.clone()]);
    assert_eq!(store.replies(4).await.unwrap(), []);
    assert_eq!(store.gaps(gap(1).campaign).await.unwrap(), [gap(1), gap(2)]);
    let third = Flush { replied: vec![(key, 1)], ..Default::default() };
    store.flush(&Fence::default(), &third).await.unwrap();
    assert_eq!(store.replies(3).await.unwrap(), [nothing]);
}
