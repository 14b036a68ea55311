//! What every audience store must do, with two instances on the same tables.
//!
//! Must stay true: a version and a manifest appear once, in the name of the lease's owner or not at all; what was suppressed
//! at a position can always be read.

use async_trait::async_trait;
use loa_contract::pb::audience::v1 as pb;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_ports::audience::Fault;
use loa_ports::lease::{Fence, Held, Leases};
use loa_ports::store::audience::{
    AudienceStore, FreezeEnd, FreezeKey, ImportEnd, JobState, NewImport, NewSuppression, VersionRow,
};
use loa_ports::store::{Outbox, OutboxRecord, StoreError};

/// A fresh store, opened twice.
#[async_trait]
pub trait AudienceWorld: Send + Sync {
    /// The store as instance 0 or 1 sees it.
    fn store(&self, instance: usize) -> &dyn AudienceStore;

    /// Its leases.
    fn leases(&self) -> &dyn Leases;

    /// Its outbox.
    fn outbox(&self) -> &dyn Outbox;
}

/// Runs the whole suite.
pub async fn audience_store_holds(world: &dyn AudienceWorld) {
    imports_become_versions_in_order(world).await;
    a_failed_import_says_why(world).await;
    freezes_store_their_inputs_first(world).await;
    an_interrupted_freeze_gets_another_id(world).await;
    a_failed_freeze_can_be_asked_for_again(world).await;
    an_old_owner_ends_nothing(world).await;
    suppressions_have_positions(world).await;
    repeats_and_lifts_are_harmless(world).await;
    one_of_two_changes_comes_first(world).await;
}

/// Takes the lease, from whoever has it.
async fn fence(world: &dyn AudienceWorld) -> Fence {
    let rows = world.leases().rows("jobs", 1).await.expect("the lease's row");
    let seen = rows.first().expect("one row was asked for").epoch;
    let epoch = world.leases().take("jobs", 0, seen, "node").await.expect("the lease is taken");
    Fence::of(Held { kind: "jobs".to_owned(), number: 0, epoch: epoch.expect("nobody was faster") })
}

/// An id of 16 bytes; the number inside is what counts.
fn id(number: u128) -> CampaignId {
    CampaignId::from_bytes(&number.to_be_bytes()).expect("16 bytes are an id")
}

fn import(number: u128, dataset: &str) -> NewImport {
    NewImport {
        import_id: id(number).0,
        dataset: dataset.to_owned(),
        synthetic: true,
        delta: false,
        file_name: "people.csv".to_owned(),
        created_at_us: i64::try_from(number).unwrap_or(0),
    }
}

fn version(number: u128, dataset: &str, version: u32) -> VersionRow {
    VersionRow {
        dataset: dataset.to_owned(),
        version,
        import_id: id(number).0,
        rows: 7,
        rejected: 2,
        synthetic: true,
        created_at_us: 5,
    }
}

fn done(number: u128, dataset: &str, of: u32) -> ImportEnd {
    ImportEnd::Done {
        version: version(number, dataset, of),
        report: pb::ImportReport { rows: 9, ..Default::default() },
    }
}

async fn imports_become_versions_in_order(world: &dyn AudienceWorld) {
    let (one, two) = (world.store(0), world.store(1));
    let fence = fence(world).await;
    for number in [2, 1] {
        one.add_import(&import(number, "first")).await.expect("an import is stored");
        one.add_import(&NewImport { file_name: "other".to_owned(), ..import(number, "first") }).await.expect("again");
    }
    assert_eq!(two.needed_imports().await.expect("needed").len(), 2);
    for (number, of) in [(1, 1), (2, 2)] {
        let next = two.next_import().await.expect("the next import").expect("there is one");
        assert_eq!((&next.import, next.state), (&import(number, "first"), JobState::Waiting), "the oldest first");
        let progress = pb::ImportProgress { rows: 4, stage: "reading".to_owned(), ..Default::default() };
        two.tell_import(&fence, next.import.import_id, &progress).await.expect("progress is stored");
        let told = one.import(next.import.import_id).await.expect("the import").expect("it is there");
        assert_eq!((told.state, told.progress), (JobState::Running, progress));
        two.end_import(&fence, next.import.import_id, &done(number, "first", of)).await.expect("it ends");
        // The answer was lost, and it is ended again: nothing changes.
        two.end_import(&fence, next.import.import_id, &done(number, "first", of)).await.expect("again");
        let ended = one.import(next.import.import_id).await.expect("the import").expect("it is there");
        assert_eq!((ended.state, ended.report.map(|report| report.rows)), (JobState::Done, Some(9)));
        assert_eq!(one.newest("first").await.expect("the newest"), Some(version(number, "first", of)));
    }
    assert_eq!(one.next_import().await.expect("the next import"), None);
    assert_eq!(one.newest("none").await.expect("the newest"), None);

    one.add_import(&import(3, "another")).await.expect("an import is stored");
    one.end_import(&fence, id(3).0, &done(3, "another", 1)).await.expect("it ends");
    let names = async |start, max| {
        let page = two.newest_page(start, max).await.expect("a page");
        page.into_iter().map(|row| (row.dataset, row.version)).collect::<Vec<_>>()
    };
    assert_eq!(names(0, 9).await, [("another".to_owned(), 1), ("first".to_owned(), 2)]);
    assert_eq!(names(1, 1).await, [("first".to_owned(), 2)]);
    let mut needed = two.needed_imports().await.expect("needed");
    needed.sort_unstable();
    assert_eq!(needed, [1, 2, 3].map(|number| id(number).0), "older versions stay");
}

async fn a_failed_import_says_why(world: &dyn AudienceWorld) {
    let fence = fence(world).await;
    let store = world.store(0);
    store.add_import(&import(10, "failing")).await.expect("an import is stored");
    let faults = vec![Fault::new("msisdn", "the \"column\" is missing"), Fault::new("file", "is empty")];
    let failed = ImportEnd::Failed { faults: faults.clone() };
    store.end_import(&fence, id(10).0, &failed).await.expect("it ends");
    let ended = world.store(1).import(id(10).0).await.expect("the import").expect("it is there");
    assert_eq!((ended.state, ended.faults), (JobState::Failed, faults));
    assert_eq!(store.newest("failing").await.expect("the newest"), None);
}

fn key(number: u128) -> FreezeKey {
    FreezeKey { campaign: id(number), campaign_version: 3 }
}

fn request(number: u128, dataset: &str) -> pb::FreezeRequest {
    let campaign_id = key(number).campaign.to_string();
    pb::FreezeRequest { campaign_id, campaign_version: 3, dataset: dataset.to_owned(), ..Default::default() }
}

fn freeze(number: u128) -> FreezeId {
    FreezeId(id(number).0)
}

async fn freezes_store_their_inputs_first(world: &dyn AudienceWorld) {
    let fence = fence(world).await;
    let (one, two) = (world.store(0), world.store(1));
    assert_eq!(one.freeze(key(1)).await.expect("a freeze"), None);
    one.add_freeze(&request(1, "first"), key(1), freeze(100), 5).await.expect("a freeze is stored");
    one.add_freeze(&request(1, "other"), key(1), freeze(101), 6).await.expect("the same key again changes nothing");
    let next = two.next_freeze().await.expect("the next freeze").expect("there is one");
    assert_eq!((next.state, next.freeze, next.request.dataset.as_str()), (JobState::Waiting, freeze(100), "first"));

    let begun =
        two.begin_freeze(&fence, key(1), freeze(110), "sim sms").await.expect("it begins").expect("it has data");
    assert_eq!((begun.freeze, begun.version, begun.thrown_away), (freeze(110), version(2, "first", 2), None));
    two.tell_freeze(&fence, key(1), 44).await.expect("progress is stored");
    let told = one.freeze(key(1)).await.expect("a freeze").expect("it is there");
    assert_eq!((told.state, told.freeze, told.done), (JobState::Running, freeze(110), 44));

    let manifest = pb::Manifest { hash: vec![7; 32], selected: 9, ..Default::default() };
    let end = FreezeEnd::Done { manifest: manifest.clone() };
    two.end_freeze(&fence, key(1), &end).await.expect("it ends");
    two.end_freeze(&fence, key(1), &FreezeEnd::Failed { error: "late".to_owned() }).await.expect("an end is the end");
    let ended = one.freeze(key(1)).await.expect("a freeze").expect("it is there");
    assert_eq!((ended.state, ended.manifest), (JobState::Done, Some(manifest)));
    assert_eq!(one.next_freeze().await.expect("the next freeze"), None);
    assert_eq!(one.needed_freezes().await.expect("needed"), [freeze(110)]);

    one.add_freeze(&request(2, "no such"), key(2), freeze(102), 5).await.expect("a freeze is stored");
    assert_eq!(
        two.begin_freeze(&fence, key(2), freeze(120), "").await.expect("asked"),
        None,
        "there is no such dataset"
    );
    let failed = FreezeEnd::Failed { error: "no such dataset".to_owned() };
    two.end_freeze(&fence, key(2), &failed).await.expect("it ends");
}

async fn an_interrupted_freeze_gets_another_id(world: &dyn AudienceWorld) {
    let store = world.store(0);
    store.add_freeze(&request(4, "first"), key(4), freeze(400), 5).await.expect("a freeze is stored");
    let first = store.begin_freeze(&fence(world).await, key(4), freeze(401), "").await.expect("it begins");
    assert_eq!(first.expect("it has data").thrown_away, None);
    // Its worker dies; the next one begins again under another id and throws the old one away.
    let again = fence(world).await;
    let second = world.store(1).begin_freeze(&again, key(4), freeze(402), "").await.expect("it begins");
    assert_eq!(second.expect("it has data").thrown_away, Some(freeze(401)));
    let end = FreezeEnd::Done { manifest: pb::Manifest::default() };
    world.store(1).end_freeze(&again, key(4), &end).await.expect("it ends");
    let conflict = store.begin_freeze(&again, key(4), freeze(403), "").await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
}

async fn a_failed_freeze_can_be_asked_for_again(world: &dyn AudienceWorld) {
    let fence = fence(world).await;
    let store = world.store(0);
    store.add_freeze(&request(5, "first"), key(5), freeze(500), 5).await.expect("a freeze is stored");
    store.forget_failed(key(5)).await.expect("it has not failed, so it stays");
    let failed = FreezeEnd::Failed { error: "the disk is full; make room".to_owned() };
    store.end_freeze(&fence, key(5), &failed).await.expect("it ends");
    let row = store.freeze(key(5)).await.expect("a freeze").expect("it is there");
    assert_eq!((row.state, row.error.as_str()), (JobState::Failed, "the disk is full; make room"));
    store.forget_failed(key(5)).await.expect("it is forgotten");
    assert_eq!(store.freeze(key(5)).await.expect("a freeze"), None);
}

async fn an_old_owner_ends_nothing(world: &dyn AudienceWorld) {
    let old = fence(world).await;
    let store = world.store(0);
    store.add_import(&import(20, "fenced")).await.expect("an import is stored");
    store.add_freeze(&request(6, "first"), key(6), freeze(600), 5).await.expect("a freeze is stored");
    let new = fence(world).await;
    let fenced =
        |outcome: Result<(), StoreError>| assert!(matches!(outcome, Err(StoreError::Fenced { .. })), "{outcome:?}");
    fenced(store.tell_import(&old, id(20).0, &pb::ImportProgress::default()).await);
    fenced(store.end_import(&old, id(20).0, &done(20, "fenced", 1)).await);
    fenced(store.begin_freeze(&old, key(6), freeze(601), "").await.map(|_| ()));
    fenced(store.tell_freeze(&old, key(6), 1).await);
    fenced(store.end_freeze(&old, key(6), &FreezeEnd::Failed { error: String::new() }).await);
    assert_eq!(store.newest("fenced").await.expect("the newest"), None);
    store.end_import(&new, id(20).0, &done(20, "fenced", 1)).await.expect("the owner ends it");
    store.end_freeze(&new, key(6), &FreezeEnd::Failed { error: String::new() }).await.expect("the owner ends it");
}

const SHARD_9: u64 = 9 << 58;

fn entry(hash: u64, scope: u32, at_us: i64) -> NewSuppression {
    NewSuppression {
        hash: AddressHash(hash),
        scope: Scope(scope),
        channel: Channel::Sms,
        hint: "78".to_owned(),
        unit_code: "so-tttt".to_owned(),
        class: String::new(),
        topic: String::new(),
        by: "lan".to_owned(),
        at_us,
    }
}

fn records(position: u64, at_us: i64) -> Vec<OutboxRecord> {
    let value = format!("{position} {at_us}").into();
    vec![OutboxRecord { topic: "blocks.v1".to_owned(), partition: 0, key: Default::default(), value }]
}

async fn suppressed(store: &dyn AudienceStore, scopes: &[u32], position: u64) -> Vec<u64> {
    let scopes: Vec<Scope> = scopes.iter().copied().map(Scope).collect();
    let shard = Shard::new(9).expect("9 is a shard");
    let found = store.suppressed(shard, &scopes, position).await.expect("entries are read");
    found.into_iter().map(|hash| hash.0 - SHARD_9).collect()
}

async fn suppressions_have_positions(world: &dyn AudienceWorld) {
    let (one, two) = (world.store(0), world.store(1));
    let before = one.suppress(&entry(1, 0, 10), &records).await.expect("an entry is stored").position;
    let mut positions = Vec::new();
    for (hash, scope) in [(5, 0), (3, 7), (5, 7), (4, 8)] {
        let stored = two.suppress(&entry(SHARD_9 + hash, scope, 20), &records).await.expect("an entry is stored");
        positions.push(stored.position);
    }
    assert_eq!(positions, [1, 2, 3, 4].map(|more| before + more));
    let last = before + 4;
    assert_eq!(suppressed(one, &[0, 7], last).await, [3, 5], "ascending, each once, of the scopes alone");
    assert_eq!(suppressed(one, &[8], last).await, [4]);
    assert_eq!(suppressed(one, &[], last).await, [0; 0]);
    assert_eq!(suppressed(one, &[0, 7], before + 1).await, [5], "as it was at that position");
    let lifted = one.lift(AddressHash(SHARD_9 + 3), Scope(7), "an", 30, &records).await.expect("it is lifted");
    assert_eq!(lifted.expect("it was in force").position, last + 1);
    assert_eq!(suppressed(two, &[7], last).await, [3, 5]);
    assert_eq!(suppressed(two, &[7], last + 1).await, [5]);

    let page = two.suppressions_page(0, 2).await.expect("a page");
    let shown: Vec<_> = page.iter().map(|row| (row.position, row.entry.hash.0 - SHARD_9)).collect();
    assert_eq!(shown, [(last, 4), (last - 1, 5)], "newest first, without what was lifted");
    assert_eq!(page[0].entry, entry(SHARD_9 + 4, 8, 20));
    let page = two.suppressions_page(last - 1, 9).await.expect("a page");
    assert_eq!(page.first().map(|row| row.position), Some(before + 1));
}

async fn repeats_and_lifts_are_harmless(world: &dyn AudienceWorld) {
    let store = world.store(0);
    let first = store.suppress(&entry(42, 0, 100), &records).await.expect("an entry is stored");
    let again = world.store(1).suppress(&entry(42, 0, 200), &records).await.expect("again");
    assert_eq!((again.position, again.at_us), (first.position, 100), "the entry is the one that is in force");
    // Both can wait for their own record; the holder of the lease finds what nobody marked.
    let left = world.outbox().outbox_left(i64::MAX, 1_000).await.expect("the outbox");
    for stored in [&first, &again] {
        assert!(stored.outbox.iter().all(|(number, record)| left.contains(&(*number, record.clone()))));
        assert_eq!(stored.outbox[0].1.value, format!("{} 100", first.position));
    }
    let lift = async || store.lift(AddressHash(42), Scope(0), "an", 300, &records).await.expect("asked");
    assert!(lift().await.is_some());
    assert_eq!(lift().await, None, "it is lifted already");
    let back = store.suppress(&entry(42, 0, 400), &records).await.expect("it is stored anew");
    assert!(back.position > first.position + 1 && back.at_us == 400);
}

/// Two instances at once: an entry is stored once and lifted once, and no position is given twice.
async fn one_of_two_changes_comes_first(world: &dyn AudienceWorld) {
    for race in 1_000..1_020 {
        let suppress = async |instance: usize| {
            world.store(instance).suppress(&entry(race, 0, 100), &records).await.expect("an entry is stored").position
        };
        let (one, two) = tokio::join!(suppress(0), suppress(1));
        assert_eq!(one, two, "one entry in force");
        let lift = async |instance: usize| {
            let lifted = world.store(instance).lift(AddressHash(race), Scope(0), "an", 300, &records).await;
            lifted.expect("asked").map(|lifted| lifted.position)
        };
        let (first, second) = tokio::join!(lift(0), lift(1));
        assert!([(Some(one + 1), None), (None, Some(one + 1))].contains(&(first, second)), "{first:?} {second:?}");
    }
}
