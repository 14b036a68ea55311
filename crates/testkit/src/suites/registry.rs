//! What every registry store must do, with two instances on the same tables.
//!
//! Must stay true: of two changes made from one version one fails; a key makes one object; an old owner changes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{Campaign, Content, Hold, Notice, Template, Unit};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_ports::lease::{Fence, Held, Leases};
use loa_ports::store::registry::{
    Act, CreateKey, Created, PageAsk, RegistryStore, StoredCampaign, StoredHold, StoredNotice, Told,
};
use loa_ports::store::{OutboxRecord, StoreError};

const ALL: PageAsk = PageAsk { start: 0, rows: 100 };
/// Races of two instances, each with the same outcome.
const RACES: u32 = 20;

/// A fresh store, opened twice.
#[async_trait]
pub trait RegistryWorld: Send + Sync {
    /// The store as instance 0 or 1 sees it.
    fn store(&self, instance: usize) -> &dyn RegistryStore;

    /// Its leases.
    fn leases(&self) -> &dyn Leases;
}

/// Runs the whole suite.
pub async fn registry_store_holds(world: &dyn RegistryWorld) {
    units_have_dates(world.store(0)).await;
    contents_are_versions_once(world.store(0)).await;
    two_writers_number_in_turn(world).await;
    a_key_makes_one_object(world).await;
    a_key_is_raced_for(world).await;
    one_of_two_changes_wins(world).await;
    an_old_owner_changes_nothing(world).await;
    campaigns_are_found_by_state_and_time(world.store(0)).await;
    notices_are_changed_by_version(world.store(1)).await;
    lists_are_newest_first(world.store(0)).await;
    a_hold_is_changed_by_version(world).await;
    what_was_told_is_kept_until_marked(world.store(0)).await;
}

async fn a_hold_is_changed_by_version(world: &dyn RegistryWorld) {
    let (first, second) = (world.store(0), world.store(1));
    let stored = |version, seconds| StoredHold {
        hold: Hold { id: "h".to_owned(), seconds, renewed_at: Some(timestamp(7)), ..Hold::default() },
        version,
    };
    let record = OutboxRecord {
        topic: "control.v1".to_owned(),
        partition: 0,
        key: bytes::Bytes::from_static(b"hold"),
        value: bytes::Bytes::from_static(b"held"),
    };
    assert_eq!(first.hold().await.expect("the hold is read"), None);
    let act = Act { object_kind: "hold", ..act("h", 7) };
    let numbers = first.change_hold(&stored(1, 30), &record, Some(&act)).await.expect("it begins");
    let lost = second.change_hold(&stored(1, 40), &record, None).await;
    assert!(matches!(lost, Err(StoreError::Conflict { .. })), "two began: {lost:?}");
    let renewed = second.change_hold(&stored(2, 30), &record, None).await.expect("it is renewed");
    let late = first.change_hold(&stored(2, 0), &record, None).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    assert_eq!(first.hold().await.expect("the hold is read"), Some(stored(2, 30)));
    assert_eq!(first.audit("h", ALL).await.expect("the audit is read").rows.len(), 1, "a renewal is no entry");
    first.tell_again(std::slice::from_ref(&record), 8).await.expect("it is told again");
    let left = first.outbox_left(9, 100).await.expect("the outbox is read");
    let again: Vec<i64> = left.iter().filter(|(_, left)| *left == record).map(|(number, _)| *number).collect();
    assert_eq!(again.len(), 3);
    assert!(numbers.iter().chain(&renewed).all(|number| again.contains(number)));
    first.outbox_done(&again).await.expect("they are marked");
}

async fn units_have_dates(store: &dyn RegistryStore) {
    let unit = |name: &str, from: i64, to: Option<i64>| Unit {
        code: "dated".to_owned(),
        name: name.to_owned(),
        valid_from: Some(timestamp(from)),
        valid_to: to.map(timestamp),
        ..Unit::default()
    };
    let act = act("dated", 1);
    store.put_unit(&unit("first", 100, None), &act).await.expect("a unit is stored");
    store.put_unit(&unit("second", 200, Some(300)), &act).await.expect("its successor is stored");
    let name_at = async |at_us| store.unit("dated", at_us).await.expect("a unit is read").map(|unit| unit.name);
    assert_eq!(name_at(99).await, None);
    assert_eq!(name_at(199).await.as_deref(), Some("first"));
    assert_eq!(name_at(200).await.as_deref(), Some("second"));
    assert_eq!(name_at(300).await, None); // the older one does not come back
    assert_eq!(store.units(299, ALL).await.expect("units are listed").rows.len(), 1);
    assert_eq!(store.units(300, ALL).await.expect("units are listed").rows.len(), 0);
}

async fn contents_are_versions_once(store: &dyn RegistryStore) {
    let put = async |hash: u8| {
        let template = Template { name: "t".to_owned(), content_hash: vec![hash; 32], ..Template::default() };
        let content = Content { text: format!("text {hash}"), ..Content::default() };
        store.put_template(&template, &content, &act("t", 1)).await.expect("a template is stored").version
    };
    assert_eq!([put(1).await, put(2).await, put(1).await, put(3).await], [1, 2, 1, 3]);
    let version = async |version| {
        let found = store.template("t", version).await.expect("a template is read");
        found.map(|template| (template.version, template.content.unwrap_or_default().text))
    };
    assert_eq!(version(0).await, Some((3, "text 3".to_owned())));
    assert_eq!(version(1).await, Some((1, "text 1".to_owned())));
    assert_eq!(version(4).await, None);
    let content = store.content(&[2; 32]).await.expect("a content is read");
    assert_eq!(content.map(|content| content.text).as_deref(), Some("text 2"));
    assert_eq!(store.content(&[9; 32]).await.expect("a content is read"), None);
}

async fn two_writers_number_in_turn(world: &dyn RegistryWorld) {
    let put = async |instance: usize, hash: Vec<u8>| {
        let template = Template { name: "numbered".to_owned(), content_hash: hash, ..Template::default() };
        let act = act("numbered", 1);
        let stored = world.store(instance).put_template(&template, &Content::default(), &act).await;
        stored.expect("a template is stored").version
    };
    for race in 0..RACES {
        let hash = |of: u8| [race.to_be_bytes().as_slice(), &[of]].concat();
        let (one, two) = tokio::join!(put(0, hash(1)), put(1, hash(2)));
        assert_eq!((one.min(two), one.max(two)), (3 * race + 1, 3 * race + 2));
        assert_eq!(tokio::join!(put(0, hash(3)), put(1, hash(3))), (3 * race + 3, 3 * race + 3), "one content, once");
    }
    let unit = Unit { code: "twice".to_owned(), valid_from: Some(timestamp(1)), ..Unit::default() };
    let act = act("twice", 1);
    let (one, two) = tokio::join!(world.store(0).put_unit(&unit, &act), world.store(1).put_unit(&unit, &act));
    one.and(two).expect("the same twice is no contradiction");
    assert_eq!(world.store(0).audit("twice", ALL).await.expect("the audit is read").rows.len(), 1);
}

async fn a_key_is_raced_for(world: &dyn RegistryWorld) {
    for race in 0..RACES {
        let key = key(&format!("race {race}"), 7, 0);
        let create = async |instance: usize| {
            let stored = campaign();
            let made = world.store(instance).create_campaign(&stored, &key, &told(&stored.campaign.id, 50)).await;
            (stored.campaign.id, made.expect("a campaign is stored"))
        };
        let (one, two) = tokio::join!(create(0), create(1));
        let (made, before) = if matches!(one.1, Created::New(_)) { (one, two) } else { (two, one) };
        assert!(matches!(made.1, Created::New(_)), "{made:?}");
        assert_eq!(before.1, Created::Before(made.0));
    }
}

async fn a_key_makes_one_object(world: &dyn RegistryWorld) {
    let create = async |instance: usize, key: &CreateKey| {
        let stored = campaign();
        let result = world.store(instance).create_campaign(&stored, key, &told(&stored.campaign.id, 50)).await;
        (stored.campaign.id, result.expect("a campaign is stored"))
    };
    let key = key("once", 7, 0);
    assert_eq!(world.store(0).created(&key).await.expect("a key is looked up"), None);
    let (one, two) = tokio::join!(create(0, &key), create(1, &key));
    let (made, before) = if matches!(one.1, Created::New(_)) { (one, two) } else { (two, one) };
    assert!(matches!(made.1, Created::New(ref numbers) if numbers.len() == 1));
    assert_eq!(before.1, Created::Before(made.0.clone()));
    assert_eq!(world.store(1).campaign(id(&before.0)).await.expect("a campaign is read"), None);
    let other_body = CreateKey { body_hash: [8; 32], ..key.clone() };
    assert_eq!(create(0, &other_body).await.1, Created::OtherBody);
    assert_eq!(world.store(0).created(&other_body).await.expect("a key is looked up"), Some(Created::OtherBody));
    let later = CreateKey { forget_before_us: 51, ..other_body };
    assert_eq!(world.store(0).created(&later).await.expect("a key is looked up"), None);
    assert!(matches!(create(0, &later).await.1, Created::New(_)));
}

async fn one_of_two_changes_wins(world: &dyn RegistryWorld) {
    let stored = created(world.store(0), "raced").await;
    let change = async |instance: usize, title: &str| {
        let next = next(&stored, |campaign| title.clone_into(&mut campaign.title));
        world.store(instance).change_campaign(&next, &told(title, 2), &Fence::default()).await
    };
    let (one, two) = tokio::join!(change(0, "title one"), change(1, "title two"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} and {two:?}");
    let (lost, winner, loser) =
        if one.is_ok() { (two, "title one", "title two") } else { (one, "title two", "title one") };
    assert!(matches!(lost, Err(StoreError::Conflict { .. })), "{lost:?}");
    let now = read(world.store(0), &stored).await;
    assert_eq!((now.campaign.version, now.campaign.title.as_str()), (2, winner));
    let audit = async |object: &str| world.store(1).audit(object, ALL).await.expect("the audit is read").rows.len();
    assert_eq!((audit(winner).await, audit(loser).await), (1, 0));
}

async fn an_old_owner_changes_nothing(world: &dyn RegistryWorld) {
    let stored = created(world.store(0), "fenced").await;
    world.leases().rows("work", 1).await.expect("rows are made");
    let take = async |seen, node| {
        let epoch = world.leases().take("work", 0, seen, node).await.expect("a take is answered");
        Fence::of(Held { kind: "work".to_owned(), number: 0, epoch: epoch.expect("a free row is taken") })
    };
    let (old, new) = (take(0, "a").await, take(1, "b").await);
    let next = next(&stored, |campaign| campaign.title = "by the owner".to_owned());
    let late = world.store(0).change_campaign(&next, &told("late", 2), &old).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    assert_eq!(read(world.store(1), &stored).await, stored);
    world.store(1).change_campaign(&next, &told("in time", 2), &new).await.expect("the owner changes it");
    assert_eq!(read(world.store(0), &stored).await, next);
}

async fn campaigns_are_found_by_state_and_time(store: &dyn RegistryStore) {
    let mut scheduled = Vec::new();
    for (key, at_us) in [("late", 3_000_500), ("early", 1_000_000), ("middle", 2_000_000)] {
        let stored = created(store, key).await;
        let next = next(&stored, |campaign| {
            campaign.state = CampaignState::Scheduled.name().to_owned();
            campaign.scheduled_at = Some(timestamp(at_us));
        });
        store.change_campaign(&next, &told(key, 2), &Fence::default()).await.expect("it is scheduled");
        scheduled.push(next.campaign.id);
    }
    let due = async |due_us, max| {
        let found = store.campaigns_in(CampaignState::Scheduled, due_us, max).await.expect("campaigns are found");
        found.into_iter().map(|stored| stored.campaign.id).collect::<Vec<_>>()
    };
    let [late, early, middle] = [&scheduled[0], &scheduled[1], &scheduled[2]].map(Clone::clone);
    assert_eq!(due(Some(2_000_000), 9).await, [early.clone(), middle.clone()]);
    assert_eq!(due(Some(3_000_499), 9).await.len(), 2);
    assert_eq!(due(Some(3_000_500), 9).await, [early.clone(), middle, late]);
    assert_eq!(due(None, 1).await, [early]);
    assert!(store.campaigns_in(CampaignState::Freezing, None, 9).await.expect("none is found").is_empty());
}

async fn notices_are_changed_by_version(store: &dyn RegistryStore) {
    let notice = Notice { id: new_id(), state: "proposed".to_owned(), ..Notice::default() };
    let made = store.create_notice(&notice, &key("notice", 7, 0), &told(&notice.id, 1)).await;
    assert!(matches!(made, Ok(Created::New(_))), "{made:?}");
    let again = store.create_notice(&notice, &key("notice", 7, 0), &told(&notice.id, 1)).await;
    assert_eq!(again.expect("a key is answered"), Created::Before(notice.id.clone()));
    let approved = StoredNotice { notice: Notice { state: "approved".to_owned(), ..notice.clone() }, version: 2 };
    store.change_notice(&approved, &told(&notice.id, 2)).await.expect("it is approved");
    let again = store.change_notice(&approved, &told(&notice.id, 2)).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    assert_eq!(store.notice(id(&notice.id)).await.expect("a notice is read"), Some(approved.clone()));
    assert_eq!(store.notices(ALL).await.expect("notices are listed").rows, [approved]);
    let audit = store.audit(&notice.id, ALL).await.expect("the audit is read");
    assert_eq!(audit.rows.iter().map(|entry| entry.at).collect::<Vec<_>>(), [Some(timestamp(1)), Some(timestamp(2))]);
}

async fn lists_are_newest_first(store: &dyn RegistryStore) {
    let all = store.campaigns(ALL).await.expect("campaigns are listed");
    assert_eq!(all.next, None);
    let mut found = Vec::new();
    let mut ask = PageAsk { start: 0, rows: 2 };
    loop {
        let page = store.campaigns(ask).await.expect("a page is read");
        assert!(page.rows.len() <= 2);
        found.extend(page.rows);
        match page.next {
            Some(start) => ask.start = start,
            None => break,
        }
    }
    assert_eq!(found, all.rows);
    let newest = created(store, "newest").await;
    assert_eq!(store.campaigns(PageAsk { start: 0, rows: 1 }).await.expect("a page is read").rows, [newest]);
}

async fn what_was_told_is_kept_until_marked(store: &dyn RegistryStore) {
    let left = async || store.outbox_left(i64::MAX, 1_000).await.expect("the outbox is read");
    let all: Vec<i64> = left().await.into_iter().map(|(number, _)| number).collect();
    store.outbox_done(&all).await.expect("all are marked");
    let stored = campaign();
    let told = told(&stored.campaign.id, 1);
    let made = store.create_campaign(&stored, &key("told", 7, 0), &told).await.expect("a campaign is stored");
    let Created::New(numbers) = made else { panic!("{made:?}") };
    assert_eq!(left().await, [(numbers[0], told.record)]);
    store.outbox_done(&numbers).await.expect("it is marked");
    assert!(left().await.is_empty());
}

async fn created(store: &dyn RegistryStore, key_text: &str) -> StoredCampaign {
    let stored = campaign();
    let made = store.create_campaign(&stored, &key(key_text, 7, 0), &told(&stored.campaign.id, 100)).await;
    assert!(matches!(made, Ok(Created::New(_))), "{made:?}");
    stored
}

async fn read(store: &dyn RegistryStore, stored: &StoredCampaign) -> StoredCampaign {
    store.campaign(id(&stored.campaign.id)).await.expect("a campaign is read").expect("it is there")
}

fn next(stored: &StoredCampaign, edit: impl Fn(&mut Campaign)) -> StoredCampaign {
    let mut next = stored.clone();
    next.campaign.version += 1;
    next.authors.push("em".to_owned());
    edit(&mut next.campaign);
    next
}

fn campaign() -> StoredCampaign {
    let state = CampaignState::Draft.name().to_owned();
    let campaign = Campaign { id: new_id(), version: 1, state, title: "Họp".to_owned(), ..Campaign::default() };
    StoredCampaign { campaign, authors: vec!["an".to_owned()] }
}

fn new_id() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    format!("01999999-0000-7000-8000-{:012x}", DRAWN.fetch_add(1, Ordering::Relaxed))
}

fn id(text: &str) -> CampaignId {
    text.parse().expect("the suite's ids are ids")
}

fn key(text: &str, body: u8, forget_before_us: i64) -> CreateKey {
    CreateKey { caller: "an".to_owned(), key: text.to_owned(), body_hash: [body; 32], forget_before_us }
}

fn act(object_id: &str, at_us: i64) -> Act {
    Act {
        at_us,
        user: "an".to_owned(),
        object_kind: "campaign",
        object_id: object_id.to_owned(),
        action: "put".to_owned(),
        detail: String::new(),
    }
}

fn told(object_id: &str, at_us: i64) -> Told {
    let record = OutboxRecord {
        topic: "control.v1".to_owned(),
        partition: 0,
        key: object_id.to_owned().into(),
        value: vec![1, 2, 3].into(),
    };
    Told { act: act(object_id, at_us), record }
}
