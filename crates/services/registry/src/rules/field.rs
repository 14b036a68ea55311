//! Checks of single fields: texts, codes, names, times.

use std::ops::RangeInclusive;

use loa_contract::convert::micros;
use loa_runtime::rpc::Violations;
use prost_types::Timestamp;

/// Times after this one (the end of the year 9999) are refused.
pub(crate) const TIME_US_MAX: i64 = 253_402_300_799_999_999;

/// A line of text for people: a number of characters, none of them a control character.
pub(crate) fn line(field: &str, text: &str, chars: RangeInclusive<usize>, faults: &mut Violations) {
    let count = text.chars().count();
    if !chars.contains(&count) || (count > 0 && text.trim().is_empty()) {
        faults.add(field, format!("{} to {} characters, found {count}", chars.start(), chars.end()));
    } else if text.chars().any(char::is_control) {
        faults.add(field, "one line without control characters");
    }
}

/// A stable code: a number of a-z, 0-9 and `-`.
pub(crate) fn code(field: &str, text: &str, chars: RangeInclusive<usize>, faults: &mut Violations) {
    plain(field, text, chars, "-", faults);
}

/// A name: 1 to 64 of a-z, 0-9, `-` and `_`.
pub(crate) fn name(field: &str, text: &str, faults: &mut Violations) {
    plain(field, text, 1..=64, "-_", faults);
}

fn plain(field: &str, text: &str, chars: RangeInclusive<usize>, signs: &str, faults: &mut Violations) {
    let legal = |found: char| found.is_ascii_lowercase() || found.is_ascii_digit() || signs.contains(found);
    if !chars.contains(&text.len()) || !text.chars().all(legal) {
        let signs = signs.chars().map(String::from).collect::<Vec<_>>().join(" ");
        faults.add(field, format!("{} to {} of a-z 0-9 {signs}", chars.start(), chars.end()));
    }
}

/// A time that must be there, in microseconds since 1970.
pub(crate) fn time(field: &str, time: Option<&Timestamp>, faults: &mut Violations) -> Option<i64> {
    if time.is_none() {
        faults.add(field, "missing; a time such as 2026-01-05T09:00:00+07:00");
    }
    optional_time(field, time, faults)
}

/// A time that may be absent.
pub(crate) fn optional_time(field: &str, time: Option<&Timestamp>, faults: &mut Violations) -> Option<i64> {
    let time = time?;
    let at_us = micros(time);
    if (0..1_000_000_000).contains(&time.nanos) && (0..=TIME_US_MAX).contains(&at_us) {
        return Some(at_us);
    }
    faults.add(field, "a time from 1970 to 9999, with 0 to 999,999,999 nanoseconds");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(check: impl FnOnce(&mut Violations)) -> bool {
        let mut faults = Violations::new();
        check(&mut faults);
        !faults.is_empty()
    }

    #[test]
    fn lines_are_counted_in_characters() {
        for (text, legal) in [
            ("Chuyển đổi số", true),
            ("ế", true),
            ("", false),
            ("   ", false),
            ("a\nb", false),
            (&*"ế".repeat(20), true),
            (&*"ế".repeat(21), false),
        ] {
            assert_eq!(faulty(|faults| line("f", text, 1..=20, faults)), !legal, "{text:?}");
        }
        assert!(!faulty(|faults| line("f", "", 0..=20, faults)));
    }

    #[test]
    fn codes_and_names_are_plain() {
        for (text, as_code, as_name) in [
            ("ubnd-ba-tri", true, true),
            ("a_b", false, true),
            ("A", false, false),
            ("", false, false),
            ("ế", false, false),
            (&*"a".repeat(40), true, true),
            (&*"a".repeat(41), false, true),
            (&*"a".repeat(65), false, false),
        ] {
            assert_eq!(faulty(|faults| code("f", text, 1..=40, faults)), !as_code, "{text:?}");
            assert_eq!(faulty(|faults| name("f", text, faults)), !as_name, "{text:?}");
        }
    }

    #[test]
    fn times_have_ends() {
        for (seconds, nanos, legal) in [
            (0, 0, true),
            (-1, 0, false),
            (253_402_300_799, 999_999_999, true),
            (253_402_300_800, 0, false),
            (i64::MAX, 0, false),
            (5, -1, false),
            (5, 1_000_000_000, false),
        ] {
            let at = Timestamp { seconds, nanos };
            assert_eq!(
                faulty(|faults| assert_eq!(time("f", Some(&at), faults).is_some(), legal)),
                !legal,
                "{seconds} {nanos}"
            );
        }
        assert!(faulty(|faults| assert_eq!(time("f", None, faults), None)));
        assert!(!faulty(|faults| assert_eq!(optional_time("f", None, faults), None)));
    }
}
