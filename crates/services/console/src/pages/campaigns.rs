//! The campaigns, newest first, each with its state and how far its channels are.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use loa_domain::campaign::CampaignState;
use loa_runtime::{Ctx, Role};

use super::problem::problem;
use crate::App;
use crate::calls::{self, Trouble, ask};
use crate::lang::Lang;
use crate::ledger::View;
use crate::shell::{Asked, Shell, page};
use crate::words;

/// Campaigns of one page.
const ROWS: u32 = 20;
/// Ledgers that are asked for at a time.
const LEDGERS_AT_ONCE: usize = 4;

#[derive(Template)]
#[template(path = "campaigns.html")]
struct Campaigns<'a> {
    shell: &'a Shell,
    rows: Vec<Row>,
    /// The ledger cannot be read: rows are shown without it.
    trouble: Option<Trouble>,
    first: bool,
    next: Option<String>,
}

struct Row {
    href: String,
    title: String,
    word: String,
    colour: &'static str,
    why: String,
    task: String,
    units: String,
    window: String,
    synthetic: bool,
    ledger: Option<View>,
}

/// The page.
pub(crate) async fn show(State(app): State<App>, Query(asked): Asked) -> Response {
    let token = asked.get("page").cloned().unwrap_or_default();
    let shell = Shell::new(&app, &asked, "campaigns", "/").keep("page", &token);
    let request = registry::ListCampaignsRequest { page_size: ROWS, page_token: token.clone() };
    let list = match ask(Role::Registry, calls::registry(&app.ctx).list_campaigns(request)).await {
        Ok(list) => list,
        Err(trouble) => return problem(&shell, shell.t("Chiến dịch", "Campaigns"), trouble),
    };
    let (rows, trouble) = rows(&app.ctx, &shell, list.campaigns).await;
    let next = Some(list.next_page_token).filter(|token| !token.is_empty());
    let next = next.map(|token| shell.href_with("/", "page", &token));
    page(StatusCode::OK, &Campaigns { shell: &shell, rows, trouble, first: token.is_empty(), next })
}

async fn rows(ctx: &Ctx, shell: &Shell, campaigns: Vec<registry::Campaign>) -> (Vec<Row>, Option<Trouble>) {
    let started = |campaign: &registry::Campaign| is_started(&campaign.state).then(|| campaign.id.clone());
    let asked: Vec<_> = campaigns.iter().map(|campaign| ledger(ctx, started(campaign))).collect();
    let ledgers = stream::iter(asked).buffered(LEDGERS_AT_ONCE).collect::<Vec<_>>().await;
    let trouble = ledgers.iter().find_map(|ledger| ledger.as_ref().err().copied());
    let both = campaigns.into_iter().zip(ledgers);
    (both.map(|(campaign, ledger)| row(shell, campaign, ledger.ok().flatten())).collect(), trouble)
}

/// The ledger of a campaign that was started.
async fn ledger(ctx: &Ctx, started: Option<String>) -> Result<Option<report::CampaignLedger>, Trouble> {
    let Some(campaign_id) = started else { return Ok(None) };
    let request = report::GetLedgerRequest { campaign_id };
    match ask(Role::Report, calls::report(ctx).get_ledger(request)).await {
        Ok(response) => Ok(response.ledger),
        Err(Trouble::NotFound) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Whether a campaign may have a ledger.
pub(super) fn is_started(state: &str) -> bool {
    use CampaignState::{Approved, Cancelled, Done, Draft, Freezing, Halted, Paused, Running, Scheduled, Submitted};
    match state.parse() {
        Ok(Running | Paused | Halted | Done | Cancelled) => true,
        Ok(Draft | Freezing | Submitted | Approved | Scheduled) | Err(_) => false,
    }
}

fn row(shell: &Shell, campaign: registry::Campaign, ledger: Option<report::CampaignLedger>) -> Row {
    let lang = shell.lang;
    let (word, colour) = words::campaign(lang, &campaign.state);
    Row {
        href: shell.href(&format!("/campaign/{}", crate::shell::encoded(&campaign.id))),
        why: why(&campaign),
        window: window(lang, &campaign),
        units: campaign.lead_units.join(", "),
        title: campaign.title,
        task: campaign.task_ref,
        synthetic: campaign.synthetic,
        word,
        colour,
        ledger: ledger.map(|ledger| View::new(lang, &ledger)),
    }
}

/// Why a campaign stands still, if somebody said so.
pub(super) fn why(campaign: &registry::Campaign) -> String {
    let said = [&campaign.halt_reason, &campaign.freeze_error];
    said.into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// From when to when it may send.
pub(super) fn window(lang: Lang, campaign: &registry::Campaign) -> String {
    format!("{} – {}", lang.time(campaign.starts_at.as_ref()), lang.time(campaign.ends_at.as_ref()))
}
