//! The client's side of one SMTP connection, without I/O.
//!
//! With PIPELINING a message costs one round trip: its content and the whole next envelope leave in one write (RFC 2920
//! §3.1: the content may be the first of a group, DATA only the last). Without it every command waits for its answer.
//! The driver moves octets (`input`, `pending`, `wrote`), asks `next_event` what they mean and offers messages while `wants`.
//!
//! Must stay true: replies are matched to commands by counting, so each command pushes exactly one `Step`; the content
//! leaves only after `GoAhead` was answered with `send`; after an error or `Closing` nothing more is written; and
//! `lost` tells for each unfinished message whether the server may hold it.

mod event;
mod output;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;

pub use event::{Event, Fate, Mail, SessionError, Step, TlsPolicy, Unfit};
use output::Output;

use crate::capabilities::Capabilities;
use crate::limits::DOMAIN_OCTETS_MAX;
use crate::reply::{self, Raw, Reply};
use crate::{dot, mailbox};

/// Room for one read: many replies.
pub const READ_OCTETS: usize = 2_048;

const SERVICE_CLOSING: u16 = 421;
const START_CONTENT: u16 = 354;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening { helo: bool },
    Handshake,
    Open,
    Closed,
}

/// A message whose envelope is under way.
#[derive(Debug)]
struct Staged<M> {
    mail: M,
    refusal: Option<(Step, Reply)>,
}

/// A message whose content was put out and not answered yet.
#[derive(Debug)]
struct Sent<M> {
    mail: M,
    /// Place of the final dot in the stream.
    dot_at: u64,
}

/// One connection: at most one message awaits its last reply while the envelope of the next is under way.
#[derive(Debug)]
pub struct Session<M> {
    ehlo_name: String,
    tls: TlsPolicy,
    phase: Phase,
    secured: bool,
    leaving: bool,
    /// A transaction may be open at the server that no message belongs to.
    must_reset: bool,
    capabilities: Capabilities,
    expected: VecDeque<Step>,
    sent: Option<Sent<M>>,
    staged: Option<Staged<M>>,
    closing: Option<Reply>,
    input: Vec<u8>,
    output: Output,
}

impl<M: Mail> Session<M> {
    /// A session of a connection that was just made; the server speaks first.
    pub fn new(ehlo_name: &str, tls: TlsPolicy) -> Result<Self, SessionError> {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._[]:".contains(&octet);
        if ehlo_name.is_empty() || ehlo_name.len() > DOMAIN_OCTETS_MAX || !ehlo_name.bytes().all(allowed) {
            return Err(SessionError::EhloName);
        }
        Ok(Self {
            ehlo_name: ehlo_name.to_owned(),
            tls,
            phase: Phase::Opening { helo: false },
            secured: false,
            leaving: false,
            must_reset: false,
            capabilities: Capabilities::default(),
            expected: VecDeque::from([Step::Greeting]),
            sent: None,
            staged: None,
            closing: None,
            input: Vec::new(),
            output: Output::default(),
        })
    }

    /// Where the driver appends what it read; there is room for [`READ_OCTETS`].
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.input.reserve(READ_OCTETS);
        &mut self.input
    }

    /// The message whose envelope is under way.
    pub fn staged(&self) -> Option<&M> {
        self.staged.as_ref().map(|staged| &staged.mail)
    }

    /// What is to be written now.
    pub fn pending(&self) -> &[u8] {
        self.output.pending()
    }

    /// Notes that the transport took the first `count` octets of `pending`.
    pub fn wrote(&mut self, count: usize) {
        self.output.wrote(count);
    }

    /// What the server's next reply is awaited for: the driver's time-out depends on it.
    pub fn awaits(&self) -> Option<Step> {
        self.expected.front().copied()
    }

    /// What the server offered after the last EHLO.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Whether the connection is encrypted.
    pub fn is_secured(&self) -> bool {
        self.secured
    }

    /// Whether no message is inside and no reply is awaited.
    pub fn is_idle(&self) -> bool {
        self.sent.is_none() && self.staged.is_none() && self.expected.is_empty()
    }

    /// Whether a message may be offered now.
    pub fn wants(&self) -> bool {
        self.phase == Phase::Open
            && !self.leaving
            && self.staged.is_none()
            && (self.capabilities.pipelining || self.is_idle())
    }

    /// Starts a message: puts out its envelope, or gives it back when this server cannot take it.
    ///
    /// # Panics
    /// When the session does not want one.
    pub fn offer(&mut self, mail: M) -> Result<(), (M, Unfit)> {
        assert!(self.wants(), "a message is offered only when wanted");
        if let Err(unfit) = self.fits(&mail) {
            return Err((mail, unfit));
        }
        self.staged = Some(Staged { mail, refusal: None });
        let reset = mem::take(&mut self.must_reset);
        if reset {
            self.command(Step::Reset, &[b"RSET"]);
        }
        if self.capabilities.pipelining {
            self.put_mail();
            self.put_recipient();
            self.command(Step::Data, &[b"DATA"]);
        } else if !reset {
            self.put_mail();
        }
        Ok(())
    }

    /// Answers `GoAhead`: puts out the content and its final dot.
    pub fn send(&mut self) {
        let staged = self.staged.take().expect("send answers GoAhead, which names the staged message");
        assert!(self.sent.is_none(), "the reply to the message before came before this GoAhead");
        let dot = dot::stuff(staged.mail.content(), &mut self.output.octets);
        self.sent = Some(Sent { mail: staged.mail, dot_at: self.output.place(dot) });
        self.expected.push_back(Step::Content);
    }

    /// Answers `GoAhead`: nothing of the content leaves; the connection is of no more use, for SMTP has no way back.
    pub fn withhold(&mut self) -> M {
        self.phase = Phase::Closed;
        self.expected.clear();
        self.staged.take().expect("withhold answers GoAhead, which names the staged message").mail
    }

    /// The handshake that `StartTls` asked for is done.
    pub fn secured(&mut self) {
        assert_eq!(self.phase, Phase::Handshake, "secured answers StartTls");
        self.secured = true;
        self.capabilities = Capabilities::default();
        self.hello(false);
    }

    /// Takes no further message and says QUIT when the last one is answered.
    pub fn quit(&mut self) {
        self.leaving = true;
        self.quit_when_idle();
    }

    /// The meaning of the next reply read, if it has one for the driver; `None` when more must be read.
    pub fn next_event(&mut self) -> Result<Option<Event<M>>, SessionError> {
        if let Some(reply) = self.closing.take() {
            return Ok(Some(Event::Closing { reply }));
        }
        let mut input = mem::take(&mut self.input);
        let mut taken = 0;
        let outcome = self.consume(&input, &mut taken);
        input.drain(..taken);
        self.input = input;
        if outcome.is_err() {
            self.phase = Phase::Closed;
        }
        outcome
    }

    /// The connection is gone: what became of the messages inside, in the order they were offered.
    pub fn lost(self) -> Vec<(M, Fate)> {
        let written = self.output.written();
        let sent = self.sent.map(|sent| {
            let fate = if sent.dot_at < written { Fate::InDoubt } else { Fate::NotHandedOver };
            (sent.mail, fate)
        });
        let staged = self.staged.map(|staged| {
            let refused = |(step, reply)| Fate::Refused { step, reply };
            (staged.mail, staged.refusal.map_or(Fate::NotHandedOver, refused))
        });
        sent.into_iter().chain(staged).collect()
    }

    fn fits(&self, mail: &M) -> Result<(), Unfit> {
        mailbox::check(mail.return_path()).map_err(Unfit::ReturnPath)?;
        mailbox::check(mail.recipient()).map_err(Unfit::Recipient)?;
        let can = &self.capabilities;
        if needs_smtputf8(mail) && !can.smtputf8 {
            return Err(Unfit::NeedsSmtpUtf8);
        }
        if !can.eight_bit && !mail.content().is_ascii() {
            return Err(Unfit::NeedsEightBit);
        }
        match can.size_octets_max {
            Some(octets_max) if mail.content().len() as u64 > octets_max => Err(Unfit::TooLarge { octets_max }),
            _ => Ok(()),
        }
    }

    fn command(&mut self, step: Step, pieces: &[&[u8]]) {
        self.output.line(pieces);
        self.expected.push_back(step);
    }

    fn put_mail(&mut self) {
        let Some(Staged { mail, .. }) = &self.staged else { return };
        let size = if self.capabilities.size { format!(" SIZE={}", mail.content().len()) } else { String::new() };
        let eight_bit: &[u8] =
            if self.capabilities.eight_bit && !mail.content().is_ascii() { b" BODY=8BITMIME" } else { b"" };
        let utf8: &[u8] = if needs_smtputf8(mail) { b" SMTPUTF8" } else { b"" };
        let return_path = mail.return_path().as_bytes();
        self.output.line(&[b"MAIL FROM:<", return_path, b">", size.as_bytes(), eight_bit, utf8]);
        self.expected.push_back(Step::Mail);
    }

    fn put_recipient(&mut self) {
        let Some(Staged { mail, .. }) = &self.staged else { return };
        self.output.line(&[b"RCPT TO:<", mail.recipient().as_bytes(), b">"]);
        self.expected.push_back(Step::Recipient);
    }

    fn hello(&mut self, helo: bool) {
        self.phase = Phase::Opening { helo };
        let verb: &[u8] = if helo { b"HELO " } else { b"EHLO " };
        self.output.line(&[verb, self.ehlo_name.as_bytes()]);
        self.expected.push_back(Step::Hello);
    }

    fn quit_when_idle(&mut self) {
        if self.leaving && self.phase == Phase::Open && self.is_idle() {
            self.command(Step::Quit, &[b"QUIT"]);
        }
    }

    /// Goes through the replies of `input` up to the first that means something to the driver.
    fn consume(&mut self, input: &[u8], taken: &mut usize) -> Result<Option<Event<M>>, SessionError> {
        while self.phase != Phase::Closed {
            let rest = input.get(*taken..).unwrap_or_default();
            let Some((reply, length)) = reply::first(rest)? else { break };
            *taken += length;
            let event = self.on_reply(reply)?;
            self.quit_when_idle();
            if matches!(event, Some(Event::StartTls)) && *taken < input.len() {
                return Err(SessionError::ChatterBeforeTls);
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        // A closing connection may have told its last event above.
        Ok(self.closing.take().map(|reply| Event::Closing { reply }))
    }

    fn on_reply(&mut self, reply: Raw<'_>) -> Result<Option<Event<M>>, SessionError> {
        let step = self.expected.pop_front();
        let unexpected = Err(SessionError::Unexpected { step, code: reply.code });
        match (step, reply.code) {
            (Some(Step::Greeting | Step::Hello | Step::StartTls), _) => self.on_opening(step, reply),
            (None | Some(Step::Reset | Step::Nothing), SERVICE_CLOSING) => Ok(self.close(reply)),
            (None, _) => unexpected,
            (Some(Step::Reset), 200..=299) => Ok(self.advance(Step::Reset)),
            (Some(Step::Nothing), 200..=599) => Ok(None),
            (Some(Step::Quit), _) => Ok(self.close(reply)),
            (Some(step @ (Step::Mail | Step::Recipient)), 200..=299) => Ok(self.advance(step)),
            (Some(step @ (Step::Mail | Step::Recipient)), 400..=599) => Ok(self.on_refusal(step, reply)),
            (Some(Step::Data), START_CONTENT | 400..=599) => Ok(self.on_data(reply)),
            (Some(Step::Content), 200..=299 | 400..=599) => Ok(self.on_content(reply)),
            (Some(_), _) => unexpected,
        }
    }

    fn on_opening(&mut self, step: Option<Step>, reply: Raw<'_>) -> Result<Option<Event<M>>, SessionError> {
        let plain_will_do = self.tls != TlsPolicy::Required;
        match (step, self.phase, reply.code) {
            (Some(Step::Greeting), _, 220) => self.hello(false),
            (Some(Step::Hello), _, 200..=299) => {
                self.capabilities = Capabilities::read(reply);
                return self.open_or_secure();
            }
            (Some(Step::Hello), Phase::Opening { helo: false }, 500..=599) => self.hello(true),
            (Some(Step::StartTls), _, 220) => {
                self.phase = Phase::Handshake;
                return Ok(Some(Event::StartTls));
            }
            (Some(Step::StartTls), _, 422..=599) if plain_will_do => {
                self.phase = Phase::Open;
                return Ok(Some(Event::Open));
            }
            (Some(step), ..) => return Err(SessionError::Unwelcome { step, reply: reply.to_reply() }),
            (None, ..) => return Err(SessionError::Unexpected { step, code: reply.code }),
        }
        Ok(None)
    }

    fn open_or_secure(&mut self) -> Result<Option<Event<M>>, SessionError> {
        let wanted = !self.secured && self.tls != TlsPolicy::Off;
        if wanted && self.capabilities.starttls {
            self.command(Step::StartTls, &[b"STARTTLS"]);
            return Ok(None);
        }
        if wanted && self.tls == TlsPolicy::Required {
            return Err(SessionError::TlsNotOffered);
        }
        self.phase = Phase::Open;
        Ok(Some(Event::Open))
    }

    /// The next command of a transaction, where commands go one by one.
    fn advance(&mut self, done: Step) -> Option<Event<M>> {
        if !self.capabilities.pipelining {
            match done {
                Step::Reset => self.put_mail(),
                Step::Mail => self.put_recipient(),
                _ => self.command(Step::Data, &[b"DATA"]),
            }
        }
        None
    }

    fn on_refusal(&mut self, step: Step, reply: Raw<'_>) -> Option<Event<M>> {
        let refused = (step, reply.to_reply());
        let more_to_come = self.capabilities.pipelining && reply.code != SERVICE_CLOSING;
        match &mut self.staged {
            // The first refusal tells why; the server has still to answer the rest of the group.
            Some(staged) if more_to_come => {
                staged.refusal.get_or_insert(refused);
                None
            }
            _ => self.refuse(refused),
        }
    }

    fn on_data(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        let refusal = self.staged.as_mut().and_then(|staged| staged.refusal.take());
        match (refusal, reply.code) {
            (None, START_CONTENT) => Some(Event::GoAhead),
            (Some(refused), START_CONTENT) => {
                // The server wants content for a message it refused: it gets none (RFC 2920 §3.1).
                self.output.octets.extend_from_slice(dot::FINAL_DOT);
                self.expected.push_back(Step::Nothing);
                self.refuse(refused)
            }
            (refused, _) => {
                let answer = reply.to_reply();
                self.close_on(&answer);
                self.refuse(refused.unwrap_or((Step::Data, answer)))
            }
        }
    }

    fn refuse(&mut self, (step, reply): (Step, Reply)) -> Option<Event<M>> {
        self.must_reset = true;
        self.close_on(&reply);
        let mail = self.staged.take()?.mail;
        Some(Event::Refused { mail, step, reply })
    }

    fn on_content(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        let reply = reply.to_reply();
        self.close_on(&reply);
        let mail = self.sent.take()?.mail;
        Some(if reply.is_positive() {
            Event::Accepted { mail, reply }
        } else {
            Event::Refused { mail, step: Step::Content, reply }
        })
    }

    /// After 421 the server reads nothing more.
    fn close_on(&mut self, reply: &Reply) {
        if reply.code == SERVICE_CLOSING {
            self.phase = Phase::Closed;
            self.expected.clear();
            self.closing = Some(reply.clone());
        }
    }

    fn close(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        self.phase = Phase::Closed;
        self.expected.clear();
        Some(Event::Closing { reply: reply.to_reply() })
    }
}

fn needs_smtputf8<M: Mail>(mail: &M) -> bool {
    !mail.return_path().is_ascii() || !mail.recipient().is_ascii()
}
