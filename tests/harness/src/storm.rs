//! Two instances of every role in this process, on the same stores and one log, in a storm.
//!
//! Each instance has a runtime with one worker of its own, so that it can be frozen like a process that lost its
//! processor: nothing in it moves, while the other goes on, takes over its leases, and meets it again when it wakes.
//!
//! Must stay true: both instances see the same files and the same log; what the storm does follows from its seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use loa::compose::{Options, StoreFaults, compose};
use loa::exit::Failure;
use loa::keys::Keys;
use loa::place::{Addresses, Place};
use loa_embedded::EmbeddedLog;
use loa_ports::clock::{Clock, SystemClock};
use loa_ports::lease::Leases as _;
use loa_runtime::Role;
use loa_runtime::config::Config;
use loa_store::{Db, SqlLeases};
use loa_testkit::dice::Dice;
use loa_testkit::storm::log::{StormConfig, StormLog};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::TurnedClock;
use crate::process;
use crate::users::Users;
use crate::{Fault, capture, fault, http, wait_for};

/// Instances of every role.
const INSTANCES: usize = 2;
/// How long starting may take.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Tries to freeze an instance outside its transactions.
const FREEZES_MAX: u32 = 50;
/// The other instance's transactions are shorter than this.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// How hard it blows over a site.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Over the log.
    pub log: StormConfig,
    /// Share of COMMITs without an answer.
    pub commits: f64,
}

impl Weather {
    /// Nothing happens, but there are two of everything.
    pub fn calm(seed: u64) -> Self {
        Self { log: StormConfig::calm(seed), commits: 0.0 }
    }

    /// A bit of everything.
    pub fn rough(seed: u64) -> Self {
        Self { log: StormConfig::rough(seed), commits: 0.01 }
    }
}

/// A runtime with one worker; may be dropped anywhere, and leaves what runs in it behind.
struct Worker(Option<Runtime>);

impl Worker {
    fn spawn<F>(&self, future: F) -> Result<JoinHandle<F::Output>, Fault>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Ok(self.0.as_ref().ok_or_else(|| fault("the instance is over"))?.spawn(future))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// One instance of every role.
struct Instance {
    worker: Worker,
    addresses: Addresses,
    stop: CancellationToken,
    served: Option<JoinHandle<Result<(), Failure>>>,
    frozen: Option<std_mpsc::Sender<()>>,
}

/// What every instance is started with.
pub struct Start {
    /// The data folder of both.
    pub data: PathBuf,
    /// Keys of the configuration and their values.
    pub settings: Vec<(String, String)>,
    /// How hard it blows.
    pub weather: Weather,
    /// The clock of both.
    pub clock: Arc<TurnedClock>,
    /// The databases keep the machine's time when the clock is turned.
    pub databases_keep_time: bool,
    /// The CA by which they are known, if they speak TLS.
    pub ca: Option<PathBuf>,
}

/// The cluster.
pub struct Storm {
    /// In their order; none where one is stopped.
    instances: Vec<Option<Instance>>,
    /// The log, which can be made unreachable.
    pub log: Arc<StormLog>,
    embedded: Arc<EmbeddedLog>,
    place: Arc<Place>,
    keys: Keys,
    /// Users of the first instance that runs.
    pub users: Users,
    start: Start,
    starts: u64,
}

impl Storm {
    /// Starts both instances on the folder.
    pub async fn start(start: Start) -> Result<Self, Fault> {
        capture::open()?;
        let Start { data, weather, clock, ca, .. } = &start;
        let place = Arc::new(Place::open(data, false).map_err(fault)?);
        let keys = Keys::read_or_make(data).map_err(fault)?;
        let options = loa_embedded::Options::default();
        let embedded = EmbeddedLog::open(&data.join("log.db"), Arc::clone(clock) as _, options).await?;
        let embedded = Arc::new(embedded);
        let log = StormLog::new(Arc::clone(&embedded) as _, weather.log.clone());
        beat_for_all(data).await?;
        // Nobody listens there; the first instance that runs gives the users its address.
        let users = Users::of(([127, 0, 0, 1], 9).into(), &keys, ca.as_ref())?;
        let instances = (0..INSTANCES).map(|_| None).collect();
        let mut storm = Self { instances, log, embedded, place, keys, users, start, starts: 0 };
        for number in 0..INSTANCES {
            storm.start_instance(number).await?;
        }
        Ok(storm)
    }

    /// Starts an instance that does not run, on what is there.
    pub async fn start_instance(&mut self, number: usize) -> Result<(), Fault> {
        let config = config(&self.start.data, &self.start.settings, number)?;
        let seed = self.start.weather.log.seed.wrapping_add(self.starts);
        self.starts += 1;
        // What the storm keeps from starting is started again, as an init system does.
        let start = async || Ok(Some(Instance::start(config.clone(), self.options(seed)).await?));
        let started = wait_for("an instance starts", START_LIMIT, start).await?;
        *self.place_of(number)? = Some(started);
        self.ask_the_first()
    }

    /// Stops an instance as an operator does; it must end well.
    pub async fn stop_instance(&mut self, number: usize) -> Result<(), Fault> {
        let mut instance = self.place_of(number)?.take().ok_or_else(|| fault("that instance does not run"))?;
        instance.stop().await?;
        self.ask_the_first()
    }

    /// Cuts an instance off in the middle of everything; nothing of it settles.
    pub fn cut_instance(&mut self, number: usize) -> Result<(), Fault> {
        let cut = self.place_of(number)?.take().ok_or_else(|| fault("that instance does not run"))?;
        drop(cut);
        self.ask_the_first()
    }

    fn place_of(&mut self, number: usize) -> Result<&mut Option<Instance>, Fault> {
        self.instances.get_mut(number).ok_or_else(|| fault(format!("there is no instance {number}")))
    }

    fn options(&self, seed: u64) -> Options {
        let share = self.start.weather.commits;
        let machine = || Arc::new(SystemClock::new()) as Arc<dyn Clock>;
        Options {
            log: Some(Arc::clone(&self.log) as _),
            store_faults: (share > 0.0).then_some(StoreFaults { seed, share }),
            place: Some(Arc::clone(&self.place)),
            keys: Some(self.keys.clone()),
            clock: Some(Arc::clone(&self.start.clock) as _),
            databases_clock: self.start.databases_keep_time.then(machine),
            ..Options::default()
        }
    }

    fn running(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().flatten()
    }

    /// The users' calls go to the first instance that runs.
    fn ask_the_first(&mut self) -> Result<(), Fault> {
        let first = self.running().next().map(|instance| instance.addresses.grpc);
        if let Some(first) = first {
            self.users = Users::of(first, &self.keys, self.start.ca.as_ref())?;
        }
        Ok(())
    }

    /// Where the instances that run listen.
    pub fn addresses(&self) -> Vec<Addresses> {
        self.running().map(|instance| instance.addresses.clone()).collect()
    }

    /// Freezes the second instance, between two of its transactions: a file has one lock for all, where a database on a
    /// network would hold the rows of the frozen one alone, and break its connection.
    pub async fn freeze_second(&mut self) -> Result<(), Fault> {
        for _ in 0..FREEZES_MAX {
            let second = self.instances.last_mut().and_then(Option::as_mut);
            second.ok_or_else(|| fault("the second instance does not run"))?.freeze().await?;
            if self.stores_are_free().await? {
                return Ok(());
            }
            self.thaw_second();
        }
        Err(fault("the second instance was in a transaction whenever it was frozen"))
    }

    async fn stores_are_free(&self) -> Result<bool, Fault> {
        for role in ["node", "registry", "audience", "dispatch", "sms", "email", "report"] {
            let path = self.start.data.join(format!("{role}.db"));
            let options = SqliteConnectOptions::new().filename(path).busy_timeout(LOCK_WAIT);
            let mut connection = options.connect().await?;
            let locked = sqlx::query("begin immediate").execute(&mut connection).await.is_err();
            connection.close().await?;
            if locked {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets it go on.
    pub fn thaw_second(&mut self) {
        if let Some(Some(instance)) = self.instances.last_mut() {
            instance.frozen = None;
        }
    }

    /// Takes some leases of a role away, as another node would; how many.
    pub async fn take_leases(&self, role: Role, kinds: &[(&str, u32)], dice: &mut Dice) -> Result<usize, Fault> {
        let db = Db::open(&self.start.data.join(format!("{role}.db")), role.name()).await?;
        let leases = SqlLeases::new(db.clone());
        let mut taken = 0;
        for &(kind, count) in kinds {
            for row in leases.rows(kind, count).await? {
                if dice.happens(0.25) && leases.take(kind, row.number, row.epoch, "nobody").await?.is_some() {
                    taken += 1;
                }
            }
        }
        db.close().await;
        Ok(taken)
    }

    /// Where the data is.
    pub fn data(&self) -> &Path {
        &self.start.data
    }

    /// What both instances have said: their log lines and /metrics.
    pub async fn printed(&self) -> Result<String, Fault> {
        let mut text = std::fs::read_to_string(capture::open()?)?;
        for instance in self.running().filter(|instance| instance.frozen.is_none()) {
            text.push_str(&http::get(instance.addresses.probes, "/metrics").await?.1);
        }
        Ok(text)
    }

    /// Stops both; each must end well.
    pub async fn stop(&mut self) -> Result<(), Fault> {
        for instance in self.instances.iter_mut().flatten() {
            instance.frozen = None;
            instance.stop.cancel();
        }
        for instance in self.instances.iter_mut().flatten() {
            instance.stop().await?;
        }
        self.instances.clear();
        self.embedded.close().await;
        Ok(())
    }
}

impl Instance {
    async fn start(config: Config, options: Options) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let worker = Worker(Some(runtime));
        let composed = worker.spawn(async move { compose(config, &Role::ALL, options).await })?;
        let cluster = composed.await?.map_err(|failure| fault(failure.to_string()))?;
        let (addresses, stop) = (cluster.addresses.clone(), CancellationToken::new());
        let served = worker.spawn(cluster.serve(stop.clone().cancelled_owned()))?;
        Ok(Self { worker, addresses, stop, served: Some(served), frozen: None })
    }

    /// Asks it to stop and waits until it has; it must end well.
    async fn stop(&mut self) -> Result<(), Fault> {
        self.frozen = None;
        self.stop.cancel();
        match self.served.take() {
            Some(served) => served.await?.map_err(|failure| fault(failure.to_string())),
            None => Ok(()),
        }
    }

    /// Its one worker waits for a word that comes from outside.
    async fn freeze(&mut self) -> Result<(), Fault> {
        let (thaw, thawed) = std_mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        self.worker.spawn(async move { begun.send(()).is_ok() && thawed.recv().is_err() })?;
        self.frozen = Some(thaw);
        Ok(begins.await?)
    }
}

impl Drop for Instance {
    /// Who is frozen would hold its worker for ever.
    fn drop(&mut self) {
        self.frozen = None;
    }
}

/// Each instance finds the other alive when it looks first, so that neither takes everything.
async fn beat_for_all(data: &Path) -> Result<(), Fault> {
    let db = Db::open(&data.join("node.db"), "node").await?;
    for number in 0..INSTANCES {
        SqlLeases::new(db.clone()).beat(&name(number), "").await?;
    }
    db.close().await;
    Ok(())
}

fn name(number: usize) -> String {
    format!("loa-{}", number + 1)
}

fn config(data: &Path, settings: &[(String, String)], number: usize) -> Result<Config, Fault> {
    let own = [
        ("node.name", name(number)),
        ("grpc.listen", "127.0.0.1:0".to_owned()),
        ("probes.listen", "127.0.0.1:0".to_owned()),
        ("console.listen", "127.0.0.1:0".to_owned()),
        // One bind for each instance, so that both hand over.
        ("sms.account.sim-a.binds", "2".to_owned()),
        ("sms.account.sim-b.binds", "2".to_owned()),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value));
    process::config(data, &[&own, settings].concat())
}
