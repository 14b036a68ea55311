//! Moves one connection: fill, write once, read once, tell the results.
//!
//! Must stay true: a mail is pulled only when the connection can take it at once; every mail pulled is answered by
//! [`Driver::finish`] at the latest; the content leaves only if the mail may still leave at that moment.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use loa_ports::carrier::Pulled;
use loa_ports::mailer::{Mail, MailResult, MailSource, MailVerdict};
use loa_wire_smtp::{Enhanced, Event, Session, Step};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::error::Broken;
use crate::timeouts::Timeouts;
use crate::verdict;

/// A mail whose envelope was answered faster than this is not asked about again before its content leaves.
const RECHECK_AFTER: Duration = Duration::from_millis(250);
/// A server that closes a connection which was idle for this long has only cleared up; sooner, it has sent us away.
const IDLE_CLOSE_AFTER: Duration = Duration::from_secs(1);

/// What a server says whose idle timer has run out (RFC 3463 §3.5).
const IDLE_TIMER: Enhanced = Enhanced { class: 4, subject: 4, detail: 2 };

/// A mail on its way through the session.
#[derive(Debug)]
pub(crate) struct Outgoing(pub(crate) Mail);

impl loa_wire_smtp::Mail for Outgoing {
    fn return_path(&self) -> &str {
        &self.0.from
    }

    fn recipient(&self) -> &str {
        &self.0.to
    }

    fn content(&self) -> &[u8] {
        &self.0.data
    }
}

/// Why a connection ended in good order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server waits for a TLS handshake.
    StartTls,
    /// We said QUIT and the server answered, or the server closed it while nothing was under way.
    Quit,
}

/// When the source is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Now,
    WhenReady,
    At(Instant),
}

/// What ended a wait.
enum Wake {
    Stop,
    Ready,
    Read(usize),
    Timer,
}

/// What a connection needs to know.
pub(crate) struct Settings<'a> {
    pub(crate) slot: u32,
    pub(crate) source: &'a dyn MailSource,
    pub(crate) timeouts: Timeouts,
    pub(crate) stop: &'a CancellationToken,
    /// Mails after which the connection is given up.
    pub(crate) mails_max: u32,
    /// The next envelope may leave before the last content is answered.
    pub(crate) ahead: bool,
}

/// One connection under way.
pub(crate) struct Driver<'a> {
    settings: Settings<'a>,
    session: Session<Outgoing>,
    mails_left: u32,
    ask: Ask,
    leaving: bool,
    /// Some mail was answered by the server: the connection was worth it.
    worked: bool,
    pulled: Vec<Mail>,
    results: Vec<MailResult>,
    /// When something last moved; replies and idleness are timed from here.
    moved_at: Instant,
    staged_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(session: Session<Outgoing>, settings: Settings<'a>) -> Self {
        let now = Instant::now();
        Self {
            session,
            mails_left: settings.mails_max.max(1),
            ask: Ask::Now,
            leaving: false,
            worked: false,
            pulled: Vec::new(),
            results: Vec::new(),
            moved_at: now,
            staged_at: now,
            timer: Box::pin(tokio::time::sleep_until(now)),
            settings,
        }
    }

    pub(crate) fn worked(&self) -> bool {
        self.worked
    }

    /// The handshake asked for by [`Ended::StartTls`] is done.
    pub(crate) fn secured(&mut self) {
        self.session.secured();
        self.moved_at = Instant::now();
    }

    /// Moves the connection until it ends.
    pub(crate) async fn drive<S>(&mut self, stream: &mut S) -> Result<Ended, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            self.fill();
            self.write(stream).await?;
            self.settle(); // behind the write, so that the server works meanwhile
            match self.wait(stream).await? {
                Wake::Read(0) if self.was_idle() => return Ok(Ended::Quit),
                Wake::Read(0) => return Err(Broken::Closed),
                Wake::Read(_) => self.moved_at = Instant::now(),
                Wake::Ready => self.ask = Ask::Now,
                Wake::Stop => self.leave(),
                Wake::Timer => self.on_timer()?,
            }
            if let Some(ended) = self.digest()? {
                return Ok(ended);
            }
        }
    }

    /// Answers every mail that is still inside; the connection ended by `why`.
    pub(crate) fn finish(self, why: &str) {
        let Self { settings, session, pulled, mut results, .. } = self;
        let unwritten = |mail: Mail| answer(mail.handle, MailVerdict::NotWritten { why: why.to_owned() });
        let lost = session.lost().into_iter();
        results.extend(lost.map(|(Outgoing(mail), fate)| answer(mail.handle, verdict::of_fate(&mail, &fate, why))));
        results.extend(pulled.into_iter().map(unwritten));
        if !results.is_empty() {
            settings.source.settled(&mut results);
        }
    }

    /// Nothing is under way, and the connection was of use or was left alone for a while.
    fn was_idle(&self) -> bool {
        self.session.is_idle() && (self.worked || self.moved_at.elapsed() >= IDLE_CLOSE_AFTER)
    }

    fn may_pull(&self) -> bool {
        !self.leaving && self.session.wants() && (self.settings.ahead || self.session.is_idle())
    }

    /// Takes mails while the connection has room for one.
    fn fill(&mut self) {
        while self.may_pull() {
            if self.pulled.is_empty() && self.ask == Ask::Now {
                self.ask = match self.settings.source.pull(1, &mut self.pulled) {
                    Pulled::Full if !self.pulled.is_empty() => Ask::Now,
                    Pulled::Full | Pulled::Empty => Ask::WhenReady,
                    Pulled::Paced(wait) => Ask::At(Instant::now() + wait),
                };
            }
            let Some(mail) = self.pulled.pop() else { return };
            self.staged_at = Instant::now();
            self.moved_at = self.staged_at;
            if let Err((Outgoing(mail), unfit)) = self.session.offer(Outgoing(mail)) {
                self.results.push(answer(mail.handle, verdict::of_unfit(unfit)));
                continue;
            }
            self.mails_left -= 1;
            if self.mails_left == 0 {
                self.leave();
            }
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.session.quit();
        self.moved_at = Instant::now(); // the answer is timed from here, however long nothing has moved
    }

    fn settle(&mut self) {
        if !self.results.is_empty() {
            self.settings.source.settled(&mut self.results);
            self.results.clear();
        }
    }

    async fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<(), Broken> {
        if self.session.pending().is_empty() {
            return Ok(());
        }
        while !self.session.pending().is_empty() {
            let write = stream.write(self.session.pending());
            let written = tokio::time::timeout(self.settings.timeouts.write, write).await;
            match written.map_err(|_| Broken::Stuck)?? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                octets => self.session.wrote(octets),
            }
        }
        tokio::time::timeout(self.settings.timeouts.write, stream.flush()).await.map_err(|_| Broken::Stuck)??;
        Ok(())
    }

    /// Waits for the server, the source, the stop or the time.
    async fn wait<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<Wake> {
        let ask_when_ready = self.may_pull() && self.ask == Ask::WhenReady;
        let due = self.due();
        if self.timer.deadline() > due || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due); // a timer that is due too early only wakes once for nothing
        }
        tokio::select! {
            biased;
            () = self.settings.stop.cancelled(), if !self.leaving => Ok(Wake::Stop),
            read = stream.read_buf(self.session.input()) => read.map(Wake::Read),
            () = self.settings.source.ready(), if ask_when_ready => Ok(Wake::Ready),
            () = self.timer.as_mut() => Ok(Wake::Timer),
        }
    }

    /// When something must be looked at though nothing moves.
    fn due(&self) -> Instant {
        let limit = self.session.awaits().map_or(self.settings.timeouts.idle, |step| self.settings.timeouts.of(step));
        let moved = self.moved_at + limit;
        match self.ask {
            Ask::At(time) if self.may_pull() => time.min(moved),
            _ => moved,
        }
    }

    fn on_timer(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        if matches!(self.ask, Ask::At(time) if time <= now) {
            self.ask = Ask::Now;
        }
        match self.session.awaits() {
            Some(step) if self.moved_at + self.settings.timeouts.of(step) <= now => Err(Broken::Silent { step }),
            Some(_) => Ok(()),
            None => {
                if self.ask != Ask::Now && self.moved_at + self.settings.timeouts.idle <= now {
                    self.leave();
                }
                Ok(())
            }
        }
    }

    /// Goes through what the replies read so far mean.
    fn digest(&mut self) -> Result<Option<Ended>, Broken> {
        while let Some(event) = self.session.next_event()? {
            match event {
                Event::StartTls => return Ok(Some(Ended::StartTls)),
                Event::Open => self.settings.source.connection_changed(self.settings.slot, Ok(())),
                Event::GoAhead => self.go_ahead()?,
                Event::Accepted { mail: Outgoing(mail), reply } => {
                    self.answered(&mail, verdict::of_reply(&mail, Step::Content, &reply));
                }
                Event::Refused { mail: Outgoing(mail), step, reply } => {
                    self.answered(&mail, verdict::of_reply(&mail, step, &reply));
                }
                Event::Closing { .. } if self.leaving => return Ok(Some(Ended::Quit)),
                Event::Closing { reply } if reply.enhanced == Some(IDLE_TIMER) && self.was_idle() => {
                    return Ok(Some(Ended::Quit));
                }
                Event::Closing { reply } => return Err(Broken::SentAway { codes: reply.codes() }),
            }
        }
        Ok(None)
    }

    fn go_ahead(&mut self) -> Result<(), Broken> {
        let handle = self.session.staged().map_or(0, |Outgoing(mail)| mail.handle);
        if self.staged_at.elapsed() < RECHECK_AFTER || self.settings.source.may_leave(handle) {
            self.session.send();
            return Ok(());
        }
        let Outgoing(mail) = self.session.withhold();
        let why = Broken::Withheld.to_string();
        self.results.push(answer(mail.handle, MailVerdict::NotWritten { why }));
        Err(Broken::Withheld)
    }

    fn answered(&mut self, mail: &Mail, verdict: MailVerdict) {
        self.worked = true;
        self.results.push(answer(mail.handle, verdict));
    }
}

fn answer(handle: u64, verdict: MailVerdict) -> MailResult {
    MailResult { handle, verdict }
}
