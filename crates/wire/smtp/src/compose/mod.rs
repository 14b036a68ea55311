//! Writes messages: headers, a text part and an HTML part.
//!
//! Hand-written because composing is done once per recipient and is the largest item of a mail's cost. What is the same
//! for a whole campaign is encoded once: the sender and constant headers in a [`Composer`], a subject or body without
//! slots in a [`FixedSubject`] or [`FixedBody`].
//!
//! Must stay true: what a mail reader decodes is exactly what was given (line ends apart, which become CRLF); no value
//! from a subscriber file can start a header of its own; the message is ASCII, so every server can take it, unless the
//! recipient's own address is not; no line is longer than 998 octets. Texts come NFC-normalised: templates are, and a
//! slot value is by whoever renders it.

mod body;
mod date;
mod header;
#[cfg(test)]
mod tests;

use crate::limits::{BODY_OCTETS_MAX, NAME_OCTETS_MAX, SUBJECT_OCTETS_MAX};
use crate::mailbox::{self, MailboxError};

/// Never part of a body: base64 has no `_`, and quoted-printable writes `=` as `=3D`.
const BOUNDARY: &str = "=_loa_alternative_=";

/// Why a message cannot be written. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A line end, NUL or the like where there must be none.
    #[error("{field} holds a control character; remove it")]
    Control {
        /// Which field.
        field: &'static str,
    },
    /// Longer than allowed.
    #[error("{field} is longer than {octets_max} octets; shorten it")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// The limit.
        octets_max: usize,
    },
    /// Nothing there.
    #[error("{field} is empty; give it a text")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// A character that this header cannot hold.
    #[error("{field} holds a character other than visible ASCII; remove it")]
    NotAscii {
        /// Which field.
        field: &'static str,
    },
    /// Not a mailbox.
    #[error("{field} is not a usable address")]
    Mailbox {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: MailboxError,
    },
}

/// A subject without slots, encoded once.
#[derive(Debug, Clone)]
pub struct FixedSubject(Vec<u8>);

impl FixedSubject {
    /// Encodes `subject`.
    pub fn new(subject: &str) -> Result<Self, ComposeError> {
        let mut line = Vec::new();
        Subject::Rendered(subject).write(&mut line)?;
        Ok(Self(line))
    }
}

/// A body without slots, encoded once; the same for text and HTML.
#[derive(Debug, Clone)]
pub struct FixedBody(Vec<u8>);

impl FixedBody {
    /// Encodes `text`.
    pub fn new(text: &str) -> Result<Self, ComposeError> {
        let mut encoded = Vec::new();
        body::write("the body", text, &mut encoded)?;
        Ok(Self(encoded))
    }
}

/// A subject: encoded before, or rendered for this recipient.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Encoded once for the campaign.
    Fixed(&'a FixedSubject),
    /// Rendered for this recipient.
    Rendered(&'a str),
}

impl Subject<'_> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        match self {
            Self::Fixed(fixed) => out.extend_from_slice(&fixed.0),
            Self::Rendered(text) => header::unstructured("Subject", "the subject", text, SUBJECT_OCTETS_MAX, out)?,
        }
        Ok(())
    }
}

/// A body: encoded before, or rendered for this recipient.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Encoded once for the campaign.
    Fixed(&'a FixedBody),
    /// Rendered for this recipient.
    Rendered(&'a str),
}

impl Body<'_> {
    /// `Content-Type` without its line end came before; this ends the headers and writes the part.
    fn write(&self, field: &'static str, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        match self {
            Self::Fixed(fixed) => out.extend_from_slice(&fixed.0),
            Self::Rendered(text) => body::write(field, text, out)?,
        }
        Ok(())
    }

    fn octets(&self) -> usize {
        match self {
            Self::Fixed(fixed) => fixed.0.len(),
            Self::Rendered(text) => text.len() * 3 / 2,
        }
    }
}

/// Where a recipient leaves the list (RFC 2369, RFC 8058).
#[derive(Debug, Clone, Copy)]
pub struct Unsubscribe<'a> {
    /// HTTPS address that takes the one-click POST.
    pub https: &'a str,
    /// Mailbox that takes the wish by mail; empty for none.
    pub mailbox: &'a str,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The recipient's name; empty for none.
    pub to_name: &'a str,
    /// The recipient's mailbox.
    pub to: &'a str,
    /// `token@domain`, without brackets.
    pub message_id: &'a str,
    /// When it was composed, seconds since 1970 UTC.
    pub date_unix_s: i64,
    /// The subject.
    pub subject: Subject<'a>,
    /// The plain text.
    pub text: Body<'a>,
    /// The HTML; without it the message is plain text only.
    pub html: Option<Body<'a>>,
    /// The way out, for whatever is sent to a list.
    pub unsubscribe: Option<Unsubscribe<'a>>,
}

/// Writes the messages of one sender.
#[derive(Debug, Clone)]
pub struct Composer {
    /// `From` and the constant headers, each with its line end.
    constant: Vec<u8>,
}

impl Composer {
    /// A composer for `name <mailbox>`, with headers that every message carries (`List-Id`, `Feedback-ID`, ...).
    pub fn new(name: &str, mailbox: &str, headers: &[(&'static str, &str)]) -> Result<Self, ComposeError> {
        let mut constant = Vec::new();
        mailbox_header("From", ("the sender's name", name), ("the sender's address", mailbox), &mut constant)?;
        if !mailbox.is_ascii() {
            return Err(ComposeError::NotAscii { field: "the sender's address" });
        }
        for &(name, value) in headers {
            header::structured(name, name, &[value], &mut constant)?;
        }
        constant.extend_from_slice(b"MIME-Version: 1.0\r\n");
        Ok(Self { constant })
    }

    /// Appends the message to `out`; on an error `out` is as before.
    pub fn compose(&self, letter: &Letter<'_>, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        let before = out.len();
        out.reserve(self.octets(letter));
        let outcome = self.write(letter, out);
        if outcome.is_err() {
            out.truncate(before);
        }
        outcome
    }

    fn octets(&self, letter: &Letter<'_>) -> usize {
        const HEADERS: usize = 1_024;
        self.constant.len() + HEADERS + letter.text.octets() + letter.html.as_ref().map_or(0, Body::octets)
    }

    fn write(&self, letter: &Letter<'_>, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        out.extend_from_slice(b"Date: ");
        date::write(letter.date_unix_s, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.constant);
        mailbox_header("To", ("the recipient's name", letter.to_name), ("the recipient's address", letter.to), out)?;
        header::structured("Message-ID", "the message id", &["<", letter.message_id, ">"], out)?;
        letter.subject.write(out)?;
        if let Some(unsubscribe) = &letter.unsubscribe {
            write_unsubscribe(unsubscribe, out)?;
        }
        let Some(html) = &letter.html else {
            out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
            return letter.text.write("the text", out);
        };
        let boundary = BOUNDARY.as_bytes();
        let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        put(&[b"Content-Type: multipart/alternative;\r\n boundary=\"", boundary, b"\"\r\n\r\n"]);
        put(&[b"--", boundary, b"\r\nContent-Type: text/plain; charset=utf-8\r\n"]);
        letter.text.write("the text", out)?;
        let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        put(&[b"\r\n--", boundary, b"\r\nContent-Type: text/html; charset=utf-8\r\n"]);
        html.write("the HTML", out)?;
        let mut put = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        put(&[b"\r\n--", boundary, b"--\r\n"]);
        Ok(())
    }
}

fn write_unsubscribe(unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) -> Result<(), ComposeError> {
    const FIELD: &str = "the unsubscribe address";
    let by_mail: &[&str] = if unsubscribe.mailbox.is_empty() { &[] } else { &[">,\r\n <mailto:", unsubscribe.mailbox] };
    header::check_visible(FIELD, unsubscribe.https)?;
    header::check_visible(FIELD, unsubscribe.mailbox)?;
    out.extend_from_slice(b"List-Unsubscribe: <");
    out.extend_from_slice(unsubscribe.https.as_bytes());
    by_mail.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    out.extend_from_slice(b">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    Ok(())
}

type Field<'a> = (&'static str, &'a str);

fn mailbox_header(
    header: &'static str,
    name: Field<'_>,
    mailbox: Field<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    let (field, mailbox) = mailbox;
    mailbox::check(mailbox).map_err(|source| ComposeError::Mailbox { field, source })?;
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(b": ");
    let (field, name) = name;
    if !name.is_empty() {
        header::phrase(field, name, NAME_OCTETS_MAX, header.len() + 2, out)?;
        // On a line of its own: how long the name's last line is does not matter then.
        out.extend_from_slice(b"\r\n ");
    }
    out.push(b'<');
    out.extend_from_slice(mailbox.as_bytes());
    out.extend_from_slice(b">\r\n");
    Ok(())
}
