//! What a session tells its driver.
//!
//! Must stay true: every message given to a session comes back exactly once: accepted, refused, withheld, or with its
//! fate when the connection is lost.

use crate::limits::DOMAIN_OCTETS_MAX;
use crate::mailbox::MailboxError;
use crate::reply::{Reply, ReplyError};

/// A message as the session needs to see it.
pub trait Mail {
    /// Mailbox that bounces go to; without brackets.
    fn return_path(&self) -> &str;
    /// The one recipient; without brackets.
    fn recipient(&self) -> &str;
    /// Headers and body, lines ending in CRLF, dots not doubled.
    fn content(&self) -> &[u8];
}

/// When TLS is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Never.
    Off,
    /// When the server offers it.
    #[default]
    Opportunistic,
    /// Always: without it nothing is sent.
    Required,
}

/// What the session waits for; also where in a transaction a refusal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The server's first words.
    Greeting,
    /// The answer to EHLO or HELO.
    Hello,
    /// The answer to STARTTLS.
    StartTls,
    /// The answer to RSET.
    Reset,
    /// The answer to MAIL.
    Mail,
    /// The answer to RCPT.
    Recipient,
    /// The answer to DATA, before any of the content left.
    Data,
    /// The answer to the final dot: the only one that accepts a message.
    Content,
    /// The answer to a final dot that followed nothing, because the server said 354 to a refused message.
    Nothing,
    /// The answer to QUIT.
    Quit,
}

/// What happened.
#[derive(Debug)]
pub enum Event<M> {
    /// Do the TLS handshake now, then call `secured`.
    StartTls,
    /// Messages may be offered from here on.
    Open,
    /// The server waits for the content: look once more whether it may leave, then call `send` or `withhold`.
    GoAhead,
    /// The server holds the message.
    Accepted {
        /// The message.
        mail: M,
        /// The 2xx after the final dot.
        reply: Reply,
    },
    /// The server does not hold the message.
    Refused {
        /// The message.
        mail: M,
        /// Which command was refused.
        step: Step,
        /// The refusal.
        reply: Reply,
    },
    /// The server ends the connection in good order; `lost` gives back what it had not begun.
    Closing {
        /// 421 with its reason, or the answer to our QUIT.
        reply: Reply,
    },
}

/// What became of a message when the connection ended under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The final dot did not leave, so the server cannot hold the message: it may be sent again.
    NotHandedOver,
    /// The final dot may have left and no reply came: it must not be sent again.
    InDoubt,
    /// The server had already refused it.
    Refused {
        /// Which command was refused.
        step: Step,
        /// The refusal.
        reply: Reply,
    },
}

/// Why a message cannot be sent over this connection; nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The return path cannot stand in an envelope.
    #[error("the return path is not usable")]
    ReturnPath(#[source] MailboxError),
    /// The recipient cannot stand in an envelope.
    #[error("the recipient is not usable")]
    Recipient(#[source] MailboxError),
    /// A mailbox outside ASCII and a server without SMTPUTF8.
    #[error("the address needs SMTPUTF8, which the server does not offer")]
    NeedsSmtpUtf8,
    /// Octets above 127 in the content and a server without 8BITMIME.
    #[error("the content needs 8BITMIME, which the server does not offer")]
    NeedsEightBit,
    /// Larger than the server's SIZE.
    #[error("the message is larger than the {octets_max} octets the server takes")]
    TooLarge {
        /// The server's limit.
        octets_max: u64,
    },
}

/// Why a connection is of no more use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// What was read is not SMTP.
    #[error("could not read the server's reply")]
    Reply(#[from] ReplyError),
    /// The greeting, EHLO or STARTTLS was refused.
    #[error("the server refused the connection with {}", reply.codes())]
    Unwelcome {
        /// What was refused.
        step: Step,
        /// The refusal.
        reply: Reply,
    },
    /// TLS is required and not offered.
    #[error("the server does not offer STARTTLS and the policy requires it")]
    TlsNotOffered,
    /// A code that cannot answer what was sent.
    #[error("the server answered {code} while {step:?} was awaited")]
    Unexpected {
        /// What was awaited; `None` when nothing was.
        step: Option<Step>,
        /// What came.
        code: u16,
    },
    /// Octets after the 220 to STARTTLS: somebody on the way may have put them there.
    #[error("the server sent more than its answer to STARTTLS before the handshake")]
    ChatterBeforeTls,
    /// Our own name cannot be sent.
    #[error("the EHLO name must be a host name of at most {DOMAIN_OCTETS_MAX} octets or an address in brackets")]
    EhloName,
}
