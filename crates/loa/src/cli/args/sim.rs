//! What can be typed for simulators.

use std::path::PathBuf;

use clap::Subcommand;

/// `loa sim`
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// An SMSC.
    #[command(after_help = "Example:\n  loa sim smsc --listen 127.0.0.1:2775 --log sms.log")]
    Smsc {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:2775")]
        listen: String,
        /// A line per accepted part.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
        /// Delivered receipts, in percent.
        #[arg(long, default_value_t = 100)]
        delivered_percent: u32,
        /// Receipts after this time, in milliseconds.
        #[arg(long, default_value_t = 0)]
        receipt_delay_ms: u32,
        /// Texts a second before it throttles; 0 = any number.
        #[arg(long, default_value_t = 0)]
        rate: u32,
    },
    /// A mail server.
    #[command(after_help = "Example:\n  loa sim mail --listen 127.0.0.1:2525 --log mail.log")]
    Mail {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:2525")]
        listen: String,
        /// A line per accepted mail.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
    /// What a sink log holds: total, distinct, repeated, most per second, last time.
    Log {
        /// The file.
        file: PathBuf,
    },
    /// A subscriber file of synthetic people.
    #[command(after_help = "Example:\n  loa sim people --count 10000 --bad 300 > people.csv")]
    People {
        /// Good rows.
        #[arg(long, default_value_t = 10_000)]
        count: u64,
        /// Bad rows among them.
        #[arg(long, default_value_t = 300)]
        bad: u64,
        /// Other people for another seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}
