//! Dispatch's store: what is committed is read back, what is fenced changes nothing, keys mean one message.

use std::collections::BTreeSet;

use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::AddressHash;
use loa_domain::ids::{AccountId, CampaignId, ChunkKey, FreezeId, ReleaseKey, Shard};
use loa_domain::mask::Mask;
use loa_domain::policy::Scope;
use loa_domain::state::{Reason, RecipientState, Returned};
use loa_ports::lease::{Fence, Held, Leases as _};
use loa_ports::store::dispatch::{
    Accepted, BlockRow, Commit, CursorRow, Decided, DispatchStore as _, NewSingle, Progress, ReleaseRow, Retention,
    ReturnedIndex, SingleChunk, SingleProgress,
};
use loa_ports::store::{Offset, StoreError};
use loa_store::{SqlDispatch, SqlLeases};
use uuid::Uuid;

use super::Make;

const NOTICE: CampaignId = CampaignId(Uuid::from_u128(9));

struct Store {
    other: SqlDispatch,
    dispatch: SqlDispatch,
    held: Held,
}

async fn store(make: &impl Make) -> Store {
    let [db, other] = make.open("dispatch").await;
    let leases = SqlLeases::new(db.clone());
    let row = leases.rows("shard", 4).await.unwrap().remove(3);
    let epoch = leases.take("shard", 3, row.epoch, "one").await.unwrap().unwrap();
    let held = Held { kind: "shard".to_owned(), number: 3, epoch };
    Store { dispatch: SqlDispatch::new(db), other: SqlDispatch::new(other), held }
}

impl Store {
    async fn commit(&self, commit: Commit) {
        self.dispatch.commit(&Commit { fence: Fence::of(self.held.clone()), ..commit }).await.unwrap();
    }

    async fn open(&self) -> BTreeSet<(u32, u32)> {
        let stored = self.dispatch.shard(shard()).await.unwrap();
        stored.releases.iter().map(|row| (row.key.chunk.chunk, row.key.release_no)).collect()
    }
}

fn shard() -> Shard {
    Shard::new(3).unwrap()
}

fn chunk(chunk: u32) -> ChunkKey {
    ChunkKey { freeze: FreezeId(Uuid::from_u128(2)), variant: 1, chunk }
}

fn row(number: u32, release_no: u32, open: bool) -> ReleaseRow {
    ReleaseRow {
        key: ReleaseKey { chunk: chunk(number), release_no },
        shard: shard(),
        campaign: CampaignId(Uuid::from_u128(1)),
        channel: Channel::Sms,
        account: AccountId::new("viet").unwrap(),
        lane: Lane::Normal,
        single: false,
        mask: [1, 63, 64, 499].into_iter().collect(),
        slice_length: 50,
        parts: 7,
        attempts: vec![0, 1, 2, 3],
        released_at_us: 11,
        hand_over_by_us: 12,
        decided: vec![Decided { index: 300, state: RecipientState::Skipped, reason: Reason::Suppressed }],
        progress: Progress {
            settled: [1].into_iter().collect(),
            in_doubt: [63].into_iter().collect(),
            returned: vec![ReturnedIndex { index: 64, why: Returned::Retry, attempts: 2, not_before_us: -5 }],
            told: true,
            open,
        },
    }
}

/// Runs the whole suite.
pub(crate) async fn holds(make: &impl Make) {
    rows_are_read_back_and_closed_chunks_left_out(make).await;
    cursors_offsets_and_freezes_are_kept(make).await;
    who_lost_the_lease_changes_nothing(make).await;
    the_newest_word_about_an_address_counts(make).await;
    a_single_send_stands_in_one_chunk(make).await;
    a_key_means_one_body_and_a_day_has_a_ceiling(make).await;
    rows_of_what_is_over_are_deleted_when_they_are_old(make).await;
    two_intakes_take_a_key_once(make).await;
}

async fn rows_are_read_back_and_closed_chunks_left_out(make: &impl Make) {
    let store = store(make).await;
    store.commit(Commit { rows: vec![row(1, 1, false), row(1, 2, true), row(2, 1, false)], ..Commit::default() }).await;
    let stored = store.dispatch.shard(shard()).await.unwrap();
    assert_eq!(stored.releases, [row(1, 1, false), row(1, 2, true)], "a chunk is read as a whole");
    assert_eq!(store.dispatch.releases(&[chunk(2), chunk(3)]).await.unwrap(), [row(2, 1, false)]);

    let progress = Progress { settled: Mask::first(512), told: true, ..Progress::default() };
    store.commit(Commit { progress: vec![(row(1, 2, true).key, progress.clone())], ..Commit::default() }).await;
    assert!(store.open().await.is_empty());
    let read = store.dispatch.releases(&[chunk(1)]).await.unwrap();
    assert_eq!(read.iter().find(|row| row.key.release_no == 2).unwrap().progress, progress);
    assert!(store.dispatch.shard(Shard::new(4).unwrap()).await.unwrap().releases.is_empty(), "not of this shard");
}

async fn cursors_offsets_and_freezes_are_kept(make: &impl Make) {
    let store = store(make).await;
    let cursor = |chunk: u32, index: u16| CursorRow {
        freeze: FreezeId(Uuid::from_u128(2)),
        variant: 1,
        shard: shard(),
        account: AccountId::new("viet").unwrap(),
        chunk,
        index,
    };
    let offset = |next: i64| Offset { topic: "settlements.v1".to_owned(), partition: 3, next };
    let finished = vec![(FreezeId(Uuid::from_u128(7)), shard())];
    let rows = vec![row(5, 1, false)];
    store.commit(Commit { rows, cursors: vec![cursor(4, 9)], offsets: vec![offset(70)], ..Commit::default() }).await;
    store
        .commit(Commit { cursors: vec![cursor(5, 10)], offsets: vec![offset(71)], finished, ..Commit::default() })
        .await;
    let stored = store.dispatch.shard(shard()).await.unwrap();
    assert_eq!((stored.cursors, stored.offsets), (vec![cursor(5, 10)], vec![offset(71)]));
    assert_eq!(stored.finished, [FreezeId(Uuid::from_u128(7))]);
    assert_eq!(stored.releases, [row(5, 1, false)], "rows of the chunk that the cursor stands in");
    assert_eq!(store.dispatch.offsets("settlements.v1").await.unwrap(), [offset(71)]);

    let finished = vec![(FreezeId(Uuid::from_u128(2)), shard())];
    store.commit(Commit { cursors: vec![cursor(6, 0)], finished, ..Commit::default() }).await;
    let stored = store.dispatch.shard(shard()).await.unwrap();
    assert!(stored.cursors.is_empty() && stored.finished.len() == 2, "a finished freeze needs no cursors");
}

async fn who_lost_the_lease_changes_nothing(make: &impl Make) {
    let store = store(make).await;
    let old = Held { epoch: store.held.epoch - 1, ..store.held.clone() };
    let commit = Commit { fence: Fence::of(old), rows: vec![row(1, 1, true)], ..Commit::default() };
    let refused = store.dispatch.commit(&commit).await;
    assert!(matches!(refused, Err(StoreError::Fenced { number: 3, .. })), "{refused:?}");
    assert!(store.open().await.is_empty());
}

async fn the_newest_word_about_an_address_counts(make: &impl Make) {
    let store = store(make).await;
    let block = |address: u64, position: u64, lifted: bool| BlockRow {
        shard: shard(),
        address: AddressHash(address),
        scope: Scope(u32::MAX),
        lifted,
        position,
        at_us: 100,
    };
    let high = u64::MAX - 1;
    store.commit(Commit { blocks: vec![block(high, 5, false), block(7, 6, false)], ..Commit::default() }).await;
    store.commit(Commit { blocks: vec![block(7, 8, true), block(high, 4, true)], ..Commit::default() }).await;
    let mut blocks = store.dispatch.shard(shard()).await.unwrap().blocks;
    blocks.sort_by_key(|block| block.position);
    assert_eq!(blocks, [block(high, 5, false), block(7, 8, true)]);
    let old = Retention { singles_before_us: 101, ..Retention::default() };
    assert_eq!(store.dispatch.retain(&old).await.unwrap(), 1, "what was lifted long ago goes");
}

fn single_chunk(number: u128, members: &[u64]) -> SingleChunk {
    SingleChunk {
        key: ChunkKey { freeze: FreezeId(Uuid::from_u128(number)), variant: 0, chunk: 0 },
        shard: shard(),
        notice: NOTICE,
        account: AccountId::new("viet").unwrap(),
        size: u16::try_from(members.len()).unwrap(),
        progress: SingleProgress::default(),
        expires_us: 50,
        body: vec![1, 2, 3],
        members: members.to_vec(),
    }
}

async fn a_single_send_stands_in_one_chunk(make: &impl Make) {
    let store = store(make).await;
    let new = single_chunk(1, &[u64::MAX, 5]);
    store.commit(Commit { singles: vec![new.clone()], ..Commit::default() }).await;
    let mut placed = store.dispatch.placed(&[5, 6, u64::MAX]).await.unwrap();
    placed.sort_unstable();
    assert_eq!(placed, [5, u64::MAX]);
    let again =
        Commit { fence: Fence::of(store.held.clone()), singles: vec![single_chunk(2, &[5])], ..Commit::default() };
    assert!(matches!(store.dispatch.commit(&again).await, Err(StoreError::Conflict { .. })));
    let ahead = store.dispatch.shard(shard()).await.unwrap().singles;
    assert_eq!(ahead, [SingleChunk { members: vec![], ..new.clone() }]);

    let all = SingleProgress { passed: 2, told: false };
    store.commit(Commit { passed: vec![(new.key, all)], ..Commit::default() }).await;
    assert_eq!(store.dispatch.shard(shard()).await.unwrap().singles.len(), 1, "not told yet");
    store.commit(Commit { passed: vec![(new.key, SingleProgress { told: true, ..all })], ..Commit::default() }).await;
    assert!(store.dispatch.shard(shard()).await.unwrap().singles.is_empty());
    assert_eq!(store.dispatch.single_chunks(&[new.key]).await.unwrap()[0].body, [1, 2, 3]);

    let old = Retention { singles_before_us: 51, ..Retention::default() };
    store.dispatch.retain(&old).await.unwrap();
    assert!(store.dispatch.single_chunks(&[new.key]).await.unwrap().is_empty());
    assert!(store.dispatch.placed(&[5]).await.unwrap().is_empty());
}

async fn a_key_means_one_body_and_a_day_has_a_ceiling(make: &impl Make) {
    let store = store(make).await;
    let single = |key: &str, body: u8, day: i64| NewSingle {
        caller: "billing".to_owned(),
        key: key.to_owned(),
        body_hash: [body; 32],
        id: 1,
        notice: NOTICE,
        day,
        daily_ceiling: 2,
        at_us: 40 + i64::from(body),
    };
    let asked = [
        single("a", 1, 7),
        single("a", 1, 7),
        single("a", 2, 7),
        single("b", 3, 7),
        single("c", 4, 7),
        single("c", 5, 8),
    ];
    let answers = store.dispatch.accept(&Fence::default(), &asked, &[]).await.unwrap();
    let repeat = Accepted::Repeat { first_at_us: 41 };
    assert_eq!(
        answers,
        [Accepted::New, repeat, Accepted::OtherBody, Accepted::New, Accepted::CeilingReached, Accepted::New]
    );
    let none = NewSingle { daily_ceiling: 0, ..single("d", 1, 9) };
    assert_eq!(store.dispatch.accept(&Fence::default(), &[none], &[]).await.unwrap(), [Accepted::CeilingReached]);

    let offset = Offset { topic: "requests.v1".to_owned(), partition: 5, next: 6 };
    let old = Fence::of(Held { epoch: 99, ..store.held.clone() });
    assert!(store.dispatch.accept(&old, &[single("e", 1, 8)], std::slice::from_ref(&offset)).await.is_err());
    assert!(store.dispatch.offsets("requests.v1").await.unwrap().is_empty());
    let retention = Retention { singles_before_us: 42, ..Retention::default() };
    assert_eq!(store.dispatch.retain(&retention).await.unwrap(), 1);
    assert_eq!(
        store.dispatch.accept(&Fence::default(), &[single("a", 9, 9)], &[offset]).await.unwrap(),
        [Accepted::New]
    );
    assert_eq!(store.dispatch.offsets("requests.v1").await.unwrap().len(), 1);
}

async fn rows_of_what_is_over_are_deleted_when_they_are_old(make: &impl Make) {
    let store = store(make).await;
    let single = ReleaseRow { single: true, campaign: NOTICE, ..row(9, 1, false) };
    let young = ReleaseRow { hand_over_by_us: 1_000, ..row(3, 1, false) };
    store.commit(Commit { rows: vec![row(1, 1, false), row(2, 1, true), young, single], ..Commit::default() }).await;
    let over = vec![CampaignId(Uuid::from_u128(1))];
    let retention = Retention { over, rows_before_us: 500, singles_before_us: 500 };
    assert_eq!(store.dispatch.retain(&retention).await.unwrap(), 2, "the old closed one and the single send");
    assert_eq!(store.dispatch.retain(&retention).await.unwrap(), 0);
    let left = store.dispatch.releases(&[chunk(1), chunk(2), chunk(3), chunk(9)]).await.unwrap();
    assert_eq!(left.iter().map(|row| row.key.chunk.chunk).collect::<Vec<_>>(), [2, 3]);
}

/// Two intakes at once, in opposite order over two notices: a key is new once, and no day passes its ceiling.
async fn two_intakes_take_a_key_once(make: &impl Make) {
    let store = store(make).await;
    let single = |number: u32, notice: u128| NewSingle {
        caller: "billing".to_owned(),
        key: format!("{notice}-{number}"),
        body_hash: [1; 32],
        id: 1,
        notice: CampaignId(Uuid::from_u128(notice)),
        day: 7,
        daily_ceiling: 100,
        at_us: 40,
    };
    for round in 0..10 {
        let asked: Vec<_> = (0..20).map(|number| single(round * 20 + number, u128::from(number % 2) + 1)).collect();
        let backwards: Vec<_> = asked.iter().rev().cloned().collect();
        let none = Fence::default();
        let (first, second) =
            tokio::join!(store.dispatch.accept(&none, &asked, &[]), store.other.accept(&none, &backwards, &[]));
        let (first, second) = (first.unwrap(), second.unwrap());
        for (mine, theirs) in first.iter().zip(second.iter().rev()) {
            let repeat = Accepted::Repeat { first_at_us: 40 };
            assert!(
                [(Accepted::New, repeat), (repeat, Accepted::New)].contains(&(*mine, *theirs)),
                "{mine:?} {theirs:?}"
            );
        }
    }
    let over = [single(1_000, 1), single(1_000, 2)];
    assert_eq!(store.dispatch.accept(&Fence::default(), &over, &[]).await.unwrap(), [Accepted::CeilingReached; 2]);
}
