//! The carrier: binds that pull, answers that come late, not at all or with a broken line, receipts in any order.
//!
//! Must stay true: what was pulled is answered exactly once, as a real bind answers; what a process hears is noted in the
//! book only when it was told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loa_domain::msisdn::Msisdn;
use loa_domain::state::RecipientState;
use loa_ports::carrier::{
    Bind, BindState, Carrier, CarrierAccount, CarrierReceipt, Pulled, Submit, SubmitResult, SubmitSource, SubmitVerdict,
};
use loa_ports::clock::{Clock, SystemClock};
use loa_runtime::Ctx;
use loa_testkit::dice::Dice;
use tokio::sync::{Notify, watch};

use crate::book::{Arrival, Book};
use crate::gate::{Gate, Life};

/// An answer that does not come within this time does not come.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// A receipt that was not acknowledged is sent again after this time.
const RECEIPT_AGAIN: Duration = Duration::from_secs(8);
const REBIND_WAIT: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The carrier's mood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// Refuses binds and drops those there are.
    pub(crate) closed: bool,
    /// Takes nothing for now.
    pub(crate) throttles: bool,
    /// Answers nothing.
    pub(crate) stalls: bool,
    /// Nothing goes wrong that need not.
    pub(crate) calm: bool,
}

#[derive(Debug, Clone)]
struct Due {
    at: Duration,
    number: u64,
    id: String,
    sender: String,
    state: RecipientState,
    copies: u32,
}

/// What all binds share.
#[derive(Debug)]
pub(crate) struct Smsc {
    pub(crate) book: Book,
    clock: Arc<SystemClock>,
    dice: Mutex<Dice>,
    mood: watch::Sender<Mood>,
    /// Raised when every bind is dropped.
    drops: watch::Sender<u64>,
    receipts: Mutex<VecDeque<Due>>,
    next_id: AtomicU64,
}

impl Smsc {
    pub(crate) fn new(clock: Arc<SystemClock>, dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            book: Book::default(),
            clock,
            dice: Mutex::new(dice),
            mood: watch::Sender::new(Mood::default()),
            drops: watch::Sender::new(0),
            receipts: Mutex::default(),
            next_id: AtomicU64::new(1),
        })
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Mood)) {
        self.mood.send_modify(change);
        if self.mood().closed {
            self.drop_binds();
        }
    }

    /// Every line breaks; what was not answered will not be.
    pub(crate) fn drop_binds(&self) {
        self.drops.send_modify(|count| *count += 1);
    }

    fn mood(&self) -> Mood {
        *self.mood.borrow()
    }

    fn throw<R>(&self, f: impl FnOnce(&mut Dice) -> R) -> R {
        f(&mut self.dice.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn receipts(&self) -> MutexGuard<'_, VecDeque<Due>> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receipts that somebody has yet to acknowledge.
    pub(crate) fn receipts_left(&self) -> usize {
        self.receipts().len()
    }

    fn due_receipts(&self, max: usize) -> Vec<Due> {
        let now = self.now();
        let mut receipts = self.receipts();
        let due = receipts.iter_mut().filter(|due| due.at <= now).take(max);
        due.map(|due| {
            due.at = now + RECEIPT_AGAIN;
            due.clone()
        })
        .collect()
    }

    fn acknowledged(&self, told: &[Due]) {
        let mut receipts = self.receipts();
        for Due { number, id, state, .. } in told {
            if let Some(at) = receipts.iter().position(|due| due.id == *id) {
                receipts[at].copies -= 1;
                if receipts[at].copies == 0 {
                    receipts.remove(at);
                }
            }
            if let Some(page) = self.book.pages().get_mut(number) {
                page.receipt = Some(*state);
            }
        }
    }

    /// A part arrives: what is said of it and when; `None` = nothing.
    fn takes(&self, submit: &Submit, arrival: Arrival) -> (usize, Option<(Duration, SubmitVerdict)>) {
        let (mood, now) = (self.mood(), self.now());
        let (throw, after_ms, kept, receipt_ms) = self.throw(|dice| {
            let slow = dice.happens(0.05);
            (dice.below(1_000), dice.below(if slow { 3_000 } else { 150 }), dice.happens(0.5), dice.below(4_000))
        });
        let throw = if mood.calm { 999 } else { throw };
        let (verdict, taken) = match throw {
            _ if mood.stalls => (None, kept),
            _ if mood.throttles => (Some(SubmitVerdict::Throttled), false),
            0..15 => (None, kept),
            15..60 => (Some(SubmitVerdict::Throttled), false),
            60..80 => (Some(SubmitVerdict::RetryLater { status: 0x14 }), false),
            80..100 => (Some(SubmitVerdict::Refused { status: 0x0b }), false),
            _ => (Some(SubmitVerdict::Accepted { id: String::new() }), true),
        };
        let place = self.book.arrives(submit.destination, Arrival { taken, ..arrival });
        if !taken {
            return (place, verdict.map(|verdict| (now + Duration::from_millis(after_ms), verdict)));
        }
        let id = format!("{:x}", self.next_id.fetch_add(1, Ordering::Relaxed));
        let (state, copies) = self.throw(|dice| {
            let state = if dice.happens(0.1) { RecipientState::Undelivered } else { RecipientState::Delivered };
            (state, 1 + u32::from(dice.happens(0.1)))
        });
        // Sometimes before the response.
        let at = now + Duration::from_millis(receipt_ms);
        self.receipts().push_back(Due {
            at,
            number: submit.destination,
            id: id.clone(),
            sender: submit.sender.to_string(),
            state,
            copies,
        });
        let answer = verdict.map(|_| (now + Duration::from_millis(after_ms), SubmitVerdict::Accepted { id }));
        (place, answer)
    }
}

/// The carrier as one process reaches it.
pub(crate) struct Reached {
    smsc: Arc<Smsc>,
    gate: Arc<Gate>,
    ctx: Ctx,
}

impl std::fmt::Debug for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a simulated carrier")
    }
}

impl Reached {
    pub(crate) fn new(smsc: Arc<Smsc>, gate: Arc<Gate>, ctx: Ctx) -> Self {
        Self { smsc, gate, ctx }
    }
}

impl Carrier for Reached {
    fn open(&self, account: &CarrierAccount, slot: u32, source: Arc<dyn SubmitSource>) -> Box<dyn Bind> {
        let shared = Arc::new(Shared::default());
        let line = Line {
            drops: self.smsc.drops.subscribe(),
            smsc: Arc::clone(&self.smsc),
            gate: Arc::clone(&self.gate),
            ctx: self.ctx.clone(),
            source,
            slot,
            window: usize::try_from(account.window).unwrap_or(usize::MAX),
            shared: Arc::clone(&shared),
            out: Vec::new(),
        };
        let task = self.ctx.spawn("simulated bind", line.run());
        Box::new(OneBind { task, shared })
    }
}

#[derive(Debug, Default)]
struct Shared {
    stop: Notify,
    stopped: AtomicBool,
    in_flight: AtomicU64,
}

struct OneBind {
    task: tokio::task::JoinHandle<()>,
    shared: Arc<Shared>,
}

#[async_trait]
impl Bind for OneBind {
    async fn stop(self: Box<Self>, drain: Duration) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.stop.notify_one();
        // The line gives up by itself, too.
        let _late = tokio::time::timeout(drain * 2, self.task).await;
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.shared.in_flight.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

struct Out {
    submit: Submit,
    place: usize,
    /// When the process hears what.
    answer: (Duration, SubmitVerdict),
}

struct Line {
    smsc: Arc<Smsc>,
    gate: Arc<Gate>,
    ctx: Ctx,
    source: Arc<dyn SubmitSource>,
    slot: u32,
    window: usize,
    shared: Arc<Shared>,
    drops: watch::Receiver<u64>,
    out: Vec<Out>,
}

impl Line {
    async fn run(mut self) {
        loop {
            self.gate.pass().await;
            if self.shared.stopped.load(Ordering::Relaxed) {
                break;
            }
            if self.smsc.mood().closed {
                let state = BindState::BackingOff { why: "the carrier is closed".to_owned(), wait: REBIND_WAIT };
                self.source.bind_changed(self.slot, state);
                self.stop_or(REBIND_WAIT).await;
                continue;
            }
            self.drops.mark_unchanged();
            tracing::info!(slot = self.slot, node = self.ctx.node(), "bound");
            self.source.bind_changed(self.slot, BindState::Bound);
            self.bound().await;
        }
        tracing::info!(slot = self.slot, node = self.ctx.node(), "closed");
        self.source.bind_changed(self.slot, BindState::Closed);
    }

    async fn stop_or(&self, wait: Duration) {
        tokio::select! {
            () = self.shared.stop.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Serves the bind until it is dropped or stopped.
    async fn bound(&mut self) {
        loop {
            self.gate.pass().await;
            if self.drops.has_changed().unwrap_or(true) {
                let why = BindState::BackingOff { why: "the line broke".to_owned(), wait: REBIND_WAIT };
                self.lose_all();
                self.source.bind_changed(self.slot, why);
                return self.stop_or(REBIND_WAIT).await;
            }
            if self.shared.stopped.load(Ordering::Relaxed) {
                return self.drain().await;
            }
            self.hear();
            self.bring_receipts();
            let pulled = self.fill().await;
            self.shared.in_flight.store(self.out.len() as u64, Ordering::Relaxed);
            self.wait(pulled).await;
        }
    }

    async fn wait(&mut self, pulled: Pulled) {
        let next = self.out.iter().map(|out| out.answer.0).min();
        let until = next.map_or(LOOK_EVERY, |at| at.saturating_sub(self.smsc.now())).min(LOOK_EVERY);
        let more = async {
            match pulled {
                Pulled::Empty => self.source.ready().await,
                Pulled::Full => std::future::pending().await,
                Pulled::Paced(wait) => tokio::time::sleep(wait).await,
            }
        };
        tokio::select! {
            () = self.shared.stop.notified() => {}
            _ = self.drops.changed() => self.drops.mark_changed(),
            () = tokio::time::sleep(until.max(Duration::from_millis(1))) => {}
            () = more => {}
        }
    }

    /// Pulls what there is room for and writes it. Between the two the process may be frozen, or the line may break.
    async fn fill(&mut self) -> Pulled {
        let mut submits = Vec::new();
        let left = self.smsc.now();
        let pulled = self.source.pull(self.window.saturating_sub(self.out.len()), &mut submits);
        if submits.is_empty() {
            return pulled;
        }
        let freezes = self.gate.freezes();
        self.gate.travel().await;
        let was_frozen = self.gate.freezes() != freezes;
        let mut unwritten = Vec::new();
        for submit in submits {
            if self.drops.has_changed().unwrap_or(true) {
                let Submit { handle, part, .. } = submit;
                unwritten.push(SubmitResult { handle, part, verdict: SubmitVerdict::NotWritten });
                continue;
            }
            let at = self.smsc.now();
            let part = submit.part;
            let arrival = Arrival { left, at, part, was_frozen, taken: false, told_not_taken: false, told: false };
            let (place, answer) = self.smsc.takes(&submit, arrival);
            let answer = answer.unwrap_or((at + ANSWER_WAIT, SubmitVerdict::Unanswered));
            self.out.push(Out { submit, place, answer });
        }
        self.source.settled(&mut unwritten);
        pulled
    }

    /// Tells the process what has been answered by now.
    fn hear(&mut self) {
        let now = self.smsc.now();
        let due = self.out.extract_if(.., |out| out.answer.0 <= now).collect();
        self.tell(due);
    }

    fn tell(&self, told: Vec<Out>) {
        let mut results = Vec::with_capacity(told.len());
        for Out { submit: Submit { handle, part, destination, .. }, place, answer: (_, verdict) } in told {
            self.smsc.book.change(destination, place, |arrival| match verdict {
                SubmitVerdict::Unanswered => {}
                SubmitVerdict::Throttled | SubmitVerdict::RetryLater { .. } => arrival.told_not_taken = true,
                _ => arrival.told = true,
            });
            results.push(SubmitResult { handle, part, verdict });
        }
        if !results.is_empty() {
            self.source.settled(&mut results);
        }
    }

    fn lose_all(&mut self) {
        let mut lost = std::mem::take(&mut self.out);
        lost.iter_mut().for_each(|out| out.answer.1 = SubmitVerdict::Unanswered);
        self.tell(lost);
    }

    /// Waits for the answers that are to come, and gives the others up.
    async fn drain(&mut self) {
        while let Some(at) = self.out.iter().map(|out| out.answer.0).min() {
            tokio::time::sleep(at.saturating_sub(self.smsc.now()).max(Duration::from_millis(1))).await;
            self.gate.pass().await;
            self.hear();
        }
    }

    fn bring_receipts(&self) {
        let due = self.smsc.due_receipts(20);
        if due.is_empty() {
            return;
        }
        let (smsc, source, gate) = (Arc::clone(&self.smsc), Arc::clone(&self.source), Arc::clone(&self.gate));
        let done_at_us = smsc.clock.now_us();
        self.ctx.spawn("simulated receipts", async move {
            let receipt = |due: &Due| CarrierReceipt {
                id: due.id.clone(),
                state: Some(due.state),
                error: String::new(),
                done_at_us,
                number: Msisdn::from_u64(due.number),
                sender: due.sender.clone(),
            };
            gate.pass().await;
            if source.receipts(due.iter().map(receipt).collect()).await.is_ok() {
                // An acknowledgement of a process that was killed meanwhile does not leave.
                gate.pass().await;
                if gate.life() == Life::Runs {
                    smsc.acknowledged(&due);
                }
            }
        });
    }
}
