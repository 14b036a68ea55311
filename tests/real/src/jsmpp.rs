//! A message centre on jsmpp (Java): `jsmpp/Smsc.java`.
//!
//! Must stay true: every field of its log is had: time, bind, number, part by header or optional parameters, hash, id.

use std::path::Path;
use std::process::Command;

use loa_harness::Fault;

use crate::server::installed;
use crate::sink::Sink;

/// On a free port.
pub async fn start() -> Result<Sink, Fault> {
    Sink::start("jsmpp", command).await
}

fn command(port: u16, log: &Path, acknowledged: &Path) -> Result<Command, Fault> {
    let classes = installed("jsmpp")?;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-Duser.timezone=Asia/Ho_Chi_Minh", "-cp"]);
    command.arg(format!("{0}:{0}/*", classes.display())).arg("Smsc").arg(port.to_string()).args([log, acknowledged]);
    Ok(command)
}
