//! Drives one connection: fill the window, write once, read once, hand results over as a batch, again.
//!
//! The batch forms by itself: whatever one read brings frees so much of the window, and what fills it again leaves in one
//! write. At low load a message leaves at once; at high load a write carries as much as the answers of one read.
//!
//! Must stay true:
//! - work is pulled only when it can be written now, so nothing unsent waits here;
//! - every pulled part is settled exactly once, at the latest when the connection has ended;
//! - receipts are stored in one batch at a time; their answers are written after that, never before;
//! - while too many receipts wait to be stored nothing is read, so the carrier's octets wait in its own socket, and no
//!   submit expires whose answer may already lie there.

mod fill;
mod hear;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use loa_ports::carrier::{CarrierReceipt, NotStored, Submit, SubmitResult, SubmitSource, SubmitVerdict};
use loa_ports::clock::Clock;
use loa_wire_smpp::buffer::ReadBuffer;
use loa_wire_smpp::session::{Closed, DeliverToken, Session, State};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::account::Account;
use crate::ended::Ended;
use crate::exchange::{Exchanged, exchange};
use crate::meters::Meters;
use crate::routes::Routes;
use fill::Next;

/// Octets waiting to be written above which nothing more is encoded.
const WRITE_OCTETS: usize = 64 * 1024;
/// Parts encoded before others on this thread get their turn.
const PARTS_PER_TURN_MAX: usize = 1_000;
/// Receipts that may wait to be stored before reading stops.
const RECEIPTS_WAITING_MAX: usize = 5_000;
/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while no submit is under way.
const TICK_AT_REST: Duration = Duration::from_secs(1);
/// How long a closed connection may take to write its last octets.
const LAST_WRITE: Duration = Duration::from_millis(500);
/// How long a bind that must end by itself (stopped by the carrier, receipts not stored) waits for open answers.
const OWN_DRAIN: Duration = Duration::from_secs(5);

/// What a driver needs beside its stream.
pub(crate) struct Drive<'a> {
    pub(crate) account: &'a Account,
    pub(crate) source: &'a dyn SubmitSource,
    pub(crate) slot: u32,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) meters: &'a Meters,
    pub(crate) in_flight: &'a AtomicU32,
    /// Set once: stop, with so much patience.
    pub(crate) stopping: watch::Receiver<Option<Duration>>,
    /// An error of the stream tells nothing about octets given to it before (TLS keeps its own buffer).
    pub(crate) writes_in_doubt: bool,
}

/// Which part an answer belongs to.
#[derive(Clone, Copy)]
struct Handle {
    handle: u64,
    part: u8,
}

type Storing<'a> = Pin<Box<dyn Future<Output = Result<(), NotStored>> + Send + 'a>>;
type Ready<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

struct Driver<'a, S> {
    drive: Drive<'a>,
    stream: S,
    session: Session<Handle>,
    buffer: ReadBuffer,
    routes: Routes,
    flush: bool,
    /// Pulled and not yet written: whole messages whose last parts wait for room.
    work: VecDeque<Submit>,
    pulled: Vec<Submit>,
    next: Next,
    turn: usize,
    results: Vec<SubmitResult>,
    receipts: Vec<CarrierReceipt>,
    tokens: Vec<DeliverToken>,
    /// Deliveries that need no storing.
    answer_now: Vec<DeliverToken>,
    was_bound: bool,
    /// Why nothing more is pulled, and until when answers are awaited.
    ending: Option<(Ended, Duration)>,
    odd_pdus: u64,
}

/// Binds and drives one connection until it ends; tells why, and whether it was ever bound.
pub(crate) async fn run<S>(drive: Drive<'_>, stream: S) -> (Ended, bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let now = drive.clock.monotonic();
    let session = match Session::open(drive.account.session, &drive.account.bind(), now) {
        Ok(session) => session,
        Err(error) => return (Ended::Settings { why: error.to_string() }, false),
    };
    let driver = Driver {
        routes: Routes::new(drive.account.sender_ton_npi),
        drive,
        stream,
        session,
        buffer: ReadBuffer::new(),
        flush: false,
        work: VecDeque::new(),
        pulled: Vec::new(),
        next: Next::Now,
        turn: 0,
        results: Vec::new(),
        receipts: Vec::new(),
        tokens: Vec::new(),
        answer_now: Vec::new(),
        was_bound: false,
        ending: None,
        odd_pdus: 0,
    };
    driver.run().await
}

/// What woke the driver.
enum Woken {
    Exchanged(Exchanged),
    Stored(Result<(), NotStored>),
    Ready,
    Tick,
    Stop(Duration),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Driver<'a, S> {
    async fn run(mut self) -> (Ended, bool) {
        let source = self.drive.source;
        let mut stopping = self.drive.stopping.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick_at_rest = tokio::time::interval(TICK_AT_REST);
        tick_at_rest.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut storing: Option<Storing<'a>> = None;
        let mut storing_tokens = Vec::new();
        let mut ready: Option<Ready<'a>> = None;
        let mut broken = None;
        while broken.is_none() {
            let now = self.drive.clock.monotonic();
            self.fill(now);
            self.settle();
            if storing.is_none() && self.receipts_wait() {
                storing_tokens = std::mem::take(&mut self.tokens);
                storing = Some(source.receipts(std::mem::take(&mut self.receipts)));
            }
            self.say_goodbye(now, storing.is_some());
            if matches!(self.session.state(), State::Closed(_)) {
                break;
            }
            if self.next == Next::WhenReady && ready.is_none() {
                ready = Some(source.ready());
            }
            if self.turn >= PARTS_PER_TURN_MAX {
                self.turn = 0;
                tokio::task::yield_now().await;
            }

            let wants_ready = self.next == Next::WhenReady && self.session.room() > 0 && self.ending.is_none();
            let pace = match self.next {
                Next::At(at) if self.ending.is_none() => Some(at.saturating_sub(now)),
                _ => None,
            };
            let parked = self.tokens.len() >= RECEIPTS_WAITING_MAX && self.ending.is_none();
            let at_rest = self.is_at_rest();
            let (session, buffer, flush) = (&self.session, &mut self.buffer, &mut self.flush);
            let space = (!parked).then(|| buffer.space());
            let woken = tokio::select! {
                biased;
                patience = asked_to_stop(&mut stopping), if self.ending.is_none() => Woken::Stop(patience),
                _ = tick.tick(), if !at_rest => Woken::Tick,
                _ = tick_at_rest.tick(), if at_rest => Woken::Tick,
                stored = wait(&mut storing) => Woken::Stored(stored),
                exchanged = exchange(&mut self.stream, session.out(), flush, space) => Woken::Exchanged(exchanged),
                () = wait(&mut ready), if wants_ready => Woken::Ready,
                () = tokio::time::sleep(pace.unwrap_or_default()), if pace.is_some() => Woken::Ready,
            };
            match woken {
                Woken::Stop(patience) => self.end(Ended::Stopped, patience),
                Woken::Tick => self.tick(parked),
                Woken::Stored(stored) => {
                    storing = None;
                    self.stored(stored, std::mem::take(&mut storing_tokens));
                }
                Woken::Exchanged(exchanged) => broken = self.exchanged(exchanged),
                Woken::Ready => {
                    ready = None;
                    self.next = Next::Now;
                }
            }
        }
        self.finish(broken).await
    }

    /// Hands results over and shows how many submits are open.
    fn settle(&mut self) {
        if !self.results.is_empty() {
            self.drive.source.settled(&mut self.results);
            self.results.clear();
        }
        let open = self.session.in_flight() + self.work.len();
        self.drive.in_flight.store(u32::try_from(open).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn exchanged(&mut self, exchanged: Exchanged) -> Option<Ended> {
        self.session.written(exchanged.written);
        if let Some(octets) = exchanged.read {
            self.buffer.filled(octets);
            self.feed();
            if octets == 0 {
                return Some(Ended::Closed(Closed::SocketClosed));
            }
        }
        let error = exchanged.broken?;
        if self.drive.writes_in_doubt {
            self.session.written(usize::MAX);
        }
        Some(Ended::Socket { error })
    }

    fn say_goodbye(&mut self, now: Duration, storing: bool) {
        let Some((why, until)) = &self.ending else { return };
        let quiet = self.session.in_flight() == 0 && !storing && self.receipts.is_empty();
        let at_once = matches!(why, Ended::Stopped) && self.session.state() == State::Opening;
        if at_once {
            self.session.close(Closed::Unbound);
        } else if (quiet || now >= *until) && self.session.state() == State::Bound {
            self.session.unbind(now);
        }
    }

    /// Writes what is left, closes, and settles every part that is still open.
    ///
    /// Behind open submits nothing is written any more: their octets would leave with it.
    async fn finish(mut self, broken: Option<Ended>) -> (Ended, bool) {
        if broken.is_none() && self.session.in_flight() == 0 {
            let last = async {
                while !self.session.out().is_empty() || self.flush {
                    let exchanged = exchange(&mut self.stream, self.session.out(), &mut self.flush, None).await;
                    self.session.written(exchanged.written);
                    if exchanged.broken.is_some() {
                        break;
                    }
                }
            };
            if tokio::time::timeout(LAST_WRITE, last).await.is_err() {
                tracing::debug!("the carrier did not take our last octets");
            }
        }
        let results = &mut self.results;
        self.session.lost(&mut |handle, written| {
            let verdict = if written { SubmitVerdict::Unanswered } else { SubmitVerdict::NotWritten };
            results.push(result(handle, verdict));
        });
        let unwritten = self.work.drain(..);
        results.extend(unwritten.map(|submit| result(Handle::of(&submit), SubmitVerdict::NotWritten)));
        self.settle();
        let state = self.session.state();
        let ended = match (self.ending.take(), broken, state) {
            (Some((why, _)), ..) => why,
            (None, Some(broken), _) => broken,
            (None, None, State::Closed(closed)) => Ended::Closed(closed),
            (None, None, _) => Ended::Stopped,
        };
        (ended, self.was_bound)
    }
}

impl<S> Driver<'_, S> {
    /// Bound, and no submit and no end is under way.
    fn is_at_rest(&self) -> bool {
        self.session.state() == State::Bound && self.session.in_flight() == 0 && self.ending.is_none()
    }

    /// Pulls nothing more; the connection is closed when all answers are there or the patience has ended.
    fn end(&mut self, why: Ended, patience: Duration) {
        if self.ending.is_none() {
            self.ending = Some((why, self.drive.clock.monotonic() + patience));
            let unwritten = self.work.drain(..);
            self.results.extend(unwritten.map(|submit| result(Handle::of(&submit), SubmitVerdict::NotWritten)));
        }
    }
}

impl Handle {
    fn of(submit: &Submit) -> Self {
        Self { handle: submit.handle, part: submit.part }
    }
}

fn result(handle: Handle, verdict: SubmitVerdict) -> SubmitResult {
    SubmitResult { handle: handle.handle, part: handle.part, verdict }
}

/// Waits for a future that may not be there; then for ever.
async fn wait<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// The patience of a stop; a handle that was dropped has none.
pub(crate) async fn asked_to_stop(stopping: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopping.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}
