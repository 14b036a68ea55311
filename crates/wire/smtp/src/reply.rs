//! Replies of a server: found in the octets read so far, read leniently, kept short.
//!
//! Servers in the field end lines with a bare LF, put `;` after the code, change the code in the middle of a reply or
//! forget the enhanced code; none of that may cost a message its verdict. Must stay true: how many octets a reply took
//! is always exact, because replies are matched to commands by counting them; and a reply that exceeds a limit ends
//! the connection instead of growing.

use std::fmt;

use crate::limits::{REPLY_LINE_OCTETS_MAX, REPLY_LINES_MAX, REPLY_TEXT_OCTETS_MAX};
use crate::scan;

/// An enhanced status code of RFC 3463, as `5.1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enhanced {
    /// 2 success, 4 not now, 5 never.
    pub class: u8,
    /// What it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 security.
    pub subject: u16,
    /// What exactly.
    pub detail: u16,
}

impl Enhanced {
    /// Reads `5.1.1` at the start of `text`; whatever follows must not be a digit.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (class, rest) = number(text)?;
        let (subject, rest) = number(rest.strip_prefix(b".")?)?;
        let (detail, _) = number(rest.strip_prefix(b".")?)?;
        let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        Some(Self { class, subject, detail })
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One to three digits and what follows them.
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take(4).take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = (1..=3).contains(&digits).then(|| text.split_at(digits))?;
    let value = digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    Some((value, rest))
}

/// What a server answered to one command.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced code, if the text begins with one.
    pub enhanced: Option<Enhanced>,
    text: String,
}

impl Reply {
    /// Makes a reply as if a server had sent `code text`; for tests and for faults found on this side.
    pub fn new(code: u16, text: &str) -> Self {
        Raw { code, lines: text.as_bytes(), coded: false }.to_reply()
    }

    /// What the server wrote after the codes, lines joined by LF, at most [`REPLY_TEXT_OCTETS_MAX`] octets.
    ///
    /// It may name the recipient: match on it, never log it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// The reply on one line of at most `characters_max`, words that may name `mailbox` or any other left out.
    pub fn without_addresses(&self, mailbox: &str, characters_max: usize) -> String {
        let local = mailbox.rsplit_once('@').map_or(mailbox, |(local, _)| local).to_lowercase();
        let names = |word: &str| {
            let word = word.to_lowercase();
            word.contains(['@', '<']) || (!local.is_empty() && word.contains(&local))
        };
        let mut line = self.code.to_string();
        for word in self.text.split_whitespace() {
            line.push(' ');
            line.push_str(if names(word) { "…" } else { word });
        }
        line.chars().take(characters_max).collect()
    }

    /// The codes alone, as `550 5.1.1`: what may be stored and logged.
    pub fn codes(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }
}

/// For logs: the text may name a person, so it stays out.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.codes())
    }
}

/// A reply still lying in the read buffer; most are only looked at for their code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) code: u16,
    lines: &'a [u8],
    coded: bool,
}

impl<'a> Raw<'a> {
    /// Each line without its code and line end.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &'a [u8]> {
        let coded = self.coded;
        self.lines.split(|&octet| octet == b'\n').filter(|line| !line.is_empty()).map(move |line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if coded { after_code(line) } else { line }
        })
    }

    pub(crate) fn to_reply(self) -> Reply {
        let mut text = Vec::new();
        for line in self.lines() {
            if !text.is_empty() {
                text.push(b'\n');
            }
            text.extend_from_slice(line);
        }
        let enhanced = self.lines().find_map(Enhanced::parse);
        let mut text =
            String::from_utf8(text).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned());
        text.truncate(text.floor_char_boundary(REPLY_TEXT_OCTETS_MAX));
        Reply { code: self.code, enhanced, text }
    }
}

/// A line without its code and what divides them; a line that has no code is all text.
fn after_code(line: &[u8]) -> &[u8] {
    match code_of(line) {
        Some((_, rest)) => rest.strip_prefix(b"-").unwrap_or(rest),
        None => line,
    }
    .trim_ascii_start()
}

/// The code a line begins with and the rest of it after one dividing sign other than `-`.
fn code_of(line: &[u8]) -> Option<(u16, &[u8])> {
    let (code, rest) = number(line)?;
    let rest = match rest.first() {
        Some(b'-' | b' ') | None => rest,
        Some(b';' | b':' | b',') => rest.get(1..)?,
        Some(_) => return None,
    };
    (200..=599).contains(&code).then_some((code, rest))
}

/// Why what a server sent is not a reply. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line of more than [`REPLY_LINE_OCTETS_MAX`].
    #[error("the server sent a reply line of more than {REPLY_LINE_OCTETS_MAX} octets")]
    LineTooLong,
    /// More than [`REPLY_LINES_MAX`] lines.
    #[error("the server sent a reply of more than {REPLY_LINES_MAX} lines")]
    TooManyLines,
    /// The first line has no code between 200 and 599.
    #[error("the server sent a line that is not an SMTP reply")]
    NotAReply,
}

/// Finds the first complete reply of `input` and how many octets it takes; `None` while its last line is not there.
pub(crate) fn first(input: &[u8]) -> Result<Option<(Raw<'_>, usize)>, ReplyError> {
    let mut end = 0;
    for count in 0..=REPLY_LINES_MAX {
        let rest = input.get(end..).unwrap_or_default();
        let Some(length) = scan::find(b'\n', rest) else {
            return if rest.len() > REPLY_LINE_OCTETS_MAX { Err(ReplyError::LineTooLong) } else { Ok(None) };
        };
        if length >= REPLY_LINE_OCTETS_MAX {
            return Err(ReplyError::LineTooLong);
        }
        let line = rest.get(..length).unwrap_or_default().trim_ascii_end();
        end += length + 1;
        match code_of(line) {
            Some((_, [b'-', ..])) => {}
            Some((code, _)) => {
                return match input.get(..end) {
                    Some(lines) if count < REPLY_LINES_MAX => Ok(Some((Raw { code, lines, coded: true }, end))),
                    _ => Err(ReplyError::TooManyLines),
                };
            }
            None if count == 0 => return Err(ReplyError::NotAReply),
            None => {} // text that lost its code in the middle of a reply
        }
    }
    Err(ReplyError::TooManyLines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn one(input: &str) -> (Reply, usize) {
        let (raw, taken) = first(input.as_bytes()).expect("a reply").expect("complete");
        (raw.to_reply(), taken)
    }

    #[test]
    fn reads_what_servers_send() {
        #[track_caller]
        fn check(input: &str, code: u16, enhanced: &str, text: &str) {
            let (reply, taken) = one(input);
            assert_eq!(taken, input.len());
            let found = reply.enhanced.map(|enhanced| enhanced.to_string()).unwrap_or_default();
            assert_eq!((reply.code, found.as_str(), reply.text()), (code, enhanced, text));
        }
        check("250 2.0.0 OK\r\n", 250, "2.0.0", "2.0.0 OK");
        check("250 OK\n", 250, "", "OK"); // a bare LF
        check("250\r\n", 250, "", ""); // nothing but the code
        check("550; 5.7.515 Access denied\r\n", 550, "5.7.515", "5.7.515 Access denied"); // E06
        check("450-4.2.1 a\r\n450-4.2.1 b\r\n450 4.2.1 c\r\n", 450, "4.2.1", "4.2.1 a\n4.2.1 b\n4.2.1 c"); // E09
        check("250-one\r\n550 two\r\n", 550, "", "one\ntwo"); // the last line decides
        check("554-first\r\nlost its code\r\n554 5.7.1 end\r\n", 554, "5.7.1", "first\nlost its code\n5.7.1 end");
        check("550 3.1.1 no such class\r\n", 550, "", "3.1.1 no such class");
    }

    #[test]
    fn waits_for_the_last_line_and_takes_no_more() {
        let input = "250-a\r\n250 b\r\n354 go\r\n";
        for cut in 0..14 {
            let part = input.as_bytes().get(..cut).expect("ascii");
            let found = first(part).expect("no error").map(|(_, taken)| taken);
            assert_eq!(found, (cut >= 14).then_some(14), "after {cut} octets");
        }
        assert_eq!(one(input).1, 14);
    }

    #[test]
    fn refuses_what_has_no_end() {
        let too_long = "2".repeat(REPLY_LINE_OCTETS_MAX + 1);
        assert_eq!(first(too_long.as_bytes()).err(), Some(ReplyError::LineTooLong));
        let long = format!("250 {}\r\n", "x".repeat(REPLY_LINE_OCTETS_MAX - 6));
        assert!(first(long.as_bytes()).expect("exactly the limit").is_some());
        let most = format!("{}250 end\r\n", "250-x\r\n".repeat(REPLY_LINES_MAX - 1));
        assert!(first(most.as_bytes()).expect("exactly the limit").is_some());
        let more = format!("{}250 end\r\n", "250-x\r\n".repeat(REPLY_LINES_MAX));
        assert_eq!(first(more.as_bytes()).err(), Some(ReplyError::TooManyLines));
        for strange in ["hello\r\n", "\r\n", "1234 x\r\n", "999 x\r\n", "150 x\r\n"] {
            assert_eq!(first(strange.as_bytes()).err(), Some(ReplyError::NotAReply), "{strange:?}");
        }
    }

    #[test]
    fn keeps_the_text_out_of_logs_and_short() {
        let reply = Reply::new(550, "5.1.1 <ai@example.test> unknown");
        assert_eq!(format!("{reply:?}"), "Reply(550 5.1.1)");
        let line = |mailbox: &str, characters_max| reply.without_addresses(mailbox, characters_max);
        assert_eq!(line("binh@example.test", 100), "550 5.1.1 … unknown");
        assert_eq!(line("", 9), "550 5.1.1");
        let reply = Reply::new(550, "user Ai.Do unknown\nsee https://example.test/ai.do");
        assert_eq!(reply.without_addresses("ai.do@example.test", 100), "550 user … unknown see …");
        let reply = Reply::new(550, &"ế".repeat(1_000));
        assert!(reply.text().len() <= REPLY_TEXT_OCTETS_MAX && reply.text().ends_with('ế'));
    }

    proptest! {
        #[test]
        fn never_panics_and_never_overruns(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some((raw, taken))) = first(&input) {
                prop_assert!(taken <= input.len() && input[taken - 1] == b'\n');
                prop_assert!((200..=599).contains(&raw.to_reply().code));
            }
        }
    }
}
