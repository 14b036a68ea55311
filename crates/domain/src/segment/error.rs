//! What a person sees who wrote a rule that does not parse: the place, what stands there, what may stand there.
//!
//! ```text
//! line 1, column 12: there is no district `Ba Tre`; did you mean `Ba Tri`?
//!   district = "Ba Tre"
//!              ^^^^^^^^
//! ```

use std::fmt;
use std::ops::Range;

use crate::place::{Excerpt, Place, quoted};

/// Words shown as allowed, at most.
const ALLOWED_SHOWN_MAX: usize = 20;

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// What stands there and why it may not.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// What may stand there.
    pub allowed: Vec<String>,
    /// The line with a caret under the place.
    pub excerpt: Box<Excerpt>,
}

impl RuleError {
    pub(super) fn new(text: &str, range: Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            place: Place::of(text, range.start),
            problem: problem.into(),
            suggestion: None,
            allowed: Vec::new(),
            excerpt: Box::new(Excerpt::of(text, range)),
        }
    }

    pub(super) fn allowing<S: Into<String>>(mut self, allowed: impl IntoIterator<Item = S>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn suggesting(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// The error on one line, without the excerpt.
    pub fn summary(&self) -> String {
        let mut line = format!("{}: {}", self.place, self.problem);
        if let Some(suggestion) = &self.suggestion {
            line.push_str(&format!("; did you mean {}?", quoted(suggestion)));
        }
        if !self.allowed.is_empty() {
            let shown: Vec<&str> = self.allowed.iter().take(ALLOWED_SHOWN_MAX).map(String::as_str).collect();
            line.push_str(&format!("; allowed here: {}", shown.join(", ")));
            if self.allowed.len() > ALLOWED_SHOWN_MAX {
                line.push_str(", …");
            }
        }
        line
    }
}

/// The summary and the excerpt, on three lines.
impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.summary(), self.excerpt)
    }
}

impl std::error::Error for RuleError {}
