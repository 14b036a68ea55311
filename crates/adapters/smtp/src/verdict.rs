//! The port's words for what the wire found.
//!
//! Must stay true: no address leaves through a reply; nothing but a 2xx to the final dot is `Accepted`.

use loa_ports::mailer::{Mail, MailVerdict};
use loa_wire_smtp::{Fate, Reply, Step, Unfit, Verdict, verdict};

/// Longest reply that is passed on, characters.
const REPLY_CHARACTERS_MAX: usize = 120;

/// What `reply` to the command at `step` means for `mail`.
pub(crate) fn of_reply(mail: &Mail, step: Step, reply: &Reply) -> MailVerdict {
    let text = || reply.without_addresses(&mail.to, REPLY_CHARACTERS_MAX);
    match verdict::of_reply(step, reply) {
        Verdict::Ok => MailVerdict::Accepted,
        Verdict::Retry { after } => MailVerdict::Retry { after, reply: text() },
        Verdict::Throttle { rest } => MailVerdict::Throttle { after: rest, reply: text() },
        Verdict::PolicyHalt => MailVerdict::PolicyHalt { reply: text() },
        Verdict::Hard { .. } => MailVerdict::NoMailbox { reply: text() },
        Verdict::SoftFinal => MailVerdict::Undelivered { reply: text() },
        Verdict::InDoubt => MailVerdict::InDoubt,
    }
}

/// What the end of the connection, which came by `why`, means for `mail`.
pub(crate) fn of_fate(mail: &Mail, fate: &Fate, why: &str) -> MailVerdict {
    match fate {
        Fate::NotHandedOver => MailVerdict::NotWritten { why: why.to_owned() },
        Fate::InDoubt => MailVerdict::InDoubt,
        Fate::Refused { step, reply } => of_reply(mail, *step, reply),
    }
}

/// What it means that this server cannot be offered the mail.
pub(crate) fn of_unfit(unfit: Unfit) -> MailVerdict {
    match unfit {
        Unfit::Recipient(error) => MailVerdict::NoMailbox { reply: error.to_string() },
        Unfit::NeedsSmtpUtf8 => MailVerdict::Undelivered { reply: "ADDRESS_NEEDS_SMTPUTF8".to_owned() },
        Unfit::ReturnPath(_) | Unfit::NeedsEightBit | Unfit::TooLarge { .. } => {
            MailVerdict::PolicyHalt { reply: unfit.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use loa_wire_smtp::mailbox::MailboxError;

    #[test]
    fn every_verdict_has_its_word() {
        let mail = Mail { handle: 1, from: "b@c".into(), to: "an.do@example.test".into(), data: Default::default() };
        #[track_caller]
        fn check(found: MailVerdict, expected: MailVerdict) {
            assert_eq!(found, expected);
        }
        let of = |code, text: &str| of_reply(&mail, Step::Content, &Reply::new(code, text));
        let minutes = |count: u64| Duration::from_secs(60 * count);
        check(of(250, "2.0.0 Ok"), MailVerdict::Accepted);
        let reply = "450 4.2.0 … greylisted".to_owned();
        check(of(450, "4.2.0 <an.do@example.test> greylisted"), MailVerdict::Retry { after: minutes(15), reply });
        check(of(421, "4.7.0 slow"), MailVerdict::Throttle { after: minutes(5), reply: "421 4.7.0 slow".into() });
        check(of(550, "5.1.1 an.do unknown"), MailVerdict::NoMailbox { reply: "550 5.1.1 … unknown".into() });
        check(of(552, "5.2.2 full"), MailVerdict::Undelivered { reply: "552 5.2.2 full".into() });
        check(of(550, "5.7.26 no DKIM"), MailVerdict::PolicyHalt { reply: "550 5.7.26 no DKIM".into() });
        let MailVerdict::Undelivered { reply } = of(554, &"x ".repeat(500)) else { panic!("not final") };
        assert_eq!(reply.chars().count(), REPLY_CHARACTERS_MAX);

        check(of_fate(&mail, &Fate::InDoubt, "why"), MailVerdict::InDoubt);
        check(of_fate(&mail, &Fate::NotHandedOver, "why"), MailVerdict::NotWritten { why: "why".into() });
        let refused = Fate::Refused { step: Step::Recipient, reply: Reply::new(550, "5.1.1 gone") };
        check(of_fate(&mail, &refused, "why"), MailVerdict::NoMailbox { reply: "550 5.1.1 gone".into() });

        check(of_unfit(Unfit::NeedsSmtpUtf8), MailVerdict::Undelivered { reply: "ADDRESS_NEEDS_SMTPUTF8".into() });
        assert!(matches!(of_unfit(Unfit::Recipient(MailboxError::Shape)), MailVerdict::NoMailbox { .. }));
        assert!(matches!(of_unfit(Unfit::TooLarge { octets_max: 1 }), MailVerdict::PolicyHalt { .. }));
    }
}
