//! The command line: what can be typed. stdout = result, stderr = progress.

pub mod args;
pub mod audience;
pub mod call;
pub mod campaign;
pub mod campaign_file;
pub mod client;
pub mod content;
pub mod json;
pub mod ledger;
pub mod local;
pub mod sim;
pub mod text;

use crate::exit::Failure;
use args::{Cli, Command};

/// Does what was typed.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Dev(dev) => crate::dev::run(&global, dev).await,
        Command::Run(run) => local::run(&global, run).await,
        Command::Check => local::check(&global).await,
        Command::Config { command } => local::config(&global, &command),
        Command::Topics { command } => local::topics(&global, command).await,
        Command::Db { command } => local::db(&global, &command).await,
        Command::Call(args) => call::run(&global, args).await,
        Command::Backup(backup) => crate::backup::run(&global, backup).await,
        Command::Restore(restore) => crate::backup::restore::run(&global, restore).await,
        Command::Sim { command } => sim::run(&global, command).await,
        Command::Audience { command } => audience::run(&global, command).await,
        Command::Suppress { command } => audience::suppress(&global, command).await,
        Command::Template { command } => content::template(&global, command).await,
        Command::Unit { command } => content::unit(&global, command).await,
        Command::Notice { command } => content::notice(&global, command).await,
        Command::Campaign { command } => campaign::run(&global, command).await,
        Command::Send(send) => content::send(&global, send).await,
        Command::Find { address } => ledger::find(&global, &address).await,
        Command::Carrier { command } => ledger::carrier(&global, &command).await,
    }
}
