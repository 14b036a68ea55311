//! Communes by code, by name, or by the district or province they lie in.

use super::leaf::{comparison, list, signed};
use super::{Kind, Parser};
use crate::admin::{NoUnit, find_commune, find_district, find_province};
use crate::place::quoted;
use crate::segment::error::RuleError;
use crate::segment::{Area, Leaf, Rule};

/// `commune in district("Ba Tri")`, `commune in ("28756", "An Hội")`, `commune = "An Hội"`.
pub(super) fn commune(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let (is_not, has_list) = comparison(parser)?;
    let area = if !has_list {
        Area::Communes(vec![unit(parser, find_commune)?])
    } else if parser.take_word("district") {
        Area::Districts(list(parser, |parser| unit(parser, find_district))?)
    } else if parser.take_word("province") {
        Area::Provinces(list(parser, |parser| unit(parser, find_province))?)
    } else if parser.is(&Kind::Sign("(")) {
        Area::Communes(list(parser, |parser| unit(parser, find_commune))?)
    } else {
        let suggestion = parser.word_among(&["district", "province"]);
        let allowed = ["district(…)", "province(…)", "(…)"];
        return Err(parser.found("here stand communes").allowing(allowed).suggesting(suggestion));
    };
    Ok(signed(Leaf::Area(area), is_not))
}

/// `district = "Ba Tri"`, `province in (83, 86)`.
pub(super) fn area<C: PartialEq>(
    parser: &mut Parser<'_>,
    find: fn(&str) -> Result<C, NoUnit>,
    area: fn(Vec<C>) -> Area,
) -> Result<Rule, RuleError> {
    let (is_not, has_list) = comparison(parser)?;
    let one = |parser: &mut Parser<'_>| unit(parser, find);
    let codes = if has_list { list(parser, one)? } else { vec![one(parser)?] };
    Ok(signed(Leaf::Area(area(codes)), is_not))
}

fn unit<C>(parser: &mut Parser<'_>, find: fn(&str) -> Result<C, NoUnit>) -> Result<C, RuleError> {
    let text = match &parser.token().kind {
        Kind::Word(text) | Kind::Text(text) | Kind::Number(text) => text.clone(),
        _ => return Err(parser.found("here stands a unit").allowing(["a code", "a name in quotes"])),
    };
    let code = find(&text).map_err(|no_unit| {
        let NoUnit { level, suggestion, candidates } = no_unit;
        if candidates.is_empty() {
            let hint = if is_cut(parser) { " (a name of several words stands in quotes)" } else { "" };
            parser.here(format!("there is no {level} {}{hint}", quoted(&text))).suggesting(suggestion)
        } else {
            let problem = format!("{} names more than one {level}; use a code", quoted(&text));
            parser.here(problem).allowing(candidates)
        }
    })?;
    parser.at += 1;
    Ok(code)
}

/// True when a word without quotes is followed by another that belongs to it: `district = Ba Tri`.
fn is_cut(parser: &Parser<'_>) -> bool {
    let next = parser.tokens.get(parser.at + 1).map(|token| &token.kind);
    let follows = match next {
        Some(Kind::Word(word)) => !["and", "or"].contains(&word.to_ascii_lowercase().as_str()),
        Some(Kind::Number(_)) => true,
        _ => false,
    };
    follows && matches!(parser.token().kind, Kind::Word(_))
}
