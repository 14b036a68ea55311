//! A running console over fake roles, and a plain reader of its pages.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use loa_console::{Console, InboxItem, Inboxes};
use loa_domain::hash::HashKey;
use loa_ports::clock::SystemClock;
use loa_runtime::ctx::CtxParts;
use loa_runtime::metrics::Metrics;
use loa_runtime::peers::Peers;
use loa_runtime::{Ctx, Role, Service as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::fakes::{Fakes, PATIENCE};

/// A console that serves.
pub(crate) struct Site {
    pub(crate) ctx: Ctx,
    pub(crate) fakes: Fakes,
    pub(crate) address: SocketAddr,
    served: tokio::task::JoinHandle<()>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Site {
    /// With every role there.
    pub(crate) async fn start(fakes: Fakes, inbox: Option<Arc<dyn Inboxes>>) -> Self {
        Self::with_roles(fakes, inbox, &Role::ALL).await
    }

    /// With some roles there; the others do not answer.
    pub(crate) async fn with_roles(fakes: Fakes, inbox: Option<Arc<dyn Inboxes>>, roles: &[Role]) -> Self {
        let url = fakes.serve(&context(Peers::default())).await;
        let endpoints: HashMap<_, _> = roles.iter().map(|&role| (role, url.clone())).collect();
        let ctx = context(Peers::new(&endpoints, None, "system").expect("the URL is one"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let console = Box::new(Console::new(listener, inbox));
        let running = ctx.clone();
        let served = ctx.spawn("console", async move { console.run(running).await.expect("it ends well") });
        Self { ctx, fakes, address, served }
    }

    /// A page, whole.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let mut stream = self.ask(path).await;
        let mut octets = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut octets)).await.expect("it answers in time").expect("it can be read");
        let text = String::from_utf8(octets).expect("pages are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a head has a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// A page that does not end: what has come when `enough` holds.
    pub(crate) async fn follow(&self, path: &str, enough: impl Fn(&str) -> bool) -> String {
        let mut stream = self.ask(path).await;
        let mut octets = Vec::new();
        let read = async {
            loop {
                let text = String::from_utf8_lossy(&octets).into_owned();
                if enough(&text) || stream.read_buf(&mut octets).await.expect("it can be read") == 0 {
                    return text;
                }
            }
        };
        timeout(PATIENCE, read).await.expect("it tells in time")
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("the console listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: loa\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it can be asked");
        stream
    }

    /// Stops it, whatever is open.
    pub(crate) async fn stop(self) {
        self.ctx.stop();
        timeout(PATIENCE, self.served).await.expect("it stops in time").expect("it does not panic");
    }
}

fn context(peers: Peers) -> Ctx {
    Ctx::new(CtxParts {
        clock: Arc::new(SystemClock::new()),
        node: "n1".to_owned(),
        hash_key: HashKey::new([1; 16]),
        metrics: Metrics::default(),
        peers,
    })
}

/// An inbox from a list.
pub(crate) struct Listed(pub(crate) Vec<InboxItem>);

impl Inboxes for Listed {
    fn search(&self, needle: &str, limit: usize) -> Vec<InboxItem> {
        let found = |item: &&InboxItem| item.to.contains(needle) || item.text.contains(needle);
        self.0.iter().filter(found).take(limit).cloned().collect()
    }
}
