//! E-mail addresses as Loa can send to them: an ASCII mailbox at a domain name.
//!
//! Quoted local parts, comments and address literals are legal in the standards and in no subscriber file, so they are
//! refused with a reason. A local part outside ASCII needs SMTPUTF8 at every hop and is refused as such.
//!
//! Must stay true: an [`EmailAddress`] can be written into a header and an SMTP command as it is (no space, no control
//! character, no bracket), and `Debug` never shows it.

use std::fmt;

/// Octets before the `@`, at most (RFC 5321 §4.5.3.1.1).
pub const LOCAL_BYTES_MAX: usize = 64;
/// Octets after the `@`, at most (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Octets of the whole address, at most (a path of 256 without its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Octets between two dots of a domain, at most (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;

/// Domains that belong to nobody (RFC 2606): synthetic people live here and nowhere else.
const RESERVED: [&str; 6] = ["test", "invalid", "example", "example.com", "example.org", "example.net"];

/// A mailbox: the local part as written, the domain in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress {
    text: Box<str>,
    /// Bytes before the `@`; at most 64.
    local_bytes: u8,
}

/// Why a text is no address Loa can send to. [`AddressError::code`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing before or after it.
    #[error("the address has no name, no `@` or no domain; write it as name@domain")]
    Shape,
    /// More than one `@`.
    #[error("the address has more than one `@`; keep one address per cell")]
    SeveralAts,
    /// Too long as a whole or in one of its sides.
    #[error("the address is too long; at most 64 characters before the `@` and 254 in all")]
    TooLong,
    /// A local part outside ASCII.
    #[error("the name before the `@` has letters outside ASCII, which few mail servers take; ask for another address")]
    NeedsSmtputf8,
    /// A domain outside ASCII.
    #[error("the domain has letters outside ASCII; write it in its `xn--` form")]
    NonAsciiDomain,
    /// A character that no address has here.
    #[error("character {at} is {found:?}, which no address has there; check the address")]
    Character {
        /// The character.
        found: char,
        /// Its place, counted in characters from 1.
        at: usize,
    },
    /// A dot at the beginning, at the end, or two in a row.
    #[error("a dot stands first, last or twice before the `@`; check the address")]
    Dots,
    /// No dot in the domain, an empty or too long part, a hyphen at an edge, or a numeric last part.
    #[error("the domain is no host name with a dot, such as example.com; check what stands after the `@`")]
    Domain,
}

impl AddressError {
    /// The stable code for reject files, reports and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Shape => "ADDRESS_SHAPE",
            Self::SeveralAts => "ADDRESS_SEVERAL",
            Self::TooLong => "ADDRESS_TOO_LONG",
            Self::NeedsSmtputf8 => "ADDRESS_NEEDS_SMTPUTF8",
            Self::NonAsciiDomain => "ADDRESS_NON_ASCII_DOMAIN",
            Self::Character { .. } => "ADDRESS_CHARACTER",
            Self::Dots => "ADDRESS_DOTS",
            Self::Domain => "ADDRESS_DOMAIN",
        }
    }
}

impl EmailAddress {
    /// Reads an address; spaces around it are dropped, the domain is lower-cased.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (local, domain) = text.split_once('@').ok_or(AddressError::Shape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        if domain.contains('@') {
            return Err(AddressError::SeveralAts);
        }
        if local.len() > LOCAL_BYTES_MAX || domain.len() > DOMAIN_BYTES_MAX || text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        check_local(local)?;
        check_domain(domain, local.len() + 2)?;
        let local_bytes = u8::try_from(local.len()).map_err(|_| AddressError::TooLong)?;
        let text = format!("{local}@{}", domain.to_ascii_lowercase()).into_boxed_str();
        Ok(Self { text, local_bytes })
    }

    /// The whole address, for the wire and for hashing.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &str {
        self.text.get(..usize::from(self.local_bytes)).unwrap_or_default()
    }

    /// What stands after the `@`, in lower case.
    pub fn domain(&self) -> &str {
        self.text.get(usize::from(self.local_bytes) + 1..).unwrap_or_default()
    }

    /// True for domains that RFC 2606 keeps for examples and tests; nothing sent there can reach a person.
    pub fn is_reserved(&self) -> bool {
        is_reserved_domain(self.domain())
    }
}

/// True for a lower-case domain that is one of RFC 2606's, or lies under one.
pub fn is_reserved_domain(domain: &str) -> bool {
    RESERVED.iter().any(|reserved| match domain.strip_suffix(reserved) {
        Some("") => true,
        Some(before) => before.ends_with('.'),
        None => false,
    })
}

fn check_local(local: &str) -> Result<(), AddressError> {
    for (index, found) in local.chars().enumerate() {
        match found {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '+' => {}
            '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '/' | '=' | '?' | '^' | '`' | '{' | '|' | '}' | '~' => {}
            _ if !found.is_ascii() => return Err(AddressError::NeedsSmtputf8),
            _ => return Err(AddressError::Character { found, at: index + 1 }),
        }
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(AddressError::Dots);
    }
    Ok(())
}

/// `first_at` is the place of the domain's first character, counted from 1 (the local part is ASCII here).
fn check_domain(domain: &str, first_at: usize) -> Result<(), AddressError> {
    for (index, found) in domain.chars().enumerate() {
        match found {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => {}
            _ if !found.is_ascii() => return Err(AddressError::NonAsciiDomain),
            _ => return Err(AddressError::Character { found, at: first_at + index }),
        }
    }
    let good =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    let (_, top) = domain.rsplit_once('.').ok_or(AddressError::Domain)?;
    let numeric = top.bytes().all(|byte| byte.is_ascii_digit());
    if numeric || !domain.split('.').all(good) { Err(AddressError::Domain) } else { Ok(()) }
}

/// For logs: hides the person, and the domain too, since it can be a person's own. The wire uses `Display`.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…@…")
    }
}

/// The address as it stands on the wire.
impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_mailboxes() {
        #[track_caller]
        fn check(text: &str, local: &str, domain: &str) {
            let address = EmailAddress::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((address.local(), address.domain()), (local, domain), "{text:?}");
        }

        check("lan@example.test", "lan", "example.test");
        check(" Lan.Nguyen@EXAMPLE.Test ", "Lan.Nguyen", "example.test"); // only the domain is one name in any case
        check("o'brien+loa@mail.example.com", "o'brien+loa", "mail.example.com");
        check("a@xn--bn-tre-t1a.example", "a", "xn--bn-tre-t1a.example");
        check("1@1.example", "1", "1.example");
        check(&format!("{}@example.test", "a".repeat(64)), &"a".repeat(64), "example.test");
    }

    #[test]
    fn refuses_with_a_stable_code() {
        #[track_caller]
        fn check(text: &str, code: &str) {
            assert_eq!(EmailAddress::parse(text).expect_err(text).code(), code, "{text:?}");
        }

        check("", "ADDRESS_SHAPE");
        check("lan", "ADDRESS_SHAPE");
        check("@example.test", "ADDRESS_SHAPE");
        check("lan@", "ADDRESS_SHAPE");
        check("lan@example.test,an@example.test", "ADDRESS_SEVERAL");
        check("lan nguyen@example.test", "ADDRESS_CHARACTER");
        check("\"lan\"@example.test", "ADDRESS_CHARACTER");
        check("lan@example.test\r\nBcc: x", "ADDRESS_CHARACTER");
        check("lan\0@example.test", "ADDRESS_CHARACTER");
        check("<lan@example.test>", "ADDRESS_CHARACTER");
        check("lan@[192.0.2.1]", "ADDRESS_CHARACTER");
        check("lần@example.test", "ADDRESS_NEEDS_SMTPUTF8");
        check("lan@bếntre.example", "ADDRESS_NON_ASCII_DOMAIN");
        check(".lan@example.test", "ADDRESS_DOTS");
        check("lan.@example.test", "ADDRESS_DOTS");
        check("l..an@example.test", "ADDRESS_DOTS");
        check("lan@localhost", "ADDRESS_DOMAIN");
        check("lan@example..test", "ADDRESS_DOMAIN");
        check("lan@example.test.", "ADDRESS_DOMAIN");
        check("lan@-example.test", "ADDRESS_DOMAIN");
        check("lan@192.0.2.1", "ADDRESS_DOMAIN");
        check(&format!("lan@{}.test", "a".repeat(64)), "ADDRESS_DOMAIN");
        check(&format!("{}@example.test", "a".repeat(65)), "ADDRESS_TOO_LONG");
        check(&format!("lan@{}test", "a.".repeat(125)), "ADDRESS_TOO_LONG"); // 258 together
    }

    #[test]
    fn points_at_the_character() {
        let error = EmailAddress::parse("lan@exa_mple.test").unwrap_err();
        assert_eq!(error, AddressError::Character { found: '_', at: 8 });
    }

    #[test]
    fn knows_the_domains_of_nobody() {
        let reserved = |text| EmailAddress::parse(text).unwrap().is_reserved();
        assert!(reserved("a@example.test"));
        assert!(reserved("a@Mail.Example.COM"));
        assert!(reserved("a@example.org"));
        assert!(reserved("a@bentre.example"));
        assert!(!reserved("a@notexample.com"));
        assert!(!reserved("a@example.com.vn"));
        assert!(!reserved("a@example.vn"));
        assert!(!reserved("a@contest.vn"));
    }

    #[test]
    fn debug_hides_the_person() {
        let address = EmailAddress::parse("lan@example.test").unwrap();
        assert_eq!(format!("{address:?}"), "…@…");
    }

    proptest! {
        /// Whatever is thrown at it, it answers; what it accepts is safe in a header and reads back as itself.
        #[test]
        fn any_text_is_answered(text in "\\PC{0,80}|[a-zA-Z0-9.@_ <>-]{0,40}|[a-z.]{1,70}@[a-z.-]{1,30}\\.[a-z]{1,4}|(?s).{0,20}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                prop_assert!(address.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>'));
                prop_assert!(address.as_str().len() <= ADDRESS_BYTES_MAX);
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address.clone()));
                prop_assert_eq!(format!("{}@{}", address.local(), address.domain()), address.to_string());
            }
        }
    }
}
