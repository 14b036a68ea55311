//! What a server's answer means for the message, its address and its site: one table, first match wins.
//!
//! Texts known from large providers come first, then enhanced codes, then basic ones, because a code is often vaguer
//! than the words beside it and the enhanced code than nothing. Rules that need a history (an address that bounces
//! twice in a week, three policy refusals in a row) give the mild verdict here; who keeps the history may harden it.
//!
//! Must stay true: only a 2xx after the final dot is `Ok`; every reply has a verdict; silence after the final dot is
//! `InDoubt` and nothing else.

use std::time::Duration;

use crate::reply::{Enhanced, Reply};
use crate::session::{Fate, Step};

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// First wait of a greylisted message, and of any refusal that says no more than "not now".
pub const RETRY_AFTER: Duration = minutes(15);
/// First wait where the mailbox receives too quickly.
pub const RETRY_SLOWLY_AFTER: Duration = minutes(30);
/// First rest of a site that closed with 421.
pub const SITE_REST: Duration = minutes(5);
/// Rest of a site that says we send too much or lists our address.
pub const SITE_REST_LONG: Duration = minutes(120);
/// After this long a message that only ever met "not now" is given up.
pub const GIVE_UP_AFTER: Duration = minutes(24 * 60);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The next hop holds the message.
    Ok,
    /// Offer it again, at the earliest after this long.
    Retry {
        /// Not before.
        after: Duration,
    },
    /// Offer it again, and give the whole site a rest first.
    Throttle {
        /// How long the site rests.
        rest: Duration,
    },
    /// Something about the campaign is refused, not about this recipient: stop sending it to this provider.
    PolicyHalt,
    /// The mailbox (or its whole domain) does not exist: undelivered, and suppress the address.
    Hard {
        /// The refusal is about every address of the domain.
        domain: bool,
    },
    /// Undelivered, but the address may be good: do not suppress it.
    SoftFinal,
    /// The server may hold the message: never send it again.
    InDoubt,
}

/// What a rule looks at.
enum When {
    /// The text holds one of these, in any case.
    Says(&'static [&'static str]),
    /// The enhanced code: class, subject, first and last detail.
    Enhanced(u8, u16, u16, u16),
    /// The basic code, first and last.
    Code(u16, u16),
    /// The basic code and one of these texts.
    CodeSays(u16, u16, &'static [&'static str]),
}

use Verdict::{Hard, PolicyHalt, Retry, SoftFinal, Throttle};
use When::{Code, CodeSays, Enhanced as Status, Says};

const ANY: u16 = u16::MAX;
const LATER: Verdict = Retry { after: RETRY_AFTER };
const SLOWLY: Verdict = Retry { after: RETRY_SLOWLY_AFTER };
const MAILBOX: Verdict = Hard { domain: false };
const DOMAIN: Verdict = Hard { domain: true };
const NO_SUCH_USER: &[&str] = &["user unknown", "unknown user", "no such user", "does not exist", "invalid recipient"];

/// First match wins. Sources: RFC 3463, RFC 7504, RFC 7505, and what large providers write.
const RULES: &[(When, Verdict)] = &[
    // What providers write.
    (CodeSays(400, 499, &["[ts", "temporarily deferred", "unusual rate"]), Throttle { rest: SITE_REST_LONG }),
    (Says(&["spamhaus", "blacklist", "blocklist", "[bl"]), Throttle { rest: SITE_REST_LONG }),
    // The server leaves; 4.4.2 is its idle timer and says nothing about the site.
    (Status(4, 4, 2, 2), LATER),
    (Code(421, 421), Throttle { rest: SITE_REST }),
    // Not now.
    (Status(4, 2, 1, 1), SLOWLY),
    (Status(4, 5, 3, 3), Retry { after: Duration::ZERO }), // too many recipients in one go
    (Status(4, 7, 0, 0), Throttle { rest: SITE_REST }),
    (Status(4, 7, 28, 28), Throttle { rest: SITE_REST }),
    (Status(4, 0, 0, ANY), LATER),
    (Status(4, 1, 0, ANY), LATER),
    (Status(4, 2, 0, ANY), LATER),
    (Status(4, 3, 0, ANY), LATER),
    (Status(4, 4, 0, ANY), LATER),
    // The address.
    (Status(5, 1, 0, 0), PolicyHalt), // our sender's
    (Status(5, 1, 7, 8), PolicyHalt), // our sender's
    (Status(5, 1, 1, 3), MAILBOX),
    (Status(5, 1, 6, 6), MAILBOX),
    (Status(5, 1, 10, 10), DOMAIN), // null MX
    // The mailbox and the system.
    (Status(5, 2, 3, 3), PolicyHalt), // too big
    (Status(5, 2, 0, ANY), SoftFinal),
    (Status(5, 3, 2, 2), DOMAIN),     // takes no mail
    (Status(5, 3, 4, 4), PolicyHalt), // too big
    (Status(5, 4, 0, ANY), SoftFinal),
    // Protocol and content: our fault.
    (Status(5, 5, 0, ANY), PolicyHalt),
    (Status(5, 6, 0, ANY), PolicyHalt),
    // Security and policy.
    (Status(5, 7, 0, 0), PolicyHalt),
    (Status(5, 7, 20, 27), PolicyHalt),
    (Status(5, 7, 29, 30), PolicyHalt),
    (Status(5, 7, 515, 515), PolicyHalt),
    (Status(5, 7, 1, ANY), SoftFinal),
    // Codes that mean a domain, a size, a user.
    (Code(521, 521), DOMAIN),
    (Code(556, 556), DOMAIN),
    (Code(552, 552), PolicyHalt),
    (CodeSays(550, 553, NO_SUCH_USER), MAILBOX),
    (Code(400, 499), LATER),
    (Code(500, 599), SoftFinal),
];

impl When {
    fn holds(&self, reply: &Reply, text: &str) -> bool {
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match self {
            Says(words) => says(words),
            Code(from, to) => (*from..=*to).contains(&reply.code),
            CodeSays(from, to, words) => (*from..=*to).contains(&reply.code) && says(words),
            Status(class, subject, from, to) => reply.enhanced.is_some_and(|enhanced: Enhanced| {
                enhanced.class == *class && enhanced.subject == *subject && (*from..=*to).contains(&enhanced.detail)
            }),
        }
    }
}

/// What `reply` to the command at `step` means.
pub fn of_reply(step: Step, reply: &Reply) -> Verdict {
    if reply.is_positive() && step == Step::Content {
        return Verdict::Ok;
    }
    let text = reply.text().to_lowercase();
    let matched = RULES.iter().find(|(when, _)| when.holds(reply, &text));
    // What is neither 4xx nor 5xx cannot refuse: the session ends on it before it comes here.
    matched.map_or(LATER, |(_, verdict)| *verdict)
}

/// What the end of a connection means for a message that was inside.
pub fn of_fate(fate: &Fate) -> Verdict {
    match fate {
        Fate::NotHandedOver => Retry { after: Duration::ZERO },
        Fate::InDoubt => Verdict::InDoubt,
        Fate::Refused { step, reply } => of_reply(*step, reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::first;

    #[track_caller]
    fn check(answer: &str, expected: Verdict) {
        let octets = format!("{answer}\r\n");
        let (raw, taken) = first(octets.as_bytes()).expect("a reply").expect("complete");
        assert_eq!(taken, octets.len(), "one reply");
        assert_eq!(of_reply(Step::Content, &raw.to_reply()), expected, "{answer}");
    }

    #[test]
    fn vectors_of_the_domain_reference() {
        check("250 2.0.0 OK", Verdict::Ok); // E01
        check("452 4.2.2 The email account that you tried to reach is over quota", LATER); // E02
        check(
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
            Throttle { rest: SITE_REST_LONG },
        ); // E03
        check("550 5.1.1 The email account that you tried to reach does not exist", MAILBOX); // E04
        check("550 5.7.26 This mail is unauthenticated", PolicyHalt); // E05
        check(
            "550; 5.7.515 Access denied, sending domain example.vn does not meet the required authentication level",
            PolicyHalt,
        ); // E06
        check("550 User unknown", MAILBOX); // E07
        check("554 Transaction failed", SoftFinal); // E08
        check("450-4.2.1 a\r\n450-4.2.1 b\r\n450 4.2.1 c", SLOWLY); // E09
        assert_eq!(of_fate(&Fate::InDoubt), Verdict::InDoubt); // E10
    }

    #[test]
    fn every_row_of_the_domain_reference() {
        check("421 too many connections", Throttle { rest: SITE_REST });
        check("421 4.4.2 idle", LATER);
        check("450 greylisted", LATER);
        check("451 4.3.0 system", LATER);
        check("452 4.5.3 too many recipients", Retry { after: Duration::ZERO });
        check("450 4.7.28 unusual rate", Throttle { rest: SITE_REST_LONG });
        check("450 4.7.28 slow down", Throttle { rest: SITE_REST });
        check("451 4.7.1 greylisting in action", LATER);
        check("550 5.0.0 no", SoftFinal);
        check("550 5.0.0 no such user here", MAILBOX);
        check("550 5.1.2 bad domain", MAILBOX);
        check("550 5.1.10 null MX", DOMAIN);
        check("550 5.1.8 sender", PolicyHalt);
        check("550 5.2.1 disabled", SoftFinal);
        check("552 5.2.2 full", SoftFinal);
        check("552 too big", PolicyHalt);
        check("552 5.3.4 too big", PolicyHalt);
        check("521 no mail here", DOMAIN);
        check("556 domain takes no mail", DOMAIN);
        check("550 5.3.2 not accepting", DOMAIN);
        check("550 5.4.4 MX broken", SoftFinal);
        check("503 5.5.1 order", PolicyHalt);
        check("554 5.6.0 content", PolicyHalt);
        check("550 5.7.1 policy", SoftFinal);
        check("550 5.7.25 no PTR", PolicyHalt);
        check("550 5.7.1 listed by Spamhaus", Throttle { rest: SITE_REST_LONG });
        check("554 5.7.0 content", PolicyHalt);
        check("550 no", SoftFinal);
    }

    #[test]
    fn only_the_reply_to_the_final_dot_accepts() {
        let positive = Reply::new(250, "OK");
        for step in [Step::Greeting, Step::Mail, Step::Recipient, Step::Data] {
            assert_ne!(of_reply(step, &positive), Verdict::Ok, "{step:?}");
        }
        assert_eq!(of_fate(&Fate::NotHandedOver), Retry { after: Duration::ZERO });
        let reply = Reply::new(550, "5.1.1 gone");
        assert_eq!(of_fate(&Fate::Refused { step: Step::Recipient, reply }), MAILBOX);
    }
}
