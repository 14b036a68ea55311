//! The server's side of a connection, without I/O: commands and contents found in the octets read.
//!
//! The simulator stands on it; it decides nothing, it only cuts. Must stay true: the content ends at `CRLF . CRLF` and
//! nowhere else, so a client that stuffs dots badly is caught; nothing is copied; no line and no content is longer than
//! its limit.

use crate::limits::COMMAND_LINE_OCTETS_MAX;
use crate::scan;

/// Room for one read: a few messages.
pub const READ_OCTETS: usize = 16 << 10;

/// One command of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO and the client's name.
    Ehlo(&'a str),
    /// HELO and the client's name.
    Helo(&'a str),
    /// MAIL: the return path without brackets, and the parameters as written.
    Mail {
        /// Empty for the null sender.
        from: &'a str,
        /// As `SIZE=1000 BODY=8BITMIME`.
        parameters: &'a str,
    },
    /// RCPT: the recipient without brackets.
    Recipient(&'a str),
    /// DATA.
    Data,
    /// RSET.
    Reset,
    /// NOOP.
    Noop,
    /// STARTTLS.
    StartTls,
    /// QUIT.
    Quit,
    /// Anything else, or one of the above written wrongly.
    Unknown,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A command.
    Command(Command<'a>),
    /// A content, without its final dot, dots still doubled.
    Content(&'a [u8]),
}

/// Why the connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// A command longer than [`COMMAND_LINE_OCTETS_MAX`].
    #[error("the client sent a command line of more than {COMMAND_LINE_OCTETS_MAX} octets")]
    LineTooLong,
    /// A content longer than this server takes.
    #[error("the client sent a content of more than {octets_max} octets")]
    ContentTooLarge {
        /// The limit.
        octets_max: usize,
    },
}

/// Cuts what a client sends.
#[derive(Debug)]
pub struct Inbound {
    octets: Vec<u8>,
    /// Where the next line or content begins.
    start: usize,
    /// Up to where the content was searched for its end.
    searched: usize,
    in_content: bool,
    content_octets_max: usize,
}

impl Inbound {
    /// A server that takes contents of up to `content_octets_max`.
    pub fn new(content_octets_max: usize) -> Self {
        Self { octets: Vec::new(), start: 0, searched: 0, in_content: false, content_octets_max }
    }

    /// Where the driver appends what it read, with room for [`READ_OCTETS`]; what was cut out before goes.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.octets.drain(..self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
        self.octets.reserve(READ_OCTETS);
        &mut self.octets
    }

    /// DATA was answered with 354: what follows is content.
    pub fn begin_content(&mut self) {
        self.in_content = true;
        self.searched = self.start;
    }

    /// The next command or content; `None` when more must be read.
    pub fn next_input(&mut self) -> Result<Option<Input<'_>>, InboundError> {
        if self.in_content { self.content() } else { self.command() }
    }

    fn command(&mut self) -> Result<Option<Input<'_>>, InboundError> {
        let rest = self.octets.get(self.start..).unwrap_or_default();
        let length = match scan::find(b'\n', rest) {
            Some(length) if length < COMMAND_LINE_OCTETS_MAX => length,
            None if rest.len() <= COMMAND_LINE_OCTETS_MAX => return Ok(None),
            _ => return Err(InboundError::LineTooLong),
        };
        self.start += length + 1;
        let line = rest.get(..length).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let command = std::str::from_utf8(line).map_or(Command::Unknown, parse);
        Ok(Some(Input::Command(command)))
    }

    fn content(&mut self) -> Result<Option<Input<'_>>, InboundError> {
        let Some(end) = self.find_end() else {
            return if self.octets.len() - self.start > self.content_octets_max {
                Err(InboundError::ContentTooLarge { octets_max: self.content_octets_max })
            } else {
                Ok(None)
            };
        };
        let begin = self.start;
        self.start = end + FINAL_LINE.len();
        self.in_content = false;
        if end - begin > self.content_octets_max {
            return Err(InboundError::ContentTooLarge { octets_max: self.content_octets_max });
        }
        Ok(Some(Input::Content(self.octets.get(begin..end).unwrap_or_default())))
    }

    /// Where the line of the final dot begins: at the start of the content, or after a CRLF.
    fn find_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.octets.get(self.searched..)?;
            let at_line = self.searched == self.start
                || self.octets.get(self.start..self.searched).is_some_and(|before| before.ends_with(b"\r\n"));
            if at_line && rest.starts_with(FINAL_LINE) {
                return Some(self.searched);
            }
            if at_line && FINAL_LINE.starts_with(rest) {
                return None; // the line is not all here: look at it again
            }
            self.searched += scan::find(b'\n', rest)? + 1;
        }
    }
}

const FINAL_LINE: &[u8] = b".\r\n";

fn parse(line: &str) -> Command<'_> {
    let line = line.trim_ascii_end();
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    if is("MAIL") {
        path(rest, "FROM:").map_or(Command::Unknown, |(from, parameters)| Command::Mail { from, parameters })
    } else if is("RCPT") {
        path(rest, "TO:").map_or(Command::Unknown, |(to, _)| Command::Recipient(to))
    } else if is("DATA") {
        Command::Data
    } else if is("EHLO") {
        Command::Ehlo(rest)
    } else if is("RSET") {
        Command::Reset
    } else if is("QUIT") {
        Command::Quit
    } else if is("NOOP") {
        Command::Noop
    } else if is("HELO") {
        Command::Helo(rest)
    } else if is("STARTTLS") {
        Command::StartTls
    } else {
        Command::Unknown
    }
}

/// `FROM:<path> parameters`, with or without a space after the colon.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = rest.split_at_checked(keyword.len())?;
    if !found.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (path, parameters) = rest.trim_ascii_start().strip_prefix('<')?.split_once('>')?;
    Some((path, parameters.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot;
    use proptest::prelude::*;

    #[test]
    fn reads_commands() {
        #[track_caller]
        fn check(line: &str, expected: Command<'_>) {
            let mut inbound = Inbound::new(100);
            inbound.input().extend_from_slice(line.as_bytes());
            assert_eq!(inbound.next_input(), Ok(None), "no line end yet");
            inbound.input().extend_from_slice(b"\r\n");
            assert_eq!(inbound.next_input(), Ok(Some(Input::Command(expected))));
            assert_eq!(inbound.next_input(), Ok(None));
        }
        check("EHLO loa.example.test", Command::Ehlo("loa.example.test"));
        check("helo x", Command::Helo("x"));
        check(
            "MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME",
            Command::Mail { from: "a@b", parameters: "SIZE=10 BODY=8BITMIME" },
        );
        check("mail from: <>", Command::Mail { from: "", parameters: "" });
        check("RCPT TO:<a@b>", Command::Recipient("a@b"));
        check("DATA", Command::Data);
        check("RSET", Command::Reset);
        check("QUIT ", Command::Quit);
        check("NOOP x", Command::Noop);
        check("STARTTLS", Command::StartTls);
        check("MAIL FROM a@b", Command::Unknown);
        check("RCPT TO:<a@b", Command::Unknown);
        check("", Command::Unknown);
        check("ế", Command::Unknown);
    }

    #[test]
    fn keeps_its_limits() {
        let mut inbound = Inbound::new(10);
        inbound.input().extend_from_slice(&[b'x'; COMMAND_LINE_OCTETS_MAX + 1]);
        assert_eq!(inbound.next_input(), Err(InboundError::LineTooLong));
        for (content, expected) in [
            (&b"12345678\r\n.\r\n"[..], Ok(Some(Input::Content(&b"12345678\r\n"[..])))),
            (b"123456789\r\n.\r\n", Err(InboundError::ContentTooLarge { octets_max: 10 })),
            (b"12345678901", Err(InboundError::ContentTooLarge { octets_max: 10 })),
        ] {
            let mut inbound = Inbound::new(10);
            inbound.begin_content();
            inbound.input().extend_from_slice(content);
            assert_eq!(inbound.next_input(), expected);
        }
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_content() {
        let mut inbound = Inbound::new(100);
        inbound.begin_content();
        inbound.input().extend_from_slice(b"a\n.\nb\r.\r\n.\nc\n.\r\n\r\n.\r\nQUIT\r\n");
        assert_eq!(inbound.next_input(), Ok(Some(Input::Content(b"a\n.\nb\r.\r\n.\nc\n.\r\n\r\n"))));
        assert_eq!(inbound.next_input(), Ok(Some(Input::Command(Command::Quit))));
    }

    proptest! {
        #[test]
        fn cuts_alike_however_it_arrives(lines in proptest::collection::vec("[.ab]{0,3}", 0..8), step in 1usize..9) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut wire = Vec::new();
            dot::stuff(content.as_bytes(), &mut wire);
            wire.extend_from_slice(b"NOOP\r\n");
            let mut inbound = Inbound::new(1_000);
            inbound.begin_content();
            let mut found = Vec::new();
            for piece in wire.chunks(step) {
                inbound.input().extend_from_slice(piece);
                while let Some(input) = inbound.next_input().expect("within limits") {
                    match input {
                        Input::Content(stuffed) => found.push(dot::unstuff(stuffed)),
                        Input::Command(command) => found.push(format!("{command:?}").into_bytes()),
                    }
                }
            }
            prop_assert_eq!(found, vec![content.into_bytes(), b"Noop".to_vec()]);
        }
    }
}
