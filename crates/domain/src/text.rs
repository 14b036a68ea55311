//! Texts of SMS: which alphabet they need, how many parts they cost, and the octets of each part.
//!
//! A text is brought to NFC first, since a decomposed letter costs three units and shows the same. One letter outside the
//! GSM alphabet recodes the whole text to UCS-2 and more than halves what fits, so authors see the count before they send
//! and may ask for the diacritics to be stripped.
//!
//! Must stay true: what [`count`] says is what [`encode`] makes; the decoded parts put together are the NFC text; a text
//! over the limit is refused, never cut.

mod gsm7;
mod parts;
mod translit;

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub use gsm7::is_gsm7;
pub use parts::{Concat, Encoded, Parts, count, decode, encode, split_header};
pub use translit::{Costs, costs, strip};

use crate::channel::closed_set;
use crate::limits::SMS_PARTS_MAX;

closed_set!(
    /// The alphabet of a text on the air.
    Coding, "coding", {
        /// The GSM 7-bit default alphabet with its extension table; 160 septets.
        Gsm7 = 1 "gsm7",
        /// UTF-16, big end first; 70 units.
        Ucs2 = 2 "ucs2",
    }
);

impl Coding {
    /// Units (septets, 16-bit units) of a text that fits one part.
    pub fn single_units(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Octets of one unit as it is handed to a carrier; septets travel unpacked.
    pub fn unit_octets(self) -> usize {
        match self {
            Self::Gsm7 => 1,
            Self::Ucs2 => 2,
        }
    }

    /// Units of each part of a longer text, beside the six octets of its header.
    pub fn part_units(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

closed_set!(
    /// What happens to Vietnamese letters in a text message. Stripping changes meaning, so an approver sees the result.
    Diacritics, "diacritics policy", {
        /// Kept; the text is UCS-2 where it must be.
        AsIs = 1 "as_is",
        /// Taken away; the text is GSM-7 or refused.
        Strip = 2 "strip",
        /// Taken away where that saves parts and leaves nothing behind.
        Auto = 3 "auto",
    }
);

/// Why a text cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// More parts than [`SMS_PARTS_MAX`].
    #[error("the text needs {parts} parts, at most {SMS_PARTS_MAX} are allowed; shorten it or strip the diacritics")]
    TooManyParts {
        /// Parts it would need.
        parts: usize,
    },
    /// Stripping leaves a character that GSM-7 does not have.
    #[error("character {at} is {found:?}, which has no plain form; take it out or keep the diacritics")]
    NoPlainForm {
        /// The character.
        found: char,
        /// Its place in the NFC text, counted in characters from 1.
        at: usize,
    },
}

/// The text in NFC; borrowed when it is already.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// The text as it will be sent under a policy, in NFC; [`encode`] it next.
pub fn apply(text: &str, policy: Diacritics) -> Result<Cow<'_, str>, TextError> {
    match policy {
        Diacritics::AsIs => Ok(nfc(text)),
        Diacritics::Strip => strip(text),
        Diacritics::Auto => match strip(text) {
            Ok(plain) if count(&plain).parts < count(text).parts => Ok(plain),
            _ => Ok(nfc(text)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_decides_on_the_letters() {
        let sent = |text: &str, policy| apply(text, policy).map(Cow::into_owned);
        let long = "Chuyển đổi số ".repeat(6);
        assert_eq!(sent("Họp lúc 8h", Diacritics::AsIs), Ok("Họp lúc 8h".to_owned()));
        assert_eq!(sent("Họp lúc 8h", Diacritics::Strip), Ok("Hop luc 8h".to_owned()));
        assert_eq!(sent("Họp lúc 8h", Diacritics::Auto), Ok("Họp lúc 8h".to_owned()), "one part either way");
        assert_eq!(sent(&long, Diacritics::Auto), Ok("Chuyen doi so ".repeat(6)), "two parts become one");
        assert_eq!(sent(&format!("{long}😀"), Diacritics::Auto), Ok(format!("{long}😀")), "nothing is lost silently");
        assert_eq!(sent("a😀", Diacritics::Strip), Err(TextError::NoPlainForm { found: '😀', at: 2 }));
    }
}
