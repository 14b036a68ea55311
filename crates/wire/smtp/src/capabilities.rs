//! What a server's answer to EHLO allows.
//!
//! Must stay true: a capability that was not offered on this connection, after the last EHLO, is never used.

use crate::reply::Raw;

/// Extensions that change what this client sends; the others are not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920: commands in groups.
    pub pipelining: bool,
    /// RFC 6152: octets above 127 in bodies.
    pub eight_bit: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 6531: mailboxes outside ASCII.
    pub smtputf8: bool,
    /// RFC 2034.
    pub enhanced_codes: bool,
    /// RFC 1870: offered at all.
    pub size: bool,
    /// RFC 1870: the largest message taken, octets; `None` when the server names no limit.
    pub size_octets_max: Option<u64>,
}

impl Capabilities {
    /// Reads the lines of a 250 reply; the first is the server's name.
    pub(crate) fn read(reply: Raw<'_>) -> Self {
        let mut found = Self::default();
        for line in reply.lines().skip(1) {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit = true,
                "STARTTLS" => found.starttls = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "ENHANCEDSTATUSCODES" => found.enhanced_codes = true,
                "SIZE" => {
                    found.size = true;
                    // 0 means "no fixed limit" (RFC 1870 §4).
                    found.size_octets_max =
                        words.next().and_then(|number| number.parse().ok()).filter(|&limit| limit != 0);
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;

    #[track_caller]
    fn read(text: &str) -> Capabilities {
        Capabilities::read(reply::first(text.as_bytes()).expect("a reply").expect("complete").0)
    }

    #[test]
    fn reads_capabilities_in_any_case() {
        let all = "250-mx.example.test\r\n250-PIPELINING\r\n250-size 1000\r\n250-8bitmime\r\n250-STARTTLS\r\n\
                   250-SMTPUTF8\r\n250-VRFY\r\n250 ENHANCEDSTATUSCODES\r\n";
        let expected = Capabilities {
            pipelining: true,
            eight_bit: true,
            starttls: true,
            smtputf8: true,
            enhanced_codes: true,
            size: true,
            size_octets_max: Some(1_000),
        };
        assert_eq!(read(all), expected);
    }

    #[test]
    fn a_server_may_offer_nothing() {
        assert_eq!(read("250 PIPELINING\r\n"), Capabilities::default()); // that is its name
        assert_eq!(read("250-mx\r\n250 SIZE 0\r\n"), Capabilities { size: true, ..Capabilities::default() });
        assert_eq!(read("250-mx\r\n250 SIZE many\r\n"), Capabilities { size: true, ..Capabilities::default() });
    }
}
