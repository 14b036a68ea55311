//! Reading a template: one pass over the text, with the place of every fault.

use super::{Fault, Piece, SLOT_NAME_CHARS_MAX, Slot, TEMPLATE_BYTES_MAX, TemplateError, TemplateText};
use crate::limits::SLOTS_MAX;
use crate::place::Place;

pub(super) fn parse(source: &str) -> Result<TemplateText, TemplateError> {
    if source.len() > TEMPLATE_BYTES_MAX {
        let fault = Fault::TooLong { bytes: source.len() };
        return Err(TemplateError { place: Place::of(source, TEMPLATE_BYTES_MAX), fault });
    }
    let mut reader = Reader { source, at: 0, literal: String::new(), pieces: Vec::new(), slots: Vec::new() };
    while reader.step()? {}
    reader.end_literal();
    Ok(TemplateText { source: source.into(), pieces: reader.pieces, slots: reader.slots })
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    literal: String,
    pieces: Vec<Piece>,
    slots: Vec<Slot>,
}

impl Reader<'_> {
    /// Reads one character, one doubled brace or one slot; false at the end.
    fn step(&mut self) -> Result<bool, TemplateError> {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let mut next = rest.chars();
        match (next.next(), next.next()) {
            (None, _) => return Ok(false),
            (Some(brace @ ('{' | '}')), Some(second)) if brace == second => {
                self.literal.push(brace);
                self.at += 2;
            }
            (Some('}'), _) => return Err(self.fault(self.at, Fault::StrayClose)),
            (Some('{'), _) => self.slot(rest)?,
            (Some(found), _) if found.is_control() && !matches!(found, '\n' | '\r' | '\t') => {
                return Err(self.fault(self.at, Fault::Control { found }));
            }
            (Some(found), _) => {
                self.literal.push(found);
                self.at += found.len_utf8();
            }
        }
        Ok(true)
    }

    /// `rest` begins with the opening brace.
    fn slot(&mut self, rest: &str) -> Result<(), TemplateError> {
        let inner = rest.get(1..).unwrap_or_default();
        let end =
            inner.find(['}', '{', '\n']).filter(|end| inner.get(*end..).is_some_and(|rest| rest.starts_with('}')));
        let name = end.and_then(|end| inner.get(..end)).ok_or_else(|| self.fault(self.at, Fault::Unclosed))?;
        if name.is_empty() {
            return Err(self.fault(self.at, Fault::NoName));
        }
        if !is_name(name) {
            return Err(self.fault(self.at + 1, Fault::BadName { found: name.chars().take(80).collect() }));
        }
        let number = self.slots.iter().position(|slot| &*slot.name == name);
        if number.is_none() && self.slots.len() == SLOTS_MAX {
            return Err(self.fault(self.at, Fault::TooManySlots));
        }
        self.end_literal();
        let number = number.unwrap_or_else(|| {
            self.slots.push(Slot { name: name.into(), place: Place::of(self.source, self.at) });
            self.slots.len() - 1
        });
        self.pieces.push(Piece::Slot(number));
        self.at += name.len() + 2;
        Ok(())
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(std::mem::take(&mut self.literal).into_boxed_str()));
        }
    }

    fn fault(&self, at: usize, fault: Fault) -> TemplateError {
        TemplateError { place: Place::of(self.source, at), fault }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= SLOT_NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
