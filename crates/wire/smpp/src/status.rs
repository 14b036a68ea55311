//! What a `command_status` means: for the message, for the campaign, for the account, for the link.
//!
//! One table instead of a chain of ifs, because operators read it, carriers deviate from it (an account may override any
//! code) and every consequence of a refusal starts here.
//!
//! Must stay true: a code nobody knows is retried once and then final, never retried for ever.

use std::fmt;
use std::str::FromStr;

/// What one `command_status` of a submit or a bind means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Accepted.
    Accepted,
    /// This message may go again later, at most `tries_max` times; others go on.
    RetryMessage { tries_max: u8 },
    /// The account is too fast: slow down; the message was not accepted and goes again first.
    Throttle,
    /// Final for this message.
    Permanent,
    /// Final for every message of this campaign: halt it.
    PermanentCampaign,
    /// The number is not this carrier's: another account may take it.
    Reroute,
    /// This bind must stop and somebody must look.
    Link,
}

impl Verdict {
    /// The words of the configuration, each with what it means.
    const WORDS: [(&'static str, Self); 8] = [
        ("ok", Self::Accepted),
        ("retry_once", Self::RetryMessage { tries_max: 1 }),
        ("retry_msg", Self::RetryMessage { tries_max: 3 }),
        ("throttle", Self::Throttle),
        ("perm", Self::Permanent),
        ("perm_campaign", Self::PermanentCampaign),
        ("reroute", Self::Reroute),
        ("link", Self::Link),
    ];
}

/// The word is none of the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVerdict {
    given: String,
}

impl std::error::Error for UnknownVerdict {}

impl fmt::Display for UnknownVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Verdict::WORDS.map(|(word, _)| word).join(", ");
        write!(f, "`{}` is not a verdict; use one of: {known}", self.given)
    }
}

impl FromStr for Verdict {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, UnknownVerdict> {
        let known = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        known.map(|(_, verdict)| verdict).ok_or_else(|| UnknownVerdict { given: text.to_owned() })
    }
}

pub const ROK: u32 = 0x00;
pub const RINVCMDLEN: u32 = 0x02;
pub const RINVCMDID: u32 = 0x03;
pub const RINVBNDSTS: u32 = 0x04;
pub const RALYBND: u32 = 0x05;
pub const RSYSERR: u32 = 0x08;
pub const RINVSRCADR: u32 = 0x0A;
pub const RINVDSTADR: u32 = 0x0B;
pub const RBINDFAIL: u32 = 0x0D;
pub const RINVPASWD: u32 = 0x0E;
pub const RINVSYSID: u32 = 0x0F;
pub const RMSGQFUL: u32 = 0x14;
pub const RTHROTTLED: u32 = 0x58;
pub const RX_T_APPN: u32 = 0x64;

const RETRY: Verdict = Verdict::RetryMessage { tries_max: 3 };
const RETRY_ONCE: Verdict = Verdict::RetryMessage { tries_max: 1 };
const PERM: Verdict = Verdict::Permanent;
const CAMPAIGN: Verdict = Verdict::PermanentCampaign;

/// Every named code, in order.
const TABLE: &[(u32, &str, Verdict)] = &[
    (ROK, "ROK", Verdict::Accepted),
    (0x01, "RINVMSGLEN", CAMPAIGN), // our encoder's fault, so it meets every message
    (RINVCMDLEN, "RINVCMDLEN", Verdict::Link),
    (RINVCMDID, "RINVCMDID", Verdict::Link),
    (RINVBNDSTS, "RINVBNDSTS", Verdict::Link), // bound with the wrong mode
    (RALYBND, "RALYBND", Verdict::Link),       // an old session lingers
    (0x06, "RINVPRTFLG", CAMPAIGN),
    (0x07, "RINVREGDLVFLG", CAMPAIGN),
    (RSYSERR, "RSYSERR", RETRY),          // many carriers use it for anything
    (RINVSRCADR, "RINVSRCADR", CAMPAIGN), // the brandname is not declared here
    (RINVDSTADR, "RINVDSTADR", PERM),     // wrong, or ported: then the account overrides it with reroute
    (0x0C, "RINVMSGID", PERM),
    (RBINDFAIL, "RBINDFAIL", Verdict::Link),
    (RINVPASWD, "RINVPASWD", Verdict::Link),
    (RINVSYSID, "RINVSYSID", Verdict::Link),
    (0x11, "RCANCELFAIL", PERM),
    (0x13, "RREPLACEFAIL", PERM),
    (RMSGQFUL, "RMSGQFUL", Verdict::Throttle),
    (0x15, "RINVSERTYP", CAMPAIGN),
    (0x33, "RINVNUMDESTS", PERM),
    (0x34, "RINVDLNAME", PERM),
    (0x40, "RINVDESTFLAG", PERM),
    (0x42, "RINVSUBREP", CAMPAIGN),
    (0x43, "RINVESMCLASS", CAMPAIGN),
    (0x44, "RCNTSUBDL", PERM),
    (0x45, "RSUBMITFAIL", RETRY), // some mean blocked content: overridden with perm
    (0x48, "RINVSRCTON", CAMPAIGN),
    (0x49, "RINVSRCNPI", CAMPAIGN),
    (0x50, "RINVDSTTON", PERM),
    (0x51, "RINVDSTNPI", PERM),
    (0x53, "RINVSYSTYP", Verdict::Link),
    (0x54, "RINVREPFLAG", PERM),
    (0x55, "RINVNUMMSGS", PERM),
    (RTHROTTLED, "RTHROTTLED", Verdict::Throttle),
    (0x61, "RINVSCHED", CAMPAIGN),
    (0x62, "RINVEXPIRY", CAMPAIGN),
    (0x63, "RINVDFTMSGID", CAMPAIGN),
    (RX_T_APPN, "RX_T_APPN", RETRY),
    (0x65, "RX_P_APPN", PERM),
    (0x66, "RX_R_APPN", RETRY),
    (0x67, "RQUERYFAIL", PERM),
    (0xC0, "RINVOPTPARSTREAM", CAMPAIGN),
    (0xC1, "ROPTPARNOTALLWD", CAMPAIGN),
    (0xC2, "RINVPARLEN", CAMPAIGN),
    (0xC3, "RMISSINGOPTPARAM", CAMPAIGN),
    (0xC4, "RINVOPTPARAMVAL", CAMPAIGN), // often: the template's id is missing
    (0xFE, "RDELIVERYFAILURE", RETRY),
    (0xFF, "RUNKNOWNERR", RETRY_ONCE),
    (0x0100, "RSERTYPUNAUTH", CAMPAIGN),
    (0x0101, "RPROHIBITED", CAMPAIGN),
    (0x0102, "RSERTYPUNAVAIL", RETRY),
    (0x0103, "RSERTYPDENIED", CAMPAIGN),
    (0x0104, "RINVDCS", CAMPAIGN),
    (0x0105, "RINVSRCADDRSUBUNIT", CAMPAIGN),
    (0x0106, "RINVDSTADDRSUBUNIT", CAMPAIGN),
];

/// The rest of version 5.0's block: broadcast errors, all of configuration.
const VERSION_5: std::ops::RangeInclusive<u32> = 0x0107..=0x0112;

fn row(code: u32) -> Option<&'static (u32, &'static str, Verdict)> {
    TABLE.binary_search_by_key(&code, |(code, ..)| *code).ok().map(|at| &TABLE[at])
}

/// The specification's name of a code, where it has one.
pub fn name(code: u32) -> Option<&'static str> {
    row(code).map(|(_, name, _)| *name)
}

/// What a code means by the specification and by custom.
pub fn verdict(code: u32) -> Verdict {
    match row(code) {
        Some((.., verdict)) => *verdict,
        None if VERSION_5.contains(&code) => CAMPAIGN,
        None => RETRY_ONCE,
    }
}

/// The table of one carrier account: the common one with its deviations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Sorted by code.
    overrides: Vec<(u32, Verdict)>,
}

impl Verdicts {
    /// A table with these codes decided otherwise; of a code given twice the last holds.
    pub fn with_overrides(overrides: impl IntoIterator<Item = (u32, Verdict)>) -> Self {
        let mut table = Self::default();
        for (code, verdict) in overrides {
            match table.overrides.binary_search_by_key(&code, |(code, _)| *code) {
                Ok(at) => table.overrides[at].1 = verdict,
                Err(at) => table.overrides.insert(at, (code, verdict)),
            }
        }
        table
    }

    /// What a code means at this account.
    pub fn verdict(&self, code: u32) -> Verdict {
        match self.overrides.binary_search_by_key(&code, |(code, _)| *code) {
            Ok(at) => self.overrides[at].1,
            Err(_) => verdict(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0), "binary search needs it, and no code stands twice");
    }

    #[test]
    fn decides_every_code() {
        #[track_caller]
        fn check(code: u32, expected: Verdict) {
            assert_eq!(verdict(code), expected, "{code:#06x}");
        }

        check(0x00, Verdict::Accepted);
        check(0x01, CAMPAIGN);
        check(0x05, Verdict::Link);
        check(0x08, RETRY);
        check(0x0A, CAMPAIGN);
        check(0x0B, PERM);
        check(0x0E, Verdict::Link);
        check(0x14, Verdict::Throttle);
        check(0x45, RETRY);
        check(0x53, Verdict::Link);
        check(0x58, Verdict::Throttle);
        check(0x61, CAMPAIGN);
        check(0x65, PERM);
        check(0xC4, CAMPAIGN);
        check(0xFF, RETRY_ONCE);
        check(0x0102, RETRY);
        check(0x0112, CAMPAIGN); // version 5.0, unnamed here
        check(0x0400, RETRY_ONCE); // vendor
        check(0xDEAD_BEEF, RETRY_ONCE);
        assert_eq!(name(0x58), Some("RTHROTTLED"));
        assert_eq!(name(0x0400), None);
    }

    #[test]
    fn an_account_may_differ() {
        let table = Verdicts::with_overrides([(0x45, PERM), (0x0412, Verdict::Link), (0x45, Verdict::Reroute)]);
        assert_eq!(table.verdict(0x45), Verdict::Reroute, "the last word holds");
        assert_eq!(table.verdict(0x0412), Verdict::Link);
        assert_eq!(table.verdict(0x58), Verdict::Throttle);
    }

    #[test]
    fn words_of_the_configuration() {
        for (word, verdict) in Verdict::WORDS {
            assert_eq!(word.parse(), Ok(verdict));
        }
        let error = "fatal".parse::<Verdict>().unwrap_err().to_string();
        assert!(error.starts_with("`fatal` is not a verdict; use one of: ok,"), "{error}");
    }
}
