//! What can be typed, with examples in the help.

mod backup;
mod sim;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::call::CallArgs;
use backup::{BACKUP_HELP, RESTORE_HELP};
pub use backup::{BackupArgs, RestoreArgs};
pub use sim::SimCommand;

/// Loa carries public-communication campaigns by SMS and email: each person at most once, and a ledger that adds up.
#[derive(Debug, Parser)]
#[command(
    name = "loa",
    version,
    about,
    after_help = "\
Examples:
  loa dev                                   every role, simulated carriers, demo users, in this process
  loa dev --sample                          the same, and a sample campaign of 10,000 synthetic people
  loa --as author campaign create -f campaign.toml
  loa --as operator find 0912345678

Exit codes: 0 done, 1 failed, 2 usage, 3 not reachable, 4 refused, 5 a ledger does not add up."
)]
pub struct Cli {
    /// For every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// gRPC address of the cluster; default: what the `loa dev` on the same --data listens on.
    #[arg(long, global = true, env = "LOA_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Act as this user; the key is read from DATA/keys.toml, or from LOA_KEY.
    #[arg(long = "as", global = true, value_name = "USER", default_value = "operator")]
    pub user: String,
    /// The key itself, instead of --as.
    #[arg(long = "api-key", global = true, env = "LOA_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// CA (PEM) by which an https server is known.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Language of results for people: vi or en.
    #[arg(long, global = true, default_value = "vi", value_parser = ["vi", "en"])]
    pub lang: String,
    /// Folder of data.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every role, the simulators and demo users in this process.
    #[command(
        after_help = "Examples:\n  loa dev\n  loa dev --fresh --sample --once\n  loa dev --port-base 100        gRPC on 7500, console on 7580, …\n  loa dev --port-base -1         free ports, written to DATA/run.json"
    )]
    Dev(DevArgs),
    /// Some or all roles, as configured.
    #[command(after_help = "Example:\n  loa run --roles sms,email --config /etc/loa/loa.toml")]
    Run(RunArgs),
    /// Check the configuration and what it names; report every fault at once.
    Check,
    /// Show the configuration.
    Config {
        /// What to show.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// The topics of the log.
    Topics {
        /// What to do.
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// The stores.
    Db {
        /// What to do.
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Any call of a server, as the server describes it: JSON in, a line of JSON for each answer.
    #[command(
        after_help = "Examples:\n  loa call --list                                           every service and method\n  loa call --list RegistryService/ListCampaigns             what it takes and answers\n  loa call RegistryService/ListCampaigns '{\"page_size\": 5}'\n  loa --as approver call loa.registry.v1.RegistryService/ApproveCampaign - < request.json\n\nBytes are base64, times RFC 3339, enums names. Exit codes are those of every command."
    )]
    Call(CallArgs),
    /// Copy everything while it runs: for a moment nothing is sent, and nothing is in the air in the copy.
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArgs),
    /// Put a backup back into empty stores; every campaign waits, halted, for a person.
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Simulators of carriers, mail servers and people.
    Sim {
        /// Which.
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Subscriber files, datasets, counts.
    Audience {
        /// What to do.
        #[command(subcommand)]
        command: AudienceCommand,
    },
    /// The suppression list.
    Suppress {
        /// What to do.
        #[command(subcommand)]
        command: SuppressCommand,
    },
    /// Templates.
    Template {
        /// What to do.
        #[command(subcommand)]
        command: TemplateCommand,
    },
    /// Units (organisations).
    Unit {
        /// What to do.
        #[command(subcommand)]
        command: UnitCommand,
    },
    /// Notices: what single sends name.
    Notice {
        /// What to do.
        #[command(subcommand)]
        command: NoticeCommand,
    },
    /// Campaigns.
    Campaign {
        /// What to do.
        #[command(subcommand)]
        command: CampaignCommand,
    },
    /// Send one message under an approved notice.
    #[command(after_help = "Example:\n  loa send --notice 0192… --to 0912345678 --key order-17 --slot gio=08:00")]
    Send(SendArgs),
    /// Every message to one number or mailbox.
    #[command(after_help = "Example:\n  loa find 0912345678")]
    Find {
        /// Number or mailbox.
        address: String,
    },
    /// Carrier accounts and relays.
    Carrier {
        /// What to do.
        #[command(subcommand)]
        command: CarrierCommand,
    },
}

/// `loa dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Empty the data folder first.
    #[arg(long)]
    pub fresh: bool,
    /// Shift every port by this; -1 = free ports, written to DATA/run.json.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub port_base: i32,
    /// Run the sample campaign.
    #[arg(long)]
    pub sample: bool,
    /// End when the sample campaign is done (implied where stdout is no terminal).
    #[arg(long)]
    pub once: bool,
    /// People of the sample campaign.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub people: u64,
    /// Any hour is open; otherwise the sample waits for the legal hours of its class.
    #[arg(long)]
    pub demo_hours: bool,
    /// Sink log of the simulated carrier (default: DATA/sim/sms.log).
    #[arg(long, value_name = "FILE")]
    pub sms_log: Option<PathBuf>,
    /// Sink log of the simulated mail server (default: DATA/sim/mail.log).
    #[arg(long, value_name = "FILE")]
    pub mail_log: Option<PathBuf>,
    /// Do not start simulators: carriers and relays are as configured.
    #[arg(long)]
    pub no_sim: bool,
}

/// `loa run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// all, or some of registry, audience, dispatch, sms, email, report, console.
    #[arg(long, value_delimiter = ',', required = true, value_name = "ROLES")]
    pub roles: Vec<String>,
}

/// `loa config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Effective values and where each came from.
    Show,
}

/// `loa topics`
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Create what is missing; refuse silent changes.
    Apply,
    /// Topics with partitions, retention and records.
    List,
    /// How far each reader is behind.
    Lag,
}

/// `loa db`
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Bring every store to this version.
    Migrate,
}

/// `loa audience`
#[derive(Debug, Subcommand)]
pub enum AudienceCommand {
    /// Import a subscriber file (CSV) as a new version of a dataset.
    #[command(after_help = "Example:\n  loa audience import people.csv --dataset dan-cu --rejects rejects.csv")]
    Import {
        /// The file; `-` = standard input.
        file: PathBuf,
        /// The dataset.
        #[arg(long)]
        dataset: String,
        /// Rows replace or add to the newest version.
        #[arg(long)]
        delta: bool,
        /// The people are synthetic: only simulators take them.
        #[arg(long)]
        synthetic: bool,
        /// Write rejected rows here (default: FILE.rejects.csv if there are any).
        #[arg(long, value_name = "FILE")]
        rejects: Option<PathBuf>,
    },
    /// Datasets.
    List,
    /// Count a segment.
    #[command(
        after_help = "Example:\n  loa audience count --dataset dan-cu --where 'commune in district(\"Ba Tri\") and has mobile'"
    )]
    Count {
        /// The dataset.
        #[arg(long)]
        dataset: String,
        /// The rule.
        #[arg(long = "where", default_value = "")]
        rule: String,
    },
}

/// `loa suppress`
#[derive(Debug, Subcommand)]
pub enum SuppressCommand {
    /// Add a number or mailbox; two seconds after the answer nothing of the scope is handed over to it.
    Add(SuppressArgs),
    /// Remove it again.
    Remove(SuppressArgs),
    /// Entries, newest first.
    List,
}

/// A suppression entry.
#[derive(Debug, Args)]
pub struct SuppressArgs {
    /// Number or mailbox.
    pub address: String,
    /// Only messages of this unit.
    #[arg(long, default_value = "")]
    pub unit: String,
    /// Only messages of this class.
    #[arg(long, default_value = "")]
    pub class: String,
    /// Only messages of this topic.
    #[arg(long, default_value = "")]
    pub topic: String,
}

/// `loa template`
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Add a version of a template.
    #[command(
        after_help = "Examples:\n  loa --as author template put moi-hop --sms 'Moi {ten} du hop luc {gio}'\n  loa --as author template put thu-moi --subject 'Thư mời' --text-file a.txt --html-file a.html"
    )]
    Put {
        /// Its name.
        name: String,
        /// Text of an SMS.
        #[arg(long, conflicts_with_all = ["subject", "text_file", "html_file"])]
        sms: Option<String>,
        /// as_is, strip or auto.
        #[arg(long, default_value = "as_is")]
        diacritics: String,
        /// Subject of a mail.
        #[arg(long)]
        subject: Option<String>,
        /// Plain text of a mail.
        #[arg(long, value_name = "FILE")]
        text_file: Option<PathBuf>,
        /// HTML of a mail.
        #[arg(long, value_name = "FILE")]
        html_file: Option<PathBuf>,
    },
    /// Templates.
    List,
    /// How a text will look: coding, parts, with and without diacritics.
    #[command(after_help = "Example:\n  loa template preview --sms 'Chào {ten}' --slot ten=Lan")]
    Preview {
        /// Text of an SMS.
        #[arg(long)]
        sms: String,
        /// as_is, strip or auto.
        #[arg(long, default_value = "as_is")]
        diacritics: String,
        /// Values of slots, name=value.
        #[arg(long = "slot", value_name = "NAME=VALUE")]
        slots: Vec<String>,
    },
}

/// `loa unit`
#[derive(Debug, Subcommand)]
pub enum UnitCommand {
    /// Units valid now.
    List,
    /// Add or replace a unit.
    Put {
        /// Its code, e.g. ubnd-ba-tri.
        code: String,
        /// Its name.
        #[arg(long)]
        name: String,
        /// ubnd_tinh, so, ubnd_huyen, ubnd_xa, telecom, press, station, other.
        #[arg(long, default_value = "other")]
        kind: String,
        /// Code of the unit above.
        #[arg(long, default_value = "")]
        parent: String,
        /// Valid from this time (RFC 3339); default: the unit's first day here, 2020-01-01.
        #[arg(long, default_value = "2020-01-01T00:00:00+07:00")]
        from: String,
    },
    /// Units of a CSV file: code,name,kind,parent.
    Import {
        /// The file.
        file: PathBuf,
    },
}

/// `loa notice`
#[derive(Debug, Subcommand)]
pub enum NoticeCommand {
    /// Propose a notice; another user approves it.
    Create {
        /// Its title.
        #[arg(long)]
        title: String,
        /// Template it sends.
        #[arg(long)]
        template: String,
        /// Version of the template; 0 = newest.
        #[arg(long, default_value_t = 0)]
        template_version: u32,
        /// Message class.
        #[arg(long, default_value = "personal")]
        class: String,
        /// urgent, normal or bulk.
        #[arg(long, default_value = "urgent")]
        lane: String,
        /// Brand name, short number or mailbox.
        #[arg(long)]
        sender: String,
        /// Unit in whose name it is sent.
        #[arg(long)]
        unit: String,
        /// Messages a day, at most.
        #[arg(long, default_value_t = 10_000)]
        daily_ceiling: u32,
        /// Idempotency key (default: drawn).
        #[arg(long = "key")]
        key_id: Option<String>,
    },
    /// Approve it (not as its author).
    Approve {
        /// The notice.
        id: String,
    },
    /// Stop its sends.
    Stop {
        /// The notice.
        id: String,
    },
    /// Let its sends go on.
    Allow {
        /// The notice.
        id: String,
    },
    /// Notices.
    List,
}

/// `loa send`
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The approved notice.
    #[arg(long)]
    pub notice: String,
    /// Number or mailbox.
    #[arg(long)]
    pub to: String,
    /// Idempotency key: the same key and body is the same message.
    #[arg(long = "key")]
    pub key_id: String,
    /// Values of slots, name=value.
    #[arg(long = "slot", value_name = "NAME=VALUE")]
    pub slots: Vec<String>,
}

/// `loa campaign`
#[derive(Debug, Subcommand)]
pub enum CampaignCommand {
    /// Create a draft from a file.
    #[command(after_help = "Example:\n  loa --as author campaign create -f campaign.toml")]
    Create {
        /// TOML file; `loa campaign example` prints one.
        #[arg(short, long)]
        file: PathBuf,
        /// Idempotency key (default: drawn).
        #[arg(long = "key")]
        key_id: Option<String>,
    },
    /// Print a commented campaign file.
    Example,
    /// Replace a campaign's content; it returns to draft.
    Update {
        /// The campaign.
        id: String,
        /// TOML file.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// One campaign.
    Show {
        /// The campaign.
        id: String,
    },
    /// Campaigns, newest first.
    List,
    /// The texts as a person gets them.
    #[command(after_help = "Example:\n  loa campaign preview ID --slot ten=Lan")]
    Preview {
        /// The campaign.
        id: String,
        /// Values of slots, name=value.
        #[arg(long = "slot", value_name = "NAME=VALUE")]
        slots: Vec<String>,
    },
    /// Freeze the recipients and ask for approval; waits until it is frozen.
    Submit {
        /// The campaign.
        id: String,
    },
    /// Approve what was frozen (not as its author).
    Approve {
        /// The campaign.
        id: String,
    },
    /// Send it back with a reason.
    Reject {
        /// The campaign.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Start it at a time.
    Schedule {
        /// The campaign.
        id: String,
        /// RFC 3339, e.g. 2026-11-25T08:00:00+07:00.
        #[arg(long)]
        at: String,
    },
    /// Start it now.
    Start {
        /// The campaign.
        id: String,
    },
    /// Stop it; two seconds after the answer nothing is handed over.
    Pause {
        /// The campaign.
        id: String,
    },
    /// Send exactly the rest.
    Resume {
        /// The campaign.
        id: String,
    },
    /// Stop it for good.
    Cancel {
        /// The campaign.
        id: String,
    },
    /// Live progress until it is done.
    Watch {
        /// The campaign.
        id: String,
    },
    /// Where every recipient stands; exit 5 if it does not add up.
    Ledger {
        /// The campaign.
        id: String,
    },
    /// One line per recipient as CSV.
    Export {
        /// The campaign.
        id: String,
        /// File; default standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Who did what.
    Audit {
        /// The campaign.
        id: String,
    },
}

/// `loa carrier`
#[derive(Debug, Subcommand)]
pub enum CarrierCommand {
    /// Accounts, binds, relays, connections.
    Status,
}
