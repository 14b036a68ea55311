//! One connection of the message centre: read, decide, log, answer, send what is due; one write per round.
//!
//! Must stay true: nothing is written to the socket between a decision and its line in the sink log.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loa_wire_smpp::buffer::ReadBuffer;
use loa_wire_smpp::pdu::{Bind, Message};
use loa_wire_smpp::server::{Request, ServerSession};
use loa_wire_smpp::status;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::receipts::{Outbox, Pending, Writer, response_id};
use super::{Faults, Receipts, Shared, submit};
use crate::clock;
use crate::counters::{add, next};
use crate::log::{Accepted, LogBatch, text_hash};

/// Receipts written and not acknowledged, per connection.
const RECEIPT_WINDOW: usize = 10_000;
/// Receipts that wait in one connection; above it submits are answered with RMSGQFUL. (Not reading would be worse: the
/// acknowledgements that make room come on the same connection.)
const PENDING_MAX: usize = 2_000_000;
/// A refused receipt comes again after this time.
const RECEIPT_RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether held receipts may leave.
const HELD_LOOK: Duration = Duration::from_millis(100);
/// How long a stopping message centre waits for its last octets to leave.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a connection until it ends; its receipts go on to others.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, mut stream: S) {
    let mut desk = Desk::new(shared);
    if let Err(error) = desk.run(&mut stream).await {
        tracing::debug!(connection = desk.id, %error, "connection ended");
    }
    desk.leave();
}

/// What one connection knows.
struct Desk {
    shared: Arc<Shared>,
    id: u64,
    outbox: Arc<Outbox>,
    pending: VecDeque<Pending>,
    awaiting: VecDeque<(u32, Pending)>,
    writer: Writer,
    log: LogBatch,
    round: Round,
    submits: u64,
    receives: bool,
    bound: bool,
    /// The system_id of its bind.
    login: Vec<u8>,
    /// Answers held back by the simulated latency.
    delayed: VecDeque<(Instant, Vec<u8>)>,
}

/// What one read sees: the faults and the time are looked up once.
struct Round {
    faults: Arc<Faults>,
    receipts: Arc<Receipts>,
    now: Instant,
    unix_us: u64,
    fresh: VecDeque<Pending>,
    accepted: u64,
    throttled: u64,
    refused: u64,
    acknowledged: u64,
    hang_up: bool,
}

impl Desk {
    fn new(shared: Arc<Shared>) -> Self {
        let round = Round {
            faults: shared.controls.faults(),
            receipts: shared.receipts.get(),
            now: Instant::now(),
            unix_us: clock::unix_us(),
            fresh: VecDeque::new(),
            accepted: 0,
            throttled: 0,
            refused: 0,
            acknowledged: 0,
            hang_up: false,
        };
        Self {
            id: shared.controls.number(),
            shared,
            outbox: Arc::default(),
            pending: VecDeque::new(),
            awaiting: VecDeque::new(),
            writer: Writer::default(),
            log: LogBatch::default(),
            round,
            submits: 0,
            receives: false,
            bound: false,
            login: Vec::new(),
            delayed: VecDeque::new(),
        }
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        let mut session = ServerSession::new();
        let mut buffer = ReadBuffer::new();
        let shared = Arc::clone(&self.shared);
        let mut hang_ups = shared.controls.hang_ups();
        let outbox = Arc::clone(&self.outbox);
        while !session.closed() {
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                () = shared.controls.stopping() => {
                    session.unbind();
                    return tokio::time::timeout(GOODBYE, flush(stream, &mut session)).await.unwrap_or(Ok(()));
                }
                _ = hang_ups.changed() => return Ok(()),
                read = stream.read(buffer.space()) => match read? {
                    0 => return Ok(()),
                    octets => buffer.filled(octets),
                },
                () = outbox.filled.notified() => outbox.drain_into(&mut self.pending),
                () = tokio::time::sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
            self.begin_round();
            let consumed = session.feed(buffer.data(), &mut |session, request| self.take(session, request));
            buffer.consume(consumed);
            self.end_round(&mut session)?;
            if self.round.hang_up {
                return Ok(());
            }
            self.answer(stream, &mut session).await?;
        }
        Ok(())
    }

    fn begin_round(&mut self) {
        self.round.faults = self.shared.controls.faults();
        self.round.receipts = self.shared.receipts.get();
        self.round.now = Instant::now();
        self.round.unix_us = clock::unix_us();
    }

    fn take(&mut self, session: &mut ServerSession, request: Request<'_>) {
        match request {
            Request::Bind { sequence, bind } => self.bind(session, sequence, &bind),
            Request::Submit { sequence, message } => self.submit(session, sequence, &message),
            Request::DeliverAnswered { sequence, status } => self.receipt_answered(sequence, status),
            Request::Unbind | Request::FramingLost => {}
        }
    }

    fn bind(&mut self, session: &mut ServerSession, sequence: u32, bind: &Bind<'_>) {
        let bound = &self.shared.counters.bound;
        let config = &self.shared.config;
        let login = config.logins.iter().find(|(system_id, _)| system_id.as_bytes() == bind.system_id);
        let refused = match (self.round.faults.refuse_bind, login) {
            (Some(status), _) => Some(status),
            _ if self.bound => Some(status::RALYBND),
            (None, None) if !config.logins.is_empty() => Some(status::RINVSYSID),
            (None, Some((_, password))) if password.as_bytes() != bind.password => Some(status::RINVPASWD),
            _ if bound.load(Ordering::Relaxed) >= config.binds_max as u64 => Some(status::RALYBND),
            _ => None,
        };
        if let Some(status) = refused {
            add(&self.shared.counters.binds_refused, 1);
            return session.refuse_bind(sequence, bind.mode, status);
        }
        add(bound, 1);
        self.bound = true;
        self.login = bind.system_id.to_vec();
        self.receives = bind.mode.receives();
        session.accept_bind(sequence, bind.mode, config.system_id.as_bytes());
        if self.receives {
            self.shared.exchange.join(&self.login, self.id, &self.outbox);
        }
    }

    fn submit(&mut self, session: &mut ServerSession, sequence: u32, message: &Message<'_>) {
        let now = self.round.now;
        let status = match session.bound() {
            Some(mode) if mode.submits() && self.pending.len() < PENDING_MAX => {
                submit::decide(message, &self.round.faults, |rate| self.shared.bucket().take(now, rate))
            }
            Some(mode) if mode.submits() => status::RMSGQFUL,
            _ => status::RINVBNDSTS,
        };
        self.submits += 1;
        self.round.hang_up |= self.round.faults.close_after_submits.is_some_and(|after| self.submits >= after);
        match status {
            status::ROK => self.accept(session, sequence, message),
            status::RTHROTTLED | status::RMSGQFUL => self.round.throttled += 1,
            _ => self.round.refused += 1,
        }
        if status != status::ROK {
            session.answer_submit(sequence, status, b"");
        }
    }

    fn accept(&mut self, session: &mut ServerSession, sequence: u32, message: &Message<'_>) {
        let round = &mut self.round;
        round.accepted += 1;
        let number = next(&self.shared.next_message);
        let mut digits = [0; 20];
        let id = response_id(self.shared.config.id_form, number, &mut digits);
        let (part, text) = (message.part(), message.user_data().text);
        let text_hash = text_hash(text);
        if self.shared.config.log.kept() {
            self.log.push(&Accepted {
                unix_us: round.unix_us,
                connection: self.id,
                address: message.destination.address,
                part: part.part,
                parts: part.parts,
                text_hash,
                id,
            });
        }
        self.shared.inbox.push(round.unix_us, message, part, text);
        session.answer_submit(sequence, status::ROK, id);
        if let Some(fate) = submit::fate(message, text_hash, &round.receipts) {
            let due = round.now + round.receipts.delay;
            let pending = Pending::of(message, number, fate.state, round.unix_us, due);
            round.fresh.extend(std::iter::repeat_n(pending, 1 + usize::from(fate.twice)));
        }
    }

    fn receipt_answered(&mut self, sequence: u32, status: u32) {
        let at = self.awaiting.iter().position(|(awaited, _)| *awaited == sequence);
        let Some((_, mut pending)) = at.and_then(|at| self.awaiting.remove(at)) else { return };
        if status == status::ROK {
            self.round.acknowledged += 1;
        } else {
            add(&self.shared.counters.receipts_refused, 1);
            pending.due = self.round.now + RECEIPT_RETRY;
            self.pending.push_back(pending);
        }
    }

    /// Writes the log, counts, and appends the receipts that are due behind the answers.
    fn end_round(&mut self, session: &mut ServerSession) -> io::Result<()> {
        self.shared.config.log.write(&mut self.log)?;
        let counters = &self.shared.counters;
        let round = &mut self.round;
        add(&counters.accepted, std::mem::take(&mut round.accepted));
        add(&counters.throttled, std::mem::take(&mut round.throttled));
        add(&counters.refused, std::mem::take(&mut round.refused));
        add(&counters.receipts_acknowledged, std::mem::take(&mut round.acknowledged));
        let elsewhere =
            !self.receives || (round.receipts.on_other_bind && self.shared.exchange.others(&self.login, self.id));
        if elsewhere {
            self.shared.exchange.pass_on(&self.login, self.id, &mut round.fresh);
        } else {
            self.pending.append(&mut round.fresh);
        }
        self.send_due(session);
        Ok(())
    }

    fn send_due(&mut self, session: &mut ServerSession) {
        if self.round.faults.silent || self.round.receipts.held {
            return;
        }
        let mut sent = 0;
        while self.awaiting.len() < RECEIPT_WINDOW {
            let due = self.pending.pop_front_if(|pending| pending.due <= self.round.now);
            let Some(pending) = due else { break };
            let (form, receipts) = (self.shared.config.id_form, &self.round.receipts);
            if let Some(sequence) = self.writer.write(session, &pending, form, receipts, self.round.unix_us) {
                self.awaiting.push_back((sequence, pending));
                sent += 1;
            }
        }
        add(&self.shared.counters.receipts_sent, sent);
    }

    /// Writes what the round has made, at once or after the simulated latency.
    async fn answer<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, session: &mut ServerSession) -> io::Result<()> {
        if self.round.faults.silent {
            session.written();
            return Ok(());
        }
        if self.round.faults.latency.is_zero() && self.delayed.is_empty() {
            return flush(stream, session).await;
        }
        if !session.out().is_empty() {
            self.delayed.push_back((self.round.now + self.round.faults.latency, session.out().to_vec()));
            session.written();
        }
        while let Some((_, octets)) = self.delayed.pop_front_if(|(due, _)| *due <= Instant::now()) {
            stream.write_all(&octets).await?;
        }
        stream.flush().await
    }

    /// When something is due without anything being read.
    fn wake_at(&self) -> Option<Instant> {
        let receipt =
            self.pending.front().filter(|_| self.awaiting.len() < RECEIPT_WINDOW && !self.round.faults.silent);
        let answer = self.delayed.front().map(|(due, _)| *due);
        let due = |pending: &Pending| match self.round.receipts.held {
            true => self.round.now + HELD_LOOK,
            false => pending.due,
        };
        [receipt.map(due), answer].into_iter().flatten().min()
    }

    fn leave(&mut self) {
        if self.bound {
            self.shared.counters.bound.fetch_sub(1, Ordering::Relaxed);
        }
        self.pending.extend(self.awaiting.drain(..).map(|(_, pending)| pending));
        self.pending.append(&mut self.round.fresh);
        self.shared.exchange.leave(&self.login, self.id, &self.outbox, &mut self.pending);
    }
}

async fn flush<S: AsyncWrite + Unpin>(stream: &mut S, session: &mut ServerSession) -> io::Result<()> {
    if !session.out().is_empty() {
        stream.write_all(session.out()).await?;
        stream.flush().await?;
        session.written();
    }
    Ok(())
}
