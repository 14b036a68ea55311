//! How the mail world behaves: limits and faults.
//!
//! Must stay true: but for `Who::Every`, what becomes of a mail is a function of its address, so a run can be repeated
//! and a test can tell the outcome beforehand.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::log::{SinkLog, text_hash};

/// Everything a mail world needs to start.
#[derive(Clone)]
pub struct MailConfig {
    /// Its name in the greeting: a host name.
    pub host: String,
    /// Commands may come in groups.
    pub pipelining: bool,
    /// Connections at the same time; one more is sent away with 421.
    pub connections_max: usize,
    /// Largest mail taken, octets.
    pub mail_octets_max: usize,
    /// Where accepted mails are written.
    pub log: Arc<SinkLog>,
    /// Mails kept to look at.
    pub inbox_max: usize,
    /// Octets of mails kept to look at.
    pub inbox_octets_max: usize,
    /// How it misbehaves at the start.
    pub faults: Faults,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            host: "sim.example.test".to_owned(),
            pipelining: true,
            connections_max: 1_000,
            mail_octets_max: 10 << 20,
            log: Arc::new(SinkLog::none()),
            inbox_max: 10_000,
            inbox_octets_max: 32 << 20,
            faults: Faults::default(),
        }
    }
}

/// How the mail world misbehaves.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Time between a group of commands and its answers.
    pub latency: Duration,
    /// Each address is refused once with 450 and taken the next time.
    pub greylist: bool,
    /// After so many mails a connection is ended with 421.
    pub mails_per_connection_max: Option<NonZeroU64>,
    /// The first rule that meets an address holds for the mail.
    pub rules: Vec<Rule>,
}

/// Who meets which fault.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Whose mails.
    pub who: Who,
    /// What happens to them.
    pub fault: Fault,
}

/// Whose mails a rule is about.
#[derive(Debug, Clone)]
pub enum Who {
    /// All.
    Everybody,
    /// This address.
    Address(String),
    /// Addresses with this ending, as `@example.test`.
    Ends(String),
    /// So many of 1,000 addresses, always the same ones.
    Permille(u16),
    /// Each mail whose number divides by this, counted over all connections.
    Every(NonZeroU64),
}

/// What happens to a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// RCPT is answered so, as `550 5.1.1 no such user`; after 421 the connection is closed.
    RefuseRecipient(String),
    /// The final dot is answered so, and the mail is not taken; after 421 the connection is closed.
    RefuseContent(String),
    /// The connection is closed at DATA: nothing of the content was asked for.
    CloseAtData,
    /// The connection is closed in the midst of the content.
    CloseInContent,
    /// The mail is taken and logged, and the connection is closed in place of the reply.
    TakeAndClose,
    /// The mail is not taken, and the connection is closed in place of the reply.
    DropAndClose,
}

impl Faults {
    /// The fault of the `number`-th mail, which is to `address`.
    pub(super) fn of(&self, address: &str, number: u64) -> Option<&Fault> {
        self.rules.iter().find(|rule| rule.who.meets(address, number)).map(|rule| &rule.fault)
    }
}

impl Who {
    fn meets(&self, address: &str, number: u64) -> bool {
        match self {
            Self::Everybody => true,
            Self::Address(whole) => whole.eq_ignore_ascii_case(address),
            Self::Ends(ending) => address.to_lowercase().ends_with(&ending.to_lowercase()),
            Self::Permille(share) => text_hash(address.to_lowercase().as_bytes()) % 1_000 < u64::from(*share),
            Self::Every(count) => number % *count == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_meets_holds() {
        let rule = |who, fault| Rule { who, fault };
        let faults = Faults {
            rules: vec![
                rule(Who::Address("An@example.test".to_owned()), Fault::CloseAtData),
                rule(Who::Ends("@Bad.test".to_owned()), Fault::DropAndClose),
                rule(Who::Every(NonZeroU64::new(10).unwrap()), Fault::TakeAndClose),
                rule(Who::Permille(0), Fault::CloseInContent),
            ],
            ..Faults::default()
        };
        for (address, number, expected) in [
            ("an@example.test", 10, Some(&Fault::CloseAtData)),
            ("x@bad.test", 1, Some(&Fault::DropAndClose)),
            ("x@good.test", 20, Some(&Fault::TakeAndClose)),
            ("x@good.test", 21, None),
        ] {
            assert_eq!(faults.of(address, number), expected, "{address} {number}");
        }
    }

    #[test]
    fn a_share_is_of_addresses() {
        let met = |share| (0..10_000).filter(|i| Who::Permille(share).meets(&format!("p{i}@example.test"), 0)).count();
        assert_eq!((met(0), met(1_000)), (0, 10_000));
        assert!((850..1_150).contains(&met(100)), "{}", met(100));
        assert!(Who::Everybody.meets("", 0));
    }
}
