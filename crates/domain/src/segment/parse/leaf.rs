//! The questions a rule may ask about a column.

use std::str::FromStr;

use super::{Kind, Parser};
use super::{ages, units};
use crate::admin::{find_district, find_province};
use crate::place::quoted;
use crate::segment::error::RuleError;
use crate::segment::{AgeBand, Area, Contact, Leaf, Quantifier, RULE_LIST_MAX, Rule, Sample, TAG_CHARS_MAX, values};

/// What a condition may begin with.
const BEGINNINGS: [&str; 14] = [
    "has",
    "commune",
    "district",
    "province",
    "age",
    "service",
    "payment",
    "customer_kind",
    "language",
    "smartphone",
    "consent_ads",
    "tags",
    "sample",
    "not",
];

/// Words people try first, and the one that is meant.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("area", "commune"),
    ("commune_code", "commune"),
    ("age_band", "age"),
    ("msisdn", "has mobile"),
    ("phone", "has mobile"),
    ("fixed_number", "has fixed"),
    ("email", "has email"),
    ("consent", "consent_ads"),
];

pub(super) fn leaf(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let word = match &parser.token().kind {
        Kind::Word(word) => word.to_ascii_lowercase(),
        _ => return Err(parser.found("here stands a condition").allowing(BEGINNINGS)),
    };
    let column = parser.token().range.clone();
    parser.at += 1;
    match word.as_str() {
        "has" => has(parser),
        "sample" => sample(parser),
        "tags" => tags(parser),
        "age" => ages::age(parser),
        "smartphone" => smartphone(parser),
        "service" => closed(parser, values::Service::ALL, Leaf::Service),
        "payment" => closed(parser, values::Payment::ALL, Leaf::Payment),
        "customer_kind" => closed(parser, values::CustomerKind::ALL, Leaf::CustomerKind),
        "language" => closed(parser, values::Language::ALL, Leaf::Language),
        "consent_ads" => closed(parser, values::Consent::ALL, Leaf::ConsentAds),
        "commune" => units::commune(parser),
        "district" => units::area(parser, find_district, Area::Districts),
        "province" => units::area(parser, find_province, Area::Provinces),
        _ => {
            parser.at -= 1;
            Err(unknown(parser, &word, column))
        }
    }
}

fn unknown(parser: &Parser<'_>, word: &str, range: std::ops::Range<usize>) -> RuleError {
    if word == "slots" {
        return RuleError::new(parser.text, range, "slot values are for texts and select nobody").allowing(BEGINNINGS);
    }
    let error = parser.no_such("condition", &BEGINNINGS);
    match OTHER_NAMES.iter().find(|(other, _)| *other == word) {
        Some((_, meant)) => error.suggesting(Some(*meant)),
        None => error,
    }
}

fn positive(leaf: Leaf) -> Rule {
    Rule::Leaf(leaf)
}

pub(super) fn signed(leaf: Leaf, is_not: bool) -> Rule {
    if is_not { Rule::Not(Box::new(Rule::Leaf(leaf))) } else { Rule::Leaf(leaf) }
}

/// `has mobile`.
fn has(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let contact: Contact = one_value(parser, "kind of address", Contact::ALL)?;
    Ok(positive(Leaf::Has(contact)))
}

/// `sample 5%`, `sample 0.25%`.
fn sample(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let wanted = "here stands a part of all people such as `5%`";
    let allowed = ["a number from 0.01 to 100 with at most two digits after the point, and `%`"];
    let Kind::Number(number) = parser.token().kind.clone() else {
        return Err(parser.found(wanted).allowing(allowed));
    };
    let sample = hundredths(&number).and_then(Sample::new);
    let Some(sample) = sample else {
        return Err(parser.here(format!("{} is no part of all people", quoted(&number))).allowing(allowed));
    };
    parser.at += 1;
    if !parser.take_sign("%") {
        return Err(parser.found("after the number stands `%`").allowing(["%"]));
    }
    Ok(positive(Leaf::Sample(sample)))
}

/// A decimal of at most two places in hundredths.
fn hundredths(number: &str) -> Option<u16> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 2 {
        return None;
    }
    let whole: u16 = whole.parse().ok()?;
    let fraction: u16 = format!("{fraction:0<2}").parse().ok()?;
    whole.checked_mul(100)?.checked_add(fraction)
}

/// `tags contains any("dua", "tom")`, `tags contains "can_bo"`.
fn tags(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    if !parser.take_word("contains") {
        return Err(parser.found("after `tags` stands `contains`").allowing(["contains any(…)", "contains all(…)"]));
    }
    let quantifier = Quantifier::ALL.iter().copied().find(|quantifier| parser.take_word(quantifier.name()));
    let tags = match quantifier {
        Some(_) => list(parser, tag)?,
        None if parser.is(&Kind::Sign("(")) => list(parser, tag)?,
        None => vec![tag(parser)?],
    };
    Ok(positive(Leaf::Tags(quantifier.unwrap_or(Quantifier::Any), tags)))
}

fn tag(parser: &mut Parser<'_>) -> Result<Box<str>, RuleError> {
    let tag = match &parser.token().kind {
        Kind::Word(tag) | Kind::Text(tag) | Kind::Number(tag) => tag.clone(),
        _ => return Err(parser.found("here stands a tag").allowing(["a word", "a text in quotes"])),
    };
    if tag.trim().is_empty() || tag.chars().count() > TAG_CHARS_MAX {
        return Err(parser.here(format!("{} is no tag; it has 1 to {TAG_CHARS_MAX} characters", quoted(&tag))));
    }
    parser.at += 1;
    Ok(tag.into())
}

/// `smartphone`, `smartphone = no`.
fn smartphone(parser: &mut Parser<'_>) -> Result<Rule, RuleError> {
    let is_not = parser.is(&Kind::Sign("!="));
    if !parser.take_sign("=") && !parser.take_sign("!=") {
        return Ok(positive(Leaf::Smartphone(true)));
    }
    let answers = [("yes", true), ("true", true), ("no", false), ("false", false)];
    match answers.into_iter().find(|(word, _)| parser.take_word(word)) {
        Some((_, has)) => Ok(signed(Leaf::Smartphone(has), is_not)),
        None => Err(parser.no_such("answer", &["yes", "no"])),
    }
}

/// The comparison of a column with values: true for `!=` and `not in`, and whether a list follows.
pub(super) fn comparison(parser: &mut Parser<'_>) -> Result<(bool, bool), RuleError> {
    for (sign, is_not) in [("=", false), ("!=", true)] {
        if parser.take_sign(sign) {
            return Ok((is_not, false));
        }
    }
    let is_not = parser.take_word("not");
    if parser.take_word("in") {
        return Ok((is_not, true));
    }
    let suggestion = parser.word_among(&["in", "not"]);
    Err(parser.found("here stands a comparison").allowing(["=", "!=", "in", "not in"]).suggesting(suggestion))
}

/// `service = mobile`, `service in (mobile, ftth)`.
fn closed<T>(parser: &mut Parser<'_>, all: &'static [T], leaf: fn(Vec<T>) -> Leaf) -> Result<Rule, RuleError>
where
    T: FromStr + Copy + PartialEq + Named,
{
    let (is_not, has_list) = comparison(parser)?;
    let value = |parser: &mut Parser<'_>| one_value(parser, "value of this column", all);
    let values = if has_list { list(parser, value)? } else { vec![value(parser)?] };
    Ok(signed(leaf(values), is_not))
}

/// A value of a closed set, with or without quotes.
pub(super) fn one_value<T: FromStr + Copy + Named>(
    parser: &mut Parser<'_>,
    what: &str,
    all: &'static [T],
) -> Result<T, RuleError> {
    let value = match &parser.token().kind {
        Kind::Word(word) | Kind::Text(word) => word.to_lowercase().parse().ok(),
        _ => None,
    };
    let names: Vec<&'static str> = all.iter().map(|value| value.named()).collect();
    let value = value.ok_or_else(|| parser.no_such(what, &names))?;
    parser.at += 1;
    Ok(value)
}

/// A closed set's name, for lists of what is allowed.
pub(super) trait Named {
    fn named(self) -> &'static str;
}

macro_rules! named {
    ($($set:ty),+) => {
        $(impl Named for $set {
            fn named(self) -> &'static str {
                self.name()
            }
        })+
    };
}
named!(Contact, AgeBand, values::Service, values::Payment, values::CustomerKind, values::Language, values::Consent);

/// `(a, b, c)`; a value that stands twice counts once.
pub(super) fn list<T: PartialEq>(
    parser: &mut Parser<'_>,
    item: impl Fn(&mut Parser<'_>) -> Result<T, RuleError>,
) -> Result<Vec<T>, RuleError> {
    if !parser.take_sign("(") {
        return Err(parser.found("here stands a list in parentheses").allowing(["("]));
    }
    let mut values = Vec::new();
    loop {
        if values.len() == RULE_LIST_MAX {
            return Err(parser.here(format!("the list has more than {RULE_LIST_MAX} values; split it with `or`")));
        }
        let value = item(parser)?;
        if !values.contains(&value) {
            values.push(value);
        }
        if parser.take_sign(")") {
            return Ok(values);
        }
        if !parser.take_sign(",") {
            return Err(parser.found("here the list ends or goes on").allowing([",", ")"]));
        }
    }
}
