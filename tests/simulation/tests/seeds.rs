//! Seeds of the simulation, as many as a test run has time for; `cargo run -p loa-simulation -- SEEDS` runs more.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::{Command, Output};

fn simulation(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loa-simulation")).args(arguments).output().unwrap()
}

#[test]
fn a_thousand_seeds_keep_the_promises() {
    let output = simulation(&["1000"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

#[test]
fn a_seed_happens_again() {
    let [first, again] = [(); 2].map(|()| simulation(&["seed", "77"]));
    assert!(!first.stdout.is_empty());
    assert_eq!(String::from_utf8_lossy(&first.stdout), String::from_utf8_lossy(&again.stdout));
}
