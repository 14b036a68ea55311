//! A message centre on node-smpp (JavaScript): `node/smsc.js`.
//!
//! Must stay true: every field of its log is had; the hash is of the octets that came, not of what the library made of them.

use std::path::Path;
use std::process::Command;

use loa_harness::Fault;

use crate::server::installed;
use crate::sink::{Sink, ahead, held};

/// On a free port.
pub async fn start() -> Result<Sink, Fault> {
    Sink::start("node-smpp", command).await
}

fn command(port: u16, log: &Path, acknowledged: &Path) -> Result<Command, Fault> {
    let mut command = Command::new("node");
    let folder = log.parent().unwrap_or(log);
    command.env("TZ", "Asia/Ho_Chi_Minh").env("RECEIPTS_HELD", held(folder)).env("CLOCK_AHEAD", ahead(folder));
    command.arg(installed("node")?.join("smsc.js")).arg(port.to_string()).args([log, acknowledged]);
    Ok(command)
}
