//! Mailers: how mails leave. Pulled, as with carriers: a connection asks when it can take one.
//!
//! Must stay true: a mail that [`MailSource::pull`] has yielded is answered exactly once; `InDoubt` is said if and only if
//! the end of DATA may have left and no reply came.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use loa_domain::ids::AccountId;

use crate::carrier::{CarrierTls, Pulled};

/// One mail, composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Given back with the result.
    pub handle: u64,
    /// Envelope sender (return path).
    pub from: String,
    /// Envelope recipient.
    pub to: String,
    /// Headers and body, CRLF line ends, not yet dot-stuffed.
    pub data: Bytes,
}

/// What became of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailResult {
    /// From [`Mail`].
    pub handle: u64,
    /// The server's word.
    pub verdict: MailVerdict,
}

/// The server's word on one mail (domain.md §6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailVerdict {
    /// 2xx after DATA: the next hop has it.
    Accepted,
    /// Again later.
    Retry {
        /// Not before this much time.
        after: Duration,
        /// The reply, at most 120 characters, without addresses.
        reply: String,
    },
    /// Again later, and nothing to this site until then.
    Throttle {
        /// Not before this much time.
        after: Duration,
        /// As above.
        reply: String,
    },
    /// The mailbox does not exist: undelivered, suppress the address.
    NoMailbox {
        /// As above.
        reply: String,
    },
    /// Final for this mail, the address may be good.
    Undelivered {
        /// As above.
        reply: String,
    },
    /// The server refuses our sender, content or policy: halt the campaign.
    PolicyHalt {
        /// As above.
        reply: String,
    },
    /// The connection was lost after the end of DATA and before its reply.
    InDoubt,
    /// The end of DATA was never written: safe to hand over again.
    NotWritten {
        /// What happened.
        why: String,
    },
}

/// Where a connection takes mails from; implemented by the gateway.
#[async_trait]
pub trait MailSource: Send + Sync {
    /// Appends mails that may leave now, at most `room`; decides at this moment, must not block.
    fn pull(&self, room: usize, out: &mut Vec<Mail>) -> Pulled;

    /// Whether a pulled mail may still leave; asked right before its content when the server let it wait for long, since
    /// a campaign may have been paused meanwhile. `false`: the mail comes back as `NotWritten`.
    fn may_leave(&self, handle: u64) -> bool {
        let _ = handle;
        true
    }

    /// Resolves when [`MailSource::pull`] may yield something again.
    async fn ready(&self);

    /// Takes results; drains the vector.
    fn settled(&self, results: &mut Vec<MailResult>);

    /// A connection was opened (`Ok`) or could not be (`Err`: why, with its cure).
    fn connection_changed(&self, slot: u32, state: Result<(), String>);
}

/// A relay (smart host) and its limits; checked configuration.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its name.
    pub id: AccountId,
    /// host:port.
    pub address: String,
    /// Our name in EHLO.
    pub hello: String,
    /// TLS policy.
    pub tls: TlsPolicy,
    /// Mails per connection, then a new one is opened.
    pub mails_per_connection_max: u32,
    /// Mails written ahead of their replies on one connection (PIPELINING).
    pub pipeline: u32,
    /// Reply awaited at most.
    pub reply_timeout: Duration,
}

/// When STARTTLS is used.
#[derive(Debug, Clone)]
pub enum TlsPolicy {
    /// Never.
    Off,
    /// Where offered; the certificate is not verified (RFC 7435).
    Opportunistic,
    /// Always, verified.
    Required(CarrierTls),
}

/// Opens connections to relays.
pub trait Mailer: Send + Sync + std::fmt::Debug {
    /// Starts one connection that pulls from the source, reconnecting until stopped. Returns at once; it does not connect
    /// before the source has something.
    fn open(&self, relay: &Relay, slot: u32, source: Arc<dyn MailSource>) -> Box<dyn Connection>;
}

/// One connection under way.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Stops pulling, waits for replies (at most `drain`), quits; every pulled mail is answered by then.
    async fn stop(self: Box<Self>, drain: Duration);
}

/// What is the same for all mails of one content and sender.
#[derive(Debug, Clone, Copy)]
pub struct Letterhead<'a> {
    /// The sender's display name; empty for none.
    pub sender_name: &'a str,
    /// The sender's mailbox.
    pub sender: &'a str,
    /// Domain of return paths and message ids.
    pub return_domain: &'a str,
    /// The subject, if it has no slots.
    pub subject: Option<&'a str>,
    /// The plain text, if it has no slots.
    pub text: Option<&'a str>,
    /// The HTML, if it has no slots; empty = no HTML part at all.
    pub html: Option<&'a str>,
}

/// What differs from mail to mail; a part that the letterhead has is not read.
#[derive(Debug, Clone, Copy)]
pub struct LetterParts<'a> {
    /// The recipient's mailbox.
    pub to: &'a str,
    /// Which message: at most 32 octets, without personal data; becomes the return path and the message id.
    pub token: &'a [u8],
    /// When it is composed, seconds since 1970 UTC.
    pub date_unix_s: i64,
    /// The rendered subject.
    pub subject: &'a str,
    /// The rendered plain text.
    pub text: &'a str,
    /// The rendered HTML; empty = none.
    pub html: &'a str,
}

/// A composed mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Envelope sender that names the message.
    pub return_path: String,
    /// Headers and body, CRLF line ends.
    pub data: Bytes,
}

/// Writes mails.
pub trait Composer: Send + Sync + std::fmt::Debug {
    /// Encodes what is the same for all; the error says which part cannot be written.
    fn letterhead(&self, head: &Letterhead<'_>) -> Result<Arc<dyn Stationery>, String>;
}

/// Mails of one content and sender.
pub trait Stationery: Send + Sync {
    /// Writes one mail; the error says which part cannot be written, without its value.
    fn compose(&self, letter: &LetterParts<'_>) -> Result<Composed, String>;
}
