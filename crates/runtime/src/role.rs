//! The roles of the one binary: a closed set the operator can type.

use std::fmt;
use std::str::FromStr;

/// A role of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Units, templates, campaigns, approvals, audit.
    Registry,
    /// Datasets, segments, freezes, suppression.
    Audience,
    /// Release rows, policy, credit, intake.
    Dispatch,
    /// The SMS gateway and the correlator of receipts.
    Sms,
    /// The email gateway.
    Email,
    /// The ledger.
    Report,
    /// The operator's pages.
    Console,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Registry, Self::Audience, Self::Dispatch, Self::Sms, Self::Email, Self::Report, Self::Console];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Audience => "audience",
            Self::Dispatch => "dispatch",
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Report => "report",
            Self::Console => "console",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a role; use all, or some of: {}", Role::ALL.map(Role::name).join(", "))]
pub struct UnknownRole {
    given: String,
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| UnknownRole { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_say_what_is_known() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        let error = "sender".parse::<Role>().unwrap_err().to_string();
        assert!(error.starts_with("`sender` is not a role; use all, or some of: registry, audience"), "{error}");
    }
}
