//! Segments: who of a dataset shall be reached, as a typed rule tree with a small text form.
//!
//! People write `commune in district("Ba Tri") and age in 18..60 and has mobile`; the tree holds codes and closed sets, so
//! that whoever evaluates it over columns meets no text. The canonical text (`Display`) is what is stored and hashed.
//!
//! A leaf is false where the file has no value, and `not` only turns it round: `not smartphone = yes` takes in those of
//! whom it is not known, `smartphone = no` does not.
//!
//! Must stay true: a rule's canonical text parses back to the same rule; depth, nodes and lists are bounded; an error
//! points at its place and says what is allowed there.

mod age;
mod error;
mod lex;
mod parse;
mod print;
mod suggest;
mod values;

use std::collections::BTreeSet;

pub use age::{AgeBand, AgeBands};
pub use error::RuleError;
pub use values::{Column, Consent, Contact, CustomerKind, Language, Payment, Quantifier, Service};

pub(crate) use suggest::closest;

use crate::admin::{self, CommuneCode, DistrictCode, ProvinceCode};

/// Bytes of a rule's text, at most.
pub const RULE_BYTES_MAX: usize = 64 * 1024;
/// Values of one list, at most.
pub const RULE_LIST_MAX: usize = 1_000;
/// Characters of one tag, at most.
pub const TAG_CHARS_MAX: usize = 32;

/// A rule over the columns of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rule {
    /// All of these; at least two, none of them `All`.
    All(Vec<Rule>),
    /// At least one of these; at least two, none of them `Any`.
    Any(Vec<Rule>),
    /// Everybody this one leaves out.
    Not(Box<Rule>),
    /// A question about one column.
    Leaf(Leaf),
}

/// A question about one column; false where the file has no value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// The person has this kind of address.
    Has(Contact),
    /// The service is one of these.
    Service(Vec<Service>),
    /// Paid in one of these ways.
    Payment(Vec<Payment>),
    /// The customer is one of these.
    CustomerKind(Vec<CustomerKind>),
    /// The language is one of these.
    Language(Vec<Language>),
    /// The consent to advertising is one of these.
    ConsentAds(Vec<Consent>),
    /// The age band is one of these; never empty.
    Age(AgeBands),
    /// Known to have a smartphone, or known to have none.
    Smartphone(bool),
    /// The commune lies in one of these.
    Area(Area),
    /// Any or all of these tags.
    Tags(Quantifier, Vec<Box<str>>),
    /// A part of all people, the same people each time.
    Sample(Sample),
}

/// Communes, named one by one or by what they lie in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Area {
    /// These communes.
    Communes(Vec<CommuneCode>),
    /// Every commune whose code lies or lay in these districts.
    Districts(Vec<DistrictCode>),
    /// Every commune whose code lies or lay in these provinces.
    Provinces(Vec<ProvinceCode>),
}

impl Area {
    /// The communes it means, each once, by code.
    pub fn communes(&self) -> BTreeSet<CommuneCode> {
        match self {
            Self::Communes(codes) => codes.iter().copied().collect(),
            Self::Districts(districts) => {
                let within = admin::communes().iter().filter(|commune| districts.contains(&commune.district));
                within.map(|commune| commune.code).collect()
            }
            // All communes known here lay in Bến Tre and lie in Vĩnh Long.
            Self::Provinces(provinces) => {
                let known = admin::provinces().iter().any(|province| provinces.contains(&province.code));
                admin::communes().iter().filter(|_| known).map(|commune| commune.code).collect()
            }
        }
    }
}

/// A part of all people in hundredths of a percent, chosen by their keyed hash: a larger sample contains a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample(u16);

impl Sample {
    /// A whole, in hundredths of a percent.
    pub const WHOLE: u16 = 10_000;

    /// A sample of 1 to [`Sample::WHOLE`] hundredths of a percent.
    pub fn new(hundredths: u16) -> Option<Self> {
        (1..=Self::WHOLE).contains(&hundredths).then_some(Self(hundredths))
    }

    /// Hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// True for the people of the sample. Only the low half of the hash counts: the high bits choose the shard.
    pub fn selects(self, hash: u64) -> bool {
        ((hash & 0xFFFF_FFFF) * u64::from(Self::WHOLE)) >> 32 < u64::from(self.0)
    }
}

impl Leaf {
    /// The column it reads; a sample reads none but the address hash.
    pub fn column(&self) -> Option<Column> {
        match self {
            Self::Has(contact) => Some(contact.column()),
            Self::Service(_) => Some(Column::Service),
            Self::Payment(_) => Some(Column::Payment),
            Self::CustomerKind(_) => Some(Column::CustomerKind),
            Self::Language(_) => Some(Column::Language),
            Self::ConsentAds(_) => Some(Column::ConsentAds),
            Self::Age(_) => Some(Column::AgeBand),
            Self::Smartphone(_) => Some(Column::Smartphone),
            Self::Area(_) => Some(Column::CommuneCode),
            Self::Tags(..) => Some(Column::Tags),
            Self::Sample(_) => None,
        }
    }
}

impl Rule {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        parse::parse(text)
    }

    /// Every column the rule reads, so that no other is fetched.
    pub fn columns(&self) -> BTreeSet<Column> {
        let mut columns = BTreeSet::new();
        self.each_leaf(&mut |leaf| columns.extend(leaf.column()));
        columns
    }

    /// Calls `each` for every leaf, from left to right.
    pub fn each_leaf<'r>(&'r self, each: &mut impl FnMut(&'r Leaf)) {
        match self {
            Self::Leaf(leaf) => each(leaf),
            Self::Not(rule) => rule.each_leaf(each),
            Self::All(rules) | Self::Any(rules) => rules.iter().for_each(|rule| rule.each_leaf(each)),
        }
    }

    /// Levels of the tree; a leaf is one.
    pub fn depth(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Not(rule) => 1 + rule.depth(),
            Self::All(rules) | Self::Any(rules) => 1 + rules.iter().map(Self::depth).max().unwrap_or(0),
        }
    }

    /// Nodes of the tree, groups and `not` included.
    pub fn nodes(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Not(rule) => 1 + rule.nodes(),
            Self::All(rules) | Self::Any(rules) => 1 + rules.iter().map(Self::nodes).sum::<usize>(),
        }
    }
}

impl std::str::FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
