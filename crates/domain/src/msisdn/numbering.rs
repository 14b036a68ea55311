//! The numbering plan of Viet Nam as tables: mobile prefixes, area codes, the maps of 2017 and 2018.
//!
//! Prefixes are a *hint* at the carrier: since 2018 a number keeps its digits when it changes networks, so routing asks
//! the portability table first. Blocks that no public list has yet (030, 031, 051, 095) are refused until one has.
//!
//! Must stay true: what is not in a table is not a number.

use std::fmt;

use super::reject::Reject;

/// Digits of a national mobile number, without the zero.
pub(super) const MOBILE_DIGITS: usize = 9;
/// Digits of a national fixed number, without the zero.
pub(super) const FIXED_DIGITS: usize = 10;

crate::channel::closed_set!(
    /// The carrier a prefix was first given to. The number may have moved since.
    CarrierHint, "carrier", {
        /// Viettel.
        Viettel = 1 "viettel",
        /// VinaPhone (VNPT).
        Vinaphone = 2 "vinaphone",
        /// MobiFone.
        Mobifone = 3 "mobifone",
        /// Vietnamobile.
        Vietnamobile = 4 "vietnamobile",
        /// Gmobile (Gtel).
        Gmobile = 5 "gmobile",
        /// iTel (Indochina Telecom), on VinaPhone's network.
        Itel = 6 "itel",
        /// Wintel, formerly Reddi, on VinaPhone's network.
        Wintel = 7 "wintel",
        /// VNSKY, on MobiFone's network.
        Vnsky = 8 "vnsky",
        /// FPT Retail, on MobiFone's network.
        Fpt = 9 "fpt",
    }
);

/// The carrier of a national mobile number (9 digits); `None` when no carrier has its prefix.
pub(super) fn carrier(national: u64) -> Option<CarrierHint> {
    use CarrierHint::{Fpt, Gmobile, Itel, Mobifone, Vietnamobile, Viettel, Vinaphone, Vnsky, Wintel};
    match (national / 10_000_000, national / 1_000_000 % 10) {
        (86 | 96..=98 | 32..=39, _) => Some(Viettel),
        (88 | 91 | 94 | 81..=85, _) => Some(Vinaphone),
        (77, 5) => Some(Fpt),
        (77, 7 | 8) => Some(Vnsky),
        (89 | 90 | 93 | 70 | 76..=79, _) => Some(Mobifone),
        (92 | 52 | 56 | 58, _) => Some(Vietnamobile),
        (87, _) | (99, 8 | 9) => Some(Itel),
        (99 | 59, _) => Some(Gmobile),
        (55, _) => Some(Wintel),
        _ => None,
    }
}

/// Area codes of three digits as national numbers start with them; 24 (Hà Nội) and 28 (Hồ Chí Minh) have two.
const AREA_CODES: [u16; 61] = [
    203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216, 218, 219, 220, 221, 222, 225, 226, 227, 228,
    229, 232, 233, 234, 235, 236, 237, 238, 239, 251, 252, 254, 255, 256, 257, 258, 259, 260, 261, 262, 263, 269, 270,
    271, 272, 273, 274, 275, 276, 277, 290, 291, 292, 293, 294, 296, 297, 299,
];

/// The same as one bit per code from 200 to 299, so that an import asks once per number.
const AREA_BITS: u128 = {
    let mut bits = 0;
    let mut index = 0;
    while index < AREA_CODES.len() {
        bits |= 1 << (AREA_CODES[index] - 200);
        index += 1;
    }
    bits
};

pub(super) enum NationalKind {
    Mobile,
    Fixed,
}

/// What a national number is, or why it is none.
pub(super) fn classify(national: u64, length: usize) -> Result<NationalKind, Reject> {
    let digits = length;
    let leading = |count: usize| leading(national, length, count);
    match leading(2) {
        69 | 80 if (6..=FIXED_DIGITS).contains(&length) => Err(Reject::Closed),
        18 | 19 if (8..=FIXED_DIGITS).contains(&length) && leading(3) % 10 == 0 && leading(4) % 10 == 0 => {
            Err(Reject::Premium)
        }
        10..=19 if length == FIXED_DIGITS => Err(Reject::Closed),
        20..=29 => match length {
            0..FIXED_DIGITS => Err(Reject::TooShort { digits }),
            FIXED_DIGITS if is_fixed(national) => Ok(NationalKind::Fixed),
            FIXED_DIGITS => Err(Reject::UnknownPrefix { moved: None }),
            _ => Err(Reject::TooLong { digits }),
        },
        _ => match length {
            0..MOBILE_DIGITS => Err(Reject::TooShort { digits }),
            MOBILE_DIGITS if carrier(national).is_some() => Ok(NationalKind::Mobile),
            MOBILE_DIGITS => Err(Reject::UnknownPrefix { moved: moved_area(national) }),
            _ => Err(Reject::TooLong { digits }),
        },
    }
}

/// The first `count` digits of a number of `length` digits.
fn leading(national: u64, length: usize, count: usize) -> u64 {
    let rest = u32::try_from(length.saturating_sub(count)).unwrap_or(0);
    national / 10u64.saturating_pow(rest)
}

/// Ten digits starting with 2: a known area code, and a subscriber that does not start with 0 or 1.
fn is_fixed(national: u64) -> bool {
    let area = national / 10_000_000;
    let subscriber_starts = match area {
        240..=249 | 280..=289 => area % 10,
        200..=299 if AREA_BITS >> (area - 200) & 1 == 1 => national / 1_000_000 % 10,
        _ => return false,
    };
    subscriber_starts > 1
}

/// Numbers that are dialled as they are: emergency, service and charged numbers. `None` for everything else.
pub(super) fn special(digits: &[u8]) -> Option<Reject> {
    match digits {
        [b'1', b'1', b'1'..=b'5'] => Some(Reject::Emergency),
        [b'1', b'8' | b'9', b'0', b'0', rest @ ..] if (4..=6).contains(&rest.len()) => Some(Reject::Premium),
        [b'1'..=b'9', rest @ ..] if (2..=5).contains(&rest.len()) => Some(Reject::ShortCode),
        _ => None,
    }
}

/// Today's number for an 11-digit mobile of before 15 September 2018: the last seven digits stay.
pub(super) fn migrate(national: &[u8]) -> Option<u64> {
    let [first, second, third, rest @ ..] = national else { return None };
    if rest.len() != 7 {
        return None;
    }
    let prefix = match &[*first, *second, *third] {
        b"162" => 32,
        b"163" => 33,
        b"164" => 34,
        b"165" => 35,
        b"166" => 36,
        b"167" => 37,
        b"168" => 38,
        b"169" => 39,
        b"123" => 83,
        b"124" => 84,
        b"125" => 85,
        b"127" => 81,
        b"129" => 82,
        b"120" => 70,
        b"121" => 79,
        b"122" => 77,
        b"126" => 76,
        b"128" => 78,
        b"186" => 56,
        b"188" => 58,
        b"199" => 59,
        _ => return None,
    };
    Some(prefix * 10_000_000 + super::scan::value(rest))
}

/// An area code of before 2017 and the one that replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    old: u8,
    new: u16,
}

/// Known moves of 2017 that an old file of the region may still hold: Bến Tre, Vĩnh Long, An Giang, Hà Tĩnh, Quảng Ninh.
const MOVED: [Moved; 5] = [
    Moved { old: 75, new: 275 },
    Moved { old: 70, new: 270 },
    Moved { old: 76, new: 296 },
    Moved { old: 39, new: 239 },
    Moved { old: 33, new: 203 },
];

/// The move a 9-digit national number may be a victim of.
pub(super) fn moved_area(national: u64) -> Option<Moved> {
    MOVED.into_iter().find(|moved| u64::from(moved.old) == national / 10_000_000)
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the area code 0{} became 0{} in 2017", self.old, self.new)
    }
}
