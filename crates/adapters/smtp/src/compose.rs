//! The composer port over the wire's composer: constant parts encoded once, return paths that name their message.
//!
//! Must stay true: nothing of a person but the mailbox stands in a header; the return path is proved by the
//! installation's key.

use std::sync::Arc;

use bytes::Bytes;
use loa_domain::hash::HashKey;
use loa_ports::mailer::{Composed, Composer, LetterParts, Letterhead, Stationery};
use loa_wire_smtp::compose::{self, Body, FixedBody, FixedSubject, Letter, Subject};
use loa_wire_smtp::verp::Verp;

/// Writes multipart mails with a text and an HTML part.
#[derive(Debug)]
pub struct MimeComposer {
    key: HashKey,
}

impl MimeComposer {
    /// Return paths are proved by this key.
    pub fn new(key: HashKey) -> Self {
        Self { key }
    }
}

impl Composer for MimeComposer {
    fn letterhead(&self, head: &Letterhead<'_>) -> Result<Arc<dyn Stationery>, String> {
        let why = |error: compose::ComposeError| error.to_string();
        let subject = head.subject.map(FixedSubject::new).transpose().map_err(why)?;
        let text = head.text.map(FixedBody::new).transpose().map_err(why)?;
        let html = match head.html {
            Some("") => Html::None,
            Some(html) => Html::Fixed(FixedBody::new(html).map_err(why)?),
            None => Html::Rendered,
        };
        let headers = [("Auto-Submitted", "auto-generated"), ("Precedence", "bulk")];
        Ok(Arc::new(Sheet {
            composer: compose::Composer::new(head.sender_name, head.sender, &headers).map_err(why)?,
            verp: Verp::new(self.key, head.return_domain).map_err(|error| format!("the return domain: {error}"))?,
            domain: head.return_domain.to_owned(),
            subject,
            text,
            html,
        }))
    }
}

enum Html {
    None,
    Fixed(FixedBody),
    Rendered,
}

struct Sheet {
    composer: compose::Composer,
    verp: Verp,
    domain: String,
    subject: Option<FixedSubject>,
    text: Option<FixedBody>,
    html: Html,
}

impl Stationery for Sheet {
    fn compose(&self, letter: &LetterParts<'_>) -> Result<Composed, String> {
        let token = self.verp.token(letter.token);
        let message_id = format!("{token}@{}", self.domain);
        let mut data = Vec::new();
        let whole = Letter {
            to_name: "",
            to: letter.to,
            message_id: &message_id,
            date_unix_s: letter.date_unix_s,
            subject: self.subject.as_ref().map_or(Subject::Rendered(letter.subject), Subject::Fixed),
            text: self.text.as_ref().map_or(Body::Rendered(letter.text), Body::Fixed),
            html: match &self.html {
                Html::Fixed(fixed) => Some(Body::Fixed(fixed)),
                Html::Rendered if !letter.html.is_empty() => Some(Body::Rendered(letter.html)),
                Html::Rendered | Html::None => None,
            },
            unsubscribe: None,
        };
        self.composer.compose(&whole, &mut data).map_err(|error| error.to_string())?;
        Ok(Composed { return_path: self.verp.return_path(letter.token), data: Bytes::from(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>() -> Letterhead<'a> {
        Letterhead {
            sender_name: "Chuyển đổi số",
            sender: "so@bentre.example.test",
            return_domain: "bounce.example.test",
            subject: Some("Bến Tre"),
            text: None,
            html: Some(""),
        }
    }

    #[test]
    fn the_return_path_names_the_message() {
        let key = HashKey::new([1; 16]);
        let sheet = MimeComposer::new(key).letterhead(&head()).unwrap();
        let letter = LetterParts {
            to: "lan@example.test",
            token: b"message 1",
            date_unix_s: 0,
            subject: "",
            text: "Chào Lan",
            html: "",
        };
        let mail = sheet.compose(&letter).unwrap();
        let verp = Verp::new(key, "bounce.example.test").unwrap();
        assert_eq!(verp.read(&mail.return_path).as_deref(), Some(&b"message 1"[..]));
        let data = String::from_utf8(mail.data.to_vec()).unwrap();
        assert!(data.contains("To: <lan@example.test>") || data.contains("To: lan@example.test"), "{data}");
    }

    #[test]
    fn a_bad_sender_is_refused_before_any_mail() {
        let bad = Letterhead { sender: "not a mailbox", ..head() };
        assert!(MimeComposer::new(HashKey::new([1; 16])).letterhead(&bad).is_err());
    }
}
