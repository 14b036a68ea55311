//! Vietnamese without its diacritics, as bulk texts are by custom: `Chuyển đổi số` becomes `Chuyen doi so`.
//!
//! Marks of tone and vowel go, `đ` becomes `d`, and a short table gives typographic signs their plain form. Other alphabets
//! are not transliterated: somebody has to choose those words.
//!
//! Must stay true: the result is wholly GSM-7, or the text is refused with the place of what has no plain form; nothing is
//! replaced by a question mark.

use std::borrow::Cow;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

use super::{Parts, TextError, count, gsm7::is_gsm7, nfc};

/// What a text costs with and without its diacritics, for authors and approvers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// As written.
    pub as_is: Parts,
    /// Stripped, or why it cannot be.
    pub stripped: Result<Parts, TextError>,
}

/// Both costs of a text.
pub fn costs(text: &str) -> Costs {
    Costs { as_is: count(text), stripped: strip(text).map(|plain| count(&plain)) }
}

/// The text in plain letters; borrowed when it already is.
pub fn strip(text: &str) -> Result<Cow<'_, str>, TextError> {
    if text.is_ascii() && text.chars().all(is_gsm7) {
        return Ok(Cow::Borrowed(text));
    }
    strip_known(text).map_or_else(|| strip_each(text), Ok).map(Cow::Owned)
}

fn strip_each(text: &str) -> Result<String, TextError> {
    let text = nfc(text);
    let mut plain = String::with_capacity(text.len());
    for (index, found) in text.chars().enumerate() {
        strip_one(found, &mut plain).ok_or(TextError::NoPlainForm { found, at: index + 1 })?;
    }
    Ok(plain)
}

/// By the table alone, which knows the letters of nearly every text; `None` for another. None of its letters composes with its neighbour, so
/// the text is in NFC.
fn strip_known(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    for found in text.chars() {
        match KNOWN.get(found as usize) {
            None | Some(0) => return None,
            Some(&one) => plain.push(char::from(one)),
        }
    }
    Some(plain)
}

/// By code point: the one plain letter that a letter becomes; 0 = not one letter, or none.
static KNOWN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let plain_of = |code: u32| {
        let mut plain = String::new();
        char::from_u32(code).and_then(|found| strip_one(found, &mut plain));
        match plain.as_bytes() {
            &[one] => one,
            _ => 0,
        }
    };
    (0..=LAST_VIETNAMESE).map(plain_of).collect()
});

/// `ỹ`; every composed letter of Vietnamese comes before it.
const LAST_VIETNAMESE: u32 = 'ỹ' as u32;

/// Appends the plain form of a composed character; `None` when it has none.
fn strip_one(found: char, plain: &mut String) -> Option<()> {
    if found.is_ascii() {
        return is_gsm7(found).then(|| plain.push(found));
    }
    if let Some(sign) = plain_sign(found) {
        plain.push_str(sign);
        return Some(());
    }
    let mut base = None;
    let mut others = String::new();
    decompose_canonical(found, |piece| match base {
        _ if is_vietnamese_mark(piece) => {}
        None => base = Some(piece),
        Some(_) => others.push(piece),
    });
    // A Vietnamese letter leaves one plain letter; what leaves more is another alphabet's and is composed again.
    for piece in base.into_iter().chain(others.chars()).nfc() {
        if !is_gsm7(piece) {
            return None;
        }
        plain.push(piece);
    }
    Some(())
}

/// Grave, acute, tilde, hook above, dot below; circumflex, breve, horn.
fn is_vietnamese_mark(piece: char) -> bool {
    matches!(
        piece,
        '\u{0300}' | '\u{0301}' | '\u{0303}' | '\u{0309}' | '\u{0323}' | '\u{0302}' | '\u{0306}' | '\u{031B}'
    )
}

/// Letters and signs that do not decompose.
fn plain_sign(found: char) -> Option<&'static str> {
    Some(match found {
        'đ' | '₫' => "d",
        'Đ' => "D",
        '“' | '”' | '„' => "\"",
        '‘' | '’' => "'",
        '–' | '—' | '•' => "-",
        '…' => "...",
        '\u{00A0}' => " ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Coding;
    use proptest::prelude::*;

    #[test]
    fn takes_the_marks_away() {
        #[track_caller]
        fn check(text: &str, plain: &str) {
            assert_eq!(strip(text).as_deref(), Ok(plain), "{text}");
        }

        check("Chuyển đổi số là cơ hội phát triển", "Chuyen doi so la co hoi phat trien");
        check("ĐƯỜNG Nguyễn Đình Chiểu", "DUONG Nguyen Dinh Chieu");
        check("àèéìòù É", "aeeiou E"); // GSM-7 has them, but half a marked text reads worse than none
        check("e\u{0302}\u{0301} x\u{0301}", "e x"); // decomposed, and a mark on a letter that has no composed form
        check("“Bến Tre” – ‘xứ dừa’… • 50.000₫\u{00A0}!", "\"Ben Tre\" - 'xu dua'... - 50.000d !");
        check("Größe: 5 €", "Größe: 5 €"); // not Vietnamese, but GSM-7 has it
        check("plain {text}", "plain {text}");
        check("", "");
        assert!(strip_known("Chuyển đổi số: ĐƯỜNG Nguyễn Đình Chiểu, ỹ").is_some(), "what is usual is in the table");
    }

    #[test]
    fn refuses_what_has_no_plain_form() {
        #[track_caller]
        fn check(text: &str, found: char, at: usize) {
            assert_eq!(strip(text), Err(TextError::NoPlainForm { found, at }), "{text}");
        }

        check("Chào 😀", '😀', 6);
        check("ខ្មែរ", 'ខ', 1);
        check("Tab\there", '\t', 4);
        check("`", '`', 1);
    }

    #[test]
    fn shows_both_costs() {
        let costs = costs(&"Chuyển đổi số ".repeat(6));
        assert_eq!(costs.as_is, Parts { coding: Coding::Ucs2, units: 84, parts: 2 });
        assert_eq!(costs.stripped, Ok(Parts { coding: Coding::Gsm7, units: 84, parts: 1 }));
    }

    proptest! {
        #[test]
        fn the_table_says_what_a_closer_look_says(text in "[\\x20-\u{7e}à-ỹ\u{0300}-\u{036F}đĐ ê€]{0,40}") {
            if let Some(plain) = strip_known(&text) {
                prop_assert_eq!(Ok(plain), strip_each(&text));
            }
        }

        /// The result is GSM-7 and stripping it again changes nothing.
        #[test]
        fn the_result_is_plain(text in "\\PC{0,60}|[a-zăâđêôơưáàảãạếềểễệ “”–…]{0,80}") {
            if let Ok(plain) = strip(&text) {
                prop_assert_eq!(count(&plain).coding, Coding::Gsm7);
                prop_assert_eq!(strip(&plain), Ok(Cow::Borrowed(&*plain)));
            }
        }
    }
}
