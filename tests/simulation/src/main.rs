//! Dispatch, gateway with correlator, and ledger, run as they are in one thread on a machine that is made up.
//!
//! Each seed is a process of its own. In it the clock, waiting and chance are the seed's (`machine.c`), so what happens in it
//! happens again whenever the seed is run: order of tasks, hash tables and ids included. The roles are the product's services
//! themselves, shells included, two processes of each; log, stores, carrier, registry and audience are models in memory.
//!
//! `loa-simulation SEEDS [FIRST]` runs so many; `loa-simulation seed N [log]` runs one alone.
//!
//! Must stay true: a seed that fails is named, with the command that runs it alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod book;
mod campaign;
mod carrier;
mod faults;
mod gate;
mod log;
mod promises;
mod seeds;
mod stores;
mod story;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match words[..] {
        ["inside", seed, ref rest @ ..] => match number(seed) {
            Some(seed) => story::run(seed, rest.first() == Some(&"log")),
            None => usage(),
        },
        ["seed", seed, ref rest @ ..] => match number(seed) {
            Some(seed) => seeds::one(seed, rest.first() == Some(&"log")),
            None => usage(),
        },
        [count] => number(count).map_or_else(usage, |count| seeds::many(1, count)),
        [count, first] => match (number(count), number(first)) {
            (Some(count), Some(first)) => seeds::many(first, count),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("loa-simulation SEEDS [FIRST] | loa-simulation seed N [log]");
    ExitCode::from(2)
}
