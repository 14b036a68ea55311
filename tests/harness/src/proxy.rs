//! A TCP proxy between a Loa and a server that knows where messages of the protocol begin and end: it looks at each, and
//! lets it pass, holds it, answers it by itself, or cuts the connection before or behind it.
//!
//! Must stay true: octets of one direction keep their order; what is held goes on after [`Proxy::release`] or never;
//! after [`Proxy::cut_all`] nothing that was held reaches anybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::Fault;

/// Octets read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long both ends of a cut connection may take to close.
const LINGER: Duration = Duration::from_secs(2);

/// Where messages begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `command_length` counts itself.
    Smpp,
    /// A length in front that does not count itself.
    Kafka,
    /// A letter and a length; the client's first message has no letter. The client must not ask for TLS.
    Postgres,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From Loa.
    ToServer,
    /// To Loa.
    ToClient,
}

/// One whole message.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Which connection, counted from 1.
    pub connection: u64,
    /// Which way.
    pub way: Way,
    /// Its octets.
    pub bytes: &'a [u8],
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It and all behind it wait until [`Proxy::release`]; then the rule decides on it again.
    Hold,
    /// It does not go on, and this goes back to who sent it.
    Answer(Vec<u8>),
    /// The same, and the connection ends behind that.
    AnswerAndCut(Vec<u8>),
    /// The connection ends in front of it.
    Cut,
    /// The connection ends behind it.
    CutBehind,
}

/// Decides on every message; called in the order of each direction.
pub type Rule = Arc<dyn Fn(Frame<'_>) -> Verdict + Send + Sync>;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    controls: Controls,
    _accepting: JoinSet<()>,
}

/// What connections are told.
#[derive(Debug, Clone)]
struct Controls {
    releases: watch::Sender<u64>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// On a free port, in front of a server.
    pub async fn start(server: SocketAddr, framing: Framing, rule: Rule) -> Result<Self, Fault> {
        Self::start_on(0, server, framing, rule).await
    }

    /// On a port that others were told of before.
    pub async fn start_on(port: u16, server: SocketAddr, framing: Framing, rule: Rule) -> Result<Self, Fault> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let addr = listener.local_addr()?;
        let controls = Controls { releases: watch::Sender::new(0), cuts: watch::Sender::new(0) };
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, framing, rule, controls.clone()));
        Ok(Self { addr, controls, _accepting: accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is held goes on, and the rule decides on what comes behind it.
    pub fn release(&self) {
        self.controls.releases.send_modify(|count| *count += 1);
    }

    /// Ends every connection; what is held is gone. New connections are served.
    pub fn cut_all(&self) {
        self.controls.cuts.send_modify(|count| *count += 1);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, framing: Framing, rule: Rule, controls: Controls) {
    let (mut connections, mut number) = (JoinSet::new(), 0);
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                number += 1;
                let Ok((client, _)) = accepted else { continue };
                let (rule, mut cuts) = (Arc::clone(&rule), controls.cuts.subscribe());
                let releases = controls.releases.clone();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let serving = serve(client, server, &releases, number, framing, &rule);
                    // Either end ends both sockets.
                    tokio::select! { _ended = serving => {}, _cut = cuts.changed() => {} }
                });
            }
        }
    }
}

async fn serve(
    client: TcpStream,
    server: TcpStream,
    releases: &watch::Sender<u64>,
    connection: u64,
    framing: Framing,
    rule: &Rule,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut from_client, to_client), (mut from_server, to_server)) = (client.into_split(), server.into_split());
    let (to_client, to_server) = (Mutex::new(to_client), Mutex::new(to_server));
    let pump = |way, on, back| Pump { connection, way, framing, rule, releases, on, back, begun: false };
    let up = pump(Way::ToServer, &to_server, &to_client);
    let down = pump(Way::ToClient, &to_client, &to_server);
    tokio::select! { ended = up.run(&mut from_client) => ended, ended = down.run(&mut from_server) => ended }?;
    // What has passed must arrive: a socket that is closed over octets that nobody read takes the others' with it.
    to_client.lock().await.shutdown().await?;
    to_server.lock().await.shutdown().await?;
    let rest = async { tokio::join!(drain(&mut from_client), drain(&mut from_server)) };
    // Who does not close is left.
    let _late = tokio::time::timeout(LINGER, rest).await;
    Ok(())
}

async fn drain(from: &mut OwnedReadHalf) {
    let mut unread = [0; 1_024];
    while from.read(&mut unread).await.is_ok_and(|octets| octets > 0) {}
}

/// One direction of a connection.
struct Pump<'a> {
    connection: u64,
    way: Way,
    framing: Framing,
    rule: &'a Rule,
    releases: &'a watch::Sender<u64>,
    on: &'a Mutex<OwnedWriteHalf>,
    back: &'a Mutex<OwnedWriteHalf>,
    /// The first message has passed.
    begun: bool,
}

impl Pump<'_> {
    /// Until the connection ends or is cut.
    async fn run(mut self, from: &mut OwnedReadHalf) -> std::io::Result<()> {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        while from.read_buf(&mut buffer).await? > 0 {
            let (mut at, mut passed) = (0, 0);
            while let Some(length) = self.length(&buffer[at..]).filter(|length| at + length <= buffer.len()) {
                let end = at + length;
                let frame = Frame { connection: self.connection, way: self.way, bytes: &buffer[at..end] };
                // A release between the question and the wait is not missed.
                let mut releases = self.releases.subscribe();
                match (self.rule)(frame) {
                    Verdict::Pass => {}
                    Verdict::Hold => {
                        self.pass(&buffer[passed..at]).await?;
                        passed = at;
                        match releases.changed().await {
                            Ok(()) => continue,
                            Err(_) => return Ok(()),
                        }
                    }
                    Verdict::Answer(answer) => {
                        self.pass(&buffer[passed..at]).await?;
                        passed = end;
                        self.back.lock().await.write_all(&answer).await?;
                    }
                    Verdict::AnswerAndCut(answer) => {
                        self.pass(&buffer[passed..at]).await?;
                        return self.back.lock().await.write_all(&answer).await;
                    }
                    Verdict::Cut => return self.pass(&buffer[passed..at]).await,
                    Verdict::CutBehind => return self.pass(&buffer[passed..end]).await,
                }
                self.begun = true;
                at = end;
            }
            self.pass(&buffer[passed..at]).await?;
            buffer.drain(..at);
        }
        Ok(())
    }

    async fn pass(&self, octets: &[u8]) -> std::io::Result<()> {
        self.on.lock().await.write_all(octets).await
    }

    /// The length of the message that begins here, as soon as it can be told.
    fn length(&self, octets: &[u8]) -> Option<usize> {
        let (skip, more) = match (self.framing, self.way, self.begun) {
            (Framing::Smpp, ..) | (Framing::Postgres, Way::ToServer, false) => (0, 0),
            (Framing::Kafka, ..) => (0, 4),
            (Framing::Postgres, ..) => (1, 1),
        };
        let number = octets.get(skip..skip + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        usize::try_from(number).ok()?.checked_add(more)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::wait::until;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Sends back whatever comes, and counts it.
    async fn echo(heard: Arc<AtomicU32>) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (addr, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = Arc::clone(&heard);
                open.spawn(async move {
                    let mut message = [0; 6];
                    while stream.read_exact(&mut message).await.is_ok() {
                        heard.fetch_add(1, Ordering::SeqCst);
                        stream.write_all(&message).await.unwrap();
                    }
                });
            }
        });
        (addr, tasks)
    }

    /// A message of SMPP's form with a word of two octets.
    fn message(word: [u8; 2]) -> Vec<u8> {
        [&6_u32.to_be_bytes()[..], &word].concat()
    }

    async fn heard(stream: &mut TcpStream) -> Option<[u8; 2]> {
        let mut answer = [0; 6];
        let read = tokio::time::timeout(LIMIT, stream.read_exact(&mut answer)).await.expect("an answer or an end");
        read.ok().map(|_| [answer[4], answer[5]])
    }

    #[tokio::test]
    async fn messages_pass_wait_are_answered_or_cut() {
        let count = Arc::new(AtomicU32::new(0));
        let (server, _tasks) = echo(Arc::clone(&count)).await;
        let holds = Arc::new(AtomicBool::new(true));
        let held = Arc::clone(&holds);
        let rule = move |frame: Frame<'_>| match (frame.way, &frame.bytes[4..]) {
            (Way::ToServer, b"ho") if held.load(Ordering::SeqCst) => Verdict::Hold,
            (Way::ToServer, b"an") => Verdict::Answer(message(*b"me")),
            (Way::ToServer, b"en") => Verdict::AnswerAndCut(message(*b"d.")),
            (Way::ToServer, b"cu") => Verdict::Cut,
            (Way::ToClient, b"la") => Verdict::CutBehind,
            _ => Verdict::Pass,
        };
        let proxy = Proxy::start(server, Framing::Smpp, Arc::new(rule)).await.unwrap();
        let connect = async || TcpStream::connect(proxy.addr()).await.unwrap();
        let mut stream = connect().await;
        let sent = [message(*b"on"), message(*b"an"), message(*b"la")].concat();
        // In pieces that are no messages.
        for piece in sent.chunks(5) {
            stream.write_all(piece).await.unwrap();
        }
        let mut answers = vec![heard(&mut stream).await, heard(&mut stream).await, heard(&mut stream).await];
        answers.sort();
        assert_eq!(answers, [Some(*b"la"), Some(*b"me"), Some(*b"on")]);
        assert_eq!(heard(&mut stream).await, None, "cut behind the last");

        let mut stream = connect().await;
        stream.write_all(&[message(*b"on"), message(*b"cu")].concat()).await.unwrap();
        while heard(&mut stream).await.is_some() {}
        until("what is in front of a cut passes", LIMIT, async || count.load(Ordering::SeqCst) == 3).await.unwrap();

        let mut stream = connect().await;
        stream.write_all(&[message(*b"en"), message(*b"on")].concat()).await.unwrap();
        assert_eq!((heard(&mut stream).await, heard(&mut stream).await), (Some(*b"d."), None));

        for released in [true, false] {
            let before = count.load(Ordering::SeqCst);
            holds.store(true, Ordering::SeqCst);
            let mut stream = connect().await;
            stream.write_all(&[message(*b"on"), message(*b"ho"), message(*b"be")].concat()).await.unwrap();
            assert_eq!(heard(&mut stream).await, Some(*b"on"));
            holds.store(!released, Ordering::SeqCst);
            if released {
                proxy.release();
                assert_eq!((heard(&mut stream).await, heard(&mut stream).await), (Some(*b"ho"), Some(*b"be")));
            } else {
                proxy.cut_all();
                proxy.release();
                assert_eq!(heard(&mut stream).await, None);
            }
            let expected = before + if released { 3 } else { 1 };
            until("all was heard", LIMIT, async || count.load(Ordering::SeqCst) == expected).await.unwrap();
        }
    }
}
