//! What `make bench` and `make soak` run.
//!
//! `bench [NAME]` measures and writes target/bench/NAME.json; `soak [SEED]` kills Loa again and again under load and
//! compares its ledger with what the sinks saw; `soak-real [SEED]` does that on Apache Kafka, PostgreSQL and Redis, which
//! are killed too.
//!
//! Must stay true: a figure comes from a run that ended with equal books; sinks are counted apart from Loa.

mod figures;
mod soak;
mod spine;

use std::process::ExitCode;

use loa_harness::Fault;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome: Result<(), Fault> = match words.as_slice() {
        ["bench"] | ["bench", "spine"] => spine::run().await,
        ["soak", seed @ ..] => match seed_of(seed) {
            Ok(seed) => soak::run(seed).await,
            Err(fault) => Err(fault),
        },
        ["soak-real", seed @ ..] => match seed_of(seed) {
            Ok(seed) => soak::run_real(seed).await,
            Err(fault) => Err(fault),
        },
        _ => Err("use: bench [spine] | soak [SEED] | soak-real [SEED]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            loa_harness::say(format!("failed: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn seed_of(words: &[&str]) -> Result<Option<u64>, Fault> {
    match words {
        [] => Ok(None),
        [seed] => Ok(Some(seed.parse().map_err(|_| format!("`{seed}` is not a seed: a whole number"))?)),
        _ => Err("one seed is enough".into()),
    }
}
