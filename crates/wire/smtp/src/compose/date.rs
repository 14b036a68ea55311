//! The `Date` header: a moment as RFC 5322 writes it, in the time of Viet Nam.
//!
//! Must stay true: the moment is the one given, whatever the zone of the machine; years 1970 to 9999.

const OFFSET_S: i64 = 7 * 3_600;
const DAY_S: i64 = 86_400;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1 January 1970 was a Thursday
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends `Tue, 24 Nov 2026 18:31:05 +0700`.
pub(super) fn write(unix_s: i64, out: &mut Vec<u8>) {
    let local = unix_s.max(0) + OFFSET_S;
    let (days, second) = (local / DAY_S, local % DAY_S);
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], index: i64| usize::try_from(index).ok().and_then(|at| names.get(at).copied());
    out.extend_from_slice(name(&DAYS, days % 7).unwrap_or_default().as_bytes());
    out.extend_from_slice(b", ");
    two_digits(day, out);
    out.push(b' ');
    out.extend_from_slice(name(&MONTHS, month - 1).unwrap_or_default().as_bytes());
    out.push(b' ');
    two_digits(year / 100, out);
    two_digits(year % 100, out);
    for (sign, value) in [(b' ', second / 3_600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(sign);
        two_digits(value, out);
    }
    out.extend_from_slice(b" +0700");
}

fn two_digits(value: i64, out: &mut Vec<u8>) {
    let digit = |value: i64| b'0' + u8::try_from(value % 10).unwrap_or_default();
    out.extend_from_slice(&[digit(value / 10), digit(value)]);
}

/// Year, month and day of a count of days since 1970, by eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn written(unix_s: i64) -> String {
        let mut out = Vec::new();
        super::write(unix_s, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn writes() {
        assert_eq!(written(0), "Thu, 01 Jan 1970 07:00:00 +0700");
        assert_eq!(written(1_795_519_865), "Tue, 24 Nov 2026 18:31:05 +0700");
        assert_eq!(written(1_709_139_600), "Thu, 29 Feb 2024 00:00:00 +0700"); // a leap day
        assert_eq!(written(4_107_517_199), "Sun, 28 Feb 2100 23:59:59 +0700"); // not a leap year
        assert_eq!(written(4_107_517_200), "Mon, 01 Mar 2100 00:00:00 +0700");
    }

    proptest! {
        #[test]
        fn a_reader_gets_the_moment_back(unix_s in 0i64..8_000_000_000) {
            let message = format!("Date: {}\r\n\r\n", written(unix_s));
            let parsed = mail_parser::MessageParser::default().parse(message.as_bytes());
            prop_assert_eq!(parsed.and_then(|message| message.date().map(|date| date.to_timestamp())), Some(unix_s));
        }
    }
}
