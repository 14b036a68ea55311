//! Vietnamese telephone numbers: reads what people and spreadsheets write, keeps one form inside.
//!
//! Subscriber files come from many hands: spaces, dots, `+84`, `0084`, a zero that a spreadsheet ate, numbers from before
//! the change of prefixes in 2018. All of it is decided here, once, by tables; nobody else looks at digits.
//!
//! Must stay true: an [`Msisdn`] is always a number of today's plan (`84` + 9 digits mobile, `84` + 10 digits fixed), the
//! kind of a number is never guessed against the column it stands in, and `Debug` never shows the subscriber.

mod numbering;
mod reject;
mod scan;

pub use numbering::{CarrierHint, Moved};
pub use reject::Reject;

use std::fmt;

use numbering::NationalKind;
use scan::Digits;

/// The country code of Viet Nam.
const COUNTRY: u64 = 84;
const MOBILE_BASE: u64 = COUNTRY * 1_000_000_000;
const FIXED_BASE: u64 = COUNTRY * 10_000_000_000;

/// A Vietnamese subscriber number in E.164 form without the plus: `84912345678`, `842753822222`.
///
/// [`Msisdn::parse`] and [`Msisdn::from_u64`] are the only ways to make one, so code that holds one never checks it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(u64);

/// What a number is, by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Can receive SMS.
    Mobile,
    /// A fixed line: a bill or a call, no SMS.
    Fixed,
}

/// What the place the text stood in promises; old fixed numbers look like today's mobiles, so it is never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// Mobile numbers only (`msisdn` of a subscriber file, the address of a text message).
    Mobile,
    /// Fixed numbers only (`fixed_number` of a subscriber file).
    Fixed,
    /// Either (a person looking for a number).
    Any,
}

/// A number that was read, and what had to be done to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The number of today's plan.
    pub number: Msisdn,
    /// Mobile or fixed.
    pub kind: Kind,
    /// An 11-digit mobile of before 15 September 2018 was mapped to its new prefix; reports count these.
    pub migrated: bool,
}

impl Msisdn {
    /// Reads what a person, a CSV file or a spreadsheet wrote. Does not allocate.
    pub fn parse(text: &str, column: Column) -> Result<Parsed, Reject> {
        let digits = scan::scan(text)?;
        let national = strip_prefix(&digits)?;
        let (value, migrated) = match numbering::migrate(national) {
            Some(mapped) => (mapped, true),
            None => (scan::value(national), false),
        };
        let length = if migrated { numbering::MOBILE_DIGITS } else { national.len() };
        let written = digits.as_slice().len();
        let (number, kind) = match numbering::classify(value, length).map_err(|reject| reject.counting(written))? {
            NationalKind::Mobile => (Self(MOBILE_BASE + value), Kind::Mobile),
            NationalKind::Fixed => (Self(FIXED_BASE + value), Kind::Fixed),
        };
        match (column, kind) {
            (Column::Mobile, Kind::Fixed) => Err(Reject::FixedNumber),
            (Column::Fixed, Kind::Mobile) => Err(Reject::MobileNumber { moved: numbering::moved_area(value) }),
            _ => Ok(Parsed { number, kind, migrated }),
        }
    }

    /// Takes back a number stored as `84…`; `None` when it is not one of today's plan.
    pub fn from_u64(value: u64) -> Option<Self> {
        let (national, length) = match value {
            84_000_000_000..85_000_000_000 => (value - MOBILE_BASE, numbering::MOBILE_DIGITS),
            840_000_000_000..850_000_000_000 => (value - FIXED_BASE, numbering::FIXED_DIGITS),
            _ => return None,
        };
        numbering::classify(national, length).ok().map(|_| Self(value))
    }

    /// The number as stored in files and on the wire: `84…` without a plus.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Mobile or fixed.
    pub fn kind(self) -> Kind {
        if self.0 < FIXED_BASE { Kind::Mobile } else { Kind::Fixed }
    }

    /// The carrier the prefix was first given to; a hint only, since numbers move between carriers. `None` for fixed lines.
    pub fn carrier_hint(self) -> Option<CarrierHint> {
        match self.kind() {
            Kind::Mobile => numbering::carrier(self.0 - MOBILE_BASE),
            Kind::Fixed => None,
        }
    }

    /// As people write it abroad: `+84912345678`.
    pub fn to_e164(self) -> String {
        format!("+{}", self.0)
    }

    /// As people write it at home: `0912345678`.
    pub fn to_national(self) -> String {
        match self.kind() {
            Kind::Mobile => format!("0{:09}", self.0 - MOBILE_BASE),
            Kind::Fixed => format!("0{:010}", self.0 - FIXED_BASE),
        }
    }
}

/// The national significant number: without the international prefix or the trunk zero, and with a zero that a
/// spreadsheet ate taken as there.
fn strip_prefix(digits: &Digits) -> Result<&[u8], Reject> {
    let all = digits.as_slice();
    if let Some(reject) = numbering::special(all).filter(|_| !digits.plus) {
        return Err(reject);
    }
    let international = if digits.plus { Some(all) } else { all.strip_prefix(b"00") };
    if let Some(international) = international {
        let national = international.strip_prefix(b"84").ok_or(match international.len() {
            0..=6 => Reject::TooShort { digits: all.len() },
            _ => Reject::Foreign,
        })?;
        return Ok(national.strip_prefix(b"0").unwrap_or(national));
    }
    if let Some(national) = all.strip_prefix(b"0") {
        return Ok(national);
    }
    // `84…` may be the country code or a VinaPhone number (084) that lost its zero: only the length tells.
    match all.strip_prefix(b"84") {
        Some(national) if (9..=11).contains(&national.len()) => Ok(national.strip_prefix(b"0").unwrap_or(national)),
        _ => Ok(all),
    }
}

/// For logs: hides the subscriber. The wire uses `Display`.
impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{:02}", self.0 % 100)
    }
}

/// The digits of the wire: `84912345678`.
impl fmt::Display for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(text: &str, column: Column, number: u64, migrated: bool) {
        let parsed = Msisdn::parse(text, column).unwrap_or_else(|reject| panic!("{text:?}: {reject}"));
        assert_eq!((parsed.number.as_u64(), parsed.migrated), (number, migrated), "{text:?}");
        assert_eq!(parsed.kind, parsed.number.kind(), "{text:?}");
        assert_eq!(Msisdn::from_u64(number), Some(parsed.number), "{text:?}");
    }

    #[track_caller]
    fn refuses(text: &str, column: Column, code: &str) {
        let reject = Msisdn::parse(text, column).expect_err(text);
        assert_eq!(reject.code(), code, "{text:?}: {reject}");
    }

    #[test]
    fn reads_what_people_write() {
        let mobile = |text, number| reads(text, Column::Mobile, number, false);
        mobile("0912 345 678", 84_912_345_678);
        mobile("+84 91.234.5678", 84_912_345_678);
        mobile("912345678", 84_912_345_678); // the spreadsheet ate the zero
        mobile("0084912345678", 84_912_345_678);
        mobile("84912345678", 84_912_345_678);
        mobile("0９12345678", 84_912_345_678);
        mobile("841234567", 84_841_234_567); // 084 without its zero, not the country code
        mobile("84841234567", 84_841_234_567);
        mobile("+84 (0)912-345-678", 84_912_345_678);
        mobile("\u{FEFF}0912\u{00A0}345\u{200B}678\u{202C}", 84_912_345_678);
        mobile("＋84912345678", 84_912_345_678);
        mobile("9.12345678E8", 84_912_345_678);
        mobile("9,12345678e+08", 84_912_345_678); // a Vietnamese spreadsheet writes a comma
        mobile("8.4912345678E+10", 84_912_345_678);
        mobile("912345678.0", 84_912_345_678); // a column that became floating point
    }

    #[test]
    fn maps_numbers_of_before_2018() {
        reads("01201234567", Column::Mobile, 84_701_234_567, true);
        reads("84 166 123 4567", Column::Mobile, 84_361_234_567, true);
        reads("1201234567", Column::Mobile, 84_701_234_567, true);
        reads("0199 123 4567", Column::Mobile, 84_591_234_567, true);
    }

    #[test]
    fn reads_fixed_lines() {
        let fixed = |text, number| reads(text, Column::Fixed, number, false);
        fixed("0275 3822 222", 842_753_822_222);
        fixed("(024) 3822-1234", 842_438_221_234);
        fixed("+84 28 3822 1234", 842_838_221_234);
        fixed("2753822222", 842_753_822_222);
        reads("0275 3822 222", Column::Any, 842_753_822_222, false);
    }

    #[test]
    fn refuses_with_a_stable_code() {
        let mobile = |text, code| refuses(text, Column::Mobile, code);
        mobile("", "too_short");
        mobile("091234567", "too_short");
        mobile("3822222", "too_short"); // a local number without its area code
        mobile("09123456789", "too_long");
        mobile("84912345678912", "too_long");
        refuses(&"9".repeat(1_000), Column::Mobile, "too_long");
        mobile("0912345678x12", "character");
        mobile("8491234567O", "character"); // the letter O
        mobile("091+2345678", "character");
        mobile("=0912345678", "character"); // a formula cell
        mobile("0912–345–678", "character");
        mobile("0912345678\0", "character");
        mobile("0751234567", "unknown_prefix");
        mobile("0753822222", "unknown_prefix");
        mobile("0951234567", "unknown_prefix");
        mobile("1900123456", "premium");
        mobile("18001091", "premium");
        mobile("113", "emergency");
        mobile("5656", "short_code");
        mobile("198", "short_code");
        mobile("+66812345678", "foreign");
        mobile("0066812345678", "foreign");
        mobile("069123456", "closed");
        mobile("0801234567", "closed");
        mobile("01611234567", "closed"); // kept for machines
        mobile("9.1E8", "rounded");
        mobile("9.12E+08", "rounded");
        mobile("E8", "character");
        mobile("9.12345678E", "character");
        mobile("9.123456789E8", "character"); // not a whole number
        mobile("1E99", "rounded");
        mobile("0275 3822 222", "fixed_number");
        refuses("0703822222", Column::Fixed, "mobile_number"); // old Vĩnh Long, or a MobiFone number of today
        refuses("0275 0822 222", Column::Fixed, "unknown_prefix"); // no subscriber starts with 0 or 1
        refuses("0253 3822 222", Column::Fixed, "unknown_prefix");
        refuses("0275 3822 22", Column::Fixed, "too_short");
    }

    #[test]
    fn hints_at_the_prefix_that_moved() {
        let text = |number, column| Msisdn::parse(number, column).expect_err(number).to_string();
        assert!(text("0753822222", Column::Mobile).contains("075 became 0275 in 2017"));
        assert!(text("0703822222", Column::Fixed).contains("070 became 0270 in 2017"));
    }

    #[test]
    fn names_the_first_carrier() {
        let hint = |text| Msisdn::parse(text, Column::Any).unwrap().number.carrier_hint().map(CarrierHint::name);
        assert_eq!(hint("0961234567"), Some("viettel"));
        assert_eq!(hint("0321234567"), Some("viettel"));
        assert_eq!(hint("0912345678"), Some("vinaphone"));
        assert_eq!(hint("0701234567"), Some("mobifone"));
        assert_eq!(hint("0921234567"), Some("vietnamobile"));
        assert_eq!(hint("0993123456"), Some("gmobile"));
        assert_eq!(hint("0998123456"), Some("itel"));
        assert_eq!(hint("0871234567"), Some("itel"));
        assert_eq!(hint("0551234567"), Some("wintel"));
        assert_eq!(hint("0777123456"), Some("vnsky"));
        assert_eq!(hint("0775123456"), Some("fpt"));
        assert_eq!(hint("0275 3822 222"), None);
    }

    #[test]
    fn debug_hides_the_subscriber() {
        let parsed = Msisdn::parse("0912345678", Column::Mobile).unwrap();
        assert_eq!(format!("{:?}", parsed.number), "…78");
        assert!(!format!("{parsed:?}").contains("912345"));
        assert_eq!(parsed.number.to_string(), "84912345678");
        assert_eq!(parsed.number.to_e164(), "+84912345678");
        assert_eq!(parsed.number.to_national(), "0912345678");
    }

    proptest! {
        /// Whatever is thrown at it, it answers; and what it accepts reads back as itself in every written form.
        #[test]
        fn any_text_is_answered(text in "\\PC{0,24}|[0-9+. ()E-]{0,16}|0[0-9]{9,10}|\\+?84[0-9]{9,10}") {
            for column in [Column::Mobile, Column::Fixed, Column::Any] {
                if let Ok(parsed) = Msisdn::parse(&text, column) {
                    let number = parsed.number;
                    for again in [number.to_string(), number.to_e164(), number.to_national()] {
                        let read = Msisdn::parse(&again, column);
                        prop_assert_eq!(read, Ok(Parsed { migrated: false, ..parsed }));
                    }
                    prop_assert_eq!(Msisdn::from_u64(number.as_u64()), Some(number));
                }
            }
        }

        /// A stored number is taken back exactly when its text is.
        #[test]
        fn stored_and_written_agree(value in prop_oneof![84_000_000_000u64..85_000_000_000, 842_000_000_000u64..843_000_000_000, any::<u64>()]) {
            let written = Msisdn::parse(&format!("+{value}"), Column::Any).ok();
            let plain = written.filter(|parsed| !parsed.migrated).map(|parsed| parsed.number);
            prop_assert_eq!(Msisdn::from_u64(value), plain.filter(|number| number.as_u64() == value));
        }
    }
}
