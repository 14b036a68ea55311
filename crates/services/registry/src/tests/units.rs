//! Units change by date, and only what is valid counts.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::registry_service_server::RegistryService;
use loa_contract::pb::registry::v1::*;

use super::world::{AUTHOR, OPERATOR, World, by, unit};

const DAY_US: i64 = 86_400 * 1_000_000;

async fn put(world: &World, unit: Unit) {
    world.calls.put_unit(by(OPERATOR, PutUnitRequest { unit: Some(unit) })).await.unwrap();
}

async fn names_at(world: &World, at_us: Option<i64>) -> Vec<(String, String)> {
    let request = ListUnitsRequest { valid_at: at_us.map(timestamp), ..ListUnitsRequest::default() };
    let units = world.calls.list_units(by(AUTHOR, request)).await.unwrap().into_inner().units;
    units.into_iter().map(|unit| (unit.code, unit.name)).collect()
}

#[tokio::test]
async fn a_unit_is_what_it_is_at_a_date() {
    let world = World::new().await;
    let now_us = world.core.now_us();
    let named = |name: &str, from_us, to_us: Option<i64>| Unit {
        name: name.to_owned(),
        valid_from: Some(timestamp(from_us)),
        valid_to: to_us.map(timestamp),
        ..unit("ubnd-ba-tri")
    };
    put(&world, named("Huyện Ba Tri", 0, None)).await;
    put(&world, named("Xã Ba Tri", now_us - DAY_US, Some(now_us + DAY_US))).await;
    put(&world, unit("so-tttt")).await;

    let check = async |at_us, expected: Option<&str>| {
        let mut all = vec![("so-tttt".to_owned(), "Sở Thông tin và Truyền thông".to_owned())];
        all.extend(expected.map(|name| ("ubnd-ba-tri".to_owned(), name.to_owned())));
        assert_eq!(names_at(&world, at_us).await, all, "{at_us:?}");
    };
    check(Some(now_us - 2 * DAY_US), Some("Huyện Ba Tri")).await;
    check(None, Some("Xã Ba Tri")).await;
    check(Some(now_us + DAY_US), None).await; // ended, and the older name is not back
}

#[tokio::test]
async fn the_same_again_is_no_change() {
    let world = World::new().await;
    put(&world, unit("so-tttt")).await;
    put(&world, unit("so-tttt")).await;
    put(&world, Unit { name: "Sở Khoa học và Công nghệ".to_owned(), ..unit("so-tttt") }).await;
    let audit = world.audit("so-tttt").await;
    assert_eq!(audit.len(), 2);
    assert_eq!(audit[1].detail, "Sở Khoa học và Công nghệ (so)");
    assert_eq!((audit[1].user.as_str(), audit[1].object_kind.as_str()), (OPERATOR, "unit"));
}

#[tokio::test]
async fn pages_follow_each_other() {
    let world = World::new().await;
    for number in 0..5 {
        put(&world, unit(&format!("u{number}"))).await;
    }
    let mut codes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListUnitsRequest { page_size: 2, page_token, ..ListUnitsRequest::default() };
        let page = world.calls.list_units(by(AUTHOR, request)).await.unwrap().into_inner();
        assert!(page.units.len() <= 2);
        codes.extend(page.units.into_iter().map(|unit| unit.code));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(codes, ["u0", "u1", "u2", "u3", "u4"]);
}
