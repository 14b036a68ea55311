//! Mailboxes as they may stand in an envelope.
//!
//! Addresses come from subscriber files. Must stay true: nothing that passed [`check`] can end a command early or
//! start another one, and nothing longer than RFC 5321 allows is sent.

use crate::limits::{DOMAIN_OCTETS_MAX, LOCAL_PART_OCTETS_MAX, MAILBOX_OCTETS_MAX};

/// Why a text is not a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// No `@`, or nothing on one side of it.
    #[error("the address must be `name@domain`")]
    Shape,
    /// Too long for an envelope.
    #[error(
        "the address is too long: {LOCAL_PART_OCTETS_MAX} octets before the `@`, {DOMAIN_OCTETS_MAX} after it, \
         {MAILBOX_OCTETS_MAX} in all"
    )]
    Length,
    /// A space, a control character, a bracket, a quote or the like.
    #[error("the address holds a character that cannot stand in an envelope")]
    Character,
}

/// Whether `mailbox` can stand between the brackets of MAIL or RCPT.
///
/// Quoted local parts are refused: nobody has one, and taking them means a second grammar.
pub fn check(mailbox: &str) -> Result<(), MailboxError> {
    if mailbox.len() > MAILBOX_OCTETS_MAX {
        return Err(MailboxError::Length);
    }
    let (local, domain) = mailbox.rsplit_once('@').ok_or(MailboxError::Shape)?;
    if local.is_empty() || domain.is_empty() {
        return Err(MailboxError::Shape);
    }
    if local.len() > LOCAL_PART_OCTETS_MAX || domain.len() > DOMAIN_OCTETS_MAX {
        return Err(MailboxError::Length);
    }
    let dots = |part: &str| part.starts_with('.') || part.ends_with('.') || part.contains("..");
    if !local.chars().all(in_local) || !domain.chars().all(in_domain) || dots(local) || dots(domain) {
        return Err(MailboxError::Character);
    }
    Ok(())
}

/// `atext` of RFC 5322, dots, and letters outside ASCII (RFC 6531).
fn in_local(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~.".contains(character)
        || (!character.is_ascii() && character.is_alphanumeric())
}

/// Names, and address literals for a relay that is named by number.
fn in_domain(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || "-._[]:".contains(character)
        || (!character.is_ascii() && character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_mailboxes_and_nothing_else() {
        #[track_caller]
        fn check(mailbox: &str, expected: Result<(), MailboxError>) {
            assert_eq!(super::check(mailbox), expected, "{mailbox:?}");
        }
        check("an.nguyen+a_b@example.test", Ok(()));
        check("nguyễn@ví-dụ.vn", Ok(())); // needs SMTPUTF8, which the session decides
        check("a@[192.0.2.1]", Ok(()));
        check(&format!("{}@{}", "a".repeat(64), "b".repeat(189)), Ok(()));
        check(&format!("{}@b", "a".repeat(65)), Err(MailboxError::Length));
        check(&format!("{}@{}", "a".repeat(64), "b".repeat(190)), Err(MailboxError::Length));
        check("", Err(MailboxError::Shape));
        check("a", Err(MailboxError::Shape));
        check("@b", Err(MailboxError::Shape));
        check("a@", Err(MailboxError::Shape));
        check("a b@c", Err(MailboxError::Character));
        check("a@b>\r\nRCPT TO:<c@d", Err(MailboxError::Character)); // an injected command
        check("a\r\n@b", Err(MailboxError::Character));
        check("a@b@c", Err(MailboxError::Character));
        check("\"a b\"@c", Err(MailboxError::Character));
        check(".a@b", Err(MailboxError::Character));
        check("a..b@c", Err(MailboxError::Character));
        check("a@b.", Err(MailboxError::Character));
    }
}
