//! The digits of a written number, with everything people put between them taken away.
//!
//! This is the only place that knows how numbers are typed. It works on a fixed array, because an import reads ten
//! million of them.
//!
//! Must stay true: a character that is not known to be harmless refuses the number; nothing is silently dropped that
//! could have been a digit.

use super::reject::Reject;

/// Room for an international prefix and the 15 digits of E.164.
const DIGITS_MAX: usize = 18;

/// The digits of a written number, as ASCII, and whether a plus stood before them.
pub(super) struct Digits {
    digits: [u8; DIGITS_MAX],
    length: usize,
    pub(super) plus: bool,
}

impl Digits {
    fn new() -> Self {
        Self { digits: [0; DIGITS_MAX], length: 0, plus: false }
    }

    fn push(&mut self, digit: u8) -> Result<(), Reject> {
        let place = self.digits.get_mut(self.length).ok_or(Reject::TooLong { digits: DIGITS_MAX + 1 })?;
        *place = digit;
        self.length += 1;
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or(&self.digits)
    }
}

/// The value of ASCII digits; at most 18 of them, so it fits.
pub(super) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// Takes the digits out of what was written.
pub(super) fn scan(text: &str) -> Result<Digits, Reject> {
    // Columns that became floating point end in `.0`; nobody writes a last group of one zero.
    let text = text.strip_suffix(".0").unwrap_or(text);
    let mut digits = Digits::new();
    for (index, found) in text.chars().enumerate() {
        match found {
            '0'..='9' => digits.push(ascii(found, '0'))?,
            '０'..='９' => digits.push(ascii(found, '０'))?,
            '+' | '＋' if digits.length == 0 && !digits.plus => digits.plus = true,
            _ if between_digits(found) => {}
            _ => return scientific(text).unwrap_or(Err(Reject::Character { found, at: index + 1 })),
        }
    }
    Ok(digits)
}

fn ascii(found: char, zero: char) -> u8 {
    // Both callers matched one of ten consecutive characters, so the difference is 0 to 9.
    b'0' + u8::try_from(u32::from(found) - u32::from(zero)).unwrap_or(0)
}

/// Spaces, grouping marks, their full-width forms, and marks nobody sees that come along when a number is copied.
fn between_digits(found: char) -> bool {
    matches!(
        found,
        ' ' | '\t' | '.' | '-' | '(' | ')' | '/' | '\u{00A0}' | '\u{202F}' | '\u{3000}' | '．' | '－' | '（' | '）' | '／'
            | '\u{2000}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
    )
}

/// A spreadsheet's `9.12345678E8`. `None`: not that form. Refused when the spreadsheet rounded digits away.
fn scientific(text: &str) -> Option<Result<Digits, Reject>> {
    let (mantissa, exponent) = text.trim().split_once(['E', 'e'])?;
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || !all_digits(exponent) || whole.is_empty() || exponent.len() > 2 {
        return None;
    }
    let exponent: usize = exponent.parse().ok()?;
    match fraction.len().cmp(&exponent) {
        std::cmp::Ordering::Greater => None, // not a whole number
        std::cmp::Ordering::Less => Some(Err(Reject::Rounded)),
        std::cmp::Ordering::Equal => Some(collect(whole.bytes().chain(fraction.bytes()))),
    }
}

fn collect(bytes: impl Iterator<Item = u8>) -> Result<Digits, Reject> {
    let mut digits = Digits::new();
    for byte in bytes {
        digits.push(byte)?;
    }
    Ok(digits)
}
