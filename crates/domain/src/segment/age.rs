//! Age bands: files hold no birth dates, so a rule over ages selects whole bands.
//!
//! Must stay true: a band is selected only when it lies wholly inside what was asked, so nobody outside the asked ages is
//! ever selected; people of a band that is cut are left out, which the canonical text shows (`18..60` becomes `18..59`).

use crate::channel::closed_set;

closed_set!(
    /// A band of the file, from the youngest.
    AgeBand, "age band", {
        /// Under 16: children, kept out of advertising.
        Under16 = 1 "<16",
        /// 16 and 17.
        From16 = 2 "16-17",
        /// 18 to 24.
        From18 = 3 "18-24",
        /// 25 to 34.
        From25 = 4 "25-34",
        /// 35 to 44.
        From35 = 5 "35-44",
        /// 45 to 59.
        From45 = 6 "45-59",
        /// 60 to 69.
        From60 = 7 "60-69",
        /// 70 and older.
        From70 = 8 "70+",
    }
);

impl AgeBand {
    /// The youngest age in it, in years.
    pub fn from_years(self) -> u32 {
        match self {
            Self::Under16 => 0,
            Self::From16 => 16,
            Self::From18 => 18,
            Self::From25 => 25,
            Self::From35 => 35,
            Self::From45 => 45,
            Self::From60 => 60,
            Self::From70 => 70,
        }
    }

    /// The oldest age in it, in years; the last band has none.
    pub fn to_years(self) -> Option<u32> {
        let next = Self::ALL.get(usize::from(self.code()))?;
        Some(next.from_years() - 1)
    }
}

/// A set of bands: bit `code - 1` of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AgeBands(u8);

impl AgeBands {
    /// The bands wholly inside an inclusive range of years; without an end up to the oldest.
    pub fn inside(from: u32, to: Option<u32>) -> Self {
        let ends_inside = |band: &AgeBand| match (band.to_years(), to) {
            (_, None) => true,
            (Some(band), Some(to)) => band <= to,
            (None, Some(_)) => false,
        };
        AgeBand::ALL.iter().filter(|band| band.from_years() >= from && ends_inside(band)).copied().collect()
    }

    /// True when the band is among them.
    pub fn contains(self, band: AgeBand) -> bool {
        self.0 & bit(band) != 0
    }

    /// True when there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bands from the youngest.
    pub fn iter(self) -> impl Iterator<Item = AgeBand> {
        AgeBand::ALL.iter().copied().filter(move |band| self.contains(*band))
    }

    /// First and last band when there is no gap between them.
    pub(super) fn run(self) -> Option<(AgeBand, AgeBand)> {
        let (first, last) = (self.iter().next()?, self.iter().last()?);
        (Self::inside(first.from_years(), last.to_years()) == self).then_some((first, last))
    }
}

fn bit(band: AgeBand) -> u8 {
    1 << (band.code() - 1)
}

impl FromIterator<AgeBand> for AgeBands {
    fn from_iter<I: IntoIterator<Item = AgeBand>>(bands: I) -> Self {
        Self(bands.into_iter().fold(0, |bits, band| bits | bit(band)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_bands_wholly_inside() {
        #[track_caller]
        fn check(from: u32, to: Option<u32>, bands: &str) {
            let names: Vec<&str> = AgeBands::inside(from, to).iter().map(AgeBand::name).collect();
            assert_eq!(names.join(" "), bands, "{from} {to:?}");
        }

        check(18, Some(60), "18-24 25-34 35-44 45-59");
        check(18, Some(59), "18-24 25-34 35-44 45-59");
        check(18, Some(58), "18-24 25-34 35-44");
        check(19, Some(34), "25-34");
        check(60, None, "60-69 70+");
        check(0, Some(15), "<16");
        check(0, None, "<16 16-17 18-24 25-34 35-44 45-59 60-69 70+");
        check(60, Some(99), "60-69"); // the last band has no end to be inside
        check(20, Some(23), "");
        check(40, Some(30), "");
    }

    #[test]
    fn bands_follow_each_other_without_gap() {
        for pair in AgeBand::ALL.windows(2) {
            assert_eq!(pair[0].to_years().unwrap() + 1, pair[1].from_years());
        }
        assert_eq!(AgeBand::From70.to_years(), None);
    }
}
