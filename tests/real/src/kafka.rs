//! Apache Kafka in KRaft mode: one or several nodes, each broker and controller at once.
//!
//! The brokers notice after 3 s instead of 9 that one of them is gone, and where a test waits for it, they look after old
//! records every 100 ms instead of every few minutes.
//!
//! Must stay true: every node keeps its ports and its folder for its life, so a node that is started again is the same one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use loa_harness::authority::Authority;
use loa_harness::ports::free_port;
use loa_harness::{Fault, fault};
use loa_kafka::Tls;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::task::JoinSet;

use crate::server::{Folder, Server, installed, run};

/// How long nodes may take to start.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long the deletion of a topic may take.
const DELETED_WITHIN: Duration = Duration::from_secs(20);
/// What a node says when it serves.
const STARTED: &str = "Kafka Server started";
const NAME: &str = "kafka";
const LOOPBACK: &str = "127.0.0.1";
/// The name under which nodes are found over TLS: their certificate is for it.
const HOST: &str = "localhost";
/// Who vouches for clients, and what a node shows of itself.
const TRUSTED: &str = "ca.pem";
const SHOWN: &str = "node.pem";
/// The cluster's id: 16 bytes in base64.
const CLUSTER: &str = "bG9hLXJlYWwtdGVzdHMhIQ";
/// A user of the listener that wants a login, by PLAIN or SCRAM-SHA-512.
pub const USER: &str = "loa";
/// Its password.
pub const PASSWORD: &str = "a-password-of-tests";
/// A virtual machine that starts quickly and compiles once, lightly. Kafka's own script lets it compile a second time: that
/// takes half a core for longer than a bench runs (all servers 39.6 µs a text, 14.7 so; `bench million real`, dev profile).
const JAVA: [&str; 5] = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
const LOGGING: &str = "\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss,SSS} %p %m (%c{1})%n
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
";

/// What a node is told that shall not leave old records for long.
const SWEEPING: &str = "\
log.retention.check.interval.ms=100
log.initial.task.delay.ms=100
log.segment.delete.delay.ms=1000
log.cleaner.backoff.ms=100
";

/// Running nodes.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
    client: Tls,
}

#[derive(Debug)]
struct Node {
    server: Server,
    ports: Ports,
    /// How often it was started.
    starts: usize,
}

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    login: u16,
    /// Over TLS, for clients with a certificate.
    certified: u16,
    /// Over TLS, for clients with a login.
    secure: u16,
    controller: u16,
    /// Behind a proxy of the test's.
    proxied: u16,
    /// Where that proxy is said to be.
    proxy: u16,
}

impl Kafka {
    /// One node.
    pub async fn start() -> Result<Self, Fault> {
        Self::start_nodes(1).await
    }

    /// One node that drops and compacts old records as soon as it may.
    pub async fn start_sweeping() -> Result<Self, Fault> {
        Self::start_with(1, SWEEPING).await
    }

    /// So many nodes; returns when all of them serve.
    pub async fn start_nodes(count: usize) -> Result<Self, Fault> {
        Self::start_with(count, "").await
    }

    async fn start_with(count: usize, more: &str) -> Result<Self, Fault> {
        let ports = (0..count).map(|_| Ports::free()).collect::<Result<Vec<_>, _>>()?;
        let authority = Authority::new()?;
        let node = authority.vouches_for(&[HOST])?;
        let (mut nodes, mut formats) = (Vec::new(), JoinSet::new());
        for at in 0..count {
            let folder = Folder::new()?;
            folder.write("log4j2.properties", LOGGING)?;
            folder.write(TRUSTED, &authority.pem())?;
            folder.write(SHOWN, &(node.key.clone() + &node.certificate))?;
            folder.write("server.properties", &(properties(folder.path(), &ports, at) + more))?;
            formats.spawn_blocking(move || format(&folder).map(|()| (at, folder)));
        }
        for formatted in formats.join_all().await {
            let (at, folder) = formatted?;
            let command = command(&folder)?;
            nodes.push(Node { server: Server::start(NAME, folder, command)?, ports: ports[at], starts: 1 });
        }
        nodes.sort_by_key(|node| ports.iter().position(|ports| ports.client == node.ports.client));
        let client = client_of(&authority, nodes[0].server.folder())?;
        let mut kafka = Self { nodes, client };
        for node in &mut kafka.nodes {
            node.ready().await?;
        }
        Ok(kafka)
    }

    /// `host:port` of all nodes, separated by commas.
    pub fn brokers(&self) -> String {
        self.addresses(LOOPBACK, |ports| ports.client)
    }

    /// The same for who logs in as [`USER`].
    pub fn brokers_with_login(&self) -> String {
        self.addresses(LOOPBACK, |ports| ports.login)
    }

    /// The same over TLS, for clients that show a certificate.
    pub fn brokers_with_certificates(&self) -> String {
        self.addresses(HOST, |ports| ports.certified)
    }

    /// The same over TLS, for who logs in as [`USER`].
    pub fn brokers_with_tls(&self) -> String {
        self.addresses(HOST, |ports| ports.secure)
    }

    /// By what a client knows the nodes and is known.
    pub fn client(&self) -> &Tls {
        &self.client
    }

    /// The same for who shall meet what a test puts in front of each node ([`Kafka::proxied`]).
    pub fn brokers_by_proxy(&self) -> String {
        self.addresses(LOOPBACK, |ports| ports.proxy)
    }

    /// The port on which a proxy in front of a node must listen, and what it is in front of.
    pub fn proxied(&self, node: usize) -> (u16, SocketAddr) {
        let ports = self.nodes[node].ports;
        (ports.proxy, SocketAddr::from((Ipv4Addr::LOCALHOST, ports.proxied)))
    }

    fn addresses(&self, host: &str, port: impl Fn(&Ports) -> u16) -> String {
        self.nodes.iter().map(|node| format!("{host}:{}", port(&node.ports))).collect::<Vec<_>>().join(",")
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// kill -9 of a node.
    pub fn kill(&mut self, node: usize) -> Result<(), Fault> {
        self.nodes[node].server.kill()
    }

    /// Stops a node in good order: it hands over what it leads.
    pub async fn stop(&mut self, node: usize) -> Result<(), Fault> {
        self.nodes[node].server.stop("TERM").await
    }

    /// SIGSTOP of a node: it keeps its connections and answers nothing.
    pub fn freeze(&self, node: usize) -> Result<(), Fault> {
        self.nodes[node].server.freeze()
    }

    /// SIGCONT of a node.
    pub fn thaw(&self, node: usize) -> Result<(), Fault> {
        self.nodes[node].server.thaw()
    }

    /// Starts a killed or stopped node on its folder and ports; returns when it serves.
    pub async fn start_again(&mut self, node: usize) -> Result<(), Fault> {
        let node = &mut self.nodes[node];
        let command = command(node.server.folder())?;
        node.server.start_again(command)?;
        node.starts += 1;
        node.ready().await
    }

    /// Deletes a topic with all that is in it; returns when it is gone.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Fault> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let options = AdminOptions::new().operation_timeout(Some(DELETED_WITHIN));
        let deleted = admin.delete_topics(&[name], &options).await?;
        deleted.into_iter().try_for_each(|deleted| deleted.map(drop).map_err(|(_, code)| fault(code.to_string())))
    }

    /// The process of a node.
    pub fn pid(&self, node: usize) -> u32 {
        self.nodes[node].server.pid()
    }

    /// Where a node keeps its records: a folder for each partition.
    pub fn data(&self, node: usize) -> PathBuf {
        self.nodes[node].server.folder().path().join("data")
    }
}

impl Node {
    async fn ready(&mut self) -> Result<(), Fault> {
        let said = self.server.folder().path().join(format!("{NAME}.out"));
        let starts = self.starts;
        let has_started = async || {
            let text = std::fs::read(&said).unwrap_or_default();
            String::from_utf8_lossy(&text).matches(STARTED).count() >= starts
        };
        self.server.ready(START_WITHIN, has_started).await
    }
}

impl Ports {
    fn free() -> Result<Self, Fault> {
        let [client, login, controller] = [free_port()?, free_port()?, free_port()?];
        let [certified, secure, proxied, proxy] = [free_port()?, free_port()?, free_port()?, free_port()?];
        Ok(Self { client, login, certified, secure, controller, proxied, proxy })
    }
}

fn java(folder: &Path) -> Result<Command, Fault> {
    let place = installed(NAME)?;
    let jars = place.join("*");
    let jars = jars.to_str().ok_or_else(|| fault("the folder of the jars is no text"))?.to_owned();
    let mut command = Command::new("java");
    // Its classes as the virtual machine holds them; where they are not, or not of this machine, it loads them.
    command.arg(format!("-XX:SharedArchiveFile={}", place.with_extension("jsa").display()));
    command.args(JAVA).arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()));
    command.args(["-cp", &jars]);
    Ok(command)
}

fn command(folder: &Folder) -> Result<Command, Fault> {
    let mut command = java(folder.path())?;
    command.arg("kafka.Kafka").arg(folder.path().join("server.properties"));
    Ok(command)
}

/// Writes down what a client needs.
fn client_of(authority: &Authority, folder: &Folder) -> Result<Tls, Fault> {
    let client = authority.vouches_for(&[USER])?;
    let certificate = folder.write("client.pem", &client.certificate)?;
    let key = folder.write("client-key.pem", &client.key)?;
    Ok(Tls { ca: Some(folder.path().join(TRUSTED)), identity: Some((certificate, key)) })
}

/// Makes the empty storage of a node and the user that logs in.
fn format(folder: &Folder) -> Result<(), Fault> {
    let mut command = java(folder.path())?;
    command.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"]);
    command.arg(folder.path().join("server.properties"));
    command.args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]);
    run(command)
}

fn properties(folder: &Path, all: &[Ports], at: usize) -> String {
    let Ports { client, login, certified, secure, controller, proxied, proxy } = all[at];
    let voters: Vec<_> = (1..).zip(all).map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller)).collect();
    let (voters, id, data) = (voters.join(","), at + 1, folder.join("data"));
    let copies = all.len().min(3);
    let security = "org.apache.kafka.common.security";
    let (trusted, shown) = (folder.join(TRUSTED), folder.join(SHOWN));
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listeners=CLIENT://127.0.0.1:{client},LOGIN://127.0.0.1:{login},PROXIED://127.0.0.1:{proxied},\
CERTIFIED://127.0.0.1:{certified},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{client},LOGIN://127.0.0.1:{login},PROXIED://127.0.0.1:{proxy},\
CERTIFIED://{HOST}:{certified},SECURE://{HOST}:{secure}
listener.security.protocol.map=CLIENT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,\
CERTIFIED:SSL,SECURE:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={shown}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
listener.name.certified.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.login.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=2
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=4194304
",
        data = data.display(),
        shown = shown.display(),
        trusted = trusted.display(),
    )
}
