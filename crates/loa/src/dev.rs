//! `loa dev`: every role, simulated carriers and mail, demo users, in this process; and the sample run.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use loa_console::{InboxItem, Inboxes};
use loa_runtime::Role;
use loa_runtime::config::{Layers, Origin};
use loa_runtime::supervise::signals;
use loa_sim::mail::{MailConfig, MailWorld};
use loa_sim::smsc::Smsc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{DevArgs, Global};
use crate::cli::text::{Lang, note};
use crate::cli::{local, sim};
use crate::compose::{Cluster, Options, compose};
use crate::exit::Failure;
use crate::keys::Keys;
use crate::place::Place;
use crate::sample::Sample;

/// How long the sample waits for the process to be ready.
const READY_WAIT: Duration = Duration::from_secs(30);
const READY_ASK: Duration = Duration::from_millis(50);
/// Keys that `--port-base` shifts.
const PORTS: [&str; 5] = ["grpc.listen", "probes.listen", "console.listen", "sim.smsc_listen", "sim.mail_listen"];

/// Does what was typed.
pub async fn run(global: &Global, args: DevArgs) -> Result<(), Failure> {
    let mut layers = local::layers(global, true)?;
    shift_ports(&mut layers, args.port_base)?;
    if args.demo_hours {
        layers.set("dispatch.demo_hours", toml::Value::Boolean(true), Origin::Argument("--demo-hours"));
        note(Lang::of(global).pick("! gửi ở mọi giờ: chỉ để trình diễn", "! any hour is open: for demonstration only"));
    }
    let data = local::checked(&layers)?.node.data;
    let place = Arc::new(Place::open(&data, args.fresh).map_err(Failure::Failed)?);
    let keys = Keys::read_or_make(&data).map_err(Failure::Failed)?;
    let sims = if args.no_sim { Sims::default() } else { Sims::start(&mut layers, &args, &data).await? };
    let config = local::checked(&layers)?;
    if config.dispatch.demo_hours && config.sms.accounts.iter().any(|account| !account.simulator) {
        return Err(Failure::Usage("--demo-hours is for simulators alone; a real account is configured".to_owned()));
    }
    let options = Options {
        place: Some(place),
        keys: Some(keys.clone()),
        inbox: sims.inbox(),
        sims: (sims.smsc.as_ref().map(|smsc| smsc.addr()), sims.mail.as_ref().map(|mail| mail.addr())),
        ..Options::default()
    };
    let cluster = compose(config, &Role::ALL, options).await?;
    note(format!(
        "loa dev: gRPC {}, console http://{}, data {}",
        cluster.addresses.grpc,
        cluster.addresses.console,
        data.display()
    ));
    let result = match args.sample {
        true => with_sample(global, &args, &data, &keys, cluster).await,
        false => cluster.serve(signals()).await,
    };
    sims.stop().await;
    result
}

/// Serves, runs the sample beside it, and ends after it where nobody watches.
async fn with_sample(
    global: &Global,
    args: &DevArgs,
    data: &std::path::Path,
    keys: &Keys,
    cluster: Cluster,
) -> Result<(), Failure> {
    let once = args.once || !std::io::stdout().is_terminal();
    let (ctx, readiness, addresses) = (cluster.ctx.clone(), cluster.readiness.clone(), cluster.addresses.clone());
    let done = CancellationToken::new();
    let ended = done.clone();
    let signal = async move {
        tokio::select! { () = signals() => {}, () = ended.cancelled() => {} }
    };
    let sample = async {
        let ready = async {
            while !readiness.is_ready() {
                tokio::time::sleep(READY_ASK).await;
            }
        };
        let sample = Sample { global, data, keys, addresses: &addresses, people: args.people };
        let result = tokio::select! {
            () = ctx.stopping() => Ok(()),
            result = async {
                let not_ready = |_| Failure::Failed(format!("the process is not ready after {} s; see /ready", READY_WAIT.as_secs()));
                tokio::time::timeout(READY_WAIT, ready).await.map_err(not_ready)?;
                sample.run().await
            } => result,
        };
        sample.pages();
        if once || result.is_err() {
            done.cancel();
        }
        result
    };
    let (served, sampled) = tokio::join!(cluster.serve(signal), sample);
    sampled.and(served)
}

/// Moves every port by the base; -1 takes free ones.
fn shift_ports(layers: &mut Layers, base: i32) -> Result<(), Failure> {
    if base == 0 {
        return Ok(());
    }
    for key in PORTS {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        let text = layers
            .table
            .get(section)
            .and_then(|table| table.get(name))
            .and_then(|value| value.as_str())
            .unwrap_or_default();
        let mut address: SocketAddr =
            text.parse().map_err(|error| Failure::Usage(format!("{key}: `{text}`: {error}")))?;
        let port = if base < 0 { Some(0) } else { u16::try_from(i32::from(address.port()) + base).ok() };
        address.set_port(port.ok_or_else(|| Failure::Usage(format!("--port-base {base} moves {key} beyond 65535")))?);
        layers.set(key, toml::Value::String(address.to_string()), Origin::Argument("--port-base"));
    }
    Ok(())
}

/// The simulators of this process.
#[derive(Default)]
struct Sims {
    smsc: Option<Smsc>,
    mail: Option<MailWorld>,
}

impl Sims {
    /// Starts them and points the simulated accounts at them.
    async fn start(layers: &mut Layers, args: &DevArgs, data: &std::path::Path) -> Result<Self, Failure> {
        let config = local::checked(layers)?;
        let log = |named: &Option<PathBuf>, name: &str| named.clone().unwrap_or_else(|| data.join("sim").join(name));
        let listen = |address: SocketAddr| async move {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|error| {
                Failure::Failed(format!("LOA-001 cannot listen on {address} (sim): {error}; use --port-base"))
            })
        };
        let sink = sim::sink(Some(&log(&args.sms_log, "sms.log")))?;
        let smsc_config =
            sim::smsc_config(sink, config.sim.delivered_percent, config.sim.receipt_delay, config.sim.smsc_rate)?;
        let smsc = Smsc::start(listen(config.sim.smsc_listen).await?, smsc_config)?;
        let mail_config =
            MailConfig { log: sim::sink(Some(&log(&args.mail_log, "mail.log")))?, ..MailConfig::default() };
        let mail = MailWorld::start(listen(config.sim.mail_listen).await?, mail_config)?;
        for account in config.sms.accounts.iter().filter(|account| account.simulator) {
            let key = format!("sms.account.{}.address", account.carrier.id);
            layers.set(&key, toml::Value::String(smsc.addr().to_string()), Origin::Argument("loa dev"));
        }
        for relay in config.email.relays.iter().filter(|relay| relay.simulator) {
            let key = format!("email.relay.{}.address", relay.relay.id);
            layers.set(&key, toml::Value::String(mail.addr().to_string()), Origin::Argument("loa dev"));
        }
        Ok(Self { smsc: Some(smsc), mail: Some(mail) })
    }

    fn inbox(&self) -> Option<Arc<dyn Inboxes>> {
        let (smsc, mail) = (self.smsc.as_ref()?.inbox(), self.mail.as_ref()?.inbox());
        Some(Arc::new(SimInboxes { smsc, mail }))
    }

    async fn stop(self) {
        if let Some(smsc) = self.smsc {
            smsc.stop().await;
        }
        if let Some(mail) = self.mail {
            mail.stop().await;
        }
    }
}

/// The simulated phones and mailboxes, for the console.
struct SimInboxes {
    smsc: Arc<loa_sim::smsc::Inbox>,
    mail: Arc<loa_sim::mail::Inbox>,
}

impl Inboxes for SimInboxes {
    fn search(&self, needle: &str, limit: usize) -> Vec<InboxItem> {
        let texts = self.smsc.search(needle, limit).into_iter().map(|text| InboxItem {
            unix_us: text.unix_us,
            channel: "sms".to_owned(),
            from: text.from,
            to: text.to,
            subject: String::new(),
            text: text.text,
            parts: u32::from(text.parts),
        });
        let mails = self.mail.search(needle, limit).into_iter().map(|mail| InboxItem {
            unix_us: mail.unix_us,
            channel: "email".to_owned(),
            from: mail.from,
            to: mail.to,
            subject: mail.subject,
            text: mail.text,
            parts: 1,
        });
        let mut items: Vec<_> = texts.chain(mails).collect();
        items.sort_by_key(|item| std::cmp::Reverse(item.unix_us));
        items.truncate(limit);
        items
    }
}
