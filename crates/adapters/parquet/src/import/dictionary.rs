//! Dictionaries of low-cardinality texts: communes as an index, tags as a bit.
//!
//! Must stay true: a delta goes on with the dictionaries of its base, so the base's codes keep their meaning.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use loa_domain::admin::{self, CommuneCode};

/// Different tags of one dataset, at most: one bit each.
pub(super) const TAGS_MAX: usize = 64;

/// Codes have five digits.
const COMMUNE_NUMBERS: usize = 100_000;
/// Spellings of tags that a thread remembers, at most.
const SPELLINGS_MAX: usize = 1_024;

/// Every commune that a row may name, whatever the day; a file does not say of which day its geography is.
#[derive(Debug)]
pub(super) struct Communes {
    codes: Vec<String>,
    /// By the code's number; 0 = no such commune.
    index: Vec<u16>,
}

impl Communes {
    /// The base's communes in their order, then all others by code.
    pub(super) fn new(base: &[String]) -> Self {
        let mut communes = Self { codes: Vec::new(), index: vec![0; COMMUNE_NUMBERS] };
        base.iter().for_each(|code| communes.add(code.clone()));
        let mut known: Vec<CommuneCode> = admin::communes().iter().map(|commune| commune.code).collect();
        known.sort_unstable();
        known.iter().for_each(|code| communes.add(code.to_string()));
        communes
    }

    fn add(&mut self, code: String) {
        let Ok(next) = u16::try_from(self.codes.len() + 1) else { return };
        let place = CommuneCode::parse(&code).and_then(|code| self.index.get_mut(usize::try_from(code.number()).ok()?));
        if let Some(place) = place.filter(|place| **place == 0) {
            *place = next;
            self.codes.push(code);
        }
    }

    /// The index of a code, from 1.
    pub(super) fn index(&self, code: &str) -> Option<u16> {
        let number = usize::try_from(CommuneCode::parse(code)?.number()).ok()?;
        self.index.get(number).copied().filter(|index| *index != 0)
    }

    /// The codes in order of their index.
    pub(super) fn codes(&self) -> &[String] {
        &self.codes
    }
}

/// The tags met so far, in the order in which they were met.
#[derive(Debug)]
pub(super) struct Tags {
    names: Mutex<Vec<String>>,
}

impl Tags {
    /// Begins with the base's tags.
    pub(super) fn new(base: &[String]) -> Self {
        Self { names: Mutex::new(base.to_vec()) }
    }

    /// The bit of a tag; `None` when there are [`TAGS_MAX`] others (the tag is kept as the one too many).
    fn bit(&self, tag: &str) -> Option<u32> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let place = names.iter().position(|name| name == tag).unwrap_or_else(|| {
            if names.len() <= TAGS_MAX {
                names.push(tag.to_owned());
            }
            names.len() - 1
        });
        u32::try_from(place).ok().filter(|_| place < TAGS_MAX)
    }

    /// All tags, in order of their bits; the error is the tag that was one too many.
    pub(super) fn into_names(self) -> Result<Vec<String>, String> {
        let mut names = self.names.into_inner().unwrap_or_else(PoisonError::into_inner);
        if names.len() > TAGS_MAX { Err(names.pop().unwrap_or_default()) } else { Ok(names) }
    }
}

/// What one thread knows of the tags, by the spelling met in the file.
#[derive(Debug)]
pub(super) struct KnownTags<'a> {
    tags: &'a Tags,
    masks: HashMap<String, u64>,
}

impl<'a> KnownTags<'a> {
    pub(super) fn new(tags: &'a Tags) -> Self {
        Self { tags, masks: HashMap::new() }
    }

    /// The mask of a spelling met before.
    pub(super) fn known(&self, spelling: &str) -> Option<u64> {
        self.masks.get(spelling).copied()
    }

    /// The mask of a tag, remembered under its spelling; 0 when there are too many tags, which refuses the file in the end.
    pub(super) fn learn(&mut self, spelling: &str, tag: &str) -> u64 {
        let Some(bit) = self.tags.bit(tag) else { return 0 };
        if self.masks.len() < SPELLINGS_MAX {
            self.masks.insert(spelling.to_owned(), 1 << bit);
        }
        1 << bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_keeps_its_codes() {
        let first = Communes::new(&[]);
        assert!(first.codes().is_sorted());
        let turned: Vec<String> = first.codes().iter().rev().cloned().collect();
        let second = Communes::new(&turned);
        assert_eq!(second.codes(), turned);
        assert_eq!(second.index(&turned[0]), Some(1));
        assert_eq!(second.index("99999"), None);
        assert_eq!(second.index("2877"), None);
    }

    #[test]
    fn the_65th_tag_is_one_too_many() {
        let tags = Tags::new(&["dua".to_owned()]);
        let mut known = KnownTags::new(&tags);
        assert_eq!(known.known("TOM"), None);
        assert_eq!(known.learn("TOM", "tom"), 2);
        assert_eq!(known.known("TOM"), Some(2));
        assert_eq!(known.learn("dua", "dua"), 1);
        for number in 0..62 {
            let tag = format!("t{number}");
            assert_eq!(known.learn(&tag, &tag), 4 << number);
        }
        assert_eq!(tags.into_names().map(|names| names.len()), Ok(64));
        let tags = Tags::new(&(0..64).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(KnownTags::new(&tags).learn("new", "new"), 0);
        assert_eq!(KnownTags::new(&tags).learn("newer", "newer"), 0);
        assert_eq!(tags.into_names(), Err("new".to_owned()));
    }
}
