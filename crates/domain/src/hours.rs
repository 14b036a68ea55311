//! The hours of the day in which a message of a class may be handed over.
//!
//! Hours are those of Viet Nam: UTC+07:00, fixed, since the country has had no daylight saving time in the life of anything
//! that can receive a message. Instants are microseconds since 1970 UTC, as everywhere in Loa.
//!
//! Must stay true: an instant is open exactly when `from <= local time of day < to`; a message outside its hours is held
//! until [`DailyWindow::next_open`], never dropped.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};

use crate::channel::Class;

/// Viet Nam's distance from UTC, in microseconds: `Asia/Ho_Chi_Minh`.
pub const UTC_OFFSET_US: i64 = 7 * 60 * MINUTE_US;

const MINUTE_US: i64 = 60 * 1_000_000;
const MINUTES_PER_DAY: u16 = 24 * 60;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// A part of every day, from a minute of local time up to but not with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DailyWindow {
    from_minute: u16,
    to_minute: u16,
}

/// Why a text is no daily window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no part of a day; write it as 07:00-22:00, the end later than the start and at most 24:00")]
pub struct WindowError {
    given: String,
}

impl DailyWindow {
    /// Any hour.
    pub const ALWAYS: Self = Self { from_minute: 0, to_minute: MINUTES_PER_DAY };

    /// Minutes since local midnight; `None` unless `from < to <= 1440`. A window over midnight is not among the law's.
    pub const fn new(from_minute: u16, to_minute: u16) -> Option<Self> {
        if from_minute < to_minute && to_minute <= MINUTES_PER_DAY {
            Some(Self { from_minute, to_minute })
        } else {
            None
        }
    }

    const fn hours(from: u16, to: u16) -> Self {
        Self { from_minute: from * 60, to_minute: to * 60 }
    }

    /// Minutes since local midnight at which it opens.
    pub fn from_minute(self) -> u16 {
        self.from_minute
    }

    /// Minutes since local midnight at which it closes; 1440 is midnight.
    pub fn to_minute(self) -> u16 {
        self.to_minute
    }

    /// True when it never closes.
    pub fn is_always(self) -> bool {
        self == Self::ALWAYS
    }

    /// True when a message may be handed over at this instant.
    pub fn is_open(self, at_us: i64) -> bool {
        let (_, of_day) = split_day(at_us);
        (self.opens_us()..self.closes_us()).contains(&of_day)
    }

    /// The first open instant that is not before this one.
    pub fn next_open(self, at_us: i64) -> i64 {
        let (midnight, of_day) = split_day(at_us);
        if of_day < self.opens_us() {
            midnight.saturating_add(self.opens_us())
        } else if of_day < self.closes_us() {
            at_us
        } else {
            midnight.saturating_add(DAY_US + self.opens_us())
        }
    }

    /// The first closed instant after [`DailyWindow::next_open`]; `None` when it never closes.
    pub fn closes_at(self, at_us: i64) -> Option<i64> {
        if self.is_always() {
            return None;
        }
        let (midnight, _) = split_day(self.next_open(at_us));
        Some(midnight.saturating_add(self.closes_us()))
    }

    /// The hours of both, `None` when they have none in common.
    pub fn within(self, other: Self) -> Option<Self> {
        Self::new(self.from_minute.max(other.from_minute), self.to_minute.min(other.to_minute))
    }

    fn opens_us(self) -> i64 {
        i64::from(self.from_minute) * MINUTE_US
    }

    fn closes_us(self) -> i64 {
        i64::from(self.to_minute) * MINUTE_US
    }
}

/// The instant of the last local midnight and the microseconds since then.
fn split_day(at_us: i64) -> (i64, i64) {
    let of_day = (at_us.rem_euclid(DAY_US) + UTC_OFFSET_US).rem_euclid(DAY_US);
    (at_us.saturating_sub(of_day), of_day)
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from_minute, self.to_minute].map(|minute| (minute / 60, minute % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

impl FromStr for DailyWindow {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let ends = text.trim().split_once(['-', '–']);
        let window = ends.and_then(|(from, to)| Self::new(minute_of_day(from)?, minute_of_day(to)?));
        window.ok_or_else(|| WindowError { given: text.chars().take(40).collect() })
    }
}

/// `07:00`, `7:30`, `24:00` in minutes.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| -> Option<u16> {
        let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain)
    };
    let (hour, minute) = (number(hour, 1..=2)?, number(minute, 2..=2)?);
    (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
}

/// The hours of a class, since when, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassHours {
    /// The class.
    pub class: Class,
    /// Its hours.
    pub window: DailyWindow,
    /// The first day on which they hold.
    pub valid_from: Date,
    /// What says so; for people and reports.
    pub citation: &'static str,
}

/// Decree 91/2020/NĐ-CP is in force.
const D91_FROM: Date = date(2020, 10, 1);
const D91_HOURS: &str = "Decree 91/2020/NĐ-CP: advertising and registration texts from 07:00 to 22:00";
const D91_EXCEPTED: &str = "Decree 91/2020/NĐ-CP Art. 3: not advertising, no hours";
const POLITENESS: &str = "no law sets hours; a default of politeness";

/// The hours that hold unless configuration says otherwise. The decree's hours are for text messages (it has none for
/// mail); a deployment may free mail of them.
const DEFAULTS: [ClassHours; 6] = [
    rule(Class::Advertising, DailyWindow::hours(7, 22), D91_HOURS),
    rule(Class::AdRegistration, DailyWindow::hours(7, 22), D91_HOURS),
    rule(Class::CustomerCare, DailyWindow::ALWAYS, D91_EXCEPTED),
    rule(Class::PublicInformation, DailyWindow::hours(7, 21), POLITENESS),
    rule(Class::Emergency, DailyWindow::ALWAYS, D91_EXCEPTED),
    rule(Class::Personal, DailyWindow::ALWAYS, D91_EXCEPTED),
];

const fn rule(class: Class, window: DailyWindow, citation: &'static str) -> ClassHours {
    ClassHours { class, window, valid_from: D91_FROM, citation }
}

impl ClassHours {
    /// Every class with its default hours.
    pub fn defaults() -> &'static [ClassHours] {
        &DEFAULTS
    }

    /// The default hours of a class.
    pub fn default_of(class: Class) -> ClassHours {
        match class {
            Class::Advertising => DEFAULTS[0],
            Class::AdRegistration => DEFAULTS[1],
            Class::CustomerCare => DEFAULTS[2],
            Class::PublicInformation => DEFAULTS[3],
            Class::Emergency => DEFAULTS[4],
            Class::Personal => DEFAULTS[5],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The instant of a local time.
    fn local(text: &str) -> i64 {
        format!("{text}+07:00").parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn opens_and_closes_by_the_local_clock() {
        let window: DailyWindow = "07:00-22:00".parse().unwrap();
        #[track_caller]
        fn check(window: DailyWindow, at: &str, open: bool, next: &str, closes: &str) {
            let at_us = local(at);
            assert_eq!(window.is_open(at_us), open, "{at}");
            assert_eq!(window.next_open(at_us), local(next), "{at}");
            assert_eq!(window.closes_at(at_us), Some(local(closes)), "{at}");
        }

        check(window, "2026-11-24T06:59:59.999999", false, "2026-11-24T07:00:00", "2026-11-24T22:00:00");
        check(window, "2026-11-24T07:00:00", true, "2026-11-24T07:00:00", "2026-11-24T22:00:00");
        check(window, "2026-11-24T21:59:59.999999", true, "2026-11-24T21:59:59.999999", "2026-11-24T22:00:00");
        check(window, "2026-11-24T22:00:00", false, "2026-11-25T07:00:00", "2026-11-25T22:00:00");
        check(window, "2026-12-31T23:30:00", false, "2027-01-01T07:00:00", "2027-01-01T22:00:00");
        check(window, "2024-02-29T03:00:00", false, "2024-02-29T07:00:00", "2024-02-29T22:00:00");
        check(window, "1969-12-31T23:00:00", false, "1970-01-01T07:00:00", "1970-01-01T22:00:00");
        let until_midnight: DailyWindow = "18:00-24:00".parse().unwrap();
        check(until_midnight, "2026-11-24T23:59:59", true, "2026-11-24T23:59:59", "2026-11-25T00:00:00");
        check(until_midnight, "2026-11-25T00:00:00", false, "2026-11-25T18:00:00", "2026-11-26T00:00:00");
    }

    #[test]
    fn the_offset_is_that_of_the_zone() {
        for year in 2010..2040 {
            for month in [1, 7] {
                let at = date(year, month, 1).in_tz("Asia/Ho_Chi_Minh").unwrap();
                assert_eq!(i64::from(at.offset().seconds()) * 1_000_000, UTC_OFFSET_US, "{at}");
            }
        }
    }

    #[test]
    fn any_hour_never_closes() {
        assert!(DailyWindow::ALWAYS.is_open(local("2026-11-24T03:00:00")));
        assert_eq!(DailyWindow::ALWAYS.closes_at(0), None);
        assert_eq!(DailyWindow::ALWAYS.next_open(1), 1);
        assert_eq!("00:00-24:00".parse(), Ok(DailyWindow::ALWAYS));
    }

    #[test]
    fn reads_and_refuses_windows() {
        #[track_caller]
        fn check(text: &str, shown: Option<&str>) {
            let read = text.parse::<DailyWindow>().ok().map(|window| window.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }

        check("07:00-22:00", Some("07:00-22:00"));
        check(" 7:30 – 11:30 ", Some("07:30-11:30"));
        check("00:00-24:00", Some("00:00-24:00"));
        check("22:00-07:00", None);
        check("07:00-07:00", None);
        check("07:00-24:01", None);
        check("07:60-08:00", None);
        check("+7:00-22:00", None);
        check("7-22", None);
        check("", None);
        let error = "22:00-07:00".parse::<DailyWindow>().unwrap_err().to_string();
        assert!(error.contains("write it as 07:00-22:00"), "{error}");
    }

    #[test]
    fn every_class_has_its_hours() {
        let shown = |class| ClassHours::default_of(class).window.to_string();
        assert_eq!(shown(Class::Advertising), "07:00-22:00");
        assert_eq!(shown(Class::AdRegistration), "07:00-22:00");
        assert_eq!(shown(Class::PublicInformation), "07:00-21:00");
        for &class in Class::ALL {
            let hours = ClassHours::default_of(class);
            assert_eq!(hours.class, class);
            assert!(DailyWindow::new(hours.window.from_minute(), hours.window.to_minute()).is_some());
            assert!(!hours.citation.is_empty());
            let free = matches!(class, Class::CustomerCare | Class::Emergency | Class::Personal);
            assert_eq!(hours.window.is_always(), free, "{class}");
        }
        assert_eq!(ClassHours::defaults().len(), Class::ALL.len());
    }

    #[test]
    fn two_windows_share_their_common_hours() {
        let window = |text: &str| text.parse::<DailyWindow>().unwrap();
        assert_eq!(window("07:00-22:00").within(window("06:00-21:00")), Some(window("07:00-21:00")));
        assert_eq!(window("07:00-08:00").within(window("08:00-21:00")), None);
    }

    proptest! {
        /// At every instant: the next opening is open, not in the past, at most a day away, and closes after it opens.
        #[test]
        fn the_next_opening_is_open(at_us in -4_000_000_000_000_000i64..8_000_000_000_000_000, from in 0u16..1440, length in 1u16..1440) {
            if let Some(window) = DailyWindow::new(from, from + length) {
                let next = window.next_open(at_us);
                prop_assert!(window.is_open(next) && next >= at_us && next - at_us < DAY_US);
                prop_assert_eq!(next == at_us, window.is_open(at_us));
                if let Some(closes) = window.closes_at(at_us) {
                    prop_assert!(closes > next && window.is_open(closes - 1) && closes - next <= DAY_US);
                    prop_assert!(!window.is_open(closes) || window.from_minute() == 0);
                }
                prop_assert_eq!(window.to_string().parse(), Ok(window));
            }
        }

        /// The ends of time do not overflow.
        #[test]
        fn any_instant_is_answered(at_us: i64, from in 0u16..1440) {
            if let Some(window) = DailyWindow::new(from, 1440) {
                let open = window.is_open(at_us);
                prop_assert!(!open || window.next_open(at_us) == at_us);
                prop_assert!(window.closes_at(at_us).is_none_or(|closes| closes >= window.next_open(at_us)));
            }
        }
    }
}
