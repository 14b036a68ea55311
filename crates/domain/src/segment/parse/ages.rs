//! Ages as ranges, comparisons or lists of bands.

use super::leaf::{comparison, list, one_value, signed};
use super::{Kind, Parser};
use crate::segment::error::RuleError;
use crate::segment::{AgeBand, AgeBands, Leaf, Rule};

/// `age in 18..60`, `age in 60..`, `age >= 60`, `age in ("18-24", "70+")`, `age = 18-24`.
pub(super) fn age(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let start = parser.token().range.start;
    for sign in [">=", ">", "<=", "<"] {
        if parser.take_sign(sign) {
            let years = years(parser)?;
            let (from, to) = match sign {
                ">=" => (years, None),
                ">" => (years + 1, None),
                "<=" => (0, Some(years)),
                _ => (0, Some(years.saturating_sub(1))),
            };
            return bands(parser, start, from, to).map(|bands| Rule::Leaf(Leaf::Age(bands)));
        }
    }
    let (is_not, has_list) = comparison(parser)?;
    let one = |parser: &mut Parser<'_>| one_value(parser, "age band", AgeBand::ALL);
    let bands: AgeBands = if !has_list {
        std::iter::once(one(parser)?).collect()
    } else if parser.is(&Kind::Sign("(")) {
        list(parser, one)?.into_iter().collect()
    } else {
        range(parser)?
    };
    Ok(signed(Leaf::Age(bands), is_not))
}

/// `18..60`, `60..`.
fn range(parser: &mut Parser<'_>) -> Result<AgeBands, RuleError> {
    let start = parser.token().range.start;
    let from = years(parser)?;
    if !parser.take_sign("..") {
        return Err(parser.found("here stands a range such as `18..60`").allowing([".."]));
    }
    let to = if matches!(parser.token().kind, Kind::Number(_)) { Some(years(parser)?) } else { None };
    bands(parser, start, from, to)
}

/// The bands inside a range that begins at byte `start` and was just read.
fn bands(parser: &Parser<'_>, start: usize, from: u32, to: Option<u32>) -> Result<AgeBands, RuleError> {
    let end = parser.tokens.get(parser.at.saturating_sub(1)).map_or(start, |token| token.range.end);
    let fault = |problem: &str| RuleError::new(parser.text, start..end, problem);
    if to.is_some_and(|to| to >= AgeBand::From70.from_years()) {
        return Err(fault("the file's last band is `70+` and has no end; write `60..` to take it in, or end at 69"));
    }
    let bands = AgeBands::inside(from, to);
    if bands.is_empty() {
        let names = AgeBand::ALL.iter().map(|band| band.name());
        return Err(
            fault("no age band of the file lies wholly inside; the bands are the answers allowed").allowing(names)
        );
    }
    Ok(bands)
}

fn years(parser: &mut Parser<'_>) -> Result<u32, RuleError> {
    let years = match &parser.token().kind {
        Kind::Number(number) => number.parse().ok().filter(|years| *years < 1_000),
        _ => None,
    };
    let years = years.ok_or_else(|| {
        let allowed =
            ["years such as 18", "a range such as 18..60 or 60..", "a list of bands such as (\"18-24\", \"70+\")"];
        parser.found("here stands an age").allowing(allowed)
    })?;
    parser.at += 1;
    Ok(years)
}
