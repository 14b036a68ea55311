//! The two languages: words side by side, numbers and times as their readers write them.
//!
//! Must stay true: Vietnamese is what a page speaks unless it was asked for English; times are those of Viet Nam.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// UTC+07:00, all year.
const VIET_NAM: Offset = jiff::tz::offset(7);

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    Vi,
    En,
}

impl Lang {
    /// As asked for.
    pub(crate) fn of(asked: Option<&str>) -> Self {
        if asked == Some("en") { Self::En } else { Self::Vi }
    }

    pub(crate) fn code(self) -> &'static str {
        self.pick("vi", "en")
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Vi => Self::En,
            Self::En => Self::Vi,
        }
    }

    pub(crate) fn pick<'a>(self, vi: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Vi => vi,
            Self::En => en,
        }
    }

    /// A whole number: `10.000` or `10,000`.
    pub(crate) fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push_str(self.pick(".", ","));
            }
            out.push(digit);
        }
        out
    }

    /// `part` of `whole` with one digit behind the point, rounded down: 100 % is all of it.
    pub(crate) fn percent(self, part: u64, whole: u64) -> String {
        let per_mille = u128::from(part) * 1_000 / u128::from(whole.max(1));
        format!("{}{}{} %", per_mille / 10, self.pick(",", "."), per_mille % 10)
    }

    /// A rate; whole where it is whole.
    pub(crate) fn rate(self, rate: f64) -> String {
        let text = format!("{rate:.1}");
        let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
        let whole = whole.parse().map_or_else(|_| whole.to_owned(), |whole| self.number(whole));
        if tenth == "0" { whole } else { format!("{whole}{}{tenth}", self.pick(",", ".")) }
    }

    /// A moment: `24/11/2026 08:00:05`. Empty where there is none.
    pub(crate) fn time(self, at: Option<&prost_types::Timestamp>) -> String {
        at.map_or_else(String::new, |at| self.second(at.seconds))
    }

    /// The same, from microseconds.
    pub(crate) fn micros(self, unix_us: u64) -> String {
        i64::try_from(unix_us / 1_000_000).map_or_else(|_| String::new(), |second| self.second(second))
    }

    fn second(self, second: i64) -> String {
        let Ok(at) = Timestamp::from_second(second) else { return String::new() };
        let local = TimeZone::fixed(VIET_NAM).to_datetime(at);
        local.strftime(self.pick("%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_as_their_readers_do() {
        assert_eq!(
            [Lang::Vi.number(1_234_567), Lang::En.number(10_000), Lang::Vi.number(999)],
            ["1.234.567", "10,000", "999"]
        );
        assert_eq!(
            [Lang::Vi.percent(999, 1_000), Lang::En.percent(9_999, 10_000), Lang::En.percent(0, 0)],
            ["99,9 %", "99.9 %", "0.0 %"]
        );
        assert_eq!([Lang::Vi.rate(1000.0), Lang::Vi.rate(2.5), Lang::En.rate(2.5)], ["1.000", "2,5", "2.5"]);
        let at = prost_types::Timestamp { seconds: 1_795_482_000, nanos: 0 };
        assert_eq!(Lang::Vi.time(Some(&at)), "24/11/2026 08:00:00");
        assert_eq!(Lang::En.micros(1_795_482_000_000_000), "2026-11-24 08:00:00");
        assert_eq!(Lang::En.time(None), "");
    }

    #[test]
    fn vietnamese_unless_asked_for_english() {
        let asked = [None, Some("vi"), Some("en"), Some("<b>")];
        assert_eq!(asked.map(|asked| Lang::of(asked).code()), ["vi", "vi", "en", "vi"]);
    }
}
