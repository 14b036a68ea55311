//! The binary: reads the command line, does it, exits with a code that scripts can rely on.

use std::process::ExitCode;

use clap::Parser as _;
use loa::cli;
use loa::cli::text::note;

/// Millions of small pieces are allocated by one thread and freed by another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let typed = cli::args::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(format!("the runtime could not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(typed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(failure.to_string());
            failure.code()
        }
    }
}
