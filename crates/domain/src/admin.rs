//! Administrative units of Bến Tre as data with dates: codes, names, what lay in what, and finding them by name.
//!
//! Codes were given new names in 2025 (28789 was Xã Bình Phú and is Phường Bến Tre), names repeat, and spellings differ
//! (`Thủy`, `Thuỷ`). So a unit is a code and the days it is valid on, names are only a way to a code, and a name that means
//! two codes is refused with both. The district of a code stayed the same through all changes.
//!
//! Must stay true: what a name is resolved to never depends on order or luck; nothing is guessed.

mod data;
mod name;

use std::fmt;

use jiff::civil::Date;

use name::{Folded, bare_query};

macro_rules! unit_code {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $digits:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// Reads the code with its leading zeros; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.len() == $digits && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| digits).map(Self)
            }

            /// The code as a number, as data files store it.
            pub fn number(self) -> $inner {
                self.0
            }
        }

        /// The code with its leading zeros.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$}", self.0, width = $digits)
            }
        }
    };
}

unit_code!(
    /// The five-digit code of a commune-level unit.
    CommuneCode, u32, 5
);
unit_code!(
    /// The three-digit code of a district-level unit.
    DistrictCode, u16, 3
);
unit_code!(
    /// The two-digit code of a province.
    ProvinceCode, u8, 2
);

/// One unit at commune level, under one name, for the days it had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commune {
    /// Its code.
    pub code: CommuneCode,
    /// `Phường` or `Xã`.
    pub kind: &'static str,
    /// Its name without the kind.
    pub name: &'static str,
    /// The district the code lies in, or lay in until districts ended on 1 July 2025.
    pub district: DistrictCode,
    /// The first day.
    pub from: Date,
    /// The day after the last.
    pub until: Option<Date>,
}

/// One unit at district level; all of them ended on 1 July 2025.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct District {
    /// Its code.
    pub code: DistrictCode,
    /// `Thành phố` or `Huyện`.
    pub kind: &'static str,
    /// Its name without the kind.
    pub name: &'static str,
}

/// A province that Bến Tre's communes lie in or lay in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Province {
    /// Its code.
    pub code: ProvinceCode,
    /// Its name without `Tỉnh`.
    pub name: &'static str,
}

impl Commune {
    /// The kind and the name.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// True when the unit had this name on that day.
    pub fn is_valid_on(&self, day: Date) -> bool {
        self.from <= day && self.until.is_none_or(|until| day < until)
    }
}

/// Every known commune-level unit, once per name it had.
pub fn communes() -> &'static [Commune] {
    &data::COMMUNES
}

/// The nine district-level units of Bến Tre.
pub fn districts() -> &'static [District] {
    &data::DISTRICTS
}

/// Bến Tre, and Vĩnh Long since the merger of 2025.
pub fn provinces() -> &'static [Province] {
    &data::PROVINCES
}

/// The unit that has this code on that day.
pub fn commune_on(code: CommuneCode, day: Date) -> Option<&'static Commune> {
    communes().iter().find(|commune| commune.code == code && commune.is_valid_on(day))
}

/// The district a commune's code lies in or lay in; `None` when the code is not known.
pub fn district_of(code: CommuneCode) -> Option<DistrictCode> {
    communes().iter().find(|commune| commune.code == code).map(|commune| commune.district)
}

/// Why a name or code means no unit, or more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoUnit {
    /// `commune`, `district` or `province`.
    pub level: &'static str,
    /// A name that may have been meant.
    pub suggestion: Option<String>,
    /// The units of this name when there are several, each as `code name`.
    pub candidates: Vec<String>,
}

/// The commune of a code or a name, with or without its kind.
pub fn find_commune(text: &str) -> Result<CommuneCode, NoUnit> {
    let label = |unit: &Commune| match unit.until {
        None => format!("{} {} (since {})", unit.code, unit.full_name(), unit.from),
        Some(until) => format!("{} {} (until {until})", unit.code, unit.full_name()),
    };
    let code = CommuneCode::parse(text.trim());
    find("commune", communes(), text, code, |unit| (unit.code, unit.kind, unit.name), label)
}

/// The district of a code or a name, with or without its kind.
pub fn find_district(text: &str) -> Result<DistrictCode, NoUnit> {
    let label = |unit: &District| format!("{} {} {}", unit.code, unit.kind, unit.name);
    let code = DistrictCode::parse(text.trim());
    find("district", districts(), text, code, |unit| (unit.code, unit.kind, unit.name), label)
}

/// The province of a code or a name, with or without its kind.
pub fn find_province(text: &str) -> Result<ProvinceCode, NoUnit> {
    let label = |unit: &Province| format!("{} Tỉnh {}", unit.code, unit.name);
    let code = ProvinceCode::parse(text.trim());
    find("province", provinces(), text, code, |unit| (unit.code, "Tỉnh", unit.name), label)
}

fn find<U, C: Copy + PartialEq>(
    level: &'static str,
    units: &[U],
    text: &str,
    code: Option<C>,
    parts: impl Fn(&U) -> (C, &'static str, &'static str),
    label: impl Fn(&U) -> String,
) -> Result<C, NoUnit> {
    if let Some(unit) = units.iter().map(&parts).find(|(unit, ..)| Some(*unit) == code) {
        return Ok(unit.0);
    }
    let query = bare_query(text);
    let matches = |unit: &&U| {
        let (_, kind, name) = parts(unit);
        query == Folded::of(name) || query == Folded::of(&format!("{kind} {name}"))
    };
    let found: Vec<&U> = units.iter().filter(matches).collect();
    match found.as_slice() {
        [] => {
            let names = units.iter().map(|unit| parts(unit).2);
            Err(NoUnit { level, suggestion: name::closest(text, names), candidates: Vec::new() })
        }
        [first, others @ ..] if others.iter().all(|other| parts(other).0 == parts(first).0) => Ok(parts(first).0),
        several => {
            let candidates = several.iter().map(|unit| label(unit)).collect();
            Err(NoUnit { level, suggestion: None, candidates })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn holds_the_geography_of_both_times() {
        let on = |day| communes().iter().filter(|commune| commune.is_valid_on(day)).count();
        assert_eq!(on(date(2024, 12, 31)), 14, "the city of Bến Tre");
        assert_eq!(on(date(2025, 1, 1)), 12);
        assert_eq!(on(date(2025, 7, 1)), 48);
        assert_eq!(districts().len(), 9);
        let of = |code: &str| {
            let district = DistrictCode::parse(code).unwrap();
            communes().iter().filter(|commune| commune.district == district && commune.until.is_none()).count()
        };
        let counts = ["829", "831", "832", "833", "834", "835", "836", "837", "838"].map(of);
        assert_eq!(counts, [4, 5, 3, 5, 7, 7, 7, 6, 4]);
    }

    #[test]
    fn a_code_lies_in_one_district() {
        for commune in communes() {
            assert_eq!(district_of(commune.code), Some(commune.district), "{commune:?}");
            assert!(districts().iter().any(|district| district.code == commune.district), "{commune:?}");
        }
    }

    #[test]
    fn one_name_a_day_for_each_code() {
        for day in [date(2020, 2, 1), date(2024, 12, 31), date(2025, 1, 1), date(2025, 7, 1), date(2026, 11, 24)] {
            for commune in communes() {
                let same = communes().iter().filter(|other| other.code == commune.code && other.is_valid_on(day));
                assert!(same.count() <= 1, "{commune:?} on {day}");
            }
        }
        let code = CommuneCode::parse("28789").unwrap();
        assert_eq!(commune_on(code, date(2024, 1, 1)).map(Commune::full_name).as_deref(), Some("Xã Bình Phú"));
        assert_eq!(commune_on(code, date(2026, 1, 1)).map(Commune::full_name).as_deref(), Some("Phường Bến Tre"));
    }

    #[test]
    fn finds_by_code_and_by_every_spelling() {
        #[track_caller]
        fn check(text: &str, code: &str) {
            assert_eq!(find_commune(text).map(|code| code.to_string()).as_deref(), Ok(code), "{text}");
        }

        check("28777", "28777");
        check("An Hội", "28777"); // the same code under one name at both times
        check("  phường  AN HỘI ", "28777");
        check("P. An Hội", "28777");
        check("Tân Thủy", "29167");
        check("Tân Thuỷ", "29167"); // the tone on the other letter
        check("Lương Hòa", "28987");
        check("An Hô\u{0323}i", "28777"); // decomposed
        check("Bình Phú", "28789");
        check("Phường Bến Tre", "28789");
        check("Phường 8", "28759");
        assert_eq!(find_district("Ba Tri").map(|code| code.number()), Ok(836));
        assert_eq!(find_district("huyện ba tri").map(|code| code.number()), Ok(836));
        assert_eq!(find_district("TP. Bến Tre").map(|code| code.number()), Ok(829));
        assert_eq!(find_district("836").map(|code| code.number()), Ok(836));
        assert_eq!(find_province("83").map(|code| code.number()), Ok(83));
        assert_eq!(find_province("Tỉnh Vĩnh Long").map(|code| code.number()), Ok(86));
    }

    #[test]
    fn refuses_what_is_unknown_or_twofold() {
        let error = find_commune("Phú Tân").unwrap_err();
        assert_eq!(
            error.candidates,
            ["28858 Phường Phú Tân (since 2025-07-01)", "28757 Phường Phú Tân (until 2025-07-01)"]
        );
        assert_eq!(find_district("Ba Tre").unwrap_err().suggestion.as_deref(), Some("Ba Tri"));
        assert_eq!(find_commune("an hoi").unwrap_err().suggestion.as_deref(), Some("An Hội"));
        assert_eq!(find_commune("Cần Giờ Đông").unwrap_err().suggestion, None);
        assert_eq!(find_commune("99999").unwrap_err().suggestion, None);
        assert_eq!(find_commune("").unwrap_err().suggestion, None);
    }

    proptest! {
        /// Any text is answered, and a name that is found is found in any case.
        #[test]
        fn any_text_is_answered(text in "(?s).{0,40}", index in 0usize..communes().len()) {
            for found in [find_commune(&text).is_ok(), find_district(&text).is_ok(), find_province(&text).is_ok()] {
                prop_assert!(!found || !text.trim().is_empty());
            }
            let name = communes()[index].full_name();
            prop_assert_eq!(find_commune(&name), find_commune(&name.to_uppercase()));
        }
    }
}
