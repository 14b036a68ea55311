//! What the mail world answers: one connection's commands and contents, without I/O.
//!
//! Must stay true: each command and each content gets exactly one reply, or the connection is closed; a mail is pushed to
//! the log before its 250 is put out.

use std::sync::Arc;

use loa_wire_smtp::server::{Command, Input};

use super::fingerprint::fingerprint;
use super::{Fault, Faults, Shared};
use crate::counters::{add, next};
use crate::log::{Accepted, LogBatch};

/// Recipients of one mail.
const RECIPIENTS_MAX: usize = 100;

/// What the driver does after a reply was put out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on.
    Go,
    /// A content follows.
    Content,
    /// A content follows, and the connection is closed in the midst of it.
    CutContent,
    /// Write the replies so far and part in good order.
    Close,
    /// Write the replies so far and break off.
    HangUp,
}

/// One connection's state.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) faults: Arc<Faults>,
    pub(super) unix_us: u64,
    /// Replies to be written.
    pub(super) out: Vec<u8>,
    pub(super) log: LogBatch,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    mails: u64,
    return_path: Option<String>,
    recipients: Vec<String>,
    fault: Option<Fault>,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            id: shared.controls.number(),
            faults: shared.controls.faults(),
            shared,
            unix_us: 0,
            out: Vec::new(),
            log: LogBatch::default(),
            accepted: 0,
            refused: 0,
            mails: 0,
            return_path: None,
            recipients: Vec::new(),
            fault: None,
        }
    }

    pub(super) fn say(&mut self, reply: &str) {
        self.out.extend_from_slice(reply.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A reply from a fault: after 421 the connection ends.
    fn refuse(&mut self, reply: &str) -> Next {
        self.refused += 1;
        self.say(reply);
        if reply.starts_with("421") { Next::Close } else { Next::Go }
    }

    fn hang_up(&self) -> Next {
        add(&self.shared.counters.closed, 1);
        Next::HangUp
    }

    fn reset(&mut self) {
        self.return_path = None;
        self.recipients.clear();
        self.fault = None;
    }

    pub(super) fn take(&mut self, input: Input<'_>) -> Next {
        match input {
            Input::Content(content) => self.content(content),
            Input::Command(command) => self.command(command),
        }
    }

    fn command(&mut self, command: Command<'_>) -> Next {
        match command {
            Command::Mail { from, .. } => self.mail(from),
            Command::Recipient(to) => return self.recipient(to),
            Command::Data => return self.data(),
            Command::Ehlo(_) => self.hello(),
            Command::Helo(_) => {
                self.reset();
                let host = self.shared.config.host.clone();
                self.say(&format!("250 {host}"));
            }
            Command::Reset => {
                self.reset();
                self.say("250 2.0.0 Ok");
            }
            Command::Noop => self.say("250 2.0.0 Ok"),
            Command::StartTls => self.say("502 5.5.1 TLS is not offered"),
            Command::Unknown => self.say("500 5.5.2 not a command"),
            Command::Quit => {
                self.say("221 2.0.0 Bye");
                return Next::Close;
            }
        }
        Next::Go
    }

    fn hello(&mut self) {
        self.reset();
        let config = &self.shared.config;
        let pipelining = if config.pipelining { "250-PIPELINING\r\n" } else { "" };
        let offer = format!(
            "250-{}\r\n{pipelining}250-SIZE {}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
            config.host, config.mail_octets_max
        );
        self.say(&offer);
    }

    fn mail(&mut self, from: &str) {
        if self.return_path.is_some() {
            return self.say("503 5.5.1 a mail is already begun");
        }
        self.return_path = Some(from.to_owned());
        self.say("250 2.1.0 Ok");
    }

    fn recipient(&mut self, to: &str) -> Next {
        if self.return_path.is_none() {
            self.say("503 5.5.1 MAIL comes first");
            return Next::Go;
        }
        if self.recipients.len() >= RECIPIENTS_MAX {
            return self.refuse("452 4.5.3 too many recipients");
        }
        let faults = Arc::clone(&self.faults);
        let fault = faults.of(to, next(&self.shared.recipients));
        if let Some(Fault::RefuseRecipient(reply)) = fault {
            return self.refuse(reply);
        }
        if faults.greylist && self.shared.is_new(to) {
            return self.refuse("450 4.2.0 greylisted, try again later");
        }
        self.fault = fault.cloned().or_else(|| self.fault.take());
        self.recipients.push(to.to_owned());
        self.say("250 2.1.5 Ok");
        Next::Go
    }

    fn data(&mut self) -> Next {
        if self.recipients.is_empty() {
            self.say("503 5.5.1 no valid recipients");
            return Next::Go;
        }
        match self.fault {
            Some(Fault::CloseAtData) => self.hang_up(),
            Some(Fault::CloseInContent) => {
                self.say("354 End with a dot");
                Next::CutContent
            }
            _ => {
                self.say("354 End with a dot");
                Next::Content
            }
        }
    }

    fn content(&mut self, content: &[u8]) -> Next {
        let next = match self.fault.take() {
            Some(Fault::RefuseContent(reply)) => self.refuse(&reply),
            Some(Fault::DropAndClose) => self.hang_up(),
            Some(Fault::TakeAndClose) => {
                self.accept(content);
                self.hang_up()
            }
            _ => {
                let id = self.accept(content);
                self.say(&format!("250 2.0.0 Ok: queued as {id}"));
                self.after_mail()
            }
        };
        self.reset();
        next
    }

    /// Logs and keeps the mail, once per recipient; returns its id.
    fn accept(&mut self, content: &[u8]) -> String {
        let id = format!("{:X}", next(&self.shared.next_mail));
        let config = &self.shared.config;
        let text_hash = if config.log.kept() { fingerprint(content) } else { 0 };
        let return_path = self.return_path.as_deref().unwrap_or_default();
        for to in &self.recipients {
            self.accepted += 1;
            if config.log.kept() {
                let (address, id) = (to.as_bytes(), id.as_bytes());
                let (unix_us, connection) = (self.unix_us, self.id);
                self.log.push(&Accepted { unix_us, connection, address, part: 1, parts: 1, text_hash, id });
            }
            self.shared.inbox.push(self.unix_us, return_path, to, content);
        }
        id
    }

    fn after_mail(&mut self) -> Next {
        self.mails += 1;
        if self.faults.mails_per_connection_max.is_some_and(|max| self.mails >= max.get()) {
            self.say("421 4.7.0 enough mails for one connection");
            return Next::Close;
        }
        Next::Go
    }
}
