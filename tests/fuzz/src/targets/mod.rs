//! Every parser of bytes that come from outside, and what each promises beyond not breaking.

mod config;
mod csv;
mod domain;
mod log_file;
mod records;
mod smpp;
mod smtp;

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// One parser.
pub(crate) struct Target {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Inputs to begin with.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Takes an input; panics where a promise is broken; tells what the input did.
    pub(crate) run: fn(&[u8]) -> u64,
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "smpp-client", seeds: smpp::client_seeds, run: smpp::client },
    Target { name: "smpp-server", seeds: smpp::server_seeds, run: smpp::server },
    Target { name: "receipt", seeds: smpp::receipt_seeds, run: smpp::receipt },
    Target { name: "user-data", seeds: smpp::user_data_seeds, run: smpp::user_data },
    Target { name: "smtp-reply", seeds: smtp::reply_seeds, run: smtp::reply },
    Target { name: "smtp-command", seeds: smtp::command_seeds, run: smtp::command },
    Target { name: "compose", seeds: smtp::compose_seeds, run: smtp::compose },
    Target { name: "csv", seeds: csv::seeds, run: csv::run },
    Target { name: "segment", seeds: domain::segment_seeds, run: domain::segment },
    Target { name: "template", seeds: domain::template_seeds, run: domain::template },
    Target { name: "text", seeds: domain::text_seeds, run: domain::text },
    Target { name: "msisdn", seeds: domain::msisdn_seeds, run: domain::msisdn },
    Target { name: "address", seeds: domain::address_seeds, run: domain::address },
    Target { name: "config", seeds: config::seeds, run: config::run },
    Target { name: "log-file", seeds: log_file::seeds, run: log_file::run },
    Target { name: "records", seeds: records::seeds, run: records::run },
];

/// A number for what happened.
fn told(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Numbers of any size in a few classes, so that not every length is news.
fn class(number: usize) -> u32 {
    number.checked_ilog2().map_or(0, |log| log + 1)
}

/// An error without what it quotes: digits and quoted pieces differ with every input.
fn kind(error: &impl ToString) -> String {
    let text = error.to_string();
    let outside: Vec<_> = text.split('`').step_by(2).collect();
    outside.concat().chars().filter(|c| !c.is_ascii_digit()).take(60).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
