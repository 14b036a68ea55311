//! A simulated world, a Loa in it, and its users.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use loa::place::Addresses;
use loa_contract::pb::registry::v1 as registry;
use loa_contract::pb::report::v1 as report;
use loa_runtime::Role;
use loa_runtime::config::Config;
use loa_sim::people::People;
use loa_sim::smsc::Receipts;
use loa_testkit::dice::Dice;
use tempfile::TempDir;

use crate::books::{self, Books};
use crate::clock::TurnedClock;
use crate::cluster::{Cluster, Second};
use crate::process::{Process, Start};
use crate::secrets::Secrets;
use crate::sims::{Sims, Sinks};
use crate::storm::{self, Storm, Weather};
use crate::users::Users;
use crate::wait::{patiently, wait_for};
use crate::{Fault, Plan, capture, fault, http, plan};

/// How long a campaign of a test may take.
const FINISH_LIMIT: Duration = Duration::from_secs(150);

/// How Loa runs at a site.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The binary as a process.
    Process,
    /// Two instances of every role in a storm.
    Storm(Weather),
    /// Two processes on parts outside of them, which these keys of the configuration name.
    Cluster(Vec<(String, String)>),
    /// The same with two processes for each group of roles.
    Apart(Vec<(String, String)>),
}

/// What a site is made of.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    /// How Loa runs.
    pub kind: Kind,
    /// Configuration beside the defaults of the tests.
    pub settings: Vec<(String, String)>,
    /// How the simulated carrier sends receipts.
    pub receipts: Receipts,
    /// What the second of two processes alone is.
    pub second: Second,
    /// Somebody else's carrier and mail server, instead of the simulated ones.
    pub sinks: Option<Arc<dyn Sinks>>,
    /// Any hour is open.
    pub any_hour: bool,
    /// The CA by which it is known, if it speaks TLS.
    pub ca: Option<PathBuf>,
    /// The clock of instances in this process.
    pub clock: Arc<TurnedClock>,
    /// Their databases keep the machine's time when the clock is turned.
    pub databases_keep_time: bool,
    /// The disk of the process will be filled.
    pub fills_disk: bool,
}

impl SiteOptions {
    /// The binary, receipts at once, any hour.
    pub fn process() -> Self {
        Self {
            kind: Kind::Process,
            settings: Vec::new(),
            receipts: Receipts::default(),
            second: Second::default(),
            sinks: None,
            any_hour: true,
            ca: None,
            clock: TurnedClock::new(),
            databases_keep_time: false,
            fills_disk: false,
        }
    }

    /// Two instances in rough weather.
    pub fn storm(seed: u64) -> Self {
        Self { kind: Kind::Storm(Weather::rough(seed)), ..Self::process() }
    }

    /// Both, for behaviours that must hold in either.
    pub fn of(kind: Kind) -> Self {
        Self { kind, ..Self::process() }
    }

    /// Sets a key of the configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Texts and mails a second of all accounts together.
    #[must_use]
    pub fn rate(self, per_second: u32) -> Self {
        let each = f64::from(per_second) / 2.0;
        let sms = self.set("sms.account.sim-a.rate", each).set("sms.account.sim-b.rate", each);
        sms.set("email.relay.sim-mail.rate", per_second)
    }

    /// How receipts come.
    #[must_use]
    pub fn receipts(self, receipts: Receipts) -> Self {
        Self { receipts, ..self }
    }

    /// Messages go to somebody else's carrier and mail server, whose books are the ones that are compared.
    #[must_use]
    pub fn sinks(self, sinks: Arc<dyn Sinks>) -> Self {
        Self { sinks: Some(sinks), ..self }
    }

    /// Of two processes the second has these roles alone, and the first the others.
    #[must_use]
    pub fn apart(mut self, roles: &[Role]) -> Self {
        self.second.roles = roles.to_vec();
        self
    }

    /// Sets a key of the second process's configuration.
    #[must_use]
    pub fn set_second(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.second.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// The legal hours hold.
    #[must_use]
    pub fn legal_hours(self) -> Self {
        Self { any_hour: false, ..self }
    }

    /// Starts the world and the Loa.
    pub async fn start(self) -> Result<Site, Fault> {
        Site::start(self).await
    }
}

/// The Loa of a site.
pub enum Loa {
    /// A process.
    Process(Box<Process>),
    /// Two instances in a storm.
    Storm(Box<Storm>),
    /// Several processes.
    Cluster(Box<Cluster>),
}

/// A world with a Loa.
pub struct Site {
    /// The Loa.
    pub loa: Loa,
    /// Simulated carrier and mail server.
    pub sims: Sims,
    /// Somebody else's, if messages go there.
    others: Option<Arc<dyn Sinks>>,
    /// What must not be printed; [`Site::people`] adds to it.
    pub secrets: Secrets,
    folder: Option<TempDir>,
    campaigns: Vec<String>,
}

impl Site {
    async fn start(options: SiteOptions) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let sims = Sims::start(folder.path(), options.receipts.clone()).await?;
        let others = options.sinks;
        let mut settings = others.as_deref().unwrap_or(&sims).settings();
        settings.push(("telemetry.level".to_owned(), format!("\"{}\"", capture::LEVEL)));
        settings.push(("dispatch.demo_hours".to_owned(), options.any_hour.to_string()));
        settings.extend(options.settings);
        let SiteOptions { kind, ca, clock, databases_keep_time, fills_disk, second, .. } = options;
        let start = Start {
            data: folder.path().join("data"),
            output: folder.path().join("output"),
            settings,
            arguments: vec!["--no-sim".to_owned()],
            roles: Vec::new(),
            ca,
            fills_disk,
        };
        let loa = match kind {
            Kind::Process => Loa::Process(Box::new(Process::start(start).await?)),
            Kind::Storm(weather) => {
                let Start { data, settings, ca, .. } = start;
                let start = storm::Start { data, settings, weather, clock, databases_keep_time, ca };
                Loa::Storm(Box::new(Storm::start(start).await?))
            }
            Kind::Cluster(parts) => Loa::Cluster(Box::new(Cluster::start(on_parts(start, parts), second).await?)),
            Kind::Apart(parts) => Loa::Cluster(Box::new(Cluster::start_apart(on_parts(start, parts)).await?)),
        };
        Ok(Self { loa, sims, others, secrets: Secrets::default(), folder: Some(folder), campaigns: Vec::new() })
    }

    /// Where its messages go, and whose books are compared.
    pub fn sinks(&self) -> &dyn Sinks {
        self.others.as_deref().unwrap_or(&self.sims)
    }

    /// Its users.
    pub fn users(&self) -> &Users {
        match &self.loa {
            Loa::Process(process) => &process.users,
            Loa::Storm(storm) => &storm.users,
            Loa::Cluster(cluster) => cluster.users(),
        }
    }

    /// The process; a fault if it is none.
    pub fn process(&mut self) -> Result<&mut Process, Fault> {
        match &mut self.loa {
            Loa::Process(process) => Ok(process),
            Loa::Storm(_) | Loa::Cluster(_) => Err(fault("this site does not run one process")),
        }
    }

    /// The storm; a fault if there is none.
    pub fn storm(&mut self) -> Result<&mut Storm, Fault> {
        match &mut self.loa {
            Loa::Storm(storm) => Ok(storm),
            Loa::Process(_) | Loa::Cluster(_) => Err(fault("this site is in no storm")),
        }
    }

    /// The processes; a fault if it is no cluster.
    pub fn cluster(&mut self) -> Result<&mut Cluster, Fault> {
        match &mut self.loa {
            Loa::Cluster(cluster) => Ok(cluster),
            Loa::Process(_) | Loa::Storm(_) => Err(fault("this site is no cluster of processes")),
        }
    }

    /// Where it listens: the process, or each instance that runs.
    pub fn addresses(&self) -> Vec<Addresses> {
        match &self.loa {
            Loa::Process(process) => vec![process.addresses.clone()],
            Loa::Storm(storm) => storm.addresses(),
            Loa::Cluster(cluster) => cluster.addresses(),
        }
    }

    /// Where users' calls go.
    pub fn grpc(&self) -> Result<SocketAddr, Fault> {
        self.addresses().first().map(|addresses| addresses.grpc).ok_or_else(|| fault("nothing runs at this site"))
    }

    /// One of its processes, for the dice to kill.
    pub fn victim(&mut self, dice: &mut Dice) -> Result<&mut Process, Fault> {
        match &mut self.loa {
            Loa::Process(process) => Ok(process),
            Loa::Cluster(cluster) => Ok(if dice.below(2) == 0 { cluster.first() } else { cluster.second() }),
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Stops every process in good order; the configuration by which log and stores are found.
    pub async fn stop_all(&mut self) -> Result<Config, Fault> {
        match &mut self.loa {
            Loa::Process(process) => {
                process.stop().await?;
                process.config()
            }
            Loa::Cluster(cluster) => {
                cluster.stop().await?;
                cluster.first().config()
            }
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Starts every process again.
    pub async fn start_stopped(&mut self) -> Result<(), Fault> {
        match &mut self.loa {
            Loa::Process(process) => process.start_again().await,
            Loa::Cluster(cluster) => cluster.start_stopped().await,
            Loa::Storm(_) => Err(fault("this site runs no process")),
        }
    }

    /// Stops in good order and starts again: the process, or the first of several.
    pub async fn stop_and_start(&mut self) -> Result<(), Fault> {
        match &mut self.loa {
            Loa::Process(process) => process.stop_and_start().await,
            Loa::Cluster(cluster) => cluster.first().stop_and_start().await,
            Loa::Storm(storm) => {
                storm.stop_instance(0).await?;
                storm.start_instance(0).await
            }
        }
    }

    /// Kills and starts again: the process, or the second of several.
    pub async fn kill_and_start(&mut self) -> Result<(), Fault> {
        match &mut self.loa {
            Loa::Process(process) => process.start_again().await,
            Loa::Cluster(cluster) => cluster.second().start_again().await,
            Loa::Storm(storm) => {
                storm.cut_instance(1)?;
                storm.start_instance(1).await
            }
        }
    }

    /// The folder of its Loa's data.
    pub fn data(&self) -> PathBuf {
        match &self.loa {
            Loa::Process(process) => process.data().to_owned(),
            Loa::Storm(storm) => storm.data().to_owned(),
            Loa::Cluster(cluster) => cluster.data().to_owned(),
        }
    }

    /// Imports that many people.
    pub async fn people(&mut self, count: u64) -> Result<People, Fault> {
        let people = People { seed: count ^ 0x5eed, count, bad_rows: 0 };
        self.import(&people).await?;
        Ok(people)
    }

    /// Imports people and remembers whom to look for in logs.
    pub async fn import(&mut self, people: &People) -> Result<(), Fault> {
        self.secrets = Secrets::of(people);
        let report = plan::import(self.users(), people).await?;
        if report.accepted != people.count {
            return Err(fault(format!(
                "{} people were imported of {}: {:?}",
                report.accepted, people.count, report.reasons
            )));
        }
        Ok(())
    }

    /// A campaign that is approved and not started; its id.
    pub async fn approved(&mut self, plan: &Plan) -> Result<String, Fault> {
        let name = format!("mau-{}", self.campaigns.len());
        let id = plan.draft(self.users(), &name).await?;
        plan::submit(self.users(), &id).await?;
        plan::approved(self.users(), &id).await?;
        self.campaigns.push(id.clone());
        Ok(id)
    }

    /// A campaign that runs; its id.
    pub async fn running(&mut self, plan: &Plan) -> Result<String, Fault> {
        let id = self.approved(plan).await?;
        plan::start(self.users(), &id).await?;
        Ok(id)
    }

    /// Takes a campaign that a test made by itself into the comparison.
    pub fn adopt(&mut self, id: String) {
        self.campaigns.push(id);
    }

    /// A campaign as registry has it.
    pub async fn campaign(&self, id: &str) -> Result<registry::Campaign, Fault> {
        plan::campaign(self.users(), id).await
    }

    /// Pauses; the answer is T0.
    pub async fn pause(&self, id: &str) -> Result<(), Fault> {
        let request = registry::PauseCampaignRequest { id: id.to_owned() };
        patiently(async || self.users().operator.registry().pause_campaign(request.clone()).await).await.map(drop)
    }

    /// Resumes.
    pub async fn resume(&self, id: &str) -> Result<(), Fault> {
        let request = registry::ResumeCampaignRequest { id: id.to_owned() };
        patiently(async || self.users().operator.registry().resume_campaign(request.clone()).await).await.map(drop)
    }

    /// Cancels; the answer is T0.
    pub async fn cancel(&self, id: &str) -> Result<(), Fault> {
        let request = registry::CancelCampaignRequest { id: id.to_owned() };
        patiently(async || self.users().operator.registry().cancel_campaign(request.clone()).await).await.map(drop)
    }

    /// The ledger as it stands.
    pub async fn ledger(&self, id: &str) -> Result<report::CampaignLedger, Fault> {
        books::ledger(self.users(), id).await
    }

    /// Waits until the campaign is over, nothing is open and every receipt has come.
    pub async fn finished(&self, id: &str) -> Result<report::CampaignLedger, Fault> {
        wait_for("the campaign is over and every receipt has come", FINISH_LIMIT, async || {
            let ledger = self.ledger(id).await?;
            let sum = |count: fn(&report::Ledger) -> u64| ledger.variants.iter().map(count).sum::<u64>();
            let (open, submitted) = (sum(|one| one.open), sum(|one| one.submitted));
            let is_over = |state: &str| matches!(state, "done" | "cancelled");
            let over = is_over(&ledger.state) && is_over(&self.campaign(id).await?.state);
            match over && open == 0 && submitted == 0 && ledger.complete {
                true => Ok(Some(ledger)),
                false => Err(fault(format!("{}: {}", ledger.state, books::counts(&ledger)))),
            }
        })
        .await
    }

    /// Waits until the sinks have accepted that many messages.
    pub async fn accepted(&self, least: u64) -> Result<(), Fault> {
        wait_for("messages arrive", FINISH_LIMIT, async || {
            let (sms, mail) = self.sinks().accepted()?;
            if sms + mail >= least { Ok(Some(())) } else { Err(fault(format!("{sms} texts, {mail} mails of {least}"))) }
        })
        .await
    }

    /// What /ready says, of each that runs.
    pub async fn ready(&self) -> Result<Vec<(u16, String)>, Fault> {
        let mut answers = Vec::new();
        for addresses in self.addresses() {
            answers.push(http::get(addresses.probes, "/ready").await?);
        }
        Ok(answers)
    }

    /// Everything that Loa has printed, and its metrics.
    pub async fn printed(&self) -> Result<String, Fault> {
        match &self.loa {
            Loa::Process(process) => Ok(process.printed()? + &process.metrics().await?),
            Loa::Storm(storm) => storm.printed().await,
            Loa::Cluster(cluster) => cluster.printed().await,
        }
    }

    /// The comparison that ends every test: books against books, and nobody in what was printed.
    pub async fn compared(&self) -> Result<Books, Fault> {
        let mut books = Books::new(self.sinks()).await?;
        for id in &self.campaigns {
            books.add(self.users(), id).await?;
        }
        books.check()?;
        if self.others.is_some() && self.sims.accepted() != (0, 0) {
            return Err(fault("messages went to the simulators of a site that has other sinks"));
        }
        self.nobody_is_printed().await?;
        Ok(books)
    }

    /// Looks for people in logs and metrics.
    pub async fn nobody_is_printed(&self) -> Result<(), Fault> {
        self.nobody_is_in(&self.printed().await?)
    }

    fn nobody_is_in(&self, printed: &str) -> Result<(), Fault> {
        let lines = self.secrets.found_in(printed);
        if lines.is_empty() {
            Ok(())
        } else {
            Err(fault(format!("personal data in {} printed lines: {lines:?}", lines.len())))
        }
    }

    /// Compares, stops, and clears away; what a test ends with.
    pub async fn finish(self) -> Result<Books, Fault> {
        let books = self.compared().await?;
        self.end().await?;
        Ok(books)
    }

    /// Stops and clears away, for a test that has compared by itself; what was printed on the way out is searched too.
    pub async fn end(mut self) -> Result<(), Fault> {
        let printed = match &mut self.loa {
            Loa::Process(process) => {
                let ended = process.stop().await?;
                if !ended.success() {
                    return Err(fault(format!("loa ended with {ended}")));
                }
                process.printed()?
            }
            Loa::Storm(storm) => {
                storm.stop().await?;
                storm.printed().await?
            }
            Loa::Cluster(cluster) => {
                cluster.stop().await?;
                cluster.written()?
            }
        };
        self.nobody_is_in(&printed)?;
        drop(self.folder.take());
        Ok(())
    }
}

/// With parts outside of it, and one bind for each of two processes, so that both hand over.
fn on_parts(mut start: Start, parts: Vec<(String, String)>) -> Start {
    let binds = ["sim-a", "sim-b"].map(|account| (format!("sms.account.{account}.binds"), "2".to_owned()));
    start.settings.extend(binds.into_iter().chain(parts));
    start
}

impl Drop for Site {
    /// A site that did not finish is kept for who looks for the fault.
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            crate::say(format!("kept for a look: {}", folder.keep().display()));
        }
    }
}
