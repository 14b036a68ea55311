//! Why a number was refused, and what its owner can do about it.
//!
//! The codes stand in reject files and reports that people keep, so they never change their meaning.
//!
//! Must stay true: no text here repeats the number.

use std::fmt;

use super::numbering::Moved;

/// Why a written number is no address. [`Reject::code`] is stable; `Display` says what is wrong and what cures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// Fewer digits than its kind has.
    TooShort {
        /// Digits found.
        digits: usize,
    },
    /// More digits than its kind has.
    TooLong {
        /// Digits found.
        digits: usize,
    },
    /// The right length, but no network has this prefix.
    UnknownPrefix {
        /// The area code of before 2017 it may have been.
        moved: Option<Moved>,
    },
    /// A service number such as 5656.
    ShortCode,
    /// 111 to 115.
    Emergency,
    /// 1800 and 1900.
    Premium,
    /// Closed networks: 069, 080, and the 01 blocks kept for machines.
    Closed,
    /// Of another country.
    Foreign,
    /// A character that no number has.
    Character {
        /// The character.
        found: char,
        /// Its place, counted in characters from 1.
        at: usize,
    },
    /// A spreadsheet turned it into `9.1E8` and lost digits.
    Rounded,
    /// A fixed line where a mobile number is wanted.
    FixedNumber,
    /// A mobile number, or a fixed one of before 2017, where a fixed line is wanted.
    MobileNumber {
        /// The area code of before 2017 it may have been.
        moved: Option<Moved>,
    },
}

impl Reject {
    /// The stable code for reject files, reports and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong { .. } => "too_long",
            Self::UnknownPrefix { .. } => "unknown_prefix",
            Self::ShortCode => "short_code",
            Self::Emergency => "emergency",
            Self::Premium => "premium",
            Self::Closed => "closed",
            Self::Foreign => "foreign",
            Self::Character { .. } => "character",
            Self::Rounded => "rounded",
            Self::FixedNumber => "fixed_number",
            Self::MobileNumber { .. } => "mobile_number",
        }
    }

    /// The same reason with the number of digits that were written, which is what its owner sees.
    pub(super) fn counting(self, digits: usize) -> Self {
        match self {
            Self::TooShort { .. } => Self::TooShort { digits },
            Self::TooLong { .. } => Self::TooLong { digits },
            other => other,
        }
    }

    /// What the owner of the file can do about it.
    pub fn cure(self) -> &'static str {
        match self {
            Self::TooShort { .. } => {
                "write all digits: 0 and 9 digits for a mobile, the area code and the number for a fixed line"
            }
            Self::TooLong { .. } => {
                "keep one number per cell: 0 and 9 digits for a mobile, 0 and 10 digits for a fixed line"
            }
            Self::UnknownPrefix { .. } => "check the first digits against the carrier's list",
            Self::ShortCode | Self::Emergency | Self::Premium => "give the subscriber's own number",
            Self::Closed => "give a public mobile number of this person",
            Self::Foreign => "only numbers of Viet Nam (+84) can be reached",
            Self::Character { .. } => "keep digits only; the plus stands first or not at all",
            Self::Rounded => "format the column as text before saving the file and export it again",
            Self::FixedNumber => "move it to the column `fixed_number`",
            Self::MobileNumber { .. } => "move it to the column `msisdn`, or write the area code of today",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { digits } => write!(f, "the number has only {digits} digits")?,
            Self::TooLong { digits } => write!(f, "the number has {digits} digits, too many")?,
            Self::UnknownPrefix { .. } => write!(f, "no network of Viet Nam has this prefix")?,
            Self::ShortCode => write!(f, "a service number is no subscriber")?,
            Self::Emergency => write!(f, "an emergency number is no subscriber")?,
            Self::Premium => write!(f, "an 1800 or 1900 number is no subscriber")?,
            Self::Closed => write!(f, "the number belongs to a closed network")?,
            Self::Foreign => write!(f, "the number is of another country")?,
            Self::Character { found, at } => write!(f, "character {at} is {found:?}, which no number has")?,
            Self::Rounded => write!(f, "a spreadsheet rounded the number and lost digits")?,
            Self::FixedNumber => write!(f, "a fixed line stands where a mobile number is wanted")?,
            Self::MobileNumber { .. } => write!(f, "a mobile number stands where a fixed line is wanted")?,
        }
        if let Self::UnknownPrefix { moved: Some(moved) } | Self::MobileNumber { moved: Some(moved) } = self {
            write!(f, " ({moved})")?;
        }
        write!(f, "; {}", self.cure())
    }
}

impl std::error::Error for Reject {}
