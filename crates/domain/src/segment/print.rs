//! The canonical text of a rule: one spelling for each rule, with codes instead of names.

use std::fmt::{self, Display, Formatter};

use super::{AgeBand, AgeBands, Area, Leaf, Rule, Sample};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.fmt(f),
            Self::Not(rule) => {
                f.write_str("not ")?;
                inner(f, rule, matches!(**rule, Self::All(_) | Self::Any(_)))
            }
            Self::All(rules) => joined(f, rules, " and ", |rule| matches!(rule, Self::Any(_) | Self::All(_))),
            Self::Any(rules) => joined(f, rules, " or ", |rule| matches!(rule, Self::Any(_))),
        }
    }
}

fn joined(f: &mut Formatter<'_>, rules: &[Rule], between: &str, wraps: impl Fn(&Rule) -> bool) -> fmt::Result {
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        inner(f, rule, wraps(rule))?;
    }
    Ok(())
}

fn inner(f: &mut Formatter<'_>, rule: &Rule, wrapped: bool) -> fmt::Result {
    if wrapped { write!(f, "({rule})") } else { rule.fmt(f) }
}

impl Display for Leaf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(contact) => write!(f, "has {contact}"),
            Self::Service(values) => one_of(f, "service", values),
            Self::Payment(values) => one_of(f, "payment", values),
            Self::CustomerKind(values) => one_of(f, "customer_kind", values),
            Self::Language(values) => one_of(f, "language", values),
            Self::ConsentAds(values) => one_of(f, "consent_ads", values),
            Self::Age(bands) => ages(f, *bands),
            Self::Smartphone(has) => write!(f, "smartphone = {}", if *has { "yes" } else { "no" }),
            Self::Area(area) => area.fmt(f),
            Self::Tags(quantifier, tags) => {
                write!(f, "tags contains {quantifier}")?;
                list(f, tags.iter().map(Quoted))
            }
            Self::Sample(sample) => sample.fmt(f),
        }
    }
}

fn one_of(f: &mut Formatter<'_>, column: &str, values: &[impl Display]) -> fmt::Result {
    match values {
        [value] => write!(f, "{column} = {value}"),
        values => {
            write!(f, "{column} in ")?;
            list(f, values.iter())
        }
    }
}

fn list(f: &mut Formatter<'_>, values: impl Iterator<Item = impl Display>) -> fmt::Result {
    for (index, value) in values.enumerate() {
        write!(f, "{}{value}", if index == 0 { "(" } else { ", " })?;
    }
    f.write_str(")")
}

fn ages(f: &mut Formatter<'_>, bands: AgeBands) -> fmt::Result {
    match bands.run() {
        Some((first, last)) => match last.to_years() {
            Some(to) => write!(f, "age in {}..{to}", first.from_years()),
            None => write!(f, "age in {}..", first.from_years()),
        },
        None => {
            f.write_str("age in ")?;
            list(f, bands.iter().map(AgeBand::name).map(Quoted))
        }
    }
}

impl Display for Area {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Communes(codes) => {
                f.write_str("commune in ")?;
                list(f, codes.iter().map(quoted_code))
            }
            Self::Districts(codes) => {
                f.write_str("commune in district")?;
                list(f, codes.iter().map(quoted_code))
            }
            Self::Provinces(codes) => {
                f.write_str("commune in province")?;
                list(f, codes.iter().map(quoted_code))
            }
        }
    }
}

fn quoted_code(code: &impl Display) -> String {
    format!("\"{code}\"")
}

impl Display for Sample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.hundredths() / 100, self.hundredths() % 100);
        match (rest % 10, rest) {
            (_, 0) => write!(f, "sample {whole}%"),
            (0, _) => write!(f, "sample {whole}.{}%", rest / 10),
            _ => write!(f, "sample {whole}.{rest:02}%"),
        }
    }
}

/// A value in quotes, with what could end it escaped.
struct Quoted<S>(S);

impl<S: AsRef<str>> Display for Quoted<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.as_ref().chars() {
            if matches!(letter, '"' | '“' | '”' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        f.write_str("\"")
    }
}
