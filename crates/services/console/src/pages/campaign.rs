//! One campaign: its live ledger, what was frozen, what is sent, who did what, and what can be done next.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use loa_domain::campaign::CampaignState;
use loa_runtime::{Ctx, Role};

use super::campaigns::{is_started, why, window};
use super::problem::problem;
use crate::App;
use crate::calls::{self, Trouble, ask};
use crate::lang::Lang;
use crate::ledger::{View, reasons};
use crate::shell::{Asked, Shell, encoded, page};
use crate::words;

/// Audit entries that are shown, the newest.
const AUDIT_ROWS: u32 = 1_000;

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignPage<'a> {
    shell: &'a Shell,
    id: String,
    title: String,
    word: String,
    colour: &'static str,
    why: String,
    synthetic: bool,
    /// Where the live ledger is; empty where it does not change by itself.
    events: String,
    ledger: Option<View>,
    ledger_trouble: Option<Trouble>,
    facts: Vec<(&'a str, String)>,
    rule: String,
    freeze: Option<Freeze>,
    texts: Vec<Text>,
    audit: Vec<Entry>,
    audit_trouble: Option<Trouble>,
    commands: Vec<(&'a str, String)>,
}

/// The live part of the page, also sent by itself.
#[derive(Template)]
#[template(path = "ledger.html")]
pub(crate) struct LedgerPart<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) ledger: &'a View,
}

struct Freeze {
    selected: String,
    dataset_version: u32,
    manifest: String,
    variants: Vec<FrozenVariant>,
}

struct FrozenVariant {
    channel: &'static str,
    frozen: String,
    parts: String,
    chunks: String,
    excluded: Vec<(String, String)>,
    accounts: Vec<(String, String)>,
}

struct Text {
    channel: &'static str,
    sender: String,
    template: String,
    subject: String,
    text: String,
}

struct Entry {
    at: String,
    user: String,
    action: String,
    detail: String,
}

/// The page.
pub(crate) async fn show(State(app): State<App>, Path(id): Path<String>, Query(asked): Asked) -> Response {
    let path = format!("/campaign/{}", encoded(&id));
    let shell = Shell::new(&app, &asked, "campaigns", &path);
    let request = registry::GetCampaignRequest { id: id.clone() };
    let found = ask(Role::Registry, calls::registry(&app.ctx).get_campaign(request)).await;
    let campaign = match found.map(|response| response.campaign) {
        Ok(Some(campaign)) => campaign,
        Ok(None) | Err(Trouble::NotFound) => {
            return problem(&shell, shell.t("Không có chiến dịch này", "There is no such campaign"), Trouble::NotFound);
        }
        Err(trouble) => return problem(&shell, shell.t("Chiến dịch", "Campaign"), trouble),
    };
    let (ledger, audit, texts) =
        tokio::join!(ledger(&app.ctx, &campaign), audit(&app.ctx, &shell, &id), texts(&app.ctx, &campaign));
    let (ledger, ledger_trouble) = split(ledger);
    let (audit, audit_trouble) = split(audit);
    let (word, colour) = words::campaign(shell.lang, &campaign.state);
    let view = CampaignPage {
        word,
        colour,
        why: why(&campaign),
        synthetic: campaign.synthetic,
        events: if is_moving(&campaign.state) { shell.href(&format!("{path}/events")) } else { String::new() },
        ledger: ledger.flatten().map(|ledger| View::new(shell.lang, &ledger)),
        ledger_trouble,
        facts: facts(&shell, &campaign),
        rule: campaign.segment.clone(),
        freeze: campaign.freeze.as_ref().map(|freeze| frozen(shell.lang, &campaign, freeze)),
        texts,
        audit: audit.unwrap_or_default(),
        audit_trouble,
        commands: commands(&shell, &campaign),
        title: campaign.title,
        id: campaign.id,
        shell: &shell,
    };
    page(StatusCode::OK, &view)
}

fn split<T>(result: Result<T, Trouble>) -> (Option<T>, Option<Trouble>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(trouble) => (None, Some(trouble)),
    }
}

async fn ledger(ctx: &Ctx, campaign: &registry::Campaign) -> Result<Option<report::CampaignLedger>, Trouble> {
    if !is_started(&campaign.state) {
        return Ok(None);
    }
    let request = report::GetLedgerRequest { campaign_id: campaign.id.clone() };
    Ok(ask(Role::Report, calls::report(ctx).get_ledger(request)).await?.ledger)
}

async fn audit(ctx: &Ctx, shell: &Shell, id: &str) -> Result<Vec<Entry>, Trouble> {
    let request =
        registry::ListAuditRequest { object_id: id.to_owned(), page_size: AUDIT_ROWS, page_token: String::new() };
    let response = ask(Role::Registry, calls::registry(ctx).list_audit(request)).await?;
    let entry = |entry: registry::AuditEntry| Entry {
        at: shell.lang.time(entry.at.as_ref()),
        user: entry.user,
        action: entry.action,
        detail: entry.detail,
    };
    Ok(response.entries.into_iter().rev().map(entry).collect())
}

/// The texts before a person's values are filled in; those that cannot be read are left out.
async fn texts(ctx: &Ctx, campaign: &registry::Campaign) -> Vec<Text> {
    let mut texts = Vec::new();
    for variant in campaign.variants.iter().filter(|variant| !variant.content_hash.is_empty()) {
        let request = registry::GetContentRequest { content_hash: variant.content_hash.clone() };
        let response = ask(Role::Registry, calls::registry(ctx).get_content(request)).await;
        let Ok(content) = response.map(|response| response.content.unwrap_or_default()) else { continue };
        let name = Some(&variant.sender_name).filter(|name| !name.is_empty());
        texts.push(Text {
            channel: words::channel(variant.channel),
            sender: name.map_or_else(|| variant.sender.clone(), |name| format!("{name} <{}>", variant.sender)),
            template: format!("{} v{}", variant.template, variant.template_version),
            subject: content.subject,
            text: content.text,
        });
    }
    texts
}

fn facts<'a>(shell: &Shell, campaign: &registry::Campaign) -> Vec<(&'a str, String)> {
    let lang = shell.lang;
    let by = |user: &str, at| if user.is_empty() { String::new() } else { format!("{user}, {}", lang.time(at)) };
    let facts = [
        (lang.pick("Nhiệm vụ", "Task"), campaign.task_ref.clone()),
        (lang.pick("Đơn vị chủ trì", "Leading units"), campaign.lead_units.join(", ")),
        (lang.pick("Đơn vị phối hợp", "Coordinating units"), campaign.coordinating_units.join(", ")),
        (lang.pick("Căn cứ", "Legal basis"), campaign.legal_basis.join("; ")),
        (lang.pick("Loại tin", "Class"), words::class(lang, campaign.class).to_owned()),
        (lang.pick("Làn", "Lane"), words::lane(lang, campaign.lane).to_owned()),
        (lang.pick("Thời gian", "Window"), window(lang, campaign)),
        (lang.pick("Giờ trong ngày", "Hours of the day"), campaign.hours.as_ref().map_or_else(String::new, hours)),
        (lang.pick("Bộ dữ liệu", "Dataset"), campaign.dataset.clone()),
        (lang.pick("Người soạn", "Author"), by(&campaign.created_by, campaign.created_at.as_ref())),
        (lang.pick("Người duyệt", "Approver"), by(&campaign.approved_by, campaign.approved_at.as_ref())),
        (lang.pick("Hẹn gửi lúc", "Scheduled for"), lang.time(campaign.scheduled_at.as_ref())),
        (lang.pick("Bắt đầu gửi", "Started"), lang.time(campaign.started_at.as_ref())),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn hours(hours: &registry::DailyHours) -> String {
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} – {}", clock(hours.open_minute), clock(hours.close_minute))
}

fn frozen(lang: Lang, campaign: &registry::Campaign, freeze: &registry::FreezeSummary) -> Freeze {
    let variant = |one: &registry::FreezeVariantSummary| {
        let place = campaign.variants.get(one.variant as usize);
        let mut accounts: Vec<_> = one.accounts.iter().collect();
        accounts.sort_unstable();
        FrozenVariant {
            channel: place.map_or("?", |variant| words::channel(variant.channel)),
            frozen: lang.number(one.frozen),
            parts: lang.number(one.parts),
            chunks: lang.number(one.chunks.into()),
            excluded: reasons(lang, &one.excluded),
            accounts: accounts.into_iter().map(|(name, &count)| (name.clone(), lang.number(count))).collect(),
        }
    };
    let manifest = campaign.manifest_hash.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    Freeze {
        selected: lang.number(freeze.selected),
        dataset_version: freeze.dataset_version,
        manifest,
        variants: freeze.variants.iter().map(variant).collect(),
    }
}

/// Whether its ledger changes by itself.
fn is_moving(state: &str) -> bool {
    matches!(state.parse(), Ok(CampaignState::Running | CampaignState::Paused | CampaignState::Halted))
}

/// What can be done with it now, as it is typed.
fn commands<'a>(shell: &Shell, campaign: &registry::Campaign) -> Vec<(&'a str, String)> {
    use CampaignState::{Approved, Cancelled, Done, Draft, Freezing, Halted, Paused, Running, Scheduled, Submitted};
    let (lang, id) = (shell.lang, &campaign.id);
    let of = |vi, en, command: &str| (lang.pick(vi, en), format!("loa {command} {id}"));
    let cancel = || of("Dừng hẳn", "Stop for good", "campaign cancel");
    let Ok(state) = campaign.state.parse() else { return Vec::new() };
    match state {
        Draft => vec![of("Chốt danh sách, xin duyệt", "Freeze and ask for approval", "--as author campaign submit")],
        Freezing => vec![of("Xem lại", "Look again", "campaign show")],
        Submitted => {
            vec![of("Duyệt (không phải người soạn)", "Approve (not as its author)", "--as approver campaign approve")]
        }
        Approved | Scheduled => vec![of("Gửi ngay", "Start now", "campaign start"), cancel()],
        Running => vec![of("Tạm dừng", "Pause", "campaign pause"), cancel()],
        Paused | Halted => vec![of("Gửi tiếp phần còn lại", "Send the rest", "campaign resume"), cancel()],
        Done | Cancelled => vec![of("Xuất sổ (CSV)", "Export the ledger (CSV)", "campaign export")],
    }
}
