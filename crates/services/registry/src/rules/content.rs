//! What a content may be: templates that parse, texts that fit; and how it renders.
//!
//! Must stay true: a content that is stored can be sent to somebody (SMS: its shortest rendering fits), and the same
//! content always has the same hash.

use std::borrow::Cow;

use loa_contract::pb::registry::v1::Content;
use loa_domain::channel::Channel;
use loa_domain::template::TemplateText;
use loa_domain::text::{self, Diacritics};
use loa_runtime::rpc::Violations;
use prost::Message;
use sha2::{Digest, Sha256};

/// Characters of a mail's subject, at most.
const SUBJECT_CHARS_MAX: usize = 200;

/// A checked content.
pub(crate) struct Parsed {
    pub channel: Channel,
    pub text: TemplateText,
    pub subject: TemplateText,
    pub html: TemplateText,
    pub diacritics: Diacritics,
}

impl Parsed {
    /// Names of the slots, in the order in which they first stand in subject, text and HTML.
    pub(crate) fn slots(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for slot in [&self.subject, &self.text, &self.html].into_iter().flat_map(TemplateText::slots) {
            if !names.iter().any(|name| **name == *slot.name) {
                names.push(slot.name.to_string());
            }
        }
        names
    }
}

/// The form that is stored and hashed: texts in NFC, so the same words are the same content.
pub(crate) fn canonical(content: &Content) -> Content {
    let nfc = |words: &str| text::nfc(words).into_owned();
    let unset = content.diacritics.is_empty() && content.channel == i32::from(Channel::Sms.code());
    Content {
        channel: content.channel,
        text: nfc(&content.text),
        subject: nfc(&content.subject),
        html: nfc(&content.html),
        diacritics: if unset { Diacritics::AsIs.name().to_owned() } else { content.diacritics.clone() },
    }
}

/// SHA-256 of a canonical content: its fields in the order of their numbers.
pub(crate) fn hash(canonical: &Content) -> [u8; 32] {
    Sha256::digest(canonical.encode_to_vec()).into()
}

/// Checks a canonical content.
pub(crate) fn check(content: &Content, faults: &mut Violations) -> Option<Parsed> {
    let Some(channel) = Channel::from_code(content.channel) else {
        faults.add("content.channel", "CHANNEL_SMS or CHANNEL_EMAIL");
        return None;
    };
    if content.text.trim().is_empty() {
        faults.add("content.text", "missing; the text that is sent (mail shows it where HTML is not shown)");
    }
    match channel {
        Channel::Sms => {
            must_be_empty(&[("content.subject", &content.subject), ("content.html", &content.html)], faults)
        }
        Channel::Email => {
            super::field::line("content.subject", &content.subject, 1..=SUBJECT_CHARS_MAX, faults);
            must_be_empty(&[("content.diacritics", &content.diacritics)], faults);
        }
    }
    let diacritics = match channel {
        Channel::Sms => faults.check("content.diacritics", content.diacritics.parse())?,
        Channel::Email => Diacritics::AsIs,
    };
    let text = faults.check("content.text", TemplateText::parse(&content.text));
    let subject = faults.check("content.subject", TemplateText::parse(&content.subject));
    let html = faults.check("content.html", TemplateText::parse(&content.html));
    let parsed = Parsed { channel, text: text?, subject: subject?, html: html?, diacritics };
    if channel == Channel::Sms {
        check_shortest(&parsed, faults);
    }
    Some(parsed)
}

fn must_be_empty(fields: &[(&str, &String)], faults: &mut Violations) {
    for (field, _) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        faults.add(*field, "empty for this channel");
    }
}

/// Every slot takes at least one character: what is too long even then fits nobody.
fn check_shortest(parsed: &Parsed, faults: &mut Violations) {
    let Some(shortest) = faults.check("content.text", parsed.text.render(|_| Some("a"))) else { return };
    let fits = text::apply(&shortest, parsed.diacritics).and_then(|sent| text::count(&sent).check());
    let _ = faults.check("content.text", fits);
}

/// The text of an SMS as its policy sends it, if it fits.
pub(crate) fn sent(rendered: &str, policy: Diacritics) -> Result<Cow<'_, str>, text::TextError> {
    let sent = text::apply(rendered, policy)?;
    text::count(&sent).check()?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sms(text: &str, diacritics: &str) -> Content {
        Content { channel: 1, text: text.to_owned(), diacritics: diacritics.to_owned(), ..Content::default() }
    }

    fn email(subject: &str, text: &str, html: &str) -> Content {
        Content {
            channel: 2,
            text: text.to_owned(),
            subject: subject.to_owned(),
            html: html.to_owned(),
            ..Content::default()
        }
    }

    #[track_caller]
    fn faulty_fields(content: &Content) -> Vec<String> {
        use tonic_types::StatusExt as _;
        let mut faults = Violations::new();
        check(&canonical(content), &mut faults);
        let Err(status) = faults.into_result() else { return Vec::new() };
        let faults = status.get_details_bad_request().unwrap().field_violations;
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn contents_are_checked_by_channel() {
        let none: [&str; 0] = [];
        assert_eq!(faulty_fields(&sms("Kính gửi {ten}", "")), none);
        assert_eq!(faulty_fields(&sms("Kính gửi {ten}", "strip")), none);
        assert_eq!(faulty_fields(&sms("", "")), ["content.text"]);
        assert_eq!(faulty_fields(&sms("Kính gửi {ten", "auto")), ["content.text"]);
        assert_eq!(faulty_fields(&sms("Xin chào", "maybe")), ["content.diacritics"]);
        assert_eq!(faulty_fields(&sms("Xin chào 😀", "strip")), ["content.text"]); // has no plain form
        assert_eq!(faulty_fields(&Content { html: "<p>".to_owned(), ..sms("a", "") }), ["content.html"]);
        assert_eq!(faulty_fields(&Content::default()), ["content.channel"]);
        assert_eq!(faulty_fields(&email("Thư mời", "Kính gửi {ten}", "<p>Kính gửi {ten}</p>")), none);
        assert_eq!(faulty_fields(&email("", "a", "{")), ["content.subject", "content.html"]);
        assert_eq!(faulty_fields(&email("a\r\nBcc: x", "a", "")), ["content.subject"]);
        assert_eq!(
            faulty_fields(&Content { diacritics: "auto".to_owned(), ..email("a", "a", "") }),
            ["content.diacritics"]
        );
    }

    #[test]
    fn a_text_over_ten_parts_is_refused_at_its_shortest() {
        assert!(faulty_fields(&sms(&"a".repeat(1_530), "")).is_empty());
        assert_eq!(faulty_fields(&sms(&"a".repeat(1_531), "")), ["content.text"]);
        assert!(faulty_fields(&sms(&format!("{}{{ten}}", "a".repeat(1_529)), "")).is_empty());
        assert_eq!(faulty_fields(&sms(&format!("{}{{ten}}", "a".repeat(1_530)), "")), ["content.text"]);
        assert!(faulty_fields(&sms(&"ế".repeat(670), "as_is")).is_empty());
        assert_eq!(faulty_fields(&sms(&"ế".repeat(671), "as_is")), ["content.text"]);
        assert!(faulty_fields(&sms(&"ế".repeat(1_530), "strip")).is_empty());
    }

    #[test]
    fn the_same_words_are_the_same_content() {
        let composed = canonical(&sms("Tiếng Việt", ""));
        let decomposed = canonical(&sms("Tie\u{302}\u{301}ng Vie\u{323}\u{302}t", "as_is"));
        assert_eq!(hash(&composed), hash(&decomposed));
        assert_ne!(hash(&composed), hash(&canonical(&sms("Tiếng Việt", "strip"))));
    }

    #[test]
    fn slots_are_named_once_in_order() {
        let content = canonical(&email("Gửi {ten}", "{danh_xung} {ten}, {xa}", "<p>{ten} {huyen}</p>"));
        let mut faults = Violations::new();
        assert_eq!(check(&content, &mut faults).unwrap().slots(), ["ten", "danh_xung", "xa", "huyen"]);
    }
}
