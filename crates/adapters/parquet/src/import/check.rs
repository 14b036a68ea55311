//! From the cells of a row to a person, with every reason why not.
//!
//! A row is taken whole or not at all: a wrong optional value rejects the row too, since whoever wrote it meant something
//! by it and would otherwise never learn that it was dropped.
//!
//! Must stay true: reason codes never change their meaning, they stand in files that people keep; no fault repeats a
//! number or an address (the row itself stands beside it).

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, tz};
use loa_domain::address::EmailAddress;
use loa_domain::channel::Class;
use loa_domain::hash::HashKey;
use loa_domain::msisdn::{self, Msisdn};
use loa_domain::policy::Scope;
use loa_domain::segment::{AgeBand, Consent, CustomerKind, Language, Payment, Service, TAG_CHARS_MAX};
use loa_domain::template::{self, RenderError};
use loa_domain::text::nfc;

use super::dictionary::{Communes, KnownTags, Tags};
use super::header::{Column, Header};
use super::person::Person;

/// Characters of a carrier's id, at most.
const ACCOUNT_ID_CHARS_MAX: usize = 32;
/// Characters of a consent's method or text id, at most.
const CONSENT_CHARS_MAX: usize = 32;
/// Characters of the reference to a consent's evidence, at most.
const EVIDENCE_CHARS_MAX: usize = 64;
/// Tags or suppression entries of one person, at most.
const LIST_MAX: usize = 16;
/// Characters of the unit or topic of a suppression entry, at most.
const SCOPE_CHARS_MAX: usize = 64;
/// What separates the values of a list in a cell.
const LIST_SEPARATORS: [char; 3] = ['|', ';', ','];
/// Hours that Viet Nam is ahead of UTC; a time without an offset is local.
const LOCAL_OFFSET_HOURS: i8 = 7;

/// One reason why a row was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    /// The index of the cell; `None` = the row.
    pub(super) column: Option<usize>,
    pub(super) reason: &'static str,
    pub(super) cure: Cow<'static, str>,
}

/// Why one cell was not taken.
struct CellFault {
    reason: &'static str,
    cure: Cow<'static, str>,
}

fn fault(reason: &'static str, cure: impl Into<Cow<'static, str>>) -> CellFault {
    CellFault { reason, cure: cure.into() }
}

/// Checks rows, one after the other.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    header: &'a Header,
    key: &'a HashKey,
    communes: &'a Communes,
    tags: KnownTags<'a>,
    /// The person of the row checked last.
    pub(super) person: Person,
    /// What is wrong with it.
    pub(super) faults: Vec<RowFault>,
    /// Its number was mapped from its form before 2018.
    pub(super) is_migrated: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(header: &'a Header, key: &'a HashKey, communes: &'a Communes, tags: &'a Tags) -> Self {
        let (person, tags) = (Person::default(), KnownTags::new(tags));
        Self { header, key, communes, tags, person, faults: Vec::new(), is_migrated: false }
    }

    /// Begins the next row.
    pub(super) fn clear(&mut self) {
        self.person.clear(self.header.slots.len());
        self.faults.clear();
        self.is_migrated = false;
    }

    /// A fault of the row as a whole.
    pub(super) fn refuse(&mut self, reason: &'static str, cure: impl Into<Cow<'static, str>>) {
        self.faults.push(RowFault { column: None, reason, cure: cure.into() });
    }

    /// Reads the cells into the person; true if there is no fault.
    pub(super) fn check(&mut self, cells: &[Cow<'_, str>]) -> bool {
        let (found, wanted) = (cells.len(), self.header.columns.len());
        if found < wanted {
            self.refuse(
                "short_row",
                format!("the row has {found} cells and the header {wanted}; leave empty cells in their place"),
            );
            return false;
        }
        if found > wanted {
            self.refuse(
                "extra_cell",
                format!("the row has {found} cells and the header {wanted}; put quotes around a text that holds the separator"),
            );
            return false;
        }
        let header = self.header;
        for (at, (cell, column)) in cells.iter().zip(&header.columns).enumerate() {
            let text = cell.trim();
            if text.is_empty() {
                continue;
            }
            let checked = not_formula(text, *column).and_then(|()| self.cell(text, *column));
            if let Err(CellFault { reason, cure }) = checked {
                self.faults.push(RowFault { column: Some(at), reason, cure });
            }
        }
        self.whole();
        self.faults.is_empty()
    }

    /// What concerns the person as a whole.
    fn whole(&mut self) {
        let header = self.header;
        let place = |column| header.columns.iter().position(|found| *found == column);
        let faults = &self.faults;
        let is_bad = |column| place(column).is_some_and(|place| faults.iter().any(|fault| fault.column == Some(place)));
        let no_account = self.person.account_id.is_empty() && !is_bad(Column::AccountId);
        let bad_address = [Column::Msisdn, Column::FixedNumber, Column::Email].into_iter().any(is_bad);
        if no_account {
            let cure = "write the carrier's id of this person".into();
            self.faults.push(RowFault { column: place(Column::AccountId), reason: "missing", cure });
        }
        if !self.person.has_address() && !bad_address {
            self.refuse("no_address", "give a mobile number, a mailbox or a fixed number");
        }
        if self.person.codes.language == 0 {
            self.person.codes.language = Language::Vi.code();
        }
    }

    fn cell(&mut self, text: &str, column: Column) -> Result<(), CellFault> {
        macro_rules! closed {
            ($set:ty) => {
                code(text, <$set>::ALL.iter().map(|value| (value.name(), value.code())))
            };
        }
        let person = &mut self.person;
        match column {
            Column::AccountId => copy(text, ACCOUNT_ID_CHARS_MAX, &mut person.account_id)?,
            Column::Msisdn => {
                let parsed = number(text, msisdn::Column::Mobile)?;
                (person.msisdn, self.is_migrated) = (parsed.number.as_u64(), parsed.migrated);
            }
            Column::FixedNumber => person.fixed_number = number(text, msisdn::Column::Fixed)?.number.as_u64(),
            Column::Email => {
                let address = EmailAddress::parse(text).map_err(|error| fault(error.code(), error.to_string()))?;
                // In lower case throughout: two people do not differ by the case of a mailbox, and a block must find it.
                person.email.push_str(address.as_str());
                person.email.make_ascii_lowercase();
            }
            Column::Service => person.codes.service = closed!(Service)?,
            Column::Payment => person.codes.payment = closed!(Payment)?,
            Column::CustomerKind => person.codes.customer_kind = closed!(CustomerKind)?,
            Column::AgeBand => person.codes.age_band = closed!(AgeBand)?,
            Column::Language => person.codes.language = closed!(Language)?,
            Column::ConsentAds => person.codes.consent_ads = closed!(Consent)?,
            Column::Smartphone => person.codes.smartphone = code(text, SMARTPHONE)?,
            Column::Dnc => person.codes.dnc = code(text, DNC)?,
            Column::ChannelPref => {
                for value in list(text)? {
                    person.codes.channel_pref |= 1 << (code(value, CHANNELS)? - 1);
                }
            }
            Column::CommuneCode => {
                let cure = "no commune-level unit of Bến Tre has or had this code; write its five digits as text";
                person.commune = self.communes.index(text).ok_or_else(|| fault("unknown_commune", cure))?;
            }
            Column::ConsentAt => person.consent_at = Some(instant(text)?),
            Column::ConsentMethod => copy(text, CONSENT_CHARS_MAX, &mut person.consent_method)?,
            Column::ConsentTextId => copy(text, CONSENT_CHARS_MAX, &mut person.consent_text_id)?,
            Column::Evidence => copy(text, EVIDENCE_CHARS_MAX, &mut person.evidence)?,
            Column::DncAsOf => person.dnc_as_of = Some(day(text)?),
            Column::Suppressed => {
                for value in list(text)? {
                    person.suppressed.extend_from_slice(&scope(value, self.key)?.0.to_le_bytes());
                }
            }
            Column::Tags => {
                for value in list(text)? {
                    person.tags |= match self.tags.known(value) {
                        Some(mask) => mask,
                        None => self.tags.learn(value, &tag(value)?),
                    };
                }
            }
            Column::Slot(slot) => {
                template::check_value("", text).map_err(slot_fault)?;
                if let Some(value) = person.slots.get_mut(slot) {
                    value.push_str(text);
                }
            }
        }
        Ok(())
    }
}

const SMARTPHONE: [(&str, u8); 8] =
    [("yes", 2), ("no", 1), ("true", 2), ("false", 1), ("1", 2), ("0", 1), ("có", 2), ("không", 1)];
const DNC: [(&str, u8); 4] = [("none", 1), ("sms", 2), ("call", 3), ("both", 4)];
const CHANNELS: [(&str, u8); 3] = [("sms", 1), ("email", 2), ("bill", 3)];

/// A spreadsheet runs a cell that begins like a formula; a real number may begin with a plus.
fn not_formula(text: &str, column: Column) -> Result<(), CellFault> {
    let is_number = matches!(column, Column::Msisdn | Column::FixedNumber);
    match text.chars().next() {
        Some('=' | '@' | '-') => {}
        Some('+') if !is_number => {}
        _ => return Ok(()),
    }
    Err(fault("formula", "the cell begins like a formula (= + - @); write the value itself"))
}

fn number(text: &str, column: msisdn::Column) -> Result<msisdn::Parsed, CellFault> {
    Msisdn::parse(text, column).map_err(|reject| fault(reject.code(), reject.to_string()))
}

/// The code of a value of a closed set.
fn code<'s>(text: &str, all: impl IntoIterator<Item = (&'s str, u8)> + Clone) -> Result<u8, CellFault> {
    let same = |name: &str| name == text || name.to_lowercase() == text.to_lowercase();
    let exact = all.clone().into_iter().find(|(name, _)| *name == text);
    let found = exact.or_else(|| all.clone().into_iter().find(|(name, _)| same(name)));
    found.map(|(_, code)| code).ok_or_else(|| {
        let names: Vec<&str> = all.into_iter().map(|(name, _)| name).collect();
        fault("unknown_value", format!("use one of: {}", names.join(", ")))
    })
}

fn list(text: &str) -> Result<impl Iterator<Item = &str>, CellFault> {
    let values = text.split(LIST_SEPARATORS).map(str::trim).filter(|value| !value.is_empty());
    let count = values.clone().count();
    if count > LIST_MAX {
        return Err(fault("list_too_long", format!("the list has {count} values, at most {LIST_MAX} are allowed")));
    }
    Ok(values)
}

fn copy(text: &str, chars_max: usize, out: &mut String) -> Result<(), CellFault> {
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(fault("text_too_long", format!("at most {chars_max} characters are allowed; shorten it")));
    }
    if text.chars().any(char::is_control) {
        return Err(fault("control", "the cell holds a line break or a control character; take it out"));
    }
    out.push_str(text);
    Ok(())
}

fn tag(text: &str) -> Result<String, CellFault> {
    let tag = nfc(text).to_lowercase();
    if tag.chars().count() > TAG_CHARS_MAX || tag.chars().any(char::is_control) {
        return Err(fault("bad_tag", format!("a tag has at most {TAG_CHARS_MAX} characters and no control character")));
    }
    Ok(tag)
}

/// `all`, or `unit/class/topic` where an empty part or `*` means any.
fn scope(text: &str, key: &HashKey) -> Result<Scope, CellFault> {
    const CURE: &str = "write `all`, or unit/class/topic with empty parts for any, such as `/advertising/`";
    if text.eq_ignore_ascii_case("all") {
        return Ok(Scope::ALL);
    }
    let parts: Vec<&str> = text.split('/').map(|part| part.trim().trim_matches('*')).collect();
    let [unit, class, topic] = parts.as_slice() else { return Err(fault("bad_scope", CURE)) };
    let too_long = [unit, topic].into_iter().any(|part| part.chars().count() > SCOPE_CHARS_MAX);
    if too_long || !(class.is_empty() || class.parse::<Class>().is_ok()) {
        return Err(fault("bad_scope", CURE));
    }
    Ok(Scope::of(key, unit, class, topic))
}

fn slot_fault(error: RenderError) -> CellFault {
    match error {
        RenderError::Missing { .. } => fault("missing", "write a value or leave the cell empty"),
        RenderError::TooLong { chars, .. } => {
            let most = loa_domain::limits::SLOT_CHARS_MAX;
            fault("text_too_long", format!("the value has {chars} characters, at most {most} are allowed; shorten it"))
        }
        RenderError::Control { at, code, .. } => {
            fault("control", format!("character {at} is U+{code:04X}, which does not belong in a text; take it out"))
        }
    }
}

const DATE_CURE: &str = "write the date as 2024-10-31, a time as 2024-10-31T08:30:00+07:00";

/// Microseconds since 1970 of a date or time as people write it.
fn instant(text: &str) -> Result<i64, CellFault> {
    let wrong = || fault("bad_date", DATE_CURE);
    let local = || -> Option<Timestamp> {
        let at: DateTime = text.parse().ok().or_else(|| Some(date(text)?.at(0, 0, 0, 0)))?;
        tz::offset(LOCAL_OFFSET_HOURS).to_timestamp(at).ok()
    };
    let at = text.parse::<Timestamp>().ok().or_else(local).ok_or_else(wrong)?;
    Ok(at.as_microsecond())
}

/// Days since 1970.
fn day(text: &str) -> Result<i32, CellFault> {
    let wrong = || fault("bad_date", DATE_CURE);
    let day = date(text).ok_or_else(wrong)?;
    i32::try_from(day.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24).map_err(|_| wrong())
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok().or_else(|| Date::strptime("%d/%m/%Y", text).ok())
}

#[cfg(test)]
mod tests;
