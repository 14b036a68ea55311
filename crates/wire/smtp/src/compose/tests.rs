//! What we write, read back by a parser that is not ours.

use mail_parser::{Message, MessageParser, MimeHeaders};
use proptest::prelude::*;

use super::*;

const FROM: &str = "Sở Khoa học và Công nghệ tỉnh Vĩnh Long";

fn composer() -> Composer {
    let headers = [("List-Id", "<tin.example.test>"), ("Feedback-ID", "c:t:k:loa"), ("Precedence", "bulk")];
    Composer::new(FROM, "tin@example.test", &headers).expect("a sender")
}

fn letter<'a>(subject: &'a str, text: &'a str, html: &'a str) -> Letter<'a> {
    Letter {
        to_name: "Nguyễn Thị Ánh",
        to: "anh@example.test",
        message_id: "abc@loa.example.test",
        date_unix_s: 1_795_519_865,
        subject: Subject::Rendered(subject),
        text: Body::Rendered(text),
        html: Some(Body::Rendered(html)),
        unsubscribe: Some(Unsubscribe {
            https: "https://loa.example.test/u/abc",
            mailbox: "u+abc@bounce.example.test",
        }),
    }
}

#[track_caller]
fn composed(letter: &Letter<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    composer().compose(letter, &mut out).expect("composes");
    assert!(out.ends_with(b"\r\n") && out.is_ascii());
    assert!(out.split(|&octet| octet == b'\n').all(|line| line.len() <= 79 && line.last().is_none_or(|&o| o == b'\r')));
    out
}

#[track_caller]
fn parsed(octets: &[u8]) -> Message<'_> {
    MessageParser::default().parse(octets).expect("a message")
}

#[test]
fn a_reader_sees_what_was_given() {
    let octets = composed(&letter("Chuyển đổi số", "Kính gửi,\nhọp lúc 8h.\n", "<p>Họp lúc 8h</p>"));
    let message = parsed(&octets);
    let from = message.from().and_then(|from| from.first()).expect("from");
    assert_eq!((from.name(), from.address()), (Some(FROM), Some("tin@example.test")));
    let to = message.to().and_then(|to| to.first()).expect("to");
    assert_eq!((to.name(), to.address()), (Some("Nguyễn Thị Ánh"), Some("anh@example.test")));
    assert_eq!(message.subject(), Some("Chuyển đổi số"));
    assert_eq!(message.message_id(), Some("abc@loa.example.test"));
    assert_eq!(message.date().map(|date| date.to_timestamp()), Some(1_795_519_865));
    assert_eq!(message.body_text(0).as_deref(), Some("Kính gửi,\r\nhọp lúc 8h.\r\n"));
    assert_eq!(message.body_html(0).as_deref(), Some("<p>Họp lúc 8h</p>"));
    let multipart = message.content_type().expect("a type");
    assert_eq!((multipart.ctype(), multipart.subtype()), ("multipart", Some("alternative")));
    for (name, value) in [
        ("List-Unsubscribe", "<https://loa.example.test/u/abc>,\r\n <mailto:u+abc@bounce.example.test>\r\n"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click\r\n"),
        ("Precedence", "bulk\r\n"),
        ("MIME-Version", "1.0\r\n"),
    ] {
        assert_eq!(message.header_raw(name).map(str::trim_start), Some(value), "{name}");
    }
}

#[test]
fn fixed_pieces_are_what_rendered_ones_are() {
    let rendered = letter("Chuyển đổi số", "Kính gửi ông bà, xin mời họp lúc 8h.", "<p>Họp</p>");
    let subject = FixedSubject::new("Chuyển đổi số").expect("a subject");
    let text = FixedBody::new("Kính gửi ông bà, xin mời họp lúc 8h.").expect("a text");
    let html = FixedBody::new("<p>Họp</p>").expect("an HTML");
    let fixed = Letter {
        subject: Subject::Fixed(&subject),
        text: Body::Fixed(&text),
        html: Some(Body::Fixed(&html)),
        ..rendered
    };
    assert_eq!(composed(&fixed), composed(&rendered));
}

#[test]
fn a_message_may_be_plain_text_only() {
    let octets = composed(&Letter { html: None, unsubscribe: None, to_name: "", ..letter("a", "Họp lúc 8h", "-") });
    let message = parsed(&octets);
    assert_eq!(message.body_text(0).as_deref().map(str::trim_end), Some("Họp lúc 8h"));
    assert_eq!((message.text_body_count(), message.parts.len()), (1, 1));
    assert_eq!(message.to().and_then(|to| to.first()).and_then(|to| to.name()), None);
    assert!(message.header_raw("List-Unsubscribe").is_none());
}

#[test]
fn a_bad_value_is_named_and_leaves_nothing_behind() {
    let good = letter("a", "b", "c");
    for (bad, says) in [
        (Letter { to: "a b@c", ..good }, "the recipient's address is not a usable address"),
        (Letter { to_name: "a\r\nBcc: x@y", ..good }, "the recipient's name holds a control character; remove it"),
        (
            Letter { message_id: "a\r\n b", ..good },
            "the message id holds a character other than visible ASCII; remove it",
        ),
        (Letter { subject: Subject::Rendered(""), ..good }, "the subject is empty; give it a text"),
        (Letter { text: Body::Rendered(""), ..good }, "the text is empty; give it a text"),
        (Letter { html: Some(Body::Rendered("\u{1b}")), ..good }, "the HTML holds a control character; remove it"),
    ] {
        let mut out = b"before".to_vec();
        let error = composer().compose(&bad, &mut out).expect_err(says);
        assert_eq!((error.to_string().as_str(), out.as_slice()), (says, &b"before"[..]));
    }
    assert!(Composer::new("x", "nguyễn@example.test", &[]).is_err());
    assert!(Composer::new("x", "a@example.test", &[("List-Id", "a\r\nb")]).is_err());
}

proptest! {
    #[test]
    fn any_text_comes_back(
        subject in "[a-zA-ZÀ-ỹ0-9 =?_.,\"]{1,120}",
        name in "[a-zA-ZÀ-ỹ =?\"\\\\(),.<>@]{1,60}",
        text in "[a-zA-ZÀ-ỹ😀 =.\t\r\n-]{1,400}",
        html in "[a-z<>/=\" À-ỹ\r\n.]{1,400}",
    ) {
        let octets = composed(&Letter { to_name: &name, ..letter(&subject, &text, &html) });
        let message = parsed(&octets);
        let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
        prop_assert_eq!(message.subject(), Some(subject.as_str()));
        let to = message.to().and_then(|to| to.first()).expect("to");
        prop_assert_eq!(to.name(), Some(name.as_str()));
        prop_assert_eq!(to.address(), Some("anh@example.test"));
        prop_assert_eq!(message.body_text(0).map(String::from), Some(lines(&text)));
        prop_assert_eq!(message.body_html(0).map(String::from), Some(lines(&html)));
    }
}
