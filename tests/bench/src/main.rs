//! What `make bench` and `make soak` run.
//!
//! `bench [NAME] [PARTS]` measures and writes target/bench/NAME.json, with servers of others NAME-real.json: `spine`, `urgent` or
//! `million`, all without a NAME; on `embedded` or `real` parts, both without; `KEY=VALUE` sets a key of Loa's configuration,
//! such as `report.flush_ms=60000`. `soak [SEED]` kills Loa again and again under
//! load and compares its ledger with what the sinks saw; `soak-real [SEED]` does that on Apache Kafka, PostgreSQL and Redis,
//! which are killed too; `millions` sends to ten million people.
//!
//! Must stay true: a figure comes from a run that ended with equal books; sinks are counted apart from Loa.

mod figures;
mod meter;
mod soak;
mod spine;
mod urgent;
mod world;

use std::process::ExitCode;

use loa_harness::Fault;

use crate::world::{On, Servers};

const USE: &str =
    "use: bench [spine|urgent|million] [embedded|real] [KEY=VALUE ...] | soak [SEED] | soak-real [SEED] | millions";
const MILLION: u64 = 1_000_000;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome: Result<(), Fault> = match words.as_slice() {
        ["bench", rest @ ..] => bench(rest).await,
        ["soak", seed @ ..] => match seed_of(seed) {
            Ok(seed) => soak::run(seed).await,
            Err(fault) => Err(fault),
        },
        ["soak-real", seed @ ..] => match seed_of(seed) {
            Ok(seed) => soak::run_real(seed).await,
            Err(fault) => Err(fault),
        },
        ["millions"] => spine::many(On::Embedded, &Servers::default(), 10 * MILLION).await,
        _ => Err(USE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            loa_harness::say(format!("failed: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// The benches that were asked for, on the parts that were asked for.
async fn bench(words: &[&str]) -> Result<(), Fault> {
    let (mut names, mut parts) = (vec!["spine", "urgent", "million"], vec![On::Embedded, On::Real]);
    let mut settings = Vec::new();
    for word in words {
        match *word {
            "embedded" => parts = vec![On::Embedded],
            "real" => parts = vec![On::Real],
            setting if setting.contains('=') => settings.push(setting),
            name if names.contains(&name) => names = vec![name],
            _ => return Err(USE.into()),
        }
    }
    let servers = Servers::with(&settings);
    for name in names {
        for &on in &parts {
            match name {
                "spine" => spine::run(on, &servers).await?,
                "urgent" => urgent::run(on, &servers).await?,
                _ => spine::many(on, &servers, MILLION).await?,
            }
        }
    }
    Ok(())
}

fn seed_of(words: &[&str]) -> Result<Option<u64>, Fault> {
    match words {
        [] => Ok(None),
        [seed] => Ok(Some(seed.parse().map_err(|_| format!("`{seed}` is not a seed: a whole number"))?)),
        _ => Err("one seed is enough".into()),
    }
}
