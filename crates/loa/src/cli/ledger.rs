//! `loa find`, `loa campaign export`, `loa carrier status`.

use std::path::Path;

use loa_contract::pb::{email, report, sms};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::args::{CarrierCommand, Global};
use super::client::Client;
use super::json;
use super::text::{Lang, note, say};
use crate::exit::Failure;

/// `loa find`
pub async fn find(global: &Global, address: &str) -> Result<(), Failure> {
    let request = report::v1::FindRequest { address: address.to_owned() };
    let found = Client::new(global)?.report().find(request).await?.into_inner().found;
    if global.json {
        say(json!(found.iter().map(json::found).collect::<Vec<_>>()).to_string());
        return Ok(());
    }
    if found.is_empty() {
        say(Lang::of(global).pick("không có tin nào", "no message"));
    }
    for one in &found {
        let at = json::time(one.final_at.as_ref().or(one.submitted_at.as_ref()));
        let at = at.as_str().unwrap_or("").to_owned();
        say(format!(
            "{:<12} {:<20} {:<6} {:<12} {}  {}",
            one.state,
            one.reason,
            json::channel(one.channel),
            one.account,
            at,
            one.campaign_title
        ));
    }
    Ok(())
}

/// `loa campaign export`
pub async fn export(client: &Client, id: &str, output: Option<&Path>) -> Result<(), Failure> {
    let request = report::v1::ExportLedgerRequest { campaign_id: id.to_owned() };
    let mut stream = client.report().export_ledger(request).await?.into_inner();
    let mut out: Box<dyn tokio::io::AsyncWrite + Send + Unpin> = match output {
        Some(path) => Box::new(tokio::fs::File::create(path).await?),
        None => Box::new(tokio::io::stdout()),
    };
    let mut bytes = 0;
    while let Some(block) = stream.message().await? {
        bytes += block.data.len();
        out.write_all(&block.data).await?;
    }
    out.flush().await?;
    if let Some(path) = output {
        note(format!("{bytes} bytes in {}", path.display()));
    }
    Ok(())
}

/// `loa carrier …`
pub async fn carrier(global: &Global, command: &CarrierCommand) -> Result<(), Failure> {
    let CarrierCommand::Status = command;
    let client = Client::new(global)?;
    let accounts = client.sms().get_status(sms::v1::GetStatusRequest {}).await?.into_inner().accounts;
    let relays = client.email().get_status(email::v1::GetStatusRequest {}).await?.into_inner().relays;
    for account in &accounts {
        if global.json {
            let binds = account.binds.iter().map(|bind| json!({"slot": bind.slot, "state": bind.state, "last_error": bind.last_error, "in_flight": bind.in_flight}));
            say(json!({
                "account": account.account, "address": account.address, "rate": account.rate, "rate_max": account.rate_max,
                "simulator": account.simulator, "submitted": account.submitted, "receipts": account.receipts,
                "unmatched_receipts": account.unmatched_receipts, "throttled": account.throttled, "binds": binds.collect::<Vec<_>>(),
            })
            .to_string());
            continue;
        }
        say(format!(
            "{:<16} {:<22} {:>8.0}/s  {} submitted, {} receipts, {} unmatched, {} throttled",
            account.account,
            account.address,
            account.rate,
            account.submitted,
            account.receipts,
            account.unmatched_receipts,
            account.throttled
        ));
        for bind in &account.binds {
            say(format!("  bind {}: {} ({} in flight) {}", bind.slot, bind.state, bind.in_flight, bind.last_error));
        }
    }
    for relay in &relays {
        match global.json {
            true => say(json!({
                "relay": relay.account, "address": relay.address, "connections": relay.connections, "last_error": relay.last_error,
                "delivered": relay.delivered, "refused": relay.refused, "in_doubt": relay.in_doubt,
            })
            .to_string()),
            false => say(format!(
                "{:<16} {:<22} {} connections  {} delivered, {} refused, {} in doubt {}",
                relay.account, relay.address, relay.connections, relay.delivered, relay.refused, relay.in_doubt, relay.last_error
            )),
        }
    }
    Ok(())
}
