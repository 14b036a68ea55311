//! Times in receipts: 10, 12 or 14 digits in the carrier's zone, or the 16 characters of SMPP with their own offset.
//!
//! Must stay true: a time that cannot be is none; it never makes a receipt unreadable.

/// A civil time as the carrier wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// Minutes east of UTC, where the text says so.
    pub offset_minutes: Option<i16>,
}

impl Stamp {
    /// Reads `YYMMDDhhmm`, `YYMMDDhhmmss`, `YYYYMMDDhhmm`, `YYYYMMDDhhmmss` or `YYMMDDhhmmsstnnp`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let (number, sign) = text.split_at(digits);
        let short = |at| pair(number, at);
        match (digits, sign) {
            (15, [sign @ (b'+' | b'-')]) => {
                let quarters = i16::from(short(13)?);
                let minutes = if *sign == b'+' { quarters * 15 } else { quarters * -15 };
                Self::of(number, false, true)?.with_offset(minutes)
            }
            (10, []) => Self::of(number, false, false),
            (12, []) => Self::of(number, false, true).or_else(|| Self::of(number, true, false)),
            (14 | 16, []) => Self::of(number, true, true),
            _ => None,
        }
    }

    fn of(number: &[u8], long_year: bool, seconds: bool) -> Option<Self> {
        let first = u16::from(pair(number, 0)?);
        let (year, at) = match long_year {
            true => (first * 100 + u16::from(pair(number, 2)?), 4),
            false => (2_000 + first, 2),
        };
        let part = |nth: usize| pair(number, at + 2 * nth);
        let second = if seconds { part(4)? } else { 0 };
        let stamp = Self {
            year,
            month: part(0)?,
            day: part(1)?,
            hour: part(2)?,
            minute: part(3)?,
            second,
            offset_minutes: None,
        };
        stamp.exists().then_some(stamp)
    }

    fn with_offset(self, minutes: i16) -> Option<Self> {
        (minutes.abs() <= 14 * 60).then_some(Self { offset_minutes: Some(minutes), ..self })
    }

    fn exists(&self) -> bool {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return false,
        };
        let day = (1..=days).contains(&self.day) && (1_970..2_100).contains(&self.year);
        day && self.hour < 24 && self.minute < 60 && self.second < 60
    }

    /// Seconds since 1970 UTC; `zone_minutes` east of UTC is used where the text names no offset.
    pub fn unix_seconds(&self, zone_minutes: i16) -> i64 {
        // Days by the calendar that starts in March, so the leap day is the last of its year.
        let (year, month) = (i64::from(self.year), i64::from(self.month));
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let days = days - 719_468;
        let minutes = (days * 24 + i64::from(self.hour)) * 60 + i64::from(self.minute);
        (minutes - i64::from(self.offset_minutes.unwrap_or(zone_minutes))) * 60 + i64::from(self.second)
    }
}

fn pair(number: &[u8], at: usize) -> Option<u8> {
    match number.get(at..at + 2)? {
        &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_carriers_write() {
        #[track_caller]
        fn check(text: &str, unix_seconds: Option<i64>) {
            let found = Stamp::parse(text.as_bytes()).map(|stamp| stamp.unix_seconds(7 * 60));
            assert_eq!(found, unix_seconds, "{text}");
        }

        let morning = 1_795_486_560; // 2026-11-24 09:16:00 +07:00
        check("2611240916", Some(morning));
        check("261124091600", Some(morning));
        check("202611240916", Some(morning)); // as YYMMDD there is no month 26
        check("20261124091600", Some(morning));
        check("2026112409160000", Some(morning));
        check("261124091600028+", Some(morning)); // tenths, and 28 quarters east
        check("261124021600000+", Some(morning));
        check("261123211600020-", Some(morning));
        check("180711070003912+", Some(1_531_281_603)); // tenth 9, then 12 quarters
        check("0000000000", None);
        check("2613240916", None); // month 13
        check("2602290916", None); // no leap year
        check("2402290916", Some(1_709_172_960));
        check("261124241600", None); // hour 24
        check("26112409", None);
        check("yesterday", None);
        check("", None);
    }
}
