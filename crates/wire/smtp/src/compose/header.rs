//! Header values: plain where plain will do, encoded words (RFC 2047) where not.
//!
//! Must stay true: a value is either written as it is on one line of at most 78 octets, or as encoded words; nothing is
//! folded by hand, so no reader can unfold it wrongly. An encoded word is at most 75 octets, and no character is cut
//! over two of them.

use super::ComposeError;
use crate::base;
use crate::limits::{HEADER_LINE_OCTETS, TEXT_LINE_OCTETS_MAX};

const WORD_START: &[u8] = b"=?UTF-8?B?";
const WORD_END: &[u8] = b"?=";
/// Octets of a line that holds an encoded word (RFC 2047 §2).
const WORD_LINE_OCTETS: usize = 76;
/// The longest a character is, octets of UTF-8.
const CHARACTER_OCTETS_MAX: usize = 4;

/// Writes `name: value` with its line end, for a header that holds any text.
pub(super) fn unstructured(
    name: &'static str,
    field: &'static str,
    value: &str,
    octets_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    check_text(field, value, octets_max)?;
    if value.is_empty() {
        return Err(ComposeError::Empty { field });
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let column = name.len() + 2;
    if is_plain(value, column) {
        out.extend_from_slice(value.as_bytes());
    } else {
        encoded_words(value, column, out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Writes a display name that starts at `column`.
pub(super) fn phrase(
    field: &'static str,
    value: &str,
    octets_max: usize,
    column: usize,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    check_text(field, value, octets_max)?;
    let special = |octet: u8| !(octet.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&octet));
    if !is_plain(value, column + 2) || value.bytes().any(|octet| matches!(octet, b'"' | b'\\')) {
        encoded_words(value, column, out);
    } else if value.bytes().any(special) {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(value.as_bytes());
    }
    Ok(())
}

/// Writes `name: pieces` with its line end, for a header of ASCII without encoded words.
pub(super) fn structured(
    name: &'static str,
    field: &'static str,
    pieces: &[&str],
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    let octets_max = TEXT_LINE_OCTETS_MAX - name.len() - 2;
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > octets_max {
        return Err(ComposeError::TooLong { field, octets_max });
    }
    if pieces.iter().any(|piece| piece.bytes().any(|octet| !matches!(octet, b' '..=b'~'))) {
        return Err(ComposeError::NotAscii { field });
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Checks an address between `<` and `>`: visible ASCII, no brackets, short enough for a line of its own.
pub(super) fn check_visible(field: &'static str, value: &str) -> Result<(), ComposeError> {
    const OCTETS_MAX: usize = TEXT_LINE_OCTETS_MAX - 32;
    if value.len() > OCTETS_MAX {
        return Err(ComposeError::TooLong { field, octets_max: OCTETS_MAX });
    }
    if value.bytes().any(|octet| !octet.is_ascii_graphic() || matches!(octet, b'<' | b'>')) {
        return Err(ComposeError::NotAscii { field });
    }
    Ok(())
}

fn check_text(field: &'static str, value: &str, octets_max: usize) -> Result<(), ComposeError> {
    if value.len() > octets_max {
        return Err(ComposeError::TooLong { field, octets_max });
    }
    if value.chars().any(char::is_control) {
        return Err(ComposeError::Control { field });
    }
    Ok(())
}

/// Whether a reader gets `value` back when it stands as it is, from `column` on, on one line.
fn is_plain(value: &str, column: usize) -> bool {
    value.is_ascii()
        && column + value.len() <= HEADER_LINE_OCTETS
        && value.trim_ascii().len() == value.len()
        && !value.contains("=?")
        && !value.contains("  ")
}

/// Writes `text` as encoded words, each but the first on a line of its own.
fn encoded_words(text: &str, column: usize, out: &mut Vec<u8>) {
    let room = |column: usize| {
        let digits = WORD_LINE_OCTETS.saturating_sub(column + WORD_START.len() + WORD_END.len());
        (digits / 4 * 3).max(CHARACTER_OCTETS_MAX)
    };
    let (mut rest, mut octets_max) = (text, room(column));
    loop {
        let (word, after) = rest.split_at(rest.floor_char_boundary(octets_max));
        out.extend_from_slice(WORD_START);
        base::base64(word.as_bytes(), out);
        out.extend_from_slice(WORD_END);
        if after.is_empty() {
            return;
        }
        out.extend_from_slice(b"\r\n ");
        (rest, octets_max) = (after, room(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn subject(value: &str) -> String {
        let mut out = Vec::new();
        unstructured("Subject", "the subject", value, 1_000, &mut out).expect("allowed");
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn subjects() {
        let e13 = "Subject: =?UTF-8?B?Q2h1eeG7g24gxJHhu5VpIHPhu5EgQuG6v24gVHJl?=\r\n";
        assert_eq!(subject("Chuyển đổi số Bến Tre"), e13); // E13
        assert_eq!(subject("[QC] Hop luc 8h"), "Subject: [QC] Hop luc 8h\r\n");
        assert!(subject("=?UTF-8?B?eA==?=").starts_with("Subject: =?UTF-8?B?PT9")); // or it would be decoded
        assert!(subject(" a").starts_with("Subject: =?"));
        assert!(subject("a  b").starts_with("Subject: =?"));
        assert!(subject(&"a ".repeat(40)).starts_with("Subject: =?"));
        let long = subject(&"Chuyển đổi số Bến Tre ".repeat(20));
        assert!(long.split("\r\n").all(|line| line.len() <= 76), "{long}");
    }

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let mut out = Vec::new();
            phrase("the name", name, 256, 6, &mut out).expect("allowed");
            assert_eq!(String::from_utf8(out).expect("ascii"), expected);
        }
        check("Loa", "Loa");
        check("UBND tinh, Ben Tre", "\"UBND tinh, Ben Tre\"");
        check("a \"b\"", "=?UTF-8?B?YSAiYiI=?=");
        check("Bến Tre", "=?UTF-8?B?QuG6v24gVHJl?=");
    }

    #[test]
    fn refuses_what_would_break_out() {
        let mut out = Vec::new();
        let control = Err(ComposeError::Control { field: "f" });
        for value in ["a\r\nBcc: x@y", "a\nb", "a\0b", "a\u{85}b"] {
            assert_eq!(unstructured("Subject", "f", value, 100, &mut out), control, "{value:?}");
            assert_eq!(phrase("f", value, 100, 4, &mut out), control, "{value:?}");
            assert_eq!(structured("List-Id", "f", &[value], &mut out), Err(ComposeError::NotAscii { field: "f" }));
        }
        let long = "x".repeat(101);
        assert_eq!(
            unstructured("Subject", "f", &long, 100, &mut out),
            Err(ComposeError::TooLong { field: "f", octets_max: 100 })
        );
        assert_eq!(unstructured("Subject", "f", "", 100, &mut out), Err(ComposeError::Empty { field: "f" }));
        assert!(structured("List-Id", "f", &[&"x".repeat(1_000)], &mut out).is_err());
        assert!(check_visible("f", "https://a/>b").is_err());
        assert!(out.is_empty());
    }
}
