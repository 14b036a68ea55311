//! `loa sim …`: the simulators as processes of their own, and what their logs say.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loa_runtime::supervise::signals;
use loa_sim::log::SinkLog;
use loa_sim::mail::{MailConfig, MailWorld};
use loa_sim::people::People;
use loa_sim::smsc::{Receipts, Smsc, SmscConfig};
use serde_json::json;
use tokio::net::TcpListener;

use super::args::{Global, SimCommand};
use super::text::{note, say};
use crate::exit::Failure;

/// `loa sim …`
pub async fn run(global: &Global, command: SimCommand) -> Result<(), Failure> {
    match command {
        SimCommand::Smsc { listen, log, delivered_percent, receipt_delay_ms, rate } => {
            let listener = bind(&listen).await?;
            let delay = Duration::from_millis(u64::from(receipt_delay_ms));
            let config = smsc_config(sink(log.as_deref())?, delivered_percent, delay, rate)?;
            let smsc = Smsc::start(listener, config)?;
            note(format!("SMSC listens on {}", smsc.addr()));
            signals().await;
            smsc.stop().await;
        }
        SimCommand::Mail { listen, log } => {
            let listener = bind(&listen).await?;
            let mail = MailWorld::start(listener, MailConfig { log: sink(log.as_deref())?, ..MailConfig::default() })?;
            note(format!("mail server listens on {}", mail.addr()));
            signals().await;
            mail.stop().await;
        }
        SimCommand::Log { file } => show_log(global, &file)?,
        SimCommand::People { count, bad, seed } => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            People { seed, count, bad_rows: bad }.write(&mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}

async fn bind(listen: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| Failure::Failed(format!("cannot listen on {listen}: {error}")))
}

/// A sink log, or none.
pub fn sink(file: Option<&Path>) -> Result<Arc<SinkLog>, Failure> {
    let Some(path) = file else { return Ok(Arc::new(SinkLog::none())) };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let log = SinkLog::append_to(path).map_err(|error| Failure::Failed(format!("`{}`: {error}", path.display())))?;
    Ok(Arc::new(log))
}

/// The simulated carrier of the given shares and rates.
pub fn smsc_config(
    log: Arc<SinkLog>,
    delivered_percent: u32,
    delay: Duration,
    rate: u32,
) -> Result<SmscConfig, Failure> {
    let undelivered = 100_u32.checked_sub(delivered_percent).and_then(|percent| u16::try_from(percent * 10).ok());
    let undelivered_permille =
        undelivered.ok_or_else(|| Failure::Usage("--delivered-percent takes 0 to 100".to_owned()))?;
    let mut config = SmscConfig { log, ..SmscConfig::default() };
    config.receipts = Receipts { undelivered_permille, delay, ..Receipts::default() };
    config.faults.parts_per_second_max = std::num::NonZeroU32::new(rate);
    Ok(config)
}

fn show_log(global: &Global, file: &Path) -> Result<(), Failure> {
    let summary =
        loa_sim::log::summary(file).map_err(|error| Failure::Failed(format!("`{}`: {error}", file.display())))?;
    if global.json {
        say(json!({
            "total": summary.total, "distinct": summary.distinct, "repeated": summary.repeated,
            "most_per_second": summary.most_per_second, "last_us": summary.last_us,
        })
        .to_string());
    } else {
        say(format!(
            "total {}  distinct {}  repeated {}  most per second {}  last {} µs",
            summary.total, summary.distinct, summary.repeated, summary.most_per_second, summary.last_us
        ));
    }
    Ok(())
}
