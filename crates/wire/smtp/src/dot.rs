//! The end of a message on the wire: the line of a single dot, and the dots that are doubled so that no other line is it.
//!
//! Must stay true: what [`stuff`] writes holds `CRLF . CRLF` exactly once, at its end, whatever the content holds, also
//! for a server that takes a bare CR or LF for a line end; and [`unstuff`] gives the content back.

use crate::scan;

/// The octets from which on a server may hold the message: the final dot and its line end.
pub(crate) const FINAL_DOT: &[u8] = b".\r\n";

/// Writes `content` as lines that end in CRLF, dots doubled, and the final dot; returns where in `out` that dot stands.
pub fn stuff(content: &[u8], out: &mut Vec<u8>) -> usize {
    out.reserve(content.len() + content.len() / 32 + FINAL_DOT.len());
    let mut rest = content;
    while !rest.is_empty() {
        let (line, after) = match scan::find(b'\n', rest) {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default()),
            None => (rest, &[][..]),
        };
        push_line(line.strip_suffix(b"\r").unwrap_or(line), out);
        rest = after;
    }
    let at = out.len();
    out.extend_from_slice(FINAL_DOT);
    at
}

fn push_line(line: &[u8], out: &mut Vec<u8>) {
    // A CR inside a line is the start of a smuggled one for some servers, so it ends the line here.
    for part in line.split(|&octet| octet == b'\r') {
        if part.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// The content of a message as received, without the final dot, its doubled dots made single again.
pub fn unstuff(received: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(received.len());
    for line in received.split_inclusive(|&octet| octet == b'\n') {
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stuffs() {
        #[track_caller]
        fn check(content: &str, expected: &str) {
            let mut out = b"before".to_vec();
            let dot = stuff(content.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("before{expected}"));
            assert_eq!(out.get(dot..), Some(FINAL_DOT));
        }
        check("a\r\nb\r\n", "a\r\nb\r\n.\r\n");
        check("a", "a\r\n.\r\n");
        check("", ".\r\n");
        check(".\r\n..\r\nx.\r\n", "..\r\n...\r\nx.\r\n.\r\n");
        check("a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"); // bare LF
        check("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"); // bare CR
    }

    proptest! {
        #[test]
        fn comes_back_and_ends_once(lines in proptest::collection::vec("[.a]{0,4}", 0..12)) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut out = Vec::new();
            let dot = stuff(content.as_bytes(), &mut out);
            prop_assert_eq!(unstuff(&out[..dot]), content.into_bytes());
        }

        #[test]
        fn nothing_ends_it_early(content in "[\\r\\n.a]{0,40}") {
            let mut out = b"\r\n".to_vec();
            let dot = stuff(content.as_bytes(), &mut out);
            let text = String::from_utf8(out).expect("ascii");
            prop_assert_eq!(text.find("\r\n.\r\n"), Some(dot - 2));
            let bare = text.replace("\r\n", "");
            prop_assert!(!bare.contains(['\r', '\n']));
        }
    }
}
