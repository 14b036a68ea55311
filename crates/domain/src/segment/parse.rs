//! Reading a rule: `or` binds loosest, then `and`, then `not`; parentheses group.
//!
//! Must stay true: reading goes no deeper than the limit allows, so no text can exhaust the stack; the limits refuse a rule
//! at the place where it passes them.

mod ages;
mod leaf;
mod units;

use super::error::RuleError;
use super::lex::{Kind, Token, tokens};
use super::{RULE_BYTES_MAX, Rule, closest};
use crate::limits::{RULE_DEPTH_MAX, RULE_NODES_MAX};
use crate::place::{Place, quoted};

pub(super) fn parse(text: &str) -> Result<Rule, RuleError> {
    if text.len() > RULE_BYTES_MAX {
        let problem = format!("the rule has {} bytes, at most {RULE_BYTES_MAX} are allowed; split it", text.len());
        return Err(RuleError::new(text, 0..0, problem));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, nesting: 0, nodes: 0 };
    let rule = parser.any()?;
    if !parser.is(&Kind::End) {
        return Err(parser
            .found("here a rule ends or goes on")
            .allowing(["and", "or", "the end"])
            .suggesting(parser.word_among(&["and", "or"])));
    }
    let depth = rule.depth();
    if depth > RULE_DEPTH_MAX {
        let problem = format!("the rule is {depth} levels deep, at most {RULE_DEPTH_MAX} are allowed; flatten it");
        return Err(RuleError::new(text, 0..0, problem));
    }
    Ok(rule)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Open parentheses and `not`s.
    nesting: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Rule, RuleError> {
        self.group(
            "or",
            Self::all,
            |rule| match rule {
                Rule::Any(rules) => Ok(rules),
                other => Err(other),
            },
            Rule::Any,
        )
    }

    fn all(&mut self) -> Result<Rule, RuleError> {
        self.group(
            "and",
            Self::unary,
            |rule| match rule {
                Rule::All(rules) => Ok(rules),
                other => Err(other),
            },
            Rule::All,
        )
    }

    /// One or more of what `item` reads, with `word` between them; groups of the same kind melt together.
    fn group(
        &mut self,
        word: &str,
        item: fn(&mut Self) -> Result<Rule, RuleError>,
        same: fn(Rule) -> Result<Vec<Rule>, Rule>,
        group: fn(Vec<Rule>) -> Rule,
    ) -> Result<Rule, RuleError> {
        let first = item(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        self.count_node()?;
        let mut rules = same(first).unwrap_or_else(|other| vec![other]);
        while self.take_word(word) {
            match same(item(self)?) {
                Ok(inner) => rules.extend(inner),
                Err(other) => rules.push(other),
            }
        }
        Ok(group(rules))
    }

    fn unary(&mut self) -> Result<Rule, RuleError> {
        if self.is_word("not") {
            self.count_node()?;
            self.enter()?;
            self.at += 1;
            let rule = self.unary()?;
            self.nesting -= 1;
            return Ok(Rule::Not(Box::new(rule)));
        }
        if self.is(&Kind::Sign("(")) {
            self.enter()?;
            let opened = self.token().range.clone();
            self.at += 1;
            let rule = self.any()?;
            if !self.take_sign(")") {
                let place = Place::of(self.text, opened.start);
                let problem = format!("the `(` of {place} is not closed here");
                return Err(self.found(&problem).allowing(["and", "or", ")"]));
            }
            self.nesting -= 1;
            return Ok(rule);
        }
        self.count_node()?;
        leaf::leaf(self)
    }

    fn enter(&mut self) -> Result<(), RuleError> {
        self.nesting += 1;
        if self.nesting > RULE_DEPTH_MAX {
            let problem = format!("the rule is nested deeper than {RULE_DEPTH_MAX} levels; flatten it");
            return Err(self.here(problem));
        }
        Ok(())
    }

    fn count_node(&mut self) -> Result<(), RuleError> {
        self.nodes += 1;
        if self.nodes > RULE_NODES_MAX {
            let problem = format!("the rule has more than {RULE_NODES_MAX} conditions and groups; use lists: `in (…)`");
            return Err(self.here(problem));
        }
        Ok(())
    }

    /// The current token; the last is the end and is never passed.
    fn token(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn is(&self, kind: &Kind) -> bool {
        self.token().kind == *kind
    }

    /// Keywords are read in any case.
    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token().kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &'static str) -> bool {
        let found = self.is(&Kind::Sign(sign));
        self.at += usize::from(found);
        found
    }

    /// An error at the current token.
    fn here(&self, problem: impl Into<String>) -> RuleError {
        RuleError::new(self.text, self.token().range.clone(), problem)
    }

    /// An error that says what was found at the current token.
    fn found(&self, wanted: &str) -> RuleError {
        self.here(format!("{wanted}, found {}", self.token().kind))
    }

    /// The keyword that was probably meant by the current token.
    fn word_among(&self, words: &[&'static str]) -> Option<&'static str> {
        match &self.token().kind {
            Kind::Word(found) => closest(&found.to_ascii_lowercase(), words.iter().map(|word| (word, *word))),
            _ => None,
        }
    }

    /// An error that the current token is no `what`, with what is allowed and what was probably meant.
    fn no_such(&self, what: &str, allowed: &[&'static str]) -> RuleError {
        let problem = match &self.token().kind {
            Kind::Word(found) | Kind::Text(found) | Kind::Number(found) => format!("{} is no {what}", quoted(found)),
            other => format!("here stands a {what}, found {other}"),
        };
        let suggestion = match &self.token().kind {
            Kind::Word(found) | Kind::Text(found) => {
                closest(&found.to_lowercase(), allowed.iter().map(|word| (word, *word)))
            }
            _ => None,
        };
        self.here(problem).allowing(allowed.iter().copied()).suggesting(suggestion)
    }
}
