//! What a mail server's word means for the message, the site and the campaign.

use std::time::Duration;

use loa_domain::state::Reason;
use loa_gateway::Answer;
use loa_ports::mailer::MailVerdict;

/// A verdict as the engine takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// For the message.
    pub(crate) answer: Answer,
    /// The site shall be left alone for this long.
    pub(crate) pause: Option<Duration>,
    /// The campaign shall be halted, with this reply.
    pub(crate) halt: Option<String>,
}

impl Meaning {
    fn of(answer: Answer) -> Self {
        Self { answer, pause: None, halt: None }
    }
}

/// Reads a verdict.
pub(crate) fn meaning(verdict: MailVerdict) -> Meaning {
    let refused = |undelivered, reason, reply: &str| Answer::Refused { undelivered, reason, code: codes(reply) };
    match verdict {
        MailVerdict::Accepted => Meaning::of(Answer::Accepted),
        MailVerdict::Retry { after, reply } => {
            Meaning::of(Answer::Later { after: Some(after), counted: true, code: codes(&reply) })
        }
        MailVerdict::Throttle { after, reply } => Meaning {
            pause: Some(after),
            ..Meaning::of(Answer::Later { after: Some(after), counted: false, code: codes(&reply) })
        },
        MailVerdict::NoMailbox { reply } => Meaning::of(refused(true, Reason::NoMailbox, &reply)),
        MailVerdict::Undelivered { reply } => Meaning::of(refused(true, Reason::Refused, &reply)),
        MailVerdict::PolicyHalt { reply } => Meaning {
            halt: Some(format!("the mail server refuses our sender, content or policy: {reply}")),
            ..Meaning::of(refused(false, Reason::PolicyHalt, &reply))
        },
        MailVerdict::InDoubt => Meaning::of(Answer::Unanswered),
        MailVerdict::NotWritten { .. } => Meaning::of(Answer::Again),
    }
}

/// The codes that a reply begins with, such as `550 5.1.1`: what is kept of it for each message.
fn codes(reply: &str) -> Box<str> {
    let is_code = |word: &&str| word.len() <= 9 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let words: Vec<&str> = reply.split_whitespace().take(2).take_while(is_code).collect();
    words.join(" ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_the_codes_alone() {
        #[track_caller]
        fn check(reply: &str, expected: &str) {
            assert_eq!(&*codes(reply), expected);
        }
        check("550 5.1.1 user unknown", "550 5.1.1");
        check("450 greylisted for 300 s", "450");
        check("421", "421");
        check("ADDRESS_NEEDS_SMTPUTF8", "");
    }

    #[test]
    fn only_what_was_not_written_goes_again() {
        let again = |verdict| meaning(verdict).answer == Answer::Again;
        assert!(again(MailVerdict::NotWritten { why: String::new() }));
        assert!(!again(MailVerdict::InDoubt));
        assert!(!again(MailVerdict::Retry { after: Duration::ZERO, reply: String::new() }));
    }

    #[test]
    fn a_site_that_sends_us_away_is_left_alone_and_costs_no_try() {
        let throttled = meaning(MailVerdict::Throttle { after: Duration::from_secs(60), reply: "421".to_owned() });
        assert_eq!(throttled.pause, Some(Duration::from_secs(60)));
        assert!(matches!(throttled.answer, Answer::Later { counted: false, .. }));
    }

    #[test]
    fn a_refused_policy_halts_the_campaign() {
        assert!(meaning(MailVerdict::PolicyHalt { reply: "550 5.7.26".to_owned() }).halt.is_some());
    }
}
