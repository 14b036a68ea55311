//! How long each answer is awaited.
//!
//! Must stay true: the answer to the final dot is awaited longest, for whoever gives up on it leaves a mail in doubt.

use std::time::Duration;

use loa_wire_smtp::Step;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// Time-outs of one connection; the defaults are those of RFC 5321 §4.5.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The connection, and a TLS handshake.
    pub connect: Duration,
    /// The greeting and the answer to EHLO.
    pub greeting: Duration,
    /// The answers to MAIL, RCPT, RSET, QUIT.
    pub command: Duration,
    /// The answer to DATA.
    pub data: Duration,
    /// The transport taking some more of what is written.
    pub write: Duration,
    /// The answer to the final dot.
    pub content: Duration,
    /// A connection without mails is closed after this.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            command: minutes(5),
            data: minutes(2),
            write: minutes(3),
            content: minutes(10),
            idle: Duration::from_secs(30),
        }
    }
}

impl Timeouts {
    /// The same, no answer awaited for longer than `reply`.
    pub(crate) fn within(self, reply: Duration) -> Self {
        Self {
            connect: self.connect.min(reply),
            greeting: self.greeting.min(reply),
            command: self.command.min(reply),
            data: self.data.min(reply),
            write: self.write.min(reply),
            content: self.content.min(reply),
            idle: self.idle,
        }
    }

    /// How long the answer to `step` is awaited.
    pub(crate) fn of(&self, step: Step) -> Duration {
        match step {
            Step::Greeting | Step::Hello | Step::StartTls => self.greeting,
            Step::Reset | Step::Mail | Step::Recipient | Step::Quit => self.command,
            Step::Data => self.data,
            Step::Content | Step::Nothing => self.content,
        }
    }
}
