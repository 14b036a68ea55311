//! What makes two mails the same one: the hash that stands in the sink log.
//!
//! Over the content as received, less the headers that may differ each time a mail is handed over: `Date`,
//! `Message-ID`, `Received`, `Return-Path`, `DKIM-Signature` and `List-Unsubscribe` (its token). So the same mail handed
//! over twice is found even when the sender gave the second one a new id.
//!
//! Must stay true: the same in every process and on every machine; anything a reader would see makes a difference.

/// Headers that are left out, in lower case with their colon.
const VARYING: [&[u8]; 6] =
    [b"date:", b"message-id:", b"received:", b"return-path:", b"dkim-signature:", b"list-unsubscribe:"];

/// The hash of a mail as received (dots doubled or not: always the same way by one sender).
pub(super) fn fingerprint(content: &[u8]) -> u64 {
    let mut hash = Words::new();
    let mut rest = content;
    let mut left_out = false;
    while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        left_out = if folded { left_out } else { is_varying(line) };
        if !left_out {
            hash.write(line);
        }
        rest = after;
        if matches!(line, b"\r\n" | b"\n") {
            break; // the end of the headers
        }
    }
    hash.write(rest);
    hash.0
}

fn is_varying(line: &[u8]) -> bool {
    VARYING
        .iter()
        .any(|name| line.split_at_checked(name.len()).is_some_and(|(start, _)| start.eq_ignore_ascii_case(name)))
}

/// A multiply-and-fold hash, eight octets a step.
struct Words(u64);

impl Words {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn write(&mut self, octets: &[u8]) {
        let (words, tail) = octets.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (place, octet) in last.iter_mut().zip(tail) {
            *place = *octet;
        }
        self.mix(u64::from_le_bytes(last));
        self.mix(octets.len() as u64);
    }

    fn mix(&mut self, word: u64) {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (self.0 ^ word).wrapping_mul(FACTOR);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn only_what_a_reader_sees_counts() {
        let mail = |date: &str, id: &str, subject: &str, body: &str| {
            fingerprint(
                format!(
                    "Date: {date}\r\nFrom: a@b\r\nmessage-id: <{id}>\r\nList-Unsubscribe: <https://x/{id}>,\r\n \
                     <mailto:{id}@b>\r\nSubject: {subject}\r\n\r\n{body}\r\n"
                )
                .as_bytes(),
            )
        };
        let first = mail("Mon", "1", "s", "Date: x");
        assert_eq!(mail("Tue", "2", "s", "Date: x"), first);
        assert_ne!(mail("Mon", "1", "s2", "Date: x"), first);
        assert_ne!(mail("Mon", "1", "s", "Date: y"), first); // in the body it is text
        assert_eq!(first, 10_780_347_653_791_328_546, "the same in every process");
    }

    #[test]
    fn short_and_headless_contents_differ_too() {
        let all = ["", "\r\n", "a", "a\0", "ab", "a\r\n"].map(|text| fingerprint(text.as_bytes()));
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash), "{index}");
        }
    }
}
