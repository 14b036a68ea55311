//! One walk over a receipt's text.
//!
//! Labels are read at the start of the text or after white space, in any case and order. A value ends at white space, NUL
//! or the end; a value that is missing does not swallow the next label.
//!
//! Must stay true: the walk ends at `text:`; each octet is looked at a bounded number of times.

use super::state::MessageState;

/// Fields found, as they stand there.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) stat: &'a [u8],
    pub(super) error: Option<&'a [u8]>,
    pub(super) done: Option<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Label {
    Id,
    Stat,
    Error,
    Done,
    /// Read over: sub, dlvrd, submit date.
    Other,
    Text,
}

/// Labels without their colon, lower case, by their first letter; some are two words with a space or an underscore
/// between.
fn labels(first: u8) -> &'static [(&'static [u8], &'static [u8], Label)] {
    match first.to_ascii_lowercase() {
        b'i' => &[(b"id", b"", Label::Id)],
        b's' => &[(b"stat", b"", Label::Stat), (b"sub", b"", Label::Other), (b"submit", b"date", Label::Other)],
        b'd' => &[(b"done", b"date", Label::Done), (b"dlvrd", b"", Label::Other)],
        b'e' => &[(b"err", b"", Label::Error)],
        b't' => &[(b"text", b"", Label::Text)],
        _ => &[],
    }
}

impl<'a> Fields<'a> {
    pub(super) fn scan(text: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let mut bare = &b""[..];
        let mut rest = skip_blank(text);
        while !rest.is_empty() {
            match label(rest) {
                Some((Label::Text, _)) => break,
                Some((label, after)) => rest = fields.keep(label, skip_blank(after)),
                None => {
                    let (word, after) = word(rest);
                    if bare.is_empty() && MessageState::of_word(word).is_some() {
                        bare = word; // some leave the label `stat:` out
                    }
                    rest = skip_blank(after);
                }
            }
        }
        if fields.stat.is_empty() {
            fields.stat = bare;
        }
        fields
    }

    /// Keeps the value that begins at `rest` (the first one of each label) and gives back what follows it.
    fn keep(&mut self, kind: Label, rest: &'a [u8]) -> &'a [u8] {
        if label(rest).is_some() {
            return rest; // the value is missing
        }
        let (value, after) = word(rest);
        match kind {
            Label::Id => self.id = self.id.or(Some(value)).filter(|id| !id.is_empty()),
            Label::Stat if self.stat.is_empty() => self.stat = value,
            Label::Error => self.error = self.error.or(Some(value)),
            Label::Done => self.done = self.done.or(Some(value)),
            Label::Stat | Label::Other | Label::Text => {}
        }
        skip_blank(after)
    }
}

/// The label that begins here, and what follows its colon.
fn label(text: &[u8]) -> Option<(Label, &[u8])> {
    labels(*text.first()?).iter().find_map(|(first, second, label)| {
        let mut rest = after(text, first)?;
        if !second.is_empty() {
            rest = after(rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"_"))?, second)?;
        }
        rest.trim_ascii_start().strip_prefix(b":").map(|value| (*label, value))
    })
}

/// What follows a word, in any case.
fn after<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn blank(octet: u8) -> bool {
    octet == 0 || octet.is_ascii_whitespace()
}

fn skip_blank(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&octet| !blank(octet)).unwrap_or(text.len());
    &text[start..]
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|&octet| blank(octet)).unwrap_or(text.len()))
}
