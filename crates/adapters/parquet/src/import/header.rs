//! The first line of a subscriber file: which column is where.
//!
//! A fault here concerns every row, so the file is refused as a whole, with all faults at once.
//!
//! Must stay true: no column is ignored: one that is not known is refused, since somebody meant something by it.

use std::borrow::Cow;

use loa_domain::limits::SLOTS_MAX;
use loa_domain::template::SLOT_NAME_CHARS_MAX;
use loa_ports::audience::Fault;

use super::rows::{RowEnd, cells, row_end};
use crate::schema::SLOT_PREFIX;

/// What separates cells, in order of preference.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// A column of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    AccountId,
    Msisdn,
    FixedNumber,
    Email,
    Service,
    Payment,
    CustomerKind,
    CommuneCode,
    AgeBand,
    Language,
    Smartphone,
    ChannelPref,
    ConsentAds,
    ConsentAt,
    ConsentMethod,
    ConsentTextId,
    Evidence,
    Dnc,
    DncAsOf,
    Suppressed,
    Tags,
    /// The index of a slot.
    Slot(usize),
}

const NAMES: [(&str, Column); 21] = [
    ("account_id", Column::AccountId),
    ("msisdn", Column::Msisdn),
    ("fixed_number", Column::FixedNumber),
    ("email", Column::Email),
    ("service", Column::Service),
    ("payment", Column::Payment),
    ("customer_kind", Column::CustomerKind),
    ("commune_code", Column::CommuneCode),
    ("age_band", Column::AgeBand),
    ("language", Column::Language),
    ("smartphone", Column::Smartphone),
    ("channel_pref", Column::ChannelPref),
    ("consent_ads", Column::ConsentAds),
    ("consent_at", Column::ConsentAt),
    ("consent_method", Column::ConsentMethod),
    ("consent_text_id", Column::ConsentTextId),
    ("evidence", Column::Evidence),
    ("dnc", Column::Dnc),
    ("dnc_as_of", Column::DncAsOf),
    ("suppressed", Column::Suppressed),
    ("tags", Column::Tags),
];

/// Names that files have for these columns.
const OTHER_NAMES: [(&str, &str); 16] = [
    ("id", "account_id"),
    ("customer_id", "account_id"),
    ("phone", "msisdn"),
    ("mobile", "msisdn"),
    ("phone_number", "msisdn"),
    ("so_dien_thoai", "msisdn"),
    ("sdt", "msisdn"),
    ("fixed", "fixed_number"),
    ("mail", "email"),
    ("e-mail", "email"),
    ("commune", "commune_code"),
    ("age", "age_band"),
    ("consent", "consent_ads"),
    ("name", "slots.ten"),
    ("ten", "slots.ten"),
    ("danh_xung", "slots.danh_xung"),
];

/// A read header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) delimiter: u8,
    pub(super) columns: Vec<Column>,
    /// The columns' names as they are shown in rejects.
    pub(super) names: Vec<String>,
    pub(super) slots: Vec<String>,
    /// Bytes up to the first row.
    pub(super) bytes: usize,
}

/// Reads the header at the beginning of a file; `complete`: nothing follows the bytes.
pub(super) fn read(bytes: &[u8], complete: bool) -> Result<Header, Vec<Fault>> {
    let start = begin(bytes).map_err(|problem| vec![Fault::new("file", problem)])?;
    let (delimiter, line, next) = line(bytes, start, complete).map_err(|problem| vec![Fault::new("file", problem)])?;
    let mut found = Vec::new();
    cells(line, delimiter, &mut found);
    let mut reader = Reader {
        header: Header { delimiter, columns: vec![], names: vec![], slots: vec![], bytes: next },
        faults: vec![],
    };
    (1..).zip(&found).for_each(|(at, name)| reader.column(at, name.trim()));
    reader.whole();
    if reader.faults.is_empty() { Ok(reader.header) } else { Err(reader.faults) }
}

/// Where the text begins, behind one byte order mark.
fn begin(bytes: &[u8]) -> Result<usize, &'static str> {
    const BOM: &[u8] = b"\xEF\xBB\xBF";
    let start = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    let rest = &bytes[start..];
    if rest.starts_with(BOM) {
        return Err("the file begins with two byte order marks; save it once more as CSV UTF-8");
    }
    if rest.starts_with(b"PK\x03\x04") {
        return Err("the file is a ZIP archive or an XLSX workbook; save it as CSV UTF-8");
    }
    if rest.starts_with(b"\xFF\xFE") || rest.starts_with(b"\xFE\xFF") {
        return Err("the file is UTF-16; save it as CSV UTF-8");
    }
    if rest.iter().all(u8::is_ascii_whitespace) {
        return Err("the file is empty; it needs a header and a row for each person");
    }
    Ok(start)
}

/// The header's line under the delimiter that makes most sense of it.
fn line(bytes: &[u8], start: usize, complete: bool) -> Result<(u8, &str, usize), &'static str> {
    let mut best: Option<((usize, usize), u8, &str, usize)> = None;
    let mut has_bad_quote = false;
    for delimiter in DELIMITERS {
        let RowEnd::Row { end, next } = row_end(bytes, start, delimiter, complete) else {
            has_bad_quote = true;
            continue;
        };
        let line = std::str::from_utf8(&bytes[start..end])
            .map_err(|_| "the header is not UTF-8; save the file as CSV UTF-8")?;
        let mut found = Vec::new();
        cells(line, delimiter, &mut found);
        let known = found.iter().filter(|name| is_known(name)).count();
        let score = (known, found.len());
        if best.as_ref().is_none_or(|(top, ..)| score > *top) {
            best = Some((score, delimiter, line, next));
        }
    }
    // Under another delimiter the quote may be a letter; that is worth something only if it finds names.
    let best = best.filter(|((known, _), ..)| *known > 0 || !has_bad_quote);
    let Some((_, delimiter, line, next)) = best else {
        return Err(
            "the header's first line is longer than a row may be, or a quote in it is not closed; check the file's first line",
        );
    };
    if line.contains('\0') {
        return Err("the header has a NUL byte: the file is UTF-16 or no text; save it as CSV UTF-8");
    }
    if line.contains('\r') {
        return Err("lines end with CR alone; save the file with LF or CR LF at the end of each line");
    }
    Ok((delimiter, line, next))
}

fn is_known(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    name.starts_with(SLOT_PREFIX) || NAMES.iter().any(|(known, _)| *known == name)
}

struct Reader {
    header: Header,
    faults: Vec<Fault>,
}

impl Reader {
    fn column(&mut self, at: usize, written: &str) {
        let name = written.to_lowercase();
        if name.is_empty() {
            return self.fault("header", format!("column {at} has no name; name it or remove it"));
        }
        if looks_like_data(&name) {
            return self.fault(
                "header",
                format!("column {at} holds a value instead of a name; the first line must be the header"),
            );
        }
        if self.header.names.contains(&name) {
            return self.fault(name, "the column stands twice; keep one of them");
        }
        let column = match name.strip_prefix(SLOT_PREFIX) {
            Some(slot) => self.slot(slot.to_owned()),
            None => NAMES.iter().find(|(known, _)| *known == name).map(|(_, column)| *column),
        };
        match column {
            Some(column) => {
                self.header.columns.push(column);
                self.header.names.push(name);
            }
            None if name.starts_with(SLOT_PREFIX) => self.fault(
                name,
                format!("this is no slot: after `slots.` stand a letter, then letters, digits or _, at most {SLOT_NAME_CHARS_MAX}, and a file has at most {SLOTS_MAX} slots"),
            ),
            None => self.fault(name.clone(), unknown(&name)),
        }
    }

    /// A slot's column; `None` if the name is none, or there are too many.
    fn slot(&mut self, slot: String) -> Option<Column> {
        let legal = slot.len() <= SLOT_NAME_CHARS_MAX
            && slot.starts_with(|first: char| first.is_ascii_alphabetic())
            && slot.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !legal || self.header.slots.len() == SLOTS_MAX {
            return None;
        }
        self.header.slots.push(slot);
        Some(Column::Slot(self.header.slots.len() - 1))
    }

    /// What concerns the header as a whole.
    fn whole(&mut self) {
        let has = |column| self.header.columns.contains(&column);
        let no_account = !has(Column::AccountId);
        let no_address = !has(Column::Msisdn) && !has(Column::Email) && !has(Column::FixedNumber);
        if no_account && no_address {
            let cure = "the first line names no column of a subscriber file; it must hold names such as account_id, msisdn, email";
            return self.fault("header", cure);
        }
        if no_account {
            self.fault("account_id", "the column is missing; add the carrier's id of each person");
        }
        if no_address {
            self.fault("msisdn", "there is no column with an address; add msisdn, email or fixed_number");
        }
    }

    fn fault(&mut self, field: impl Into<String>, problem: impl Into<Cow<'static, str>>) {
        let field: String = field.into().chars().take(40).filter(|found| !found.is_control()).collect();
        self.faults.push(Fault::new(field, problem.into()));
    }
}

/// A number or an address in the header's place is somebody's and is not repeated.
fn looks_like_data(name: &str) -> bool {
    name.contains('@') || name.chars().filter(char::is_ascii_digit).count() >= 6
}

fn unknown(name: &str) -> String {
    match OTHER_NAMES.iter().find(|(other, _)| *other == name) {
        Some((_, meant)) => format!("the column is not known; name it {meant}"),
        None => {
            let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "the column is not known; remove it, name it slots.<name> if texts use it, or use one of: {}",
                known.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Header {
        read(text.as_bytes(), true).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
    }

    #[test]
    fn finds_the_columns_in_any_dress() {
        #[track_caller]
        fn check(text: &str, delimiter: u8, expected: &[Column]) {
            let header = columns(text);
            assert_eq!((header.delimiter, header.columns.as_slice()), (delimiter, expected), "{text:?}");
        }

        let three = [Column::AccountId, Column::Msisdn, Column::Slot(0)];
        check("account_id,msisdn,slots.ten\n", b',', &three);
        check("Account_ID;MSISDN;Slots.Ten\r\n", b';', &three);
        check("\u{FEFF}account_id\tmsisdn\tslots.ten\n", b'\t', &three);
        check("\"account_id\" , \"msisdn\"\n".replace(" , ", ",").as_str(), b',', &three[..2]);
        check(" account_id ,msisdn", b',', &three[..2]);
        assert_eq!(columns("account_id,msisdn\nx").bytes, 18);
    }

    #[test]
    fn refuses_with_every_fault_at_once() {
        #[track_caller]
        fn check(bytes: impl AsRef<[u8]>, expected: &[(&str, &str)]) {
            let faults = read(bytes.as_ref(), true).expect_err("the header is bad");
            assert_eq!(faults.len(), expected.len(), "{faults:?}");
            for (fault, (field, words)) in faults.iter().zip(expected) {
                assert_eq!(fault.field, *field, "{faults:?}");
                assert!(fault.problem.contains(words), "{faults:?}");
            }
        }

        check("", &[("file", "is empty")]);
        check(" \r\n\r\n", &[("file", "is empty")]);
        check("\u{FEFF}", &[("file", "is empty")]);
        check("\u{FEFF}\u{FEFF}account_id,msisdn\n", &[("file", "two byte order marks")]);
        check(b"\xFF\xFEa\0c\0", &[("file", "UTF-16; save it as CSV UTF-8")]);
        check(b"PK\x03\x04...", &[("file", "XLSX")]);
        check(b"account_id,msisdn,slots.t\xEA\n", &[("file", "not UTF-8")]);
        check("account_id,msi\0sdn\n", &[("file", "NUL")]);
        check("account_id,msisdn\r1,0912345678\r", &[("file", "CR alone")]);
        check("account_id,\"msisdn\n1,0912345678\n", &[("file", "a quote in it is not closed")]);
        let no_header = [("a-1", "not known"), ("header", "column 2 holds a value"), ("header", "names no column")];
        check("A-1,0912345678\n", &no_header);
        check("account_id,msisdn,MSISDN\n", &[("msisdn", "stands twice")]);
        check("account_id,phone\n", &[("phone", "name it msisdn"), ("msisdn", "no column with an address")]);
        check("msisdn,email\n", &[("account_id", "is missing")]);
        check("account_id,msisdn,,tuoi\n", &[("header", "column 3 has no name"), ("tuoi", "not known")]);
        check(
            "account_id,msisdn,slots.tên,slots.\n",
            &[("slots.tên", "this is no slot"), ("slots.", "this is no slot")],
        );
        let many: String = (0..33).map(|number| format!(",slots.s{number}")).collect();
        check(format!("account_id,msisdn{many}\n"), &[("slots.s32", "at most 32 slots")]);
    }
}
