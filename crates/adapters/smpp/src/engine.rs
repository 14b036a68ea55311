//! The raw engine: how fast one bind is when nothing stands behind it, and what a message costs.
//!
//! The bench prints it beside the figures of the whole of Loa, so that a slow machine and a slow change can be told apart.
//! One thread drives one bind against a message centre elsewhere; a message is a submit, its answer, its receipt and the
//! receipt's answer. Number and text differ from message to message.
//!
//! Must stay true: it runs the same driver as production, over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use loa_domain::ids::AccountId;
use loa_ports::carrier::{
    BindState, CarrierAccount, CarrierReceipt, IdForm, NotStored, Pulled, Secret, Submit, SubmitResult, SubmitSource,
    SubmitVerdict,
};
use loa_ports::clock::{Clock as _, SystemClock};
use loa_runtime::metrics::Metrics;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::account::Account;
use crate::driver::{Drive, run};
use crate::meters::Meters;

/// What a run measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Messages with answer and receipt.
    pub messages: u64,
    /// From the bind to the last receipt.
    pub seconds: f64,
    pub per_second: f64,
    /// Processor time of the thread that drives the bind, user and system, per message; `None` where the system does not
    /// tell it.
    pub cpu_us_per_message: Option<f64>,
}

/// Why a run gave no figures.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("could not connect to the message centre")]
    Connect(#[source] std::io::Error),
    #[error("could not start a thread or its runtime")]
    Start(#[source] std::io::Error),
    #[error("the bind ended early: {0}")]
    Ended(String),
    #[error("{0} messages were not accepted: use a message centre without limits and faults")]
    NotAccepted(u64),
}

/// Sends `messages` over one bind with this window and waits for every receipt.
pub fn raw_engine(sink: SocketAddr, messages: u64, window: u32) -> Result<Figures, EngineError> {
    let drives = std::thread::Builder::new().name("raw engine".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(EngineError::Start)?.block_on(measure(sink, messages, window))
    });
    let finished = drives.map_err(EngineError::Start)?.join();
    finished.unwrap_or_else(|_| Err(EngineError::Ended("its thread panicked".to_owned())))
}

async fn measure(sink: SocketAddr, messages: u64, window: u32) -> Result<Figures, EngineError> {
    let stream = TcpStream::connect(sink).await.map_err(EngineError::Connect)?;
    stream.set_nodelay(true).map_err(EngineError::Connect)?;
    let account = Account::new(&settings(sink, window));
    let (source, clock) = (Endless::new(messages), SystemClock::new());
    let (stop, stopping) = watch::channel(None);
    let drive = Drive {
        account: &account,
        source: &source,
        slot: 0,
        clock: &clock,
        meters: &Meters::new(&Metrics::default()),
        in_flight: &AtomicU32::new(0),
        stopping,
        writes_in_doubt: false,
    };
    let (start, cpu_before) = (clock.monotonic(), thread_cpu());
    let driven = run(drive, stream);
    tokio::pin!(driven);
    tokio::select! {
        (ended, _) = &mut driven => return Err(EngineError::Ended(ended.to_string())),
        () = source.finished.notified() => {}
    }
    let (seconds, cpu_after) = ((clock.monotonic() - start).as_secs_f64(), thread_cpu());
    stop.send_replace(Some(Duration::ZERO));
    driven.await;
    match source.not_accepted.load(Ordering::Relaxed) {
        0 => {}
        not_accepted => return Err(EngineError::NotAccepted(not_accepted)),
    }
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before).as_secs_f64());
    let count = messages as f64;
    let cpu_us_per_message = cpu.map(|cpu| cpu * 1e6 / count);
    Ok(Figures { messages, seconds, per_second: count / seconds, cpu_us_per_message })
}

fn settings(sink: SocketAddr, window: u32) -> CarrierAccount {
    CarrierAccount {
        id: AccountId::new("raw").expect("a legal name"),
        address: sink.to_string(),
        system_id: "raw".to_owned(),
        password: Secret::default(),
        system_type: String::new(),
        window,
        id_form: IdForm::AsIs,
        sender_ton_npi: None,
        status_overrides: Vec::new(),
        response_timeout: Duration::from_secs(30),
        enquire_link: Duration::from_secs(30),
        tls: None,
    }
}

/// Processor time of this thread: the first figure of its schedstat, in nanoseconds.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// A text of 116 octets whose first ten are the message's number.
const TEXT: &[u8; 116] =
    b"0000000000 kinh gui ong ba: bo phan mot cua ho tro nop ho so truc tuyen vao cac buoi sang trong \
    tuan nay. Tran trong";

/// A source of as many messages as asked, that waits for as many receipts.
struct Endless {
    messages: u64,
    sender: Arc<str>,
    sent: Mutex<u64>,
    settled: AtomicU64,
    not_accepted: AtomicU64,
    receipts: AtomicU64,
    finished: Notify,
}

impl Endless {
    fn new(messages: u64) -> Self {
        Self {
            messages,
            sender: "BENTRE".into(),
            sent: Mutex::default(),
            settled: AtomicU64::new(0),
            not_accepted: AtomicU64::new(0),
            receipts: AtomicU64::new(0),
            finished: Notify::new(),
        }
    }

    fn submit(&self, number: u64) -> Submit {
        let mut body = TEXT.to_vec();
        let mut rest = number;
        for digit in body[..10].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit fits");
            rest /= 10;
        }
        Submit {
            handle: number,
            part: 0,
            parts: 1,
            destination: 84_900_000_000 + number,
            sender: Arc::clone(&self.sender),
            data_coding: 0,
            body: Bytes::from(body),
            validity_s: 0,
            priority: 0,
        }
    }

    fn check_finished(&self) {
        let settled = self.settled.load(Ordering::Relaxed);
        let heard = self.receipts.load(Ordering::Relaxed) + self.not_accepted.load(Ordering::Relaxed);
        if settled == self.messages && heard >= self.messages {
            self.finished.notify_one();
        }
    }
}

#[async_trait]
impl SubmitSource for Endless {
    fn pull(&self, room: usize, out: &mut Vec<Submit>) -> Pulled {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let until = (*sent + room as u64).min(self.messages);
        out.extend((*sent..until).map(|number| self.submit(number)));
        *sent = until;
        if until == self.messages { Pulled::Empty } else { Pulled::Full }
    }

    async fn ready(&self) {
        std::future::pending().await
    }

    fn settled(&self, results: &mut Vec<SubmitResult>) {
        let refused = results.iter().filter(|result| !matches!(result.verdict, SubmitVerdict::Accepted { .. })).count();
        self.not_accepted.fetch_add(refused as u64, Ordering::Relaxed);
        self.settled.fetch_add(results.drain(..).count() as u64, Ordering::Relaxed);
        self.check_finished();
    }

    async fn receipts(&self, receipts: Vec<CarrierReceipt>) -> Result<(), NotStored> {
        self.receipts.fetch_add(receipts.len() as u64, Ordering::Relaxed);
        self.check_finished();
        Ok(())
    }

    fn bind_changed(&self, _slot: u32, _state: BindState) {}
}
