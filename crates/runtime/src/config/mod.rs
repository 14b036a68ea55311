//! Configuration: raw at the border, checked inside; every fault reported at once with its key, cure and origin.
//!
//! Layers: embedded `deploy/loa.default.toml` < overlay of `loa dev` < the operator's file < `LOA__SECTION__KEY` <
//! the command line.
//!
//! Must stay true: this module alone reads the environment; a [`Config`] that exists is legal, alone and together.

mod accounts;
mod backing;
mod layers;
mod objects;
mod section;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use accounts::{EmailConfig, EmailRelay, SmsAccount, SmsConfig};
pub use backing::{KafkaLog, KafkaSasl, KafkaTls, LogConfig, StoreConfig};
pub use layers::{LayerError, Layers, Origin};
pub use objects::ObjectsConfig;
pub use section::{Fault, Section};

use loa_ports::carrier::Secret;

use crate::role::Role;
use crate::rpc::Right;

/// The embedded default file; also the reference of every key.
pub const DEFAULT: &str = include_str!("../../../../deploy/loa.default.toml");
/// What `loa dev` lays over it: simulated carriers and a simulated mail world.
pub const DEV: &str = include_str!("../../../../deploy/loa.dev.toml");

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub node: NodeConfig,
    /// The gRPC server.
    pub grpc: GrpcConfig,
    /// Where probes listen.
    pub probes_listen: SocketAddr,
    /// Where the console listens.
    pub console_listen: SocketAddr,
    /// Remote roles by URL.
    pub endpoints: HashMap<Role, String>,
    /// The log.
    pub log: LogConfig,
    /// The stores.
    pub store: StoreConfig,
    /// URL of Redis, which counts account buckets over all nodes; absent = this process counts its own.
    pub redis: Option<Secret>,
    /// The object store of dataset versions and freezes; absent = they are kept in a folder.
    pub objects: Option<ObjectsConfig>,
    /// Subscriber files.
    pub audience: AudienceConfig,
    /// Users.
    pub users: Vec<UserConfig>,
    /// Dispatch.
    pub dispatch: DispatchConfig,
    /// Carrier accounts.
    pub sms: SmsConfig,
    /// Mail relays.
    pub email: EmailConfig,
    /// The ledger.
    pub report: ReportConfig,
    /// Logs and spans.
    pub telemetry: TelemetryConfig,
    /// Simulators of `loa dev`.
    pub sim: SimConfig,
}

/// `[node]`
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Unique among the processes that share stores.
    pub name: String,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The installation's hash key; absent = `<data>/hash.key`, made at first start.
    pub hash_key: Option<PathBuf>,
    /// How long stopping may take.
    pub grace: Duration,
}

/// `[grpc]`
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// TLS files.
    pub tls: Option<TlsFiles>,
    /// The key by which roles call each other; absent = one that this process alone knows.
    pub system_key: Option<Secret>,
}

/// Files of a TLS server.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM certificate chain.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// PEM of the CAs that clients must present a certificate of; absent = clients need none.
    pub client_ca: Option<PathBuf>,
    /// PEM of the CA by which this process knows the other roles.
    pub peer_ca: Option<PathBuf>,
}

/// `[[user]]`
#[derive(Debug, Clone)]
pub struct UserConfig {
    /// Name; two users never share one.
    pub name: String,
    /// SHA-256 of the key.
    pub key_sha256: [u8; 32],
    /// What they may.
    pub rights: Vec<Right>,
}

/// `[audience]`
#[derive(Debug, Clone)]
pub struct AudienceConfig {
    /// Folder of dataset versions and freezes; absent = `<data>/snapshots`.
    pub snapshots: Option<PathBuf>,
}

/// `[dispatch]`
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// Tries of one message, at most.
    pub tries_max: u32,
    /// Public information respects the do-not-call register.
    pub respect_dnc_for_public: bool,
    /// Any hour is open: for demonstrations alone, shown on screen.
    pub demo_hours: bool,
}

/// `[report]`
#[derive(Debug, Clone)]
pub struct ReportConfig {
    /// Dirty chunks are written at most this often.
    pub flush: Duration,
    /// No receipt for this long = unknown.
    pub receipt_wait: Duration,
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Filter such as `info` or `info,loa_sms=debug`.
    pub level: String,
    /// JSON lines instead of text.
    pub json: bool,
    /// Colours in text.
    pub colour: bool,
    /// Collector of spans.
    pub otlp_endpoint: Option<String>,
}

/// `[sim]`: the simulators of `loa dev`.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where the SMSC listens.
    pub smsc_listen: SocketAddr,
    /// Where the mail server listens.
    pub mail_listen: SocketAddr,
    /// Share of texts with a `delivered` receipt, in percent; the rest is undelivered.
    pub delivered_percent: u32,
    /// Receipts come after this time.
    pub receipt_delay: Duration,
    /// Texts a second that the SMSC takes before it throttles; 0 = any number.
    pub smsc_rate: u32,
}

/// Every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} fault(s):\n{}", .0.len(), .0.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

impl Config {
    /// Checks merged layers.
    pub fn check(layers: &Layers) -> Result<Self, Faults> {
        let faults = RefCell::new(Vec::new());
        let config = read(&Section::root(layers, &faults));
        let faults = faults.into_inner();
        match (config, faults.is_empty()) {
            (Some(config), true) => Ok(config),
            _ => Err(Faults(faults)),
        }
    }

    /// The user's fault-free environment for [`Layers::add_variables`].
    pub fn variables() -> Vec<(String, String)> {
        std::env::vars().filter(|(name, _)| name.starts_with("LOA__")).collect()
    }
}

fn read(root: &Section<'_>) -> Option<Config> {
    let node = read_node(&root.section("node"));
    let grpc = root.section("grpc");
    let (grpc_listen, tls) = (address(&grpc, "listen"), read_tls(&grpc));
    let system_key = grpc.has("system_key").then(|| Secret(accounts::secret(&grpc, "system_key")));
    grpc.finish();
    let probes = root.section("probes");
    let probes_listen = address(&probes, "listen");
    probes.finish();
    let console = root.section("console");
    let console_listen = address(&console, "listen");
    console.finish();
    let endpoints = read_endpoints(root.section("endpoints"));
    let log = backing::read_log(root.section("log"));
    let store = backing::read_store(root.section("store"));
    let redis = backing::read_redis(root.section("redis"));
    let objects = objects::read(root.section("objects"));
    let audience = read_audience(root.section("audience"));
    let users = read_users(root);
    let dispatch = read_dispatch(root.section("dispatch"));
    let sms = accounts::read_sms(root.section("sms"));
    let email = accounts::read_email(root.section("email"));
    let report = read_report(root.section("report"));
    let telemetry = read_telemetry(root.section("telemetry"));
    let sim = read_sim(root.section("sim"));
    for name in root.names() {
        root.fault(&name, "is not a section of this configuration; `loa config show` lists every key");
    }
    Some(Config {
        node,
        grpc: GrpcConfig { listen: grpc_listen?, tls, system_key },
        probes_listen: probes_listen?,
        console_listen: console_listen?,
        endpoints,
        log,
        store,
        redis,
        objects,
        audience,
        users,
        dispatch,
        sms,
        email,
        report,
        telemetry,
        sim: sim?,
    })
}

fn read_node(section: &Section<'_>) -> NodeConfig {
    let name = section.text("name");
    if name.is_empty()
        || name.len() > 64
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        section.fault("name", "use 1 to 64 of letters, digits, - _ and . ; unique among processes that share stores");
    }
    let config = NodeConfig {
        name,
        data: PathBuf::from(section.text("data")),
        hash_key: section.optional_text("hash_key").map(PathBuf::from),
        grace: Duration::from_secs(u64::from(section.number("grace_s", 1..=600))),
    };
    for name in section.names() {
        section.fault(&name, "is not known here; remove it or correct its spelling");
    }
    config
}

fn address(section: &Section<'_>, key: &str) -> Option<SocketAddr> {
    section.parsed(key)
}

fn read_tls(section: &Section<'_>) -> Option<TlsFiles> {
    let file = |key| section.optional_text(key).map(PathBuf::from);
    let (certificate, key, client_ca, peer_ca) =
        (file("tls_certificate"), file("tls_key"), file("tls_client_ca"), file("tls_peer_ca"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca, peer_ca }),
        (None, None) => {
            if client_ca.is_some() {
                section.fault("tls_client_ca", "needs grpc.tls_certificate and grpc.tls_key");
            }
            None
        }
        _ => {
            section.fault("tls_certificate", "needs grpc.tls_key, and the other way round");
            None
        }
    }
}

fn read_audience(section: Section<'_>) -> AudienceConfig {
    let snapshots = section.optional_text("snapshots").map(PathBuf::from);
    section.finish();
    AudienceConfig { snapshots }
}

fn read_endpoints(section: Section<'_>) -> HashMap<Role, String> {
    let mut endpoints = HashMap::new();
    for role in Role::ALL {
        if let Some(url) = section.optional_text(role.name()) {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                section.fault(role.name(), "must be a URL such as http://10.0.0.5:7400");
            }
            endpoints.insert(role, url);
        }
    }
    section.finish();
    endpoints
}

fn read_users(root: &Section<'_>) -> Vec<UserConfig> {
    let mut users: Vec<UserConfig> = Vec::new();
    for section in root.tables("user") {
        let name = section.text("name");
        if users.iter().any(|user| user.name == name) {
            section.fault("name", format!("`{name}` is there twice; four eyes need two names"));
        }
        let key_sha256 = hex32(&section.text("key_sha256")).unwrap_or_else(|| {
            section.fault(
                "key_sha256",
                "must be 64 hexadecimal digits: the SHA-256 of the key (printf %s KEY | sha256sum)",
            );
            [0; 32]
        });
        let mut rights = Vec::new();
        for text in section.texts("rights") {
            match Right::ALL.into_iter().find(|right| right.name() == text) {
                Some(right) => rights.push(right),
                None => section.fault(
                    "rights",
                    format!("`{text}` is not a right; use viewer, author, approver, operator, system"),
                ),
            }
        }
        users.push(UserConfig { name, key_sha256, rights });
        section.finish();
    }
    users
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn read_dispatch(section: Section<'_>) -> DispatchConfig {
    let config = DispatchConfig {
        tries_max: section.number("tries_max", 1..=20),
        respect_dnc_for_public: section.flag("respect_dnc_for_public"),
        demo_hours: section.flag("demo_hours"),
    };
    section.finish();
    config
}

fn read_report(section: Section<'_>) -> ReportConfig {
    let config = ReportConfig {
        flush: section.millis("flush_ms", 100..=600_000),
        receipt_wait: Duration::from_secs(3_600 * u64::from(section.number("receipt_hours", 1..=240))),
    };
    section.finish();
    config
}

fn read_telemetry(section: Section<'_>) -> TelemetryConfig {
    let config = TelemetryConfig {
        level: section.text("level"),
        json: section.flag("json"),
        colour: section.flag("colour"),
        otlp_endpoint: section.optional_text("otlp_endpoint").filter(|endpoint| !endpoint.is_empty()),
    };
    section.finish();
    config
}

fn read_sim(section: Section<'_>) -> Option<SimConfig> {
    let (smsc, mail) = (address(&section, "smsc_listen"), address(&section, "mail_listen"));
    let delivered_percent = section.number("delivered_percent", 0..=100);
    let receipt_delay = section.millis("receipt_delay_ms", 0..=600_000);
    let smsc_rate = section.number("smsc_rate", 0..=10_000_000);
    section.finish();
    Some(SimConfig { smsc_listen: smsc?, mail_listen: mail?, delivered_percent, receipt_delay, smsc_rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Layers {
        let mut layers = Layers::default();
        layers.add_toml("loa.default.toml", DEFAULT, true).unwrap();
        layers
    }

    #[test]
    fn the_default_is_legal_and_so_is_dev() {
        Config::check(&defaults()).unwrap();
        let mut layers = defaults();
        layers.add_toml("loa.dev.toml", DEV, true).unwrap();
        let config = Config::check(&layers).unwrap();
        assert!(config.sms.accounts.iter().all(|account| account.simulator));
    }

    #[test]
    fn every_key_of_the_default_has_a_comment() {
        for file in [DEFAULT, DEV] {
            let lines: Vec<_> = file.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                let is_key = line.contains(" = ") && !line.trim_start().starts_with('#');
                assert!(!is_key || lines[at - 1].trim_start().starts_with('#'), "line {}: {line}", at + 1);
            }
        }
    }

    #[test]
    fn all_faults_come_at_once_with_their_origin() {
        let mut layers = defaults();
        layers
            .add_toml(
                "loa.toml",
                "[dispatch]\ntries_max = 0\ntypo = 1\n[grpc]\nlisten = \"here\"\n[log]\nkind = \"tape\"\n",
                false,
            )
            .unwrap();
        layers.add_variables([("LOA__REPORT__FLUSH_MS".to_owned(), "soon".to_owned())]);
        let Faults(faults) = Config::check(&layers).unwrap_err();
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        #[track_caller]
        fn has(lines: &[String], key: &str, origin: &str) {
            assert!(
                lines.iter().any(|line| line.starts_with(key) && line.ends_with(&format!("(from {origin})"))),
                "{key} {origin}: {lines:#?}"
            );
        }
        has(&lines, "dispatch.tries_max", "loa.toml:2");
        has(&lines, "dispatch.typo", "loa.toml:3");
        has(&lines, "grpc.listen", "loa.toml:5");
        has(&lines, "log.kind", "loa.toml:7");
        has(&lines, "report.flush_ms", "$LOA__REPORT__FLUSH_MS");
        assert_eq!(faults.len(), 5, "{lines:#?}");
    }
}
