//! A campaign's ledger as it changes, as server-sent events: each is the part of the page that shows it.
//!
//! Must stay true: a stream ends when the process stops, when the campaign is done, or when its reader left; at most
//! [`WATCHES_MAX`](crate::WATCHES_MAX) are open.

use std::convert::Infallible;

use askama::Template as _;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _};
use loa_contract::pb::report::v1 as report;
use loa_runtime::Role;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use crate::App;
use crate::calls::{self, Trouble, ask};
use crate::ledger::View;
use crate::pages::campaign::LedgerPart;
use crate::pages::problem::TroublePart;
use crate::shell::{Asked, Shell};

/// Follows one campaign.
pub(crate) async fn events(State(app): State<App>, Path(id): Path<String>, Query(asked): Asked) -> Response {
    let Ok(permit) = app.watches.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let shell = Shell::new(&app, &asked, "campaigns", format!("/campaign/{id}"));
    let request = report::WatchLedgerRequest { campaign_id: id };
    match ask(Role::Report, calls::report(&app.ctx).watch_ledger(request)).await {
        Ok(ledgers) => {
            let stopping = app.ctx.clone();
            let events = follow(shell, ledgers, permit).take_until(async move { stopping.stopping().await });
            Sse::new(events).keep_alive(KeepAlive::default()).into_response()
        }
        Err(Trouble::NotFound) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn follow(
    shell: Shell,
    ledgers: Streaming<report::WatchLedgerResponse>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((Some(ledgers), shell, permit), |(ledgers, shell, permit)| async move {
        let mut ledgers = ledgers?;
        let (event, next) = match ledgers.message().await {
            Ok(Some(response)) => (changed(&shell, response), Some(ledgers)),
            Ok(None) => (Event::default().event("over").data("."), None),
            Err(status) => (trouble(&shell, &status), None),
        };
        Some((Ok(event), (next, shell, permit)))
    })
}

fn changed(shell: &Shell, response: report::WatchLedgerResponse) -> Event {
    let ledger = View::new(shell.lang, &response.ledger.unwrap_or_default());
    part("ledger", LedgerPart { shell, ledger: &ledger }.render())
}

fn trouble(shell: &Shell, status: &Status) -> Event {
    part("trouble", TroublePart { shell, trouble: Trouble::of(Role::Report, status) }.render())
}

fn part(name: &str, html: Result<String, askama::Error>) -> Event {
    let html = html.unwrap_or_else(|error| {
        tracing::error!(%error, "a part of a page could not be rendered");
        String::new()
    });
    // A carriage return would end a line of the event's own form.
    Event::default().event(name).data(html.replace('\r', " "))
}
