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
mod replies;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;

pub use event::{Event, Fate, Mail, SessionError, Step, TlsPolicy, Unfit};
use output::Output;

use crate::capabilities::Capabilities;
use crate::limits::DOMAIN_OCTETS_MAX;
use crate::reply::Reply;
use crate::{dot, mailbox};

/// Room for one read: many replies.
pub const READ_OCTETS: usize = 2_048;

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
}

fn needs_smtputf8<M: Mail>(mail: &M) -> bool {
    !mail.return_path().is_ascii() || !mail.recipient().is_ascii()
}
