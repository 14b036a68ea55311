//! What the pages show, over fake roles and real sockets.

mod fakes;
mod sample;
mod site;

use std::sync::Arc;

use fakes::Fakes;
use loa_runtime::Role;
use sample::{DRAFT, RUNNING, full, inbox};
use site::{Answer, Site};

/// Every text stands in the page.
#[track_caller]
fn shows(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(answer.body.contains(text), "`{text}` is not in:\n{}", answer.body);
    }
}

/// None does.
#[track_caller]
fn hides(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(!answer.body.contains(text), "`{text}` is in:\n{}", answer.body);
    }
}

#[tokio::test]
async fn the_list_shows_states_and_how_far_channels_are() {
    let site = Site::start(full(), None).await;
    let vi = site.get("/").await;
    assert_eq!(vi.status, 200);
    shows(
        &vi,
        &["<html lang=\"vi\">", "đang gửi", "bản nháp", "64,0 %", "6.112/10.000", "dữ liệu giả lập", "s-delivered"],
    );
    let en = site.get("/?lang=en").await;
    shows(&en, &["<html lang=\"en\">", "running", "draft", "64.0 %", "6,112/10,000", "href=\"/carriers?lang=en\""]);
    hides(&en, &["đang gửi", "href=\"/inbox"]);
    assert_eq!(site.fakes.with(|world| world.keyless), 0, "every call carries the system's key");
    site.stop().await;
}

#[tokio::test]
async fn a_long_list_has_pages() {
    let fakes = full();
    fakes.with(|world| {
        let draft = world.campaigns.iter().find(|one| one.id == DRAFT).cloned().unwrap();
        let more =
            (0..30).map(|n| loa_contract::pb::registry::v1::Campaign { title: format!("số {n};"), ..draft.clone() });
        world.campaigns.extend(more);
    });
    let site = Site::start(fakes, None).await;
    let first = site.get("/?lang=en").await;
    shows(&first, &["số 17;", "href=\"/?page=20&#38;lang=en\""]);
    hides(&first, &["số 18;", "← Newest"]);
    let second = site.get("/?page=20&lang=en").await;
    shows(&second, &["số 18;", "số 29;", "← Newest", "href=\"/?page=20\" hreflang=\"vi\""]);
    hides(&second, &["Older →"]);
    site.stop().await;
}

#[tokio::test]
async fn a_campaign_shows_its_ledger_freeze_content_and_audit() {
    let site = Site::start(full(), None).await;
    let page = site.get(&format!("/campaign/{RUNNING}?lang=en")).await;
    assert_eq!(page.status, 200);
    let events = format!("data-events=\"/campaign/{RUNNING}/events?lang=en\"");
    shows(&page, &[&events, "6,112", "adds up", "SMS parts submitted", "on the suppression list", "sim-a"]);
    shows(&page, &["Selected 10,321", "Mời bà con tiêm phòng", "BENTRE &#60;so-yte@bentre.example.test&#62;"]);
    shows(&page, &["scheduled → running", "loa campaign pause"]);
    shows(&page, &["2026-11-24 08:00:00", "07:00 – 21:00", "commune in district(&#34;Ba Tri&#34;)"]);
    let newest = page.body.find("scheduled → running").unwrap();
    assert!(newest < page.body.find("draft → freezing").unwrap(), "the newest entry is first");
    let draft = site.get(&format!("/campaign/{DRAFT}")).await;
    shows(&draft, &["data-refresh=\"3\"", "loa --as author campaign submit", "thiếu căn cứ"]);
    hides(&draft, &["data-events", "data-state"]);
    site.stop().await;
}

#[tokio::test]
async fn what_comes_from_elsewhere_is_escaped() {
    let evil = "<script>alert(\"x\")</script>&amp;'";
    let fakes = full();
    fakes.with(|world| {
        for campaign in &mut world.campaigns {
            campaign.title = evil.to_owned();
            campaign.halt_reason = evil.to_owned();
            campaign.segment = evil.to_owned();
            campaign.lead_units = vec![evil.to_owned()];
        }
        for entry in &mut world.audit {
            entry.detail = evil.to_owned();
        }
        for content in world.contents.values_mut() {
            content.text = evil.to_owned();
        }
        for account in &mut world.accounts {
            account.binds[0].last_error = evil.to_owned();
        }
        for ledger in world.ledgers.values_mut().flatten() {
            ledger.state = evil.to_owned();
            ledger.variants[0].reasons = [(evil.to_owned(), 1)].into();
        }
    });
    let messages = inbox().0.into_iter().map(|item| loa_console::InboxItem { text: evil.to_owned(), ..item });
    let site = Site::start(fakes, Some(Arc::new(site::Listed(messages.collect())))).await;
    let query = shell_query(evil);
    let paths = [
        "/",
        &format!("/campaign/{RUNNING}"),
        "/carriers",
        "/inbox",
        &format!("/inbox?q={query}"),
        &format!("/{query}"),
    ];
    for path in paths {
        let page = site.get(path).await;
        hides(&page, &["<script>", "alert(\"x\")"]);
        assert_eq!(page.body.matches("<script").count(), 1, "{path}: ours alone");
    }
    shows(&site.get("/").await, &["&#60;script&#62;alert(&#34;x&#34;)&#60;/script&#62;&#38;amp;&#39;"]);
    let told = site.follow(&format!("/campaign/{RUNNING}/events"), |text| text.contains("event: ledger")).await;
    assert!(!told.contains("<script>"), "{told}");
    site.stop().await;
}

fn shell_query(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

#[tokio::test]
async fn an_unknown_id_says_what_to_do() {
    let site = Site::start(full(), None).await;
    let unknown = site.get("/campaign/0193a0c0-0000-7000-8000-00000000ffff").await;
    assert_eq!(unknown.status, 404);
    shows(&unknown, &["Không có chiến dịch này", "loa campaign list", "href=\"/\""]);
    let nowhere = site.get("/nowhere?lang=en").await;
    assert_eq!(nowhere.status, 404);
    shows(&nowhere, &["There is no such page", "To the list of campaigns", "href=\"/?lang=en\""]);
    assert_eq!(site.get("/campaign/nothing/events").await.status, 404);
    assert_eq!(site.get("/static/nothing.css").await.status, 404);
    site.stop().await;
}

#[tokio::test]
async fn a_role_that_is_away_is_named() {
    let site = Site::with_roles(Fakes::default(), None, &[]).await;
    let list = site.get("/?lang=en").await;
    assert_eq!(list.status, 503);
    shows(&list, &["Cannot reach the service <b>registry</b>", "[endpoints]", "data-refresh=\"3\""]);
    assert_eq!(site.get(&format!("/campaign/{RUNNING}")).await.status, 503);
    assert_eq!(site.get(&format!("/campaign/{RUNNING}/events")).await.status, 503);
    let carriers = site.get("/carriers").await;
    assert_eq!(carriers.status, 200);
    shows(&carriers, &["<b>sms</b>", "<b>email</b>"]);
    site.stop().await;

    let without_report = Site::with_roles(full(), None, &[Role::Registry]).await;
    let list = without_report.get("/?lang=en").await;
    assert_eq!(list.status, 200);
    shows(&list, &["Cannot reach the service <b>report</b>", "running"]);
    let page = without_report.get(&format!("/campaign/{RUNNING}?lang=en")).await;
    shows(&page, &["Cannot reach the service <b>report</b>", "Audit trail", "scheduled → running"]);
    without_report.stop().await;
}

#[tokio::test]
async fn progress_is_told_as_it_changes_until_it_is_done() {
    let site = Site::start(full(), None).await;
    let path = format!("/campaign/{RUNNING}/events?lang=en");
    let told = site.follow(&path, |text| text.matches("event: ledger").count() == 2).await;
    assert!(told.to_lowercase().contains("content-type: text/event-stream"), "{told}");
    let (first, second) = (told.find("1,000</td>").unwrap(), told.find("6,112</td>").unwrap());
    assert!(first < second, "{told}");
    assert!(!told.contains("event: over"), "{told}");
    site.fakes.with(|world| {
        let ledgers = world.ledgers.get_mut(RUNNING).unwrap();
        ledgers.last_mut().unwrap().state = "done".to_owned();
    });
    let told = site.follow(&path, |text| text.contains("event: over")).await;
    assert!(told.contains("data-state=\"done\""), "{told}");
    site.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_those_who_watch() {
    let site = Site::start(full(), None).await;
    let path = format!("/campaign/{RUNNING}/events");
    let ctx = site.ctx.clone();
    let watch = site.follow(&path, |text| {
        if text.contains("event: ledger") {
            ctx.stop();
        }
        false
    });
    assert!(watch.await.contains("event: ledger"), "the stream ended by itself");
    site.stop().await;
}

#[tokio::test]
async fn the_inbox_is_searched_by_number_mailbox_and_text() {
    let site = Site::start(full(), Some(Arc::new(inbox()))).await;
    let all = site.get("/inbox").await;
    assert_eq!(all.status, 200);
    shows(&all, &["84912345678", "lan@example.test", "Họp tổ lúc 8h", "Thư mời", "2 phần", "08:00:00"]);
    #[track_caller]
    fn only(page: &Answer, there: &str, away: &str) {
        shows(page, &[there]);
        hides(page, &[away]);
    }
    only(&site.get("/inbox?q=0912+345+678").await, "Họp tổ lúc 8h", "lan@example.test");
    only(&site.get("/inbox?q=lan%40example.test").await, "Thư mời", "84912345678");
    only(&site.get("/inbox?q=8h").await, "84912345678", "Thư mời");
    let none = site.get("/inbox?q=%22%3E&lang=en").await;
    shows(&none, &["Nothing matches", "value=\"&#34;&#62;\"", "href=\"/inbox?q=%22%3E\" hreflang=\"vi\""]);
    site.stop().await;

    let without = Site::start(full(), None).await;
    let page = without.get("/inbox?lang=en").await;
    assert_eq!(page.status, 404);
    shows(&page, &["There is no simulated inbox here"]);
    without.stop().await;
}

#[tokio::test]
async fn carriers_show_binds_and_relays() {
    let site = Site::start(full(), None).await;
    let page = site.get("/carriers?lang=en").await;
    shows(
        &page,
        &["sim-a", "<b>500</b>/1,000", "slowed down", "backing off", "connection refused", "12,345", "simulator"],
    );
    shows(&page, &["sim-mail", "at most 2,000 mails a second", "9,876"]);
    site.stop().await;
}

#[tokio::test]
async fn every_answer_keeps_browsers_in_bounds() {
    let site = Site::start(full(), None).await;
    for path in ["/", "/campaign/x", "/nowhere", "/static/console.css", "/static/console.js", "/static/loa.svg"] {
        let answer = site.get(path).await;
        for header in
            ["content-security-policy: default-src 'none';", "x-content-type-options: nosniff", "cache-control: "]
        {
            assert!(answer.head.contains(header), "{path} lacks {header}: {}", answer.head);
        }
        let elsewhere = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path} names another place");
        assert!(!answer.body.contains(" style=") && !answer.body.contains("<style"), "{path}: the policy forbids it");
        assert!(!answer.body.contains(" onclick="), "{path}: the policy forbids it");
    }
    assert!(site.get("/").await.head.contains("cache-control: no-store"));
    site.stop().await;
}
