//! What every implementation of leases must do, with two instances of a role on the same store.
//!
//! Must stay true: of two owners that both believe to own, only the one with the newest epoch can write.

use async_trait::async_trait;
use loa_ports::lease::{Fence, Held, LeaseRow, Leases};
use loa_ports::store::StoreError;

/// Rows taken at once; more than any one statement checks.
const MANY: u32 = 70;
/// Take-overs in the race of two instances.
const TAKE_OVERS: i64 = 25;

/// A fresh store, opened twice.
#[async_trait]
pub trait LeaseWorld: Send + Sync {
    /// The leases as instance 0 or 1 sees them.
    fn leases(&self, instance: usize) -> &dyn Leases;

    /// One fenced transaction of an instance that appends a word.
    async fn write(&self, instance: usize, fence: &Fence, word: &str) -> Result<(), StoreError>;

    /// Every word appended so far, in order.
    async fn written(&self) -> Vec<String>;
}

/// Runs the whole suite.
pub async fn leases_port_holds(world: &dyn LeaseWorld) {
    beats_are_raised_and_seen(world).await;
    missing_rows_are_made_free(world).await;
    an_old_epoch_takes_nothing(world).await;
    an_old_owner_writes_nothing(world).await;
    one_lost_lease_of_many_stops_the_write(world).await;
    who_let_go_writes_nothing(world).await;
    one_of_two_takers_wins(world).await;
    writes_follow_the_epochs(world).await;
}

async fn beats_are_raised_and_seen(world: &dyn LeaseWorld) {
    let node = async |name: &str| {
        let nodes = world.leases(1).nodes().await.expect("nodes are read");
        nodes.into_iter().find(|row| row.node == name).expect("a node that beats is seen")
    };
    world.leases(0).beat("a", "127.0.0.1:1").await.expect("a node beats");
    let first = node("a").await;
    world.leases(0).beat("a", "127.0.0.1:2").await.expect("a node beats again");
    world.leases(1).beat("b", "").await.expect("another node beats");
    let second = node("a").await;
    assert!(second.beat > first.beat, "{first:?} then {second:?}");
    assert_eq!(second.endpoint, "127.0.0.1:2");
    assert_eq!(node("b").await.endpoint, "");
}

async fn missing_rows_are_made_free(world: &dyn LeaseWorld) {
    let free = |number| LeaseRow { kind: "made".to_owned(), number, node: String::new(), epoch: 0 };
    let rows = world.leases(0).rows("made", 2).await.expect("rows are made");
    assert_eq!(rows, [free(0), free(1)]);
    take(world, 0, "made", 1, 0).await.expect("a free row is taken");
    let grown = world.leases(1).rows("made", 3).await.expect("more rows are made");
    assert_eq!(grown[0], free(0));
    assert_eq!((grown[1].node.as_str(), grown[1].epoch), ("a", 1)); // what is owned stays owned
    assert_eq!(grown[2], free(2));
}

async fn an_old_epoch_takes_nothing(world: &dyn LeaseWorld) {
    rows(world, "old", 1).await;
    assert!(take(world, 0, "old", 0, 0).await.is_some());
    assert!(take(world, 1, "old", 0, 0).await.is_none()); // seen before the other was faster
    assert!(take(world, 1, "old", 7, 0).await.is_none()); // no such row
    assert_eq!(take(world, 1, "old", 0, 1).await.map(|held| held.epoch), Some(2));
    let row = rows(world, "old", 1).await.remove(0);
    assert_eq!((row.node.as_str(), row.epoch), ("b", 2));
}

async fn an_old_owner_writes_nothing(world: &dyn LeaseWorld) {
    rows(world, "owned", 1).await;
    let mine = Fence::of(take(world, 0, "owned", 0, 0).await.expect("a free row is taken"));
    world.write(0, &mine, "mine").await.expect("the owner writes");
    world.write(0, &mine, "mine again").await.expect("the owner writes again");
    let theirs = Fence::of(take(world, 1, "owned", 0, 1).await.expect("a silent owner's row is taken"));
    fenced(world.write(0, &mine, "late").await, "owned", 0);
    world.write(1, &theirs, "theirs").await.expect("the new owner writes");
    let written = world.written().await;
    assert!(["mine", "mine again", "theirs"].iter().all(|word| written.iter().any(|found| found == word)));
    assert!(!written.iter().any(|word| word == "late"));
}

async fn one_lost_lease_of_many_stops_the_write(world: &dyn LeaseWorld) {
    rows(world, "many", MANY).await;
    let mut fence = Fence::default();
    for number in 0..MANY {
        fence.held.push(take(world, 0, "many", number, 0).await.expect("a free row is taken"));
    }
    fence.held.push(fence.held[0].clone()); // naming one twice is no contradiction
    world.write(0, &fence, "all held").await.expect("the owner of all writes");
    take(world, 1, "many", MANY - 2, 1).await.expect("one row is taken over");
    fenced(world.write(0, &fence, "one lost").await, "many", MANY - 2);
    fence.held.retain(|held| held.number != MANY - 2);
    world.write(0, &fence, "without it").await.expect("the rest is still held");
    let written = world.written().await;
    assert!(!written.iter().any(|word| word == "one lost"));
    assert!(written.ends_with(&["all held".to_owned(), "without it".to_owned()]));
}

async fn who_let_go_writes_nothing(world: &dyn LeaseWorld) {
    rows(world, "let go", 1).await;
    let mine = take(world, 0, "let go", 0, 0).await.expect("a free row is taken");
    let stranger = Held { epoch: mine.epoch + 1, ..mine.clone() };
    world.leases(1).free(&[stranger]).await.expect("freeing what is not held is no error");
    assert_eq!(rows(world, "let go", 1).await[0].node, "a");
    world.leases(0).free(std::slice::from_ref(&mine)).await.expect("the owner lets go");
    let row = rows(world, "let go", 1).await.remove(0);
    assert_eq!(row.node, "");
    assert!(row.epoch > mine.epoch, "letting go is a change of owner");
    fenced(world.write(0, &Fence::of(mine), "after all").await, "let go", 0);
    assert!(take(world, 1, "let go", 0, row.epoch).await.is_some());
}

async fn one_of_two_takers_wins(world: &dyn LeaseWorld) {
    rows(world, "raced", 20).await;
    for number in 0..20 {
        let (a, b) = tokio::join!(take(world, 0, "raced", number, 0), take(world, 1, "raced", number, 0));
        assert!(a.is_some() != b.is_some(), "number {number}: {a:?} and {b:?}");
    }
}

/// Two instances take one row from each other while both write as fast as they can.
async fn writes_follow_the_epochs(world: &dyn LeaseWorld) {
    rows(world, "contested", 1).await;
    let before = world.written().await.len();
    tokio::join!(contest(world, 0), contest(world, 1));
    let written = world.written().await.split_off(before);
    let epochs: Vec<i64> = written.iter().map(|word| word.parse().expect("the word is an epoch")).collect();
    assert!(epochs.is_sorted(), "a write of an old epoch came after one of a newer: {epochs:?}");
    assert!(epochs.last().is_some_and(|last| *last > 0));
}

/// Takes the row whoever owns it, as if the other had been frozen, and writes until that is noticed.
async fn contest(world: &dyn LeaseWorld, instance: usize) {
    loop {
        let seen = rows(world, "contested", 1).await[0].epoch;
        if seen >= TAKE_OVERS {
            return;
        }
        let Some(mine) = take(world, instance, "contested", 0, seen).await else { continue };
        let fence = Fence::of(mine.clone());
        for _ in 0..3 {
            match world.write(instance, &fence, &mine.epoch.to_string()).await {
                Ok(()) => {}
                Err(StoreError::Fenced { .. }) => break,
                Err(error) => panic!("a write failed: {error}"),
            }
        }
    }
}

#[track_caller]
fn fenced(result: Result<(), StoreError>, kind: &str, number: u32) {
    match result {
        Err(StoreError::Fenced { kind: found, number: at }) => assert_eq!((found.as_str(), at), (kind, number)),
        other => panic!("expected the fence to stop it, got {other:?}"),
    }
}

async fn rows(world: &dyn LeaseWorld, kind: &str, count: u32) -> Vec<LeaseRow> {
    world.leases(0).rows(kind, count).await.expect("rows are read")
}

async fn take(world: &dyn LeaseWorld, instance: usize, kind: &str, number: u32, seen: i64) -> Option<Held> {
    let node = if instance == 0 { "a" } else { "b" };
    let epoch = world.leases(instance).take(kind, number, seen, node).await.expect("a take is answered");
    epoch.map(|epoch| Held { kind: kind.to_owned(), number, epoch })
}
