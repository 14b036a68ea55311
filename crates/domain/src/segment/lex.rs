//! Words, numbers, strings and signs of a rule's text, each with its place.
//!
//! Texts are often pasted from word processors, so curly quotes open and close strings too. `18-24` and `70+` are words:
//! they name age bands.
//!
//! Must stay true: every token's range lies on character boundaries, and the whole text is read or refused.

use std::fmt;
use std::ops::Range;

use super::error::RuleError;
use crate::place::quoted;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a column or a value without quotes.
    Word(String),
    /// Digits, perhaps with a fraction.
    Number(String),
    /// A value in quotes, without them.
    Text(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// The end of the text.
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// Longer signs first.
const SIGNS: [&str; 11] = ["!=", ">=", "<=", "..", "(", ")", ",", "=", "<", ">", "%"];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Number(text) => f.write_str(&quoted(text)),
            Self::Text(text) => f.write_str(&quoted(&format!("\"{text}\""))),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// All tokens of a text; the last is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, RuleError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = one(rest, first).map_err(|fault| fault.error(text, at))?;
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, range: at..at });
    Ok(tokens)
}

/// What stops reading, with the length of what is marked.
struct Fault {
    problem: String,
    length: usize,
}

impl Fault {
    fn error(self, text: &str, at: usize) -> RuleError {
        RuleError::new(text, at..at + self.length, self.problem)
    }
}

/// The token at the start of `rest` and its bytes.
fn one(rest: &str, first: char) -> Result<(Kind, usize), Fault> {
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((Kind::Sign(sign), sign.len()));
    }
    match first {
        '"' | '“' | '”' => string(rest, &['"', '“', '”']),
        '\'' | '‘' | '’' => string(rest, &['\'', '‘', '’']),
        '0'..='9' => Ok(number(rest)),
        _ if first.is_alphabetic() || first == '_' => {
            let word = prefix(rest, is_in_word);
            Ok((Kind::Word(word.to_owned()), word.len()))
        }
        _ => {
            let problem = format!("{} does not belong in a rule; put names in quotes", quoted(&first.to_string()));
            Err(Fault { problem, length: first.len_utf8() })
        }
    }
}

fn prefix(rest: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = rest.find(|found| !belongs(found)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn is_in_word(found: char) -> bool {
    found.is_alphanumeric() || matches!(found, '_' | '-' | '\u{0300}'..='\u{036F}')
}

/// `60`, `0.5`, and the bands `18-24`, `70+`.
fn number(rest: &str) -> (Kind, usize) {
    let digits = |rest: &str| prefix(rest, |found| found.is_ascii_digit()).len();
    let whole = digits(rest);
    let after = |at: usize| rest.get(at..).unwrap_or_default();
    let text = |length: usize| rest.get(..length).unwrap_or_default().to_owned();
    let following = match after(whole).chars().next() {
        Some('+') => return (Kind::Word(text(whole + 1)), whole + 1),
        Some('.' | '-') => digits(after(whole + 1)),
        _ => 0,
    };
    let length = if following > 0 { whole + 1 + following } else { whole };
    let is_band = following > 0 && after(whole).starts_with('-');
    (if is_band { Kind::Word(text(length)) } else { Kind::Number(text(length)) }, length)
}

/// A string up to one of the closing quotes; `\` takes the next character as it is.
fn string(rest: &str, quotes: &[char]) -> Result<(Kind, usize), Fault> {
    let mut value = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, found)) = letters.next() {
        match found {
            '\\' => match letters.next() {
                Some((_, escaped)) if !escaped.is_control() => value.push(escaped),
                _ => break,
            },
            _ if quotes.contains(&found) => return Ok((Kind::Text(value), at + found.len_utf8())),
            _ if found.is_control() => break,
            _ => value.push(found),
        }
    }
    let length = rest.chars().next().map_or(0, char::len_utf8);
    Err(Fault {
        problem: "a quote is opened here and not closed on its line; add one after the name".to_owned(),
        length,
    })
}
