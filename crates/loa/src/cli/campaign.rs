//! `loa campaign …`: from draft to ledger.

use std::collections::HashMap;
use std::time::Duration;

use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use loa_ports::clock::{Clock as _, SystemClock};
use serde_json::json;
use tonic::Status;

use super::args::{CampaignCommand, Global};
use super::client::{Client, pairs};
use super::text::{Lang, note, say};
use super::{campaign_file, json, text};
use crate::exit::Failure;

/// How often a command asks whether a freeze is done.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Does what was typed.
pub async fn run(global: &Global, command: CampaignCommand) -> Result<(), Failure> {
    if let CampaignCommand::Example = command {
        say(campaign_file::EXAMPLE.trim_end());
        return Ok(());
    }
    let client = Client::new(global)?;
    let mut registry = client.registry();
    let campaign = match command {
        CampaignCommand::Example => None,
        CampaignCommand::Create { file, key_id } => {
            let campaign = read_file(&file)?;
            let idempotency_key = key_id.unwrap_or_else(draw_key);
            let request = registry::CreateCampaignRequest { campaign: Some(campaign), idempotency_key };
            registry.create_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Update { id, file } => {
            let now = get(&client, &id).await?;
            let campaign = registry::Campaign { id, version: now.version, ..read_file(&file)? };
            registry
                .update_campaign(registry::UpdateCampaignRequest { campaign: Some(campaign) })
                .await?
                .into_inner()
                .campaign
        }
        CampaignCommand::Show { id } => Some(get(&client, &id).await?),
        CampaignCommand::List => return list(global, &client).await,
        CampaignCommand::Preview { id, slots } => return preview(global, &client, &id, pairs(&slots)?).await,
        CampaignCommand::Submit { id } => Some(submit(&client, &id).await?),
        CampaignCommand::Approve { id } => Some(approve(&client, &id).await?),
        CampaignCommand::Reject { id, reason } => {
            registry.reject_campaign(registry::RejectCampaignRequest { id, reason }).await?.into_inner().campaign
        }
        CampaignCommand::Schedule { id, at } => {
            let at = Some(campaign_file::rfc3339(&at).map_err(Failure::Usage)?);
            registry.schedule_campaign(registry::ScheduleCampaignRequest { id, at }).await?.into_inner().campaign
        }
        CampaignCommand::Start { id } => {
            registry.start_campaign(registry::StartCampaignRequest { id }).await?.into_inner().campaign
        }
        CampaignCommand::Pause { id } => {
            registry.pause_campaign(registry::PauseCampaignRequest { id }).await?.into_inner().campaign
        }
        CampaignCommand::Resume { id } => {
            registry.resume_campaign(registry::ResumeCampaignRequest { id }).await?.into_inner().campaign
        }
        CampaignCommand::Cancel { id } => {
            registry.cancel_campaign(registry::CancelCampaignRequest { id }).await?.into_inner().campaign
        }
        CampaignCommand::Watch { id } => return watch(global, &client, &id).await.map(drop),
        CampaignCommand::Ledger { id } => return ledger(global, &client, &id).await,
        CampaignCommand::Export { id, output } => return super::ledger::export(&client, &id, output.as_deref()).await,
        CampaignCommand::Audit { id } => return audit(global, &client, &id).await,
    };
    let campaign = campaign.ok_or_else(|| Failure::Failed("the server answered without a campaign".to_owned()))?;
    show(global, &campaign);
    Ok(())
}

fn draw_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn read_file(file: &std::path::Path) -> Result<registry::Campaign, Failure> {
    let text =
        std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("`{}`: {error}", file.display())))?;
    let parsed = campaign_file::parse(&text, SystemClock::new().now_us());
    parsed.map_err(|error| Failure::Usage(format!("`{}`: {error}", file.display())))
}

/// One campaign.
pub async fn get(client: &Client, id: &str) -> Result<registry::Campaign, Failure> {
    let answer = client.registry().get_campaign(registry::GetCampaignRequest { id: id.to_owned() }).await?;
    answer.into_inner().campaign.ok_or_else(|| Failure::Failed("the server answered without a campaign".to_owned()))
}

/// Submits and waits until the recipients are frozen.
pub async fn submit(client: &Client, id: &str) -> Result<registry::Campaign, Failure> {
    client.registry().submit_campaign(registry::SubmitCampaignRequest { id: id.to_owned() }).await?;
    loop {
        let campaign = get(client, id).await?;
        match campaign.state.as_str() {
            "freezing" => tokio::time::sleep(ASK_EVERY).await,
            "draft" => {
                let why = format!("the recipients could not be frozen: {}", campaign.freeze_error);
                return Err(Status::failed_precondition(why).into());
            }
            _ => return Ok(campaign),
        }
    }
}

/// Approves exactly what is frozen now.
pub async fn approve(client: &Client, id: &str) -> Result<registry::Campaign, Failure> {
    let manifest_hash = get(client, id).await?.manifest_hash;
    let request = registry::ApproveCampaignRequest { id: id.to_owned(), manifest_hash };
    let answer = client.registry().approve_campaign(request).await?.into_inner().campaign;
    answer.ok_or_else(|| Failure::Failed("the server answered without a campaign".to_owned()))
}

fn show(global: &Global, campaign: &registry::Campaign) {
    if global.json {
        return say(json::campaign(campaign).to_string());
    }
    let lang = Lang::of(global);
    say(format!("{}  {}  ({})", campaign.id, campaign.title, campaign.state));
    if !campaign.freeze_error.is_empty() {
        say(format!("  ! {}", campaign.freeze_error));
    }
    if !campaign.halt_reason.is_empty() {
        say(format!("  ! {}", campaign.halt_reason));
    }
    let Some(freeze) = &campaign.freeze else { return };
    say(format!("  {}: {}", lang.pick("được chọn", "selected"), lang.number(freeze.selected)));
    for (variant, one) in campaign.variants.iter().zip(&freeze.variants) {
        let (frozen, parts) = (lang.number(one.frozen), lang.number(one.parts));
        say(format!(
            "  {}: {frozen} {}, {parts} {}",
            json::channel(variant.channel),
            lang.pick("người nhận", "recipients"),
            lang.pick("phần", "parts")
        ));
        let mut excluded: Vec<_> = one.excluded.iter().collect();
        excluded.sort_unstable();
        for (reason, count) in excluded {
            say(format!("    - {reason}: {}", lang.number(*count)));
        }
    }
}

async fn list(global: &Global, client: &Client) -> Result<(), Failure> {
    let mut token = String::new();
    let mut all = Vec::new();
    loop {
        let request = registry::ListCampaignsRequest { page_size: 0, page_token: token };
        let answer = client.registry().list_campaigns(request).await?.into_inner();
        for campaign in answer.campaigns {
            match global.json {
                true => all.push(json::campaign(&campaign)),
                false => say(format!("{}  {:<10} {}", campaign.id, campaign.state, campaign.title)),
            }
        }
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    if global.json {
        say(json!(all).to_string());
    }
    Ok(())
}

async fn preview(global: &Global, client: &Client, id: &str, slots: HashMap<String, String>) -> Result<(), Failure> {
    for variant in get(client, id).await?.variants {
        let request =
            registry::PreviewContentRequest { content: None, content_hash: variant.content_hash, slots: slots.clone() };
        let answer = client.registry().preview_content(request).await?.into_inner();
        super::content::show_preview(global, &answer);
    }
    Ok(())
}

/// Live progress until the campaign is over; the last ledger.
pub async fn watch(global: &Global, client: &Client, id: &str) -> Result<report::CampaignLedger, Failure> {
    let lang = Lang::of(global);
    let request = report::WatchLedgerRequest { campaign_id: id.to_owned() };
    let mut stream = client.report().watch_ledger(request).await?.into_inner();
    let bar = indicatif::ProgressBar::new(0);
    let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    let mut last = None;
    while let Some(answer) = stream.message().await? {
        let Some(ledger) = answer.ledger else { continue };
        let (frozen, open) =
            ledger.variants.iter().fold((0, 0), |(frozen, open), one| (frozen + one.frozen, open + one.open));
        bar.set_length(frozen);
        bar.set_position(frozen.saturating_sub(open));
        let delivered: u64 = ledger.variants.iter().map(|one| one.delivered).sum();
        bar.set_message(format!("{} {}", lang.number(delivered), lang.pick("đã đến", "delivered")));
        last = Some(ledger);
    }
    bar.finish_and_clear();
    let last = last.ok_or_else(|| Failure::Failed("the server told no ledger".to_owned()))?;
    print_ledger(global, &last);
    Ok(last)
}

fn print_ledger(global: &Global, ledger: &report::CampaignLedger) {
    match global.json {
        true => say(json::ledger(ledger).to_string()),
        false => say(text::ledger(Lang::of(global), ledger).trim_end()),
    }
}

async fn ledger(global: &Global, client: &Client, id: &str) -> Result<(), Failure> {
    let answer =
        client.report().get_ledger(report::GetLedgerRequest { campaign_id: id.to_owned() }).await?.into_inner();
    let ledger = answer.ledger.ok_or_else(|| Failure::Failed("the server answered without a ledger".to_owned()))?;
    print_ledger(global, &ledger);
    if text::adds_up(&ledger) {
        return Ok(());
    }
    if !ledger.complete {
        note("the ledger does not know all chunks yet; ask again in a second");
    }
    Err(Failure::Ledger(format!("the ledger of {id} does not add up")))
}

async fn audit(global: &Global, client: &Client, id: &str) -> Result<(), Failure> {
    let mut token = String::new();
    loop {
        let request = registry::ListAuditRequest { object_id: id.to_owned(), page_size: 0, page_token: token };
        let answer = client.registry().list_audit(request).await?.into_inner();
        for entry in answer.entries {
            let at = json::time(entry.at.as_ref());
            match global.json {
                true => say(json!({"number": entry.number, "at": at, "user": entry.user, "action": entry.action, "detail": entry.detail}).to_string()),
                false => say(format!("{}  {:<10} {:<16} {}", at.as_str().unwrap_or(""), entry.user, entry.action, entry.detail)),
            }
        }
        token = answer.next_page_token;
        if token.is_empty() {
            return Ok(());
        }
    }
}
