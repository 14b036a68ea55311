//! The last mails that arrived, for the console page and for tests that read them.
//!
//! Mails are kept as they came and decoded only when somebody looks, outside the lock, so keeping them costs a
//! connection one copy each and looking costs it nothing.
//!
//! Must stay true: neither the number nor the octets kept exceed the configured limits; the oldest goes first and its
//! memory is used again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use loa_wire_smtp::dot;
use mail_parser::MessageParser;

/// One mail, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMail {
    /// When it came, microseconds since 1970.
    pub unix_us: u64,
    /// The return path of its envelope.
    pub return_path: String,
    /// The recipient of its envelope.
    pub to: String,
    /// Name and address of the sender as a reader would see them.
    pub from: String,
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part, empty when there is none.
    pub html: String,
}

/// One mail as it came.
#[derive(Default)]
struct Kept {
    unix_us: u64,
    /// Return path, recipient and content one after the other.
    octets: Vec<u8>,
    return_path: usize,
    to: usize,
}

/// A bounded store of the last mails.
pub struct Inbox {
    mails_max: usize,
    octets_max: usize,
    kept: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    mails: VecDeque<Arc<Kept>>,
    octets: usize,
}

impl Inbox {
    pub(super) fn new(mails_max: usize, octets_max: usize) -> Self {
        Self { mails_max, octets_max, kept: Mutex::default() }
    }

    pub(super) fn push(&self, unix_us: u64, return_path: &str, to: &str, content: &[u8]) {
        let octets = return_path.len() + to.len() + content.len();
        if self.mails_max == 0 || octets > self.octets_max {
            return;
        }
        let mut kept = self.lock();
        let mut reused = None;
        while kept.mails.len() >= self.mails_max || kept.octets + octets > self.octets_max {
            let Some(oldest) = kept.mails.pop_front() else { break };
            kept.octets -= oldest.octets.len();
            reused = Arc::into_inner(oldest); // not when somebody looks at it now
        }
        let mut mail = reused.unwrap_or_default();
        mail.octets.clear();
        for piece in [return_path.as_bytes(), to.as_bytes(), content] {
            mail.octets.extend_from_slice(piece);
        }
        (mail.unix_us, mail.return_path, mail.to) = (unix_us, return_path.len(), to.len());
        kept.octets += octets;
        kept.mails.push_back(Arc::new(mail));
    }

    /// How many mails are kept now.
    pub fn len(&self) -> usize {
        self.lock().mails.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest mails to `address` (any case), newest first, at most `limit`.
    pub fn to(&self, address: &str, limit: usize) -> Vec<InboxMail> {
        let of = |mail: &Arc<Kept>| mail.recipient().eq_ignore_ascii_case(address.as_bytes());
        self.snapshot().iter().rev().filter(|mail| of(mail)).take(limit).map(|mail| mail.read()).collect()
    }

    /// The newest mails whose address, subject or text holds `needle` (any case; empty = all), newest first, at most
    /// `limit`.
    pub fn search(&self, needle: &str, limit: usize) -> Vec<InboxMail> {
        let needle = needle.to_lowercase();
        let found = |mail: &InboxMail| {
            needle.is_empty()
                || [&mail.to, &mail.subject, &mail.text].iter().any(|text| text.to_lowercase().contains(&needle))
        };
        self.snapshot().iter().rev().map(|mail| mail.read()).filter(found).take(limit).collect()
    }

    fn snapshot(&self) -> Vec<Arc<Kept>> {
        self.lock().mails.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Kept {
    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (return_path, rest) = self.octets.split_at(self.return_path);
        let (to, content) = rest.split_at(self.to);
        (return_path, to, content)
    }

    fn recipient(&self) -> &[u8] {
        self.parts().1
    }

    fn read(&self) -> InboxMail {
        let (return_path, to, content) = self.parts();
        let plain = |octets| String::from_utf8_lossy(octets).into_owned();
        let content = dot::unstuff(content);
        let message = MessageParser::default().parse(&content);
        let message = message.as_ref();
        let from = message.and_then(|message| message.from()?.first()).map(|from| {
            let address = from.address().unwrap_or_default();
            from.name().map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
        });
        let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(String::from).unwrap_or_default();
        let has_html = message.is_some_and(|message| message.parts.iter().any(|part| part.is_text_html()));
        InboxMail {
            unix_us: self.unix_us,
            return_path: plain(return_path),
            to: plain(to),
            from: from.unwrap_or_default(),
            subject: message.and_then(|message| message.subject()).unwrap_or_default().to_owned(),
            text: owned(message.and_then(|message| message.body_text(0))),
            html: owned(message.filter(|_| has_html).and_then(|message| message.body_html(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(inbox: &Inbox, to: &str, subject: &str) {
        let content = format!("From: Loa <l@b>\r\nSubject: {subject}\r\n\r\n..text of {subject}\r\n");
        inbox.push(7, "b+1@b", to, content.as_bytes());
    }

    fn subjects(mails: &[InboxMail]) -> Vec<&str> {
        mails.iter().map(|mail| mail.subject.as_str()).collect()
    }

    #[test]
    fn keeps_the_last_ones_and_finds_them() {
        let inbox = Inbox::new(3, 1_000);
        for (to, subject) in [("an@b", "gone"), ("an@b", "one"), ("Binh@b", "two"), ("an@b", "three")] {
            push(&inbox, to, subject);
        }
        assert_eq!(subjects(&inbox.search("", 10)), ["three", "two", "one"]);
        assert_eq!(subjects(&inbox.search("TEXT OF T", 10)), ["three", "two"]);
        assert_eq!(subjects(&inbox.search("binh", 10)), ["two"]);
        assert_eq!(subjects(&inbox.search("", 1)), ["three"]);
        assert_eq!(subjects(&inbox.to("AN@b", 10)), ["three", "one"]);
        assert!(inbox.search("gone", 10).is_empty());
        let expected = InboxMail {
            unix_us: 7,
            return_path: "b+1@b".to_owned(),
            to: "Binh@b".to_owned(),
            from: "Loa <l@b>".to_owned(),
            subject: "two".to_owned(),
            text: ".text of two\r\n".to_owned(),
            html: String::new(),
        };
        assert_eq!(inbox.to("binh@b", 1), [expected]);
    }

    #[test]
    fn keeps_to_its_octets() {
        let inbox = Inbox::new(1_000, 500);
        for round in 0..100 {
            push(&inbox, "an@b", &format!("mail {round}"));
            assert!(inbox.lock().octets <= 500);
        }
        assert_eq!(subjects(&inbox.search("", 1)), ["mail 99"]);
        assert!((3..12).contains(&inbox.len()));
        inbox.push(0, "", "an@b", &[b'x'; 600]);
        assert_eq!(subjects(&inbox.search("", 1)), ["mail 99"], "what is larger than all room is not kept");
        let none = Inbox::new(0, 500);
        push(&none, "an@b", "x");
        assert!(none.is_empty());
    }
}
