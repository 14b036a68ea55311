//! Texts with named slots: `Kính gửi {danh_xung} {ten}`; two braces stand for one.
//!
//! A template is parsed once, when it is stored, and compiled to literals and slot numbers; rendering a million texts then
//! only appends. Slot values come from subscriber files and callers, so each is checked where it enters a text.
//!
//! Must stay true: what renders has every slot filled; no slot value brings a control character, a line break, or (in
//! HTML) a tag; a template that does not parse says where and how to mend it.

mod parse;

use std::fmt;

use crate::limits::{SLOT_CHARS_MAX, SLOTS_MAX};
use crate::place::{Place, quoted};

/// Bytes of one template, at most: a long HTML mail.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Characters of a slot's name, at most.
pub const SLOT_NAME_CHARS_MAX: usize = 32;

/// A parsed template.
#[derive(Clone, PartialEq, Eq)]
pub struct TemplateText {
    source: Box<str>,
    pieces: Vec<Piece>,
    slots: Vec<Slot>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// The number of a slot.
    Slot(usize),
}

/// A named slot and the place where it stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// A letter, then letters, digits or `_`.
    pub name: Box<str>,
    /// Where it stands first.
    pub place: Place,
}

/// Why a text is no template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct TemplateError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// What is wrong at one place of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Longer than [`TEMPLATE_BYTES_MAX`].
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// `{` without `}`.
    Unclosed,
    /// `}` without `{`.
    StrayClose,
    /// `{}`.
    NoName,
    /// A name that is not a letter followed by letters, digits or `_`, or is too long.
    BadName {
        /// The name as written, cut to a bounded length.
        found: String,
    },
    /// More than [`SLOTS_MAX`] different slots.
    TooManySlots,
    /// A character that is neither text nor a line break.
    Control {
        /// The character.
        found: char,
    },
    /// A slot that nothing fills.
    Unknown {
        /// The slot.
        slot: String,
        /// What could stand there.
        known: String,
    },
}

/// Why a text could not be rendered for one recipient. Names the slot, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No value, or an empty one: half a sentence is worse than no message.
    #[error("slot `{slot}` has no value; fill it for this recipient or leave it out of the template")]
    Missing {
        /// The slot.
        slot: String,
    },
    /// More than [`SLOT_CHARS_MAX`] characters.
    #[error("the value of slot `{slot}` has {chars} characters, at most {SLOT_CHARS_MAX} are allowed; shorten it")]
    TooLong {
        /// The slot.
        slot: String,
        /// Characters found.
        chars: usize,
    },
    /// A line break, a control character, or one that turns the direction of writing.
    #[error(
        "character {at} of the value of slot `{slot}` is U+{code:04X}, which does not belong in a text; take it out"
    )]
    Control {
        /// The slot.
        slot: String,
        /// Its place in the value, counted in characters from 1.
        at: usize,
        /// The character's number in Unicode.
        code: u32,
    },
}

impl TemplateText {
    /// Reads a template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        parse::parse(source)
    }

    /// The text as written; its hash is the template's identity.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The slots in the order in which they first stand; a slot's index here is its number.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// True when every recipient gets the same text, so that it is encoded once.
    pub fn is_constant(&self) -> bool {
        self.slots.is_empty()
    }

    /// Refuses the first slot that is not among the `known` names.
    pub fn check_slots(&self, known: &[&str]) -> Result<(), TemplateError> {
        match self.slots.iter().find(|slot| !known.contains(&&*slot.name)) {
            None => Ok(()),
            Some(Slot { name, place }) => {
                let fault = Fault::Unknown { slot: name.to_string(), known: known.join(", ") };
                Err(TemplateError { place: *place, fault })
            }
        }
    }

    /// The text with each slot looked up by name.
    pub fn render<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> Result<String, RenderError> {
        let mut text = String::with_capacity(self.source.len() + 64);
        self.render_into(&mut text, |slot| self.lookup(slot, &lookup))?;
        Ok(text)
    }

    /// The same for HTML: values are escaped, the template's own words are not.
    pub fn render_html<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> Result<String, RenderError> {
        let mut text = String::with_capacity(self.source.len() + 64);
        self.render_html_into(&mut text, |slot| self.lookup(slot, &lookup))?;
        Ok(text)
    }

    fn lookup<'v>(&self, slot: usize, lookup: &impl Fn(&str) -> Option<&'v str>) -> &'v str {
        self.slots.get(slot).and_then(|slot| lookup(&slot.name)).unwrap_or_default()
    }

    /// Appends the text with the value of each slot number. An empty value is a missing one. On an error `out` holds a part
    /// of the text and must not be used.
    pub fn render_into<'v>(&self, out: &mut String, value: impl Fn(usize) -> &'v str) -> Result<(), RenderError> {
        self.each_piece(out, value, String::push_str)
    }

    /// [`TemplateText::render_into`] for HTML: values are escaped.
    pub fn render_html_into<'v>(&self, out: &mut String, value: impl Fn(usize) -> &'v str) -> Result<(), RenderError> {
        self.each_piece(out, value, push_escaped)
    }

    fn each_piece<'v>(
        &self,
        out: &mut String,
        value: impl Fn(usize) -> &'v str,
        push_value: impl Fn(&mut String, &str),
    ) -> Result<(), RenderError> {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(words) => out.push_str(words),
                Piece::Slot(slot) => {
                    let words = value(*slot);
                    check_words(words)
                        .map_err(|fault| fault.of(self.slots.get(*slot).map_or("", |slot| &slot.name)))?;
                    push_value(out, words);
                }
            }
        }
        Ok(())
    }
}

/// Refuses a value that may not stand in a text; the same check that rendering makes, for those who store values.
pub fn check_value(slot: &str, value: &str) -> Result<(), RenderError> {
    check_words(value).map_err(|fault| fault.of(slot))
}

/// A fault before the slot's name is needed, so that good values cost no allocation.
enum ValueFault {
    Missing,
    TooLong { chars: usize },
    Control { at: usize, code: u32 },
}

impl ValueFault {
    fn of(self, slot: &str) -> RenderError {
        let slot = slot.to_owned();
        match self {
            Self::Missing => RenderError::Missing { slot },
            Self::TooLong { chars } => RenderError::TooLong { slot, chars },
            Self::Control { at, code } => RenderError::Control { slot, at, code },
        }
    }
}

fn check_words(words: &str) -> Result<(), ValueFault> {
    if words.trim().is_empty() {
        return Err(ValueFault::Missing);
    }
    if words.len() > SLOT_CHARS_MAX {
        let chars = words.chars().count();
        if chars > SLOT_CHARS_MAX {
            return Err(ValueFault::TooLong { chars });
        }
    }
    match words.chars().position(is_unwanted) {
        None => Ok(()),
        Some(index) => {
            let code = words.chars().nth(index).map_or(0, u32::from);
            Err(ValueFault::Control { at: index + 1, code })
        }
    }
}

/// Control characters and line breaks could add headers to a mail; direction marks could show other words than are there.
fn is_unwanted(found: char) -> bool {
    found.is_control() || matches!(found, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn push_escaped(out: &mut String, words: &str) {
    for found in words.chars() {
        match found {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(found),
        }
    }
}

/// For logs: which slots, not the words.
impl fmt::Debug for TemplateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.slots.iter().map(|slot| &*slot.name).collect();
        f.debug_struct("TemplateText").field("bytes", &self.source.len()).field("slots", &names).finish()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "the template has {bytes} bytes, at most {TEMPLATE_BYTES_MAX} are allowed; shorten it")
            }
            Self::Unclosed => {
                write!(f, "a slot is opened here and never closed; add `}}`, or write `{{{{` for a brace")
            }
            Self::StrayClose => write!(f, "`}}` closes no slot; write `}}}}` for a brace"),
            Self::NoName => write!(f, "the slot has no name; write it as {{ten}}, or `{{{{}}}}` for two braces"),
            Self::BadName { found } => write!(
                f,
                "{} is no slot name; use a letter, then letters, digits or `_`, at most {SLOT_NAME_CHARS_MAX} \
                 (plain ASCII), or write `{{{{` for a brace",
                quoted(found)
            ),
            Self::TooManySlots => {
                write!(f, "this slot is one too many; at most {SLOTS_MAX} different ones are allowed")
            }
            Self::Control { found } => {
                write!(f, "U+{:04X} is a control character; take it out", u32::from(*found))
            }
            Self::Unknown { slot, known } if known.is_empty() => write!(f, "nothing fills slot `{slot}`; take it out"),
            Self::Unknown { slot, known } => write!(f, "nothing fills slot `{slot}`; there are: {known}"),
        }
    }
}

#[cfg(test)]
mod tests;
