//! The ledger of a campaign as CSV: one line per recipient, UTF-8 with BOM so that Excel reads it.
//!
//! Must stay true: a cell that begins like a formula is never written raw.

use std::collections::HashMap;
use std::sync::Arc;

use loa_contract::convert;
use loa_contract::pb::report::v1 as report;
use loa_domain::channel::Channel;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, MessageId};
use loa_ports::store::report::{ChunkHit, ReportStore};
use loa_runtime::control::ControlView;
use loa_runtime::rpc::store_status;
use tokio::sync::mpsc;
use tonic::Status;

use crate::chunk::{ChunkLedger, Entry};
use crate::chunks::{Chunks, Wanted};
use crate::ledger::timestamp;

/// Chunks of one answer.
const CHUNKS_MAX: u32 = 20;
const HEADER: &str =
    "\u{feff}message_id,channel,address,state,reason,account,parts,parts_delivered,submitted_at,final_at\r\n";

pub(crate) struct Export {
    pub(crate) store: Arc<dyn ReportStore>,
    pub(crate) view: ControlView,
    pub(crate) chunks: Arc<dyn Chunks>,
    pub(crate) campaign: CampaignId,
    pub(crate) sender: mpsc::Sender<Result<report::ExportLedgerResponse, Status>>,
}

impl Export {
    pub(crate) async fn run(self) {
        if let Err(status) = self.write().await {
            // A reader that went away needs no answer.
            self.sender.send(Err(status)).await.unwrap_or_default();
        }
    }

    async fn write(&self) -> Result<(), Status> {
        let mut text = HEADER.to_owned();
        let mut after: Option<ChunkKey> = None;
        loop {
            let hits =
                self.store.chunks(self.campaign, after, CHUNKS_MAX).await.map_err(|error| store_status(&error))?;
            let Some(last) = hits.last() else { break };
            after = Some(last.facts.key);
            let addresses = self.addresses(&hits).await?;
            for hit in hits {
                let of_chunk = addresses.get(&hit.facts.key);
                let chunk = ChunkLedger::from_blob(hit.facts, &hit.blob)
                    .map_err(|error| Status::internal(error.to_string()))?;
                lines(&chunk, of_chunk, &mut text);
            }
            let data = std::mem::take(&mut text).into_bytes();
            if self.sender.send(Ok(report::ExportLedgerResponse { data })).await.is_err() {
                return Ok(());
            }
        }
        if !text.is_empty() {
            self.sender.send(Ok(report::ExportLedgerResponse { data: text.into_bytes() })).await.unwrap_or_default();
        }
        Ok(())
    }

    /// Addresses of frozen chunks, from audience; single sends have none left to tell.
    async fn addresses(&self, hits: &[ChunkHit]) -> Result<HashMap<ChunkKey, Vec<String>>, Status> {
        let mut addresses = HashMap::new();
        let control = self.view.campaign(self.campaign);
        let Some(freeze) =
            control.filter(|control| !control.notice).and_then(|control| FreezeId::from_bytes(&control.freeze_id).ok())
        else {
            return Ok(addresses);
        };
        for hit in hits {
            let channel = Channel::from_code(i32::from(hit.facts.channel)).unwrap_or(Channel::Sms);
            let key = hit.facts.key;
            let wanted = Wanted { campaign: self.campaign, freeze, variant: key.variant, channel, shard: None };
            for chunk in self.chunks.whole(wanted, key.chunk, 1).await? {
                let key =
                    convert::chunk_key(chunk.key.as_ref()).map_err(|error| Status::internal(error.to_string()))?;
                let texts = if chunk.mailboxes.is_empty() {
                    chunk.msisdns.iter().map(|number| format!("+{number}")).collect()
                } else {
                    chunk.mailboxes
                };
                addresses.insert(key, texts);
            }
        }
        Ok(addresses)
    }
}

fn lines(chunk: &ChunkLedger, addresses: Option<&Vec<String>>, out: &mut String) {
    let channel = Channel::from_code(i32::from(chunk.facts.channel)).map_or("", Channel::name);
    for (at, entry) in chunk.entries().iter().enumerate() {
        let Ok(index) = u16::try_from(at) else { return };
        let id = MessageId { chunk: chunk.facts.key, index };
        let address = addresses.and_then(|all| all.get(at)).map(String::as_str).unwrap_or_default();
        out.push_str(&line(&id, channel, address, entry, &chunk.facts.account));
    }
}

fn line(id: &MessageId, channel: &str, address: &str, entry: &Entry, account: &str) -> String {
    let time = |us: i64| if us > 0 { timestamp(us).to_string() } else { String::new() };
    format!(
        "{id},{channel},{},{},{},{},{},{},{},{}\r\n",
        cell(address),
        entry.known.state,
        entry.reason,
        cell(account),
        entry.parts,
        entry.parts_delivered.count_ones(),
        time(entry.submitted_at_us),
        time(entry.final_at_us)
    )
}

/// A cell as text: quoted, and never a formula.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell("+84912345678"), "\"'+84912345678\"");
        assert_eq!(cell("a\"b"), "\"a\"\"b\"");
    }
}
