//! Bodies: canonical line ends, then quoted-printable or base64, whichever is shorter.
//!
//! Vietnamese text is shorter in base64, HTML with much markup in quoted-printable. Must stay true: either decodes to
//! the same octets, is ASCII and has lines of at most 76 octets.

use std::borrow::Cow;

use super::{BODY_OCTETS_MAX, ComposeError};
use crate::base;

/// Octets of a quoted-printable line, the soft line end's `=` included.
const LINE_OCTETS: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Writes `Content-Transfer-Encoding`, the empty line and the encoded body.
pub(super) fn write(field: &'static str, text: &str, out: &mut Vec<u8>) -> Result<(), ComposeError> {
    if text.is_empty() {
        return Err(ComposeError::Empty { field });
    }
    if text.len() > BODY_OCTETS_MAX {
        return Err(ComposeError::TooLong { field, octets_max: BODY_OCTETS_MAX });
    }
    if text.bytes().any(|octet| octet.is_ascii_control() && !matches!(octet, b'\t' | b'\n' | b'\r')) {
        return Err(ComposeError::Control { field });
    }
    let text = canonical(text);
    if printed_len(&text) <= base::base64_lines_len(text.len()) {
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        quoted_printable(&text, out);
    } else {
        out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
        base::base64_lines(text.as_bytes(), out);
    }
    Ok(())
}

/// The text with every line end a CRLF.
fn canonical(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 32 + 2);
    for line in text.split_inclusive('\n') {
        let (line, ended) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let line = if ended { line.strip_suffix('\r').unwrap_or(line) } else { line };
        if line.contains('\r') {
            lines.push_str(&line.replace('\r', "\r\n"));
        } else {
            lines.push_str(line);
        }
        if ended {
            lines.push_str("\r\n");
        }
    }
    Cow::Owned(lines)
}

fn must_be_quoted(octet: u8) -> bool {
    octet == b'=' || !matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n')
}

/// About how many octets [`quoted_printable`] makes of `text`.
fn printed_len(text: &str) -> usize {
    let quoted = text.bytes().map(|octet| usize::from(must_be_quoted(octet))).sum::<usize>();
    let octets = text.len() + 2 * quoted;
    octets + octets / (LINE_OCTETS - 1) * 3
}

/// Writes `text`, whose line ends are CRLF.
fn quoted_printable(text: &str, out: &mut Vec<u8>) {
    for (index, line) in text.split("\r\n").enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        quote_line(line.as_bytes(), out);
    }
}

fn quote_line(line: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    let mut column = 0;
    while let Some((&octet, after)) = rest.split_first() {
        let hidden_at_the_end = after.is_empty() && matches!(octet, b' ' | b'\t');
        let quote = hidden_at_the_end || must_be_quoted(octet);
        let width = if quote { 3 } else { 1 };
        if column + width >= LINE_OCTETS {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        column += width;
        if quote {
            out.extend_from_slice(&[b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
        } else {
            out.push(octet);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let mut out = Vec::new();
            quoted_printable(text, &mut out);
            assert_eq!(String::from_utf8(out).expect("ascii"), expected);
        }
        check("a=b", "a=3Db");
        check("ế", "=E1=BA=BF");
        check("a \r\nb\t", "a=20\r\nb=09"); // what stands at the end of a line gets lost
        check(&"x".repeat(76), &format!("{}=\r\nx", "x".repeat(75)));
        check(&format!("{}ế", "x".repeat(74)), &format!("{}=\r\n=E1=BA=BF", "x".repeat(74)));
    }

    #[test]
    fn makes_line_ends_canonical() {
        for (text, expected) in
            [("a", "a"), ("a\nb", "a\r\nb"), ("a\r\nb\n", "a\r\nb\r\n"), ("a\rb\r", "a\r\nb\r\n"), ("\n\n", "\r\n\r\n")]
        {
            assert_eq!(canonical(text), expected, "{text:?}");
        }
    }

    #[test]
    fn takes_the_shorter_encoding() {
        #[track_caller]
        fn check(text: &str, encoding: &str) {
            let mut out = Vec::new();
            write("the text", text, &mut out).expect("allowed");
            let text = String::from_utf8(out).expect("ascii");
            assert!(text.starts_with(&format!("Content-Transfer-Encoding: {encoding}\r\n\r\n")), "{text}");
        }
        check("Hop luc 8h tai nha van hoa.", "quoted-printable");
        check("<p style=\"color:red\">Họp lúc 8h</p>", "quoted-printable");
        check("Kính mời ông bà dự họp lúc tám giờ sáng thứ bảy tại nhà văn hóa ấp", "base64");
    }

    #[test]
    fn refuses() {
        let mut out = Vec::new();
        assert_eq!(write("f", "", &mut out), Err(ComposeError::Empty { field: "f" }));
        assert_eq!(write("f", "a\0", &mut out), Err(ComposeError::Control { field: "f" }));
        let long = "x".repeat(BODY_OCTETS_MAX + 1);
        assert_eq!(write("f", &long, &mut out), Err(ComposeError::TooLong { field: "f", octets_max: BODY_OCTETS_MAX }));
        assert!(out.is_empty());
    }
}
