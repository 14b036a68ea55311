//! What every simulator is: a door that takes connections, faults that are told while it runs, hang-ups, a stop.
//!
//! What happens on a connection is its [`World`]'s; here is what does not differ between a message centre and a mail
//! server.
//!
//! Must stay true: a stop accepts nothing more, lets connections say goodbye, and ends even if a client does not read.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Out of file descriptors, accepting at once again would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for connections to say goodbye.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What is simulated; one value is shared by all connections.
pub trait World: Sized + Send + Sync + 'static {
    /// What it is started with.
    type Config;
    /// How it misbehaves.
    type Faults: Send + Sync + 'static;
    /// What it has done.
    type Stats;
    /// What came last, to look at.
    type Inbox;

    /// Before the first connection.
    fn new(config: Self::Config) -> Self;

    /// What every simulator is told.
    fn controls(&self) -> &Controls<Self::Faults>;

    /// What it has done so far.
    fn stats(&self) -> Self::Stats;

    /// What came last.
    fn inbox(&self) -> &Arc<Self::Inbox>;

    /// Serves one connection until it ends, or until the controls say stop or hang up.
    fn serve<S>(self: Arc<Self>, stream: S) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;
}

/// A running simulator.
pub struct Simulator<W> {
    addr: SocketAddr,
    world: Arc<W>,
    /// The accept loop; it owns the connections.
    tasks: JoinSet<()>,
    /// Ends that loop, and its connections without a word.
    leaving: CancellationToken,
}

impl<W: World> Simulator<W> {
    /// Starts to accept connections.
    pub fn start(listener: TcpListener, config: W::Config) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let world = Arc::new(W::new(config));
        let mut tasks = JoinSet::new();
        let leaving = CancellationToken::new();
        tasks.spawn(accept(listener, Arc::clone(&world), leaving.clone()));
        Ok(Self { addr, world, tasks, leaving })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has done so far.
    pub fn stats(&self) -> W::Stats {
        self.world.stats()
    }

    /// What came last, decoded when looked at.
    pub fn inbox(&self) -> Arc<W::Inbox> {
        Arc::clone(self.world.inbox())
    }

    /// Misbehaves from now on as told.
    pub fn set_faults(&self, faults: W::Faults) {
        self.world.controls().faults.set(faults);
    }

    /// Closes every connection at once, without a word; new ones are accepted.
    pub fn hang_up(&self) {
        self.world.controls().hang_ups.send_modify(|times| *times += 1);
    }

    /// Is out of reach from now on: nothing is accepted, and every connection is cut without a word. What it knows stays.
    pub async fn leave(&mut self) {
        self.leaving.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Can be reached again, where it was.
    pub async fn come_back(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.addr).await?;
        self.leaving = CancellationToken::new();
        self.tasks.spawn(accept(listener, Arc::clone(&self.world), self.leaving.clone()));
        Ok(())
    }

    /// Serves one connection that was accepted elsewhere (TLS, in memory); returns when it has ended.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S, W>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        Arc::clone(&self.world).serve(stream)
    }

    /// Accepts nothing more and closes every connection; what is in the sink log stays.
    pub async fn stop(mut self) {
        self.world.controls().stopping.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    pub(crate) fn world(&self) -> &W {
        &self.world
    }
}

/// What a simulator is told while it runs, as its connections see it.
pub struct Controls<F> {
    faults: Swap<F>,
    hang_ups: watch::Sender<u64>,
    stopping: CancellationToken,
    next_connection: AtomicU64,
}

impl<F> Controls<F> {
    pub(crate) fn new(faults: F) -> Self {
        let (hang_ups, stopping) = (watch::Sender::new(0), CancellationToken::new());
        Self { faults: Swap::new(faults), hang_ups, stopping, next_connection: AtomicU64::new(1) }
    }

    pub(crate) fn faults(&self) -> Arc<F> {
        self.faults.get()
    }

    /// Changes when every connection is to be closed without a word.
    pub(crate) fn hang_ups(&self) -> watch::Receiver<u64> {
        self.hang_ups.subscribe()
    }

    /// Resolves when the simulator stops.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// The number of a new connection.
    pub(crate) fn number(&self) -> u64 {
        crate::counters::next(&self.next_connection)
    }
}

/// A value that is replaced as a whole; whoever has the old one keeps it.
pub(crate) struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

async fn accept<W: World>(listener: TcpListener, world: Arc<W>, leaving: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = world.controls().stopping() => break,
            () = leaving.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if stream.set_nodelay(true).is_ok() => {
                    connections.spawn(Arc::clone(&world).serve(stream));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if leaving.is_cancelled() {
        // In good order on this side: what was not acknowledged is kept for the next connection.
        world.controls().hang_ups.send_modify(|times| *times += 1);
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_PATIENCE, all_ended).await.is_err() {
        connections.shutdown().await; // a client that does not read cannot keep us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    /// Says its fault to whoever connects, and then holds the line: hangs up when told, and never says goodbye.
    struct Deaf(Controls<u8>, Arc<()>);

    impl World for Deaf {
        type Config = u8;
        type Faults = u8;
        type Stats = ();
        type Inbox = ();

        fn new(fault: u8) -> Self {
            Self(Controls::new(fault), Arc::default())
        }

        fn controls(&self) -> &Controls<u8> {
            &self.0
        }

        fn stats(&self) {}

        fn inbox(&self) -> &Arc<()> {
            &self.1
        }

        async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(self: Arc<Self>, mut stream: S) {
            let mut hang_ups = self.0.hang_ups();
            let said = stream.write_all(&[*self.0.faults()]).await;
            if said.is_ok() {
                let _hung_up = hang_ups.changed().await;
            }
        }
    }

    async fn start() -> Simulator<Deaf> {
        Simulator::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), 7).unwrap()
    }

    /// A connection and what it heard first.
    async fn connect(simulator: &Simulator<Deaf>) -> (TcpStream, u8) {
        let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
        let heard = stream.read_u8().await.unwrap();
        (stream, heard)
    }

    #[tokio::test]
    async fn new_faults_are_heard_and_a_hang_up_closes_only_what_is_open() {
        let simulator = start().await;
        let (mut before, heard) = connect(&simulator).await;
        assert_eq!(heard, 7);
        simulator.set_faults(8);
        simulator.hang_up();
        assert_eq!(before.read(&mut [0]).await.unwrap(), 0, "it is closed");
        let (_after, heard) = connect(&simulator).await;
        assert_eq!(heard, 8);
        simulator.stop().await;
    }

    #[tokio::test]
    async fn who_left_comes_back_to_the_same_place() {
        let mut simulator = start().await;
        let (mut held, _) = connect(&simulator).await;
        simulator.leave().await;
        assert_eq!(held.read(&mut [0]).await.unwrap_or(0), 0, "it is cut");
        assert!(TcpStream::connect(simulator.addr()).await.is_err(), "nothing is accepted");
        simulator.come_back().await.unwrap();
        assert_eq!(connect(&simulator).await.1, 7, "the same world");
        simulator.stop().await;
    }

    #[tokio::test]
    async fn a_stop_ends_what_does_not_say_goodbye() {
        let simulator = start().await;
        let (mut held, _) = connect(&simulator).await;
        let addr = simulator.addr();
        simulator.stop().await;
        assert_eq!(held.read(&mut [0]).await.unwrap(), 0, "it is closed");
        assert!(TcpStream::connect(addr).await.is_err(), "nothing more is accepted");
    }
}
