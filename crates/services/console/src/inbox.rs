//! What the simulated phones and mailboxes got, as the console asks for it.
//!
//! The console knows no simulator: whoever composes the process says where the messages are.
//!
//! Must stay true: only messages to synthetic people are shown, since only simulators have an inbox.

/// One message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// When, microseconds since 1970 UTC.
    pub unix_us: u64,
    /// `sms` or `email`.
    pub channel: String,
    /// The sender as the person sees it.
    pub from: String,
    /// The number or mailbox.
    pub to: String,
    /// Empty for SMS.
    pub subject: String,
    pub text: String,
    /// Parts of an SMS.
    pub parts: u32,
}

/// Simulated inboxes.
pub trait Inboxes: Send + Sync {
    /// The newest messages whose number, mailbox, subject or text holds `needle` (empty = all), newest first, at most
    /// `limit`.
    fn search(&self, needle: &str, limit: usize) -> Vec<InboxItem>;
}

/// A number as people write it, as the carrier knows it: `0912 345` is `84912345`. `None` if it is no part of a number.
pub(crate) fn as_number(needle: &str) -> Option<String> {
    let digits: String = needle.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '+')).collect();
    let plain = digits.len() >= 3 && digits.chars().all(|c| c.is_ascii_digit());
    plain.then(|| match digits.strip_prefix('0') {
        Some(national) => format!("84{national}"),
        None => digits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_numbers_as_people_write_them() {
        #[track_caller]
        fn check(needle: &str, expected: Option<&str>) {
            assert_eq!(as_number(needle).as_deref(), expected);
        }
        check("0912 345 678", Some("84912345678"));
        check("+84 912.345.678", Some("84912345678"));
        check("345678", Some("345678"));
        check("09", None);
        check("lan.nguyen", None);
        check("8h", None);
        check("", None);
    }
}
