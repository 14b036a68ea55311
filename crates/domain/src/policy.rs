//! May this message go to this person now? The one function that freeze, release and recheck all ask.
//!
//! Must stay true: pure; the same facts give the same verdict everywhere, so a block found by a gateway is decided by the
//! function that decided the release.

use crate::channel::Class;
use crate::hash::HashKey;
use crate::state::Reason;

/// What of a campaign decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CampaignFacts {
    /// The message class.
    pub class: Class,
    /// When the class's hours (or the campaign's own, if narrower) open next; `None` while they are open.
    pub opens_at_us: Option<i64>,
    /// End of the campaign, in microseconds since 1970.
    pub ends_at_us: i64,
}

/// What of a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonFacts {
    /// A suppression entry covers this sender, class or topic.
    pub suppressed: bool,
    /// On the do-not-call register for messages.
    pub dnc: bool,
    /// Consent to advertising, where the class needs it.
    pub consent: Consent,
}

/// Consent to advertising.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Never given.
    None,
    /// Given, and provable.
    Granted,
    /// Given once and taken back.
    Withdrawn,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Allow,
    /// It never goes.
    Skip(Reason),
    /// Not before this time, in microseconds since 1970.
    Defer {
        /// When to ask again.
        until_us: i64,
        /// Why it waits.
        reason: Reason,
    },
}

/// Order as in the check list: suppressed, register, consent, hours, end.
///
/// `respect_dnc_for_public`: the register legally covers advertising alone; by default public information respects it too.
pub fn verdict(campaign: CampaignFacts, person: PersonFacts, respect_dnc_for_public: bool, now_us: i64) -> Verdict {
    let skip = Verdict::Skip;
    match campaign.class {
        Class::Emergency | Class::Personal => {}
        _ if person.suppressed => return skip(Reason::Suppressed),
        Class::Advertising | Class::AdRegistration if person.dnc => return skip(Reason::Dnc),
        Class::PublicInformation if person.dnc && respect_dnc_for_public => return skip(Reason::Dnc),
        _ => {}
    }
    match (campaign.class, person.consent) {
        (Class::Advertising, Consent::None) => return skip(Reason::NoConsent),
        (Class::Advertising | Class::AdRegistration, Consent::Withdrawn) => return skip(Reason::ConsentWithdrawn),
        _ => {}
    }
    match campaign.opens_at_us {
        _ if now_us >= campaign.ends_at_us => skip(Reason::Expired),
        Some(until_us) if until_us >= campaign.ends_at_us => skip(Reason::Expired),
        Some(until_us) => Verdict::Defer { until_us, reason: Reason::QuietHours },
        None => Verdict::Allow,
    }
}

/// What a suppression entry covers: everything, or one sender's messages of one class or topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(pub u32);

impl Scope {
    /// Everything from everybody.
    pub const ALL: Self = Self(0);

    /// The scope of (sender unit, class, topic); an empty field means any. All empty is [`Scope::ALL`].
    pub fn of(key: &HashKey, unit: &str, class: &str, topic: &str) -> Self {
        if unit.is_empty() && class.is_empty() && topic.is_empty() {
            return Self::ALL;
        }
        let hash = key.hash(format!("scope\u{1f}{unit}\u{1f}{class}\u{1f}{topic}").as_bytes());
        // Zero is taken by ALL.
        Self(u32::try_from(hash >> 32).expect("32 bits fit in u32").max(1))
    }

    /// Every scope that covers a message of this unit, class and topic: a person is suppressed if one of these is.
    pub fn covering(key: &HashKey, unit: &str, class: Class, topic: &str) -> Vec<Self> {
        let mut scopes = Vec::with_capacity(8);
        for unit in ["", unit] {
            for class in ["", class.name()] {
                for topic in ["", topic] {
                    scopes.push(Self::of(key, unit, class, topic));
                }
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: PersonFacts = PersonFacts { suppressed: false, dnc: false, consent: Consent::None };

    #[test]
    fn decides_in_the_order_of_the_law() {
        #[track_caller]
        fn check(class: Class, person: PersonFacts, opens_at_us: Option<i64>, expected: Verdict) {
            let campaign = CampaignFacts { class, opens_at_us, ends_at_us: 1_000 };
            assert_eq!(verdict(campaign, person, true, 10), expected, "{class}");
        }
        let suppressed = PersonFacts { suppressed: true, ..PERSON };
        let dnc = PersonFacts { dnc: true, consent: Consent::Granted, ..PERSON };
        check(Class::PublicInformation, PERSON, None, Verdict::Allow);
        check(Class::PublicInformation, suppressed, None, Verdict::Skip(Reason::Suppressed));
        check(Class::PublicInformation, dnc, None, Verdict::Skip(Reason::Dnc));
        check(Class::Emergency, suppressed, None, Verdict::Allow); // an emergency reaches everybody
        check(Class::Advertising, PERSON, None, Verdict::Skip(Reason::NoConsent)); // silence is never consent
        check(Class::Advertising, dnc, None, Verdict::Skip(Reason::Dnc));
        check(Class::AdRegistration, PERSON, None, Verdict::Allow);
        check(Class::CustomerCare, dnc, None, Verdict::Allow); // the register is about advertising
        let night = Verdict::Defer { until_us: 500, reason: Reason::QuietHours };
        check(Class::PublicInformation, PERSON, Some(500), night);
        check(Class::PublicInformation, PERSON, Some(1_000), Verdict::Skip(Reason::Expired)); // it would open too late
    }

    #[test]
    fn after_the_end_nothing_goes() {
        let campaign = CampaignFacts { class: Class::Emergency, opens_at_us: None, ends_at_us: 1_000 };
        assert_eq!(verdict(campaign, PERSON, true, 1_000), Verdict::Skip(Reason::Expired));
    }

    #[test]
    fn a_scope_covers_what_it_names() {
        let key = HashKey::new([3; 16]);
        let message = Scope::covering(&key, "unit-1", Class::PublicInformation, "so-hoa");
        assert!(message.contains(&Scope::ALL));
        assert!(message.contains(&Scope::of(&key, "unit-1", "", "")));
        assert!(message.contains(&Scope::of(&key, "unit-1", "public_information", "so-hoa")));
        assert!(!message.contains(&Scope::of(&key, "unit-2", "", "")));
        assert!(!message.contains(&Scope::of(&key, "unit-1", "advertising", "")));
    }
}
