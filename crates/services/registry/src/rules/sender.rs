//! In whose name a message leaves: a brand name or short number on phones, a mailbox in mail.

use loa_domain::address::EmailAddress;
use loa_domain::channel::{Channel, Class};
use loa_runtime::rpc::Violations;

use super::field;

/// Characters of a brand name, at most (also the limit of an alphanumeric address in SMPP).
const BRAND_CHARS_MAX: usize = 11;
/// Characters of a display name, at most.
const DISPLAY_CHARS_MAX: usize = 64;

/// A sender as written, and where its fields stand in the request.
pub(crate) struct Sender<'a> {
    /// Before `sender` and `sender_name`, e.g. `campaign.variants[0].`.
    pub path: &'a str,
    pub sender: &'a str,
    pub sender_name: &'a str,
}

/// Checks a sender of a channel and class.
pub(crate) fn check(of: &Sender<'_>, channel: Channel, class: Option<Class>, faults: &mut Violations) {
    let field = format!("{}sender", of.path);
    let name_field = format!("{}sender_name", of.path);
    match channel {
        Channel::Sms => {
            if !of.sender_name.is_empty() {
                faults.add(name_field, "empty for SMS: phones show the sender alone");
            }
            let advertising = matches!(class, Some(Class::Advertising | Class::AdRegistration));
            if is_short_number(of.sender) && advertising {
                faults.add(field, "advertising is sent from a registered brand name, never from a number");
            } else if !is_short_number(of.sender) && !is_brand_name(of.sender) {
                let rule = "a brand name of 1 to 11 of A-Z a-z 0-9 - _ . and space (none at its ends, not digits alone), \
                            or a short number of 3 to 8 digits";
                faults.add(field, rule);
            }
        }
        Channel::Email => {
            field::line(&name_field, of.sender_name, 0..=DISPLAY_CHARS_MAX, faults);
            let _ = faults.check(&field, EmailAddress::parse(of.sender));
        }
    }
}

/// Decree 91/2020 Art. 23.
fn is_brand_name(text: &str) -> bool {
    let legal = |found: char| found.is_ascii_alphanumeric() || "-_. ".contains(found);
    (1..=BRAND_CHARS_MAX).contains(&text.len())
        && text.chars().all(legal)
        && text.trim() == text
        && !text.chars().all(|found| found.is_ascii_digit())
}

fn is_short_number(text: &str) -> bool {
    (3..=8).contains(&text.len()) && text.chars().all(|found| found.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_brand_names_numbers_or_mailboxes() {
        let (ads, public) = (Class::Advertising, Class::PublicInformation);
        for (channel, class, sender, legal) in [
            (Channel::Sms, public, "UBND BenTre", true),
            (Channel::Sms, ads, "Loa.vn", true),
            (Channel::Sms, public, "UBND Ben Tre", false), // twelve
            (Channel::Sms, public, " BenTre", false),
            (Channel::Sms, public, "Bến Tre", false),
            (Channel::Sms, public, "", false),
            (Channel::Sms, public, "1022", true),
            (Channel::Sms, ads, "1022", false),           // never from a number
            (Channel::Sms, public, "84912345678", false), // a subscriber's number is no sender
            (Channel::Sms, public, "tin@example.test", false),
            (Channel::Email, public, "tin@example.test", true),
            (Channel::Email, public, "BenTre", false),
            (Channel::Email, public, "tin@example.test\r\nBcc: x@example.test", false),
        ] {
            let mut faults = Violations::new();
            check(&Sender { path: "", sender, sender_name: "" }, channel, Some(class), &mut faults);
            assert_eq!(faults.is_empty(), legal, "{channel} {class} {sender:?}");
        }
    }

    #[test]
    fn only_mail_has_a_display_name() {
        for (channel, sender, sender_name, legal) in [
            (Channel::Email, "tin@example.test", "Sở Thông tin", true),
            (Channel::Email, "tin@example.test", "a\r\nBcc: x", false),
            (Channel::Sms, "BenTre", "Sở Thông tin", false),
        ] {
            let mut faults = Violations::new();
            check(&Sender { path: "", sender, sender_name }, channel, None, &mut faults);
            assert_eq!(faults.is_empty(), legal, "{channel} {sender_name:?}");
        }
    }
}
