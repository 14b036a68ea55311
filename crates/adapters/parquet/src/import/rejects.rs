//! The rejects file: a CSV with a line for every reason, in order of the imported file.
//!
//! It is opened in a spreadsheet by people, so a row that begins like a formula is shown with an apostrophe before it.
//!
//! Must stay true: every rejected row is counted; the file lists them up to [`ROWS_LISTED_MAX`] and says where it stops.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use loa_ports::audience::DatasetError;

use super::check::RowFault;
use crate::error::file;

/// Rejected rows that are listed, at most; all are counted.
const ROWS_LISTED_MAX: u64 = 1_000_000;
/// Characters of a row that are shown.
const ROW_CHARS_MAX: usize = 1_000;

/// A row that was not taken.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) line: u64,
    pub(super) faults: Vec<RowFault>,
    pub(super) row: String,
}

impl Rejected {
    /// Keeps of the row what will be shown.
    pub(super) fn new(line: u64, faults: Vec<RowFault>, row: &[u8]) -> Self {
        let beginning = row.get(..row.len().min(4 * ROW_CHARS_MAX)).unwrap_or_default();
        Self { line, faults, row: String::from_utf8_lossy(beginning).chars().take(ROW_CHARS_MAX).collect() }
    }
}

/// Writes the file.
pub(super) struct RejectsWriter {
    out: csv::Writer<BufWriter<File>>,
    path: PathBuf,
    names: Vec<String>,
    /// Rejected rows so far.
    pub(super) rows: u64,
    /// Rejected rows by reason; a row with two reasons counts in both.
    pub(super) reasons: BTreeMap<&'static str, u64>,
}

impl RejectsWriter {
    /// Begins the file; `names`: the columns as they are shown.
    pub(super) fn create(path: &Path, names: &[String]) -> Result<Self, DatasetError> {
        let out = csv::Writer::from_writer(BufWriter::new(File::create(path).map_err(file("write", path))?));
        let mut writer = Self { out, path: path.to_owned(), names: names.to_vec(), rows: 0, reasons: BTreeMap::new() };
        writer.line(["line", "column", "reason", "cure", "row"])?;
        Ok(writer)
    }

    /// Counts a row and lists its reasons.
    pub(super) fn reject(&mut self, rejected: &Rejected) -> Result<(), DatasetError> {
        self.rows += 1;
        let mut counted: Vec<&str> = Vec::with_capacity(rejected.faults.len());
        for fault in &rejected.faults {
            if !counted.contains(&fault.reason) {
                counted.push(fault.reason);
                *self.reasons.entry(fault.reason).or_default() += 1;
            }
        }
        match self.rows {
            ..=ROWS_LISTED_MAX => self.list(rejected),
            rows if rows == ROWS_LISTED_MAX + 1 => {
                self.line(["", "", "more", "further rejected rows are counted in the report and not listed here", ""])
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, rejected: &Rejected) -> Result<(), DatasetError> {
        let line = rejected.line.to_string();
        let row = plain(&rejected.row);
        for fault in &rejected.faults {
            let column = fault.column.and_then(|at| self.names.get(at)).cloned().unwrap_or_default();
            self.line([&line, &column, fault.reason, &fault.cure, &row])?;
        }
        Ok(())
    }

    /// Lists older rows of the same key: (dropped line, line that was taken), in order.
    pub(super) fn duplicates(&mut self, pairs: &[(u64, u64)]) -> Result<(), DatasetError> {
        for (dropped, taken) in pairs {
            let cure = format!("line {taken} has the same account_id and was taken; keep one of them");
            self.line([&dropped.to_string(), "account_id", "duplicate_key", &cure, ""])?;
        }
        Ok(())
    }

    fn line(&mut self, cells: [&str; 5]) -> Result<(), DatasetError> {
        self.out.write_record(cells).map_err(|error| failed(&self.path, error))
    }

    /// Makes the file durable.
    pub(super) fn finish(self) -> Result<(), DatasetError> {
        let path = self.path;
        let buffered = self.out.into_inner().map_err(|error| file("write", &path)(error.into_error()))?;
        let written = buffered.into_inner().map_err(|error| file("write", &path)(error.into_error()))?;
        written.sync_all().map_err(file("sync", &path))
    }
}

fn failed(path: &Path, error: csv::Error) -> DatasetError {
    let source = match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => std::io::Error::other(format!("{kind:?}")),
    };
    file("write", path)(source)
}

/// The row without control characters, and without the power of a formula.
fn plain(row: &str) -> Cow<'_, str> {
    let is_formula = row.starts_with(['=', '+', '-', '@']);
    if !is_formula && !row.contains(|found: char| found.is_control() && found != '\t') {
        return Cow::Borrowed(row);
    }
    let shown = |found: char| if found.is_control() && found != '\t' { '\u{FFFD}' } else { found };
    let before = if is_formula { "'" } else { "" };
    Cow::Owned(before.chars().chain(row.chars().map(shown)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_reason_of_a_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects.csv");
        let mut writer = RejectsWriter::create(&path, &["account_id".to_owned(), "msisdn".to_owned()]).unwrap();
        let fault = |column, reason| RowFault { column, reason, cure: "mend, it".into() };
        let faults = vec![fault(Some(1), "too_short"), fault(None, "nul"), fault(Some(0), "nul")];
        writer.reject(&Rejected::new(7, faults, b"=cmd,09\0\xFF")).unwrap();
        writer.duplicates(&[(3, 9)]).unwrap();
        assert_eq!((writer.rows, writer.reasons["nul"]), (1, 1), "a reason counts once a row");
        writer.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "line,column,reason,cure,row\n\
             7,msisdn,too_short,\"mend, it\",\"'=cmd,09\u{FFFD}\u{FFFD}\"\n\
             7,,nul,\"mend, it\",\"'=cmd,09\u{FFFD}\u{FFFD}\"\n\
             7,account_id,nul,\"mend, it\",\"'=cmd,09\u{FFFD}\u{FFFD}\"\n\
             3,account_id,duplicate_key,line 9 has the same account_id and was taken; keep one of them,\n"
        );
    }
}
