//! CSV as people write it: where a row ends, and its cells.
//!
//! A row ends at a newline outside quotes. A quote that is never closed would swallow the rest of the file, so a quoted
//! cell may span lines only within [`ROW_BYTES_MAX`]; where that fails, the line the row began on is refused and reading goes
//! on with the next line.
//!
//! Must stay true: the block cutter and the row readers find the same rows: a row's end depends on nothing before the row,
//! and cutting the input at any row's end changes no row.

use std::borrow::Cow;

/// Bytes of one row, at most.
pub(super) const ROW_BYTES_MAX: usize = 64 * 1024;

/// Where a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowEnd {
    /// At `end`; the next row begins at `next`.
    Row { end: usize, next: usize },
    /// A quote is opened and not closed, or text follows a closing quote. Only the first line is given up.
    BadQuote { end: usize, next: usize },
    /// The input does not hold all of it yet.
    Incomplete,
}

/// Finds the end of the row that begins at `at`. `complete`: nothing follows the bytes.
pub(super) fn row_end(bytes: &[u8], at: usize, delimiter: u8, complete: bool) -> RowEnd {
    let newline = find(bytes, at, b'\n');
    let (end, next) = match newline {
        Some(newline) => (newline, newline + 1),
        None if complete => (bytes.len(), bytes.len()),
        None => return RowEnd::Incomplete,
    };
    if !bytes[at..end].contains(&b'"') {
        return RowEnd::Row { end: without_cr(bytes, at, end), next };
    }
    match quoted_end(bytes, at, delimiter, complete) {
        Quoted::End { end, next } => RowEnd::Row { end: without_cr(bytes, at, end), next },
        Quoted::Bad => RowEnd::BadQuote { end: without_cr(bytes, at, end), next },
        Quoted::Incomplete => RowEnd::Incomplete,
    }
}

enum Quoted {
    End { end: usize, next: usize },
    Bad,
    Incomplete,
}

/// Walks the cells of a row that has quotes.
fn quoted_end(bytes: &[u8], at: usize, delimiter: u8, complete: bool) -> Quoted {
    let limit = bytes.len().min(at + ROW_BYTES_MAX);
    let out =
        |position: usize| if complete || position >= at + ROW_BYTES_MAX { Quoted::Bad } else { Quoted::Incomplete };
    let mut at = at;
    loop {
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                let Some(quote) = find(&bytes[..limit], at, b'"') else { return out(limit) };
                at = quote + 1;
                match bytes.get(at) {
                    Some(b'"') => at += 1,
                    None if !complete => return Quoted::Incomplete,
                    _ => break,
                }
            }
            match &bytes[at..] {
                [] => return Quoted::End { end: at, next: at },
                [b'\n', ..] => return Quoted::End { end: at, next: at + 1 },
                [b'\r', b'\n', ..] => return Quoted::End { end: at, next: at + 2 },
                [b'\r'] if !complete => return Quoted::Incomplete,
                [b'\r'] => return Quoted::End { end: at, next: at + 1 },
                [found, ..] if *found == delimiter => at += 1,
                _ => return Quoted::Bad,
            }
        } else {
            let stop = bytes[at..].iter().position(|byte| *byte == delimiter || *byte == b'\n');
            match stop.map(|stop| at + stop) {
                Some(stop) if bytes[stop] == b'\n' => return Quoted::End { end: stop, next: stop + 1 },
                Some(stop) => at = stop + 1,
                None if complete => return Quoted::End { end: bytes.len(), next: bytes.len() },
                None => return Quoted::Incomplete,
            }
        }
    }
}

/// The cells of a whole row; quoted ones without their quotes.
pub(super) fn cells<'a>(row: &'a str, delimiter: u8, out: &mut Vec<Cow<'a, str>>) {
    out.clear();
    if !row.contains('"') {
        // The delimiter is ASCII, so every cut is one between characters. Cells are short: a plain walk is the fastest search.
        let mut from = 0;
        for (at, byte) in row.bytes().enumerate() {
            if byte == delimiter {
                out.push(Cow::Borrowed(row.get(from..at).unwrap_or_default()));
                from = at + 1;
            }
        }
        out.push(Cow::Borrowed(row.get(from..).unwrap_or_default()));
        return;
    }
    let delimiter = char::from(delimiter);
    let mut rest = row;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted_cell(inner),
            None => match rest.find(delimiter) {
                Some(end) => {
                    let (cell, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    (Cow::Borrowed(cell), after)
                }
                None => (Cow::Borrowed(rest), ""),
            },
        };
        out.push(cell);
        match after.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None => return,
        }
    }
}

/// The words of a quoted cell, and what follows its closing quote.
fn quoted_cell(inner: &str) -> (Cow<'_, str>, &str) {
    let mut cell = Cow::Borrowed("");
    let mut rest = inner;
    while let Some((words, after)) = rest.split_once('"') {
        if cell.is_empty() {
            cell = Cow::Borrowed(words);
        } else {
            cell.to_mut().push_str(words);
        }
        match after.strip_prefix('"') {
            Some(after) => {
                cell.to_mut().push('"');
                rest = after;
            }
            None => return (cell, after),
        }
    }
    (cell, "")
}

/// The first such byte from a position on.
pub(super) fn find(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    use std::io::BufRead as _;
    let mut rest = bytes.get(at..)?;
    // `skip_until` is the standard library's way to its fast byte search; a slice cannot fail.
    let skipped = rest.skip_until(wanted).unwrap_or(0);
    let last = at + skipped.checked_sub(1)?;
    (bytes[last] == wanted).then_some(last)
}

fn without_cr(bytes: &[u8], at: usize, end: usize) -> usize {
    if end > at && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All rows of a text: its cells, or `None` for a refused line.
    fn rows(text: &str) -> Vec<Option<Vec<String>>> {
        let bytes = text.as_bytes();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let (row, next) = match row_end(bytes, at, b',', true) {
                RowEnd::Row { end, next } => {
                    let mut out = Vec::new();
                    cells(text.get(at..end).unwrap(), b',', &mut out);
                    (Some(out.into_iter().map(Cow::into_owned).collect()), next)
                }
                RowEnd::BadQuote { next, .. } => (None, next),
                RowEnd::Incomplete => panic!("complete input is never incomplete"),
            };
            found.push(row);
            at = next;
        }
        found
    }

    #[test]
    fn reads_what_spreadsheets_write() {
        #[track_caller]
        fn check(text: &str, expected: &[Option<&[&str]>]) {
            let expected: Vec<Option<Vec<String>>> =
                expected.iter().map(|row| row.map(|cells| cells.iter().map(ToString::to_string).collect())).collect();
            assert_eq!(rows(text), expected, "{text:?}");
        }

        check("a,b\nc,d\n", &[Some(&["a", "b"]), Some(&["c", "d"])]);
        check("a,b\r\nc,d", &[Some(&["a", "b"]), Some(&["c", "d"])]); // mixed ends, none at the last row
        check("a,,\n", &[Some(&["a", "", ""])]);
        check("\"a\",\"b,c\"\n", &[Some(&["a", "b,c"])]);
        check("\"say \"\"yes\"\"\",b\n", &[Some(&["say \"yes\"", "b"])]);
        check("\"\"\"\"\n", &[Some(&["\""])]);
        check("\"\",b\n", &[Some(&["", "b"])]);
        check("\"two\nlines\",b\nc,d\n", &[Some(&["two\nlines", "b"]), Some(&["c", "d"])]);
        check("\"a\"\r\nb\n", &[Some(&["a"]), Some(&["b"])]);
        check("5\" pipe,b\n", &[Some(&["5\" pipe", "b"])]); // a quote inside a cell is a letter
        check("a,\"open\nb,c\n", &[None, Some(&["b", "c"])]); // only its own line is lost
        check("a,\"open\nb,\"c\"\nd,e\n", &[None, Some(&["b", "c"]), Some(&["d", "e"])]);
        check("\"a\"x,b\nc,d\n", &[None, Some(&["c", "d"])]);
        check("\"", &[None]);
    }

    #[test]
    fn a_quote_reaches_no_further_than_a_row_may() {
        let text = format!("a,\"open\n{}", "b,c\n".repeat(ROW_BYTES_MAX));
        assert_eq!(row_end(text.as_bytes(), 0, b',', false), RowEnd::BadQuote { end: 7, next: 8 });
    }

    proptest! {
        /// Wherever the input is cut at a row's end, the rows are the same; and less input never means another row.
        #[test]
        fn rows_do_not_depend_on_the_cut(text in "[a,\"\n\r]{0,60}") {
            let bytes = text.as_bytes();
            let mut at = 0;
            let mut ends = vec![];
            while at < bytes.len() {
                match row_end(bytes, at, b',', true) {
                    RowEnd::Row { next, .. } | RowEnd::BadQuote { next, .. } => {
                        prop_assert!(next > at);
                        at = next;
                    }
                    RowEnd::Incomplete => prop_assert!(false),
                }
                ends.push(at);
            }
            for cut in ends {
                let mut both = rows(text.get(..cut).unwrap());
                both.extend(rows(text.get(cut..).unwrap()));
                prop_assert_eq!(both, rows(&text));
            }
            for length in 0..bytes.len() {
                let early = row_end(&bytes[..length], 0, b',', false);
                prop_assert!(early == RowEnd::Incomplete || early == row_end(bytes, 0, b',', true));
            }
        }

        /// Every row written by a CSV writer is read back.
        #[test]
        fn reads_what_a_writer_writes(table in proptest::collection::vec(proptest::collection::vec("[ -~ế\n\"]{0,8}", 2..4), 1..6)) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            table.iter().for_each(|row| writer.write_record(row).unwrap());
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(rows(&text), table.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
