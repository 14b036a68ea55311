//! What the simulated phones and mailboxes got, found by number, mailbox or text.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::problem::problem;
use crate::App;
use crate::calls::Trouble;
use crate::inbox::{InboxItem, Inboxes, as_number};
use crate::lang::Lang;
use crate::shell::{Asked, Shell, page};

/// Messages of one page.
const SHOWN_MAX: usize = 50;
/// Characters of a search.
const NEEDLE_MAX: usize = 100;

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage<'a> {
    shell: &'a Shell,
    needle: &'a str,
    items: Vec<Item>,
    full: bool,
}

struct Item {
    sms: bool,
    at: String,
    from: String,
    to: String,
    subject: String,
    text: String,
    parts: u32,
}

/// The page.
pub(crate) async fn show(State(app): State<App>, Query(asked): Asked) -> Response {
    let needle: String = asked.get("q").map_or("", |text| text.trim()).chars().take(NEEDLE_MAX).collect();
    let shell = Shell::new(&app, &asked, "inbox", "/inbox").keep("q", &needle);
    let Some(inbox) = app.inbox.clone() else {
        let title = shell.t("Không có hộp thư mô phỏng ở đây", "There is no simulated inbox here");
        return problem(&shell, title, Trouble::NotFound);
    };
    let wanted = needle.clone();
    // Messages are decoded when somebody looks, which takes a moment where many are kept.
    let found = tokio::task::spawn_blocking(move || search(&inbox, &wanted)).await.unwrap_or_default();
    let full = found.len() == SHOWN_MAX;
    let items = found.into_iter().map(|one| item(shell.lang, one)).collect();
    page(StatusCode::OK, &InboxPage { shell: &shell, needle: &needle, items, full })
}

/// By number where it looks like one and something is found, else by text.
fn search(inbox: &Arc<dyn Inboxes>, needle: &str) -> Vec<InboxItem> {
    let by_number = as_number(needle).map(|number| inbox.search(&number, SHOWN_MAX)).unwrap_or_default();
    if by_number.is_empty() { inbox.search(needle, SHOWN_MAX) } else { by_number }
}

fn item(lang: Lang, one: InboxItem) -> Item {
    Item {
        sms: one.channel == "sms",
        at: lang.micros(one.unix_us),
        from: one.from,
        to: one.to,
        subject: one.subject,
        text: one.text.trim_end().to_owned(),
        parts: one.parts,
    }
}
