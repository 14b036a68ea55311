//! Return paths that name their message (VERP): `b+<token>@bounce.<domain>`.
//!
//! A bounce comes back months later, from anybody, with or without the message; the token in its recipient is all that
//! can be trusted. Must stay true: [`Verp::read`] gives back only what [`Verp::token`] was given under the same key;
//! upper and lower case are one; the local part stays within 64 octets; no personal data is in it.

use loa_domain::hash::HashKey;

use crate::base;
use crate::limits::LOCAL_PART_OCTETS_MAX;
use crate::mailbox::{self, MailboxError};

const PREFIX: &str = "b+";
const MAC_OCTETS: usize = 5;
/// Most octets a token can carry: what fits in a local part beside the prefix and the check.
pub const PAYLOAD_OCTETS_MAX: usize = (LOCAL_PART_OCTETS_MAX - PREFIX.len()) * 5 / 8 - MAC_OCTETS;

/// Makes and reads return paths of one bounce domain.
#[derive(Clone)]
pub struct Verp {
    key: HashKey,
    domain: String,
}

impl Verp {
    /// Return paths `b+<token>@domain`.
    pub fn new(key: HashKey, domain: &str) -> Result<Self, MailboxError> {
        mailbox::check(&format!("b@{domain}"))?;
        Ok(Self { key, domain: domain.to_owned() })
    }

    /// The token of `payload`: itself and five octets that prove it, in base32.
    ///
    /// # Panics
    /// When the payload is longer than [`PAYLOAD_OCTETS_MAX`]: what it holds is of fixed size, made by the caller.
    pub fn token(&self, payload: &[u8]) -> String {
        assert!(payload.len() <= PAYLOAD_OCTETS_MAX, "a token carries at most {PAYLOAD_OCTETS_MAX} octets");
        let mut octets = payload.to_vec();
        octets.extend_from_slice(&self.mac(payload));
        base::base32(&octets)
    }

    /// The return path of `payload`.
    pub fn return_path(&self, payload: &[u8]) -> String {
        format!("{PREFIX}{}@{}", self.token(payload), self.domain)
    }

    /// The payload of a return path (or of its local part); `None` when this key did not make it.
    pub fn read(&self, mailbox: &str) -> Option<Vec<u8>> {
        let local = mailbox.split_once('@').map_or(mailbox, |(local, _)| local);
        let (prefix, token) = local.split_at_checked(PREFIX.len())?;
        if !prefix.eq_ignore_ascii_case(PREFIX) || local.len() > LOCAL_PART_OCTETS_MAX {
            return None;
        }
        let octets = base::from_base32(token)?;
        let (payload, mac) = octets.split_last_chunk::<MAC_OCTETS>()?;
        (self.mac(payload) == *mac).then(|| payload.to_vec())
    }

    fn mac(&self, payload: &[u8]) -> [u8; MAC_OCTETS] {
        let mut input = b"verp ".to_vec(); // not the hash of the same octets elsewhere
        input.extend_from_slice(payload);
        let [a, b, c, d, e, ..] = self.key.hash(&input).to_be_bytes();
        [a, b, c, d, e]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verp(key: u8) -> Verp {
        Verp::new(HashKey::new([key; 16]), "bounce.example.test").expect("a domain")
    }

    #[test]
    fn the_longest_payload_still_fits() {
        let path = verp(1).return_path(&[255; PAYLOAD_OCTETS_MAX]);
        assert_eq!(mailbox::check(&path), Ok(()));
        assert!(path.starts_with("b+") && path.ends_with("@bounce.example.test"));
        assert!(Verp::new(HashKey::new([0; 16]), "a b").is_err());
    }

    proptest! {
        #[test]
        fn reads_only_its_own(payload in proptest::collection::vec(any::<u8>(), 0..=PAYLOAD_OCTETS_MAX), at in 2usize..20) {
            let path = verp(1).return_path(&payload);
            prop_assert_eq!(verp(1).read(&path.to_uppercase()), Some(payload));
            prop_assert_eq!(verp(2).read(&path), None);
            let local = path.split('@').next().expect("a local part");
            let forged: String =
                local.chars().enumerate().map(|(index, c)| if index == at { if c == 'a' { 'b' } else { 'a' } } else { c }).collect();
            if forged != local {
                prop_assert_eq!(verp(1).read(&forged), None);
            }
        }
    }
}
