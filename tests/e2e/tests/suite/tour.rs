//! The tour of the README, typed as it stands there; ports are free ones, so that it runs beside others.
//! On the binary alone: that is what a reader starts.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use loa_harness::process::binary;
use loa_harness::turns::beside_others;
use loa_harness::{Fault, TestResult, fault};
use tokio::process::Command;

const README: &str = include_str!("../../../../README.md");
const LIMIT: Duration = Duration::from_secs(180);

/// What stands before the tour: `loa dev` takes free ports, and every other command waits until a server answers.
const BEFORE: &str = r#"
set -eu -o pipefail
set -m
trap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT
"#;

/// A `loa` that is the real one but for its ports.
fn wrapper(real: &Path) -> String {
    format!(
        r#"#!/bin/bash
real='{real}'
if [ "$1" = dev ]; then shift; rm -f loa-data/run.json; exec "$real" dev --port-base -1 "$@"; fi
if [ "$1" != sim ]; then
  for _ in $(seq 300); do
    if [ -e loa-data/run.json ] && "$real" --as viewer carrier status >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
fi
exec "$real" "$@"
"#,
        real = real.display()
    )
}

fn blocks() -> Vec<&'static str> {
    README.split("```sh tour\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_works_as_it_is_written() -> TestResult {
    let _turn = beside_others().await;
    let folder = tempfile::tempdir()?;
    let programs = folder.path().join("programs");
    std::fs::create_dir_all(&programs)?;
    let program = programs.join("loa");
    std::fs::write(&program, wrapper(&binary()?))?;
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let blocks = blocks();
    assert!(blocks.len() >= 7, "the README has only {} blocks of its tour", blocks.len());
    let script = blocks.iter().map(|block| format!("{block}\n")).collect::<String>();
    let said = run(folder.path(), &programs, &format!("{BEFORE}{script}")).await?;

    for part in ["refused with exit code 4", "SUPPRESSED"] {
        assert!(said.contains(part), "the tour did not say `{part}`:\n{said}");
    }
    let rejects = std::fs::read_to_string(folder.path().join("rejects.csv"))?;
    assert_eq!(rejects.lines().next(), Some("line,column,reason,cure,row"));
    Ok(())
}

async fn run(folder: &Path, programs: &Path, script: &str) -> Result<String, Fault> {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let output = folder.join("said");
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    let file = std::fs::File::create(&output)?;
    command.stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, command.status()).await;
    let said = std::fs::read_to_string(&output)?;
    match ended {
        Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(said),
        Ok(status) => Err(fault(format!("the tour ended with {status:?}:\n{said}"))),
        Err(_) => Err(fault(format!("the tour did not end within {LIMIT:?}:\n{said}"))),
    }
}
