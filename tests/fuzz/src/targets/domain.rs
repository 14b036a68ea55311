//! Rules, templates, texts, numbers, addresses: what people type and files hold.

use loa_domain::address::EmailAddress;
use loa_domain::limits::{RULE_DEPTH_MAX, RULE_NODES_MAX, SLOTS_MAX, SMS_PARTS_MAX};
use loa_domain::msisdn::{Column, Msisdn};
use loa_domain::segment::Rule;
use loa_domain::template::TemplateText;
use loa_domain::text::{self, Diacritics};

use super::{class, kind, texts, told};

pub(crate) fn segment_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "has mobile",
        "commune in district(\"Ba Tri\") and age in 18..60 and has mobile",
        "not (service = ftth or payment in (prepaid, postpaid)) and tags contains any(\"dua\", \"tom\")",
        "sample 10% and language = vi or consent_ads = granted and smartphone = yes",
        "((((((((has email))))))))",
        "age in 18..",
        "xa = \"An Thủy\"",
    ])
}

/// What parses keeps to its limits, and its canonical text parses to the same rule.
pub(crate) fn segment(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    match Rule::parse(&text) {
        Ok(rule) => {
            assert!(rule.depth() <= RULE_DEPTH_MAX && rule.nodes() <= RULE_NODES_MAX, "a rule over its limits");
            let canonical = rule.to_string();
            let again = Rule::parse(&canonical).unwrap_or_else(|error| panic!("`{canonical}` is refused: {error}"));
            assert_eq!(again.to_string(), canonical, "a canonical text is its own");
            told((rule.columns().len(), rule.depth(), class(rule.nodes())))
        }
        Err(error) => told(kind(&error.summary())),
    }
}

pub(crate) fn template_seeds() -> Vec<Vec<u8>> {
    texts(&["", "Chào {ten}", "{{ten}} {{{ten}}} }}{{", "{a}{b}{c}", "{ten", "}", "{tên}", "dòng một\nđòng hai\t."])
}

/// What parses renders with any legal values, and HTML holds no sign of a value raw.
pub(crate) fn template(input: &[u8]) -> u64 {
    let source = String::from_utf8_lossy(input);
    match TemplateText::parse(&source) {
        Ok(template) => {
            assert!(template.slots().len() <= SLOTS_MAX, "a template over its limit");
            let plain = template.render(|_| Some("Lan"));
            assert!(plain.is_ok(), "a legal value is not rendered: {plain:?}");
            if let Ok(html) = template.render_html(|_| Some("<q7>")) {
                let raw = html.matches("<q7>").count();
                assert_eq!(raw, source.matches("<q7>").count(), "a value stands raw in HTML");
            }
            told((template.slots().len(), template.is_constant(), class(source.len())))
        }
        Err(error) => told(kind(&error)),
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let long = "Bến Tre ".repeat(40);
    texts(&["", "Chao ban", "Chào bạn ạ", "€[]{}~^|\\", "😀😀", "e\u{301}\u{323}", "\r\n\t", &long])
}

/// Every text is counted as it is cut, and what is cut reads back.
pub(crate) fn text(input: &[u8]) -> u64 {
    let source = String::from_utf8_lossy(input);
    let counted = text::count(&source);
    match text::encode(&source, 7) {
        Ok(encoded) => {
            assert_eq!(
                (encoded.coding, encoded.parts.len()),
                (counted.coding, counted.parts),
                "counted otherwise than cut"
            );
            assert!(encoded.parts.len() <= SMS_PARTS_MAX);
            let mut back = String::new();
            for part in &encoded.parts {
                let body =
                    if encoded.has_header() { text::split_header(part).map(|(_, body)| body) } else { Some(&**part) };
                let body = body.and_then(|body| text::decode(encoded.coding, body));
                back.push_str(&body.unwrap_or_else(|| panic!("a part does not read back")));
            }
            assert_eq!(back, text::nfc(&source), "another text reads back");
        }
        Err(_) => assert!(counted.parts > SMS_PARTS_MAX, "a text of few parts is refused"),
    }
    for policy in Diacritics::ALL {
        if let Ok(applied) = text::apply(&source, *policy) {
            assert!(text::count(&applied).parts >= 1);
        }
    }
    told((counted.coding, counted.parts, text::strip(&source).is_ok()))
}

pub(crate) fn msisdn_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "0912345678",
        "+84912345678",
        "84 91 234 56 78",
        "912345678",
        "01212345678",
        "02753822222",
        "113",
        "9.1E8",
        "+66812345678",
        "(+84) 91-234.5678",
        "0084912345678",
        "8491234567O",
    ])
}

/// A number that is read is one of today's plan and reads back from every way it is written.
pub(crate) fn msisdn(input: &[u8]) -> u64 {
    let source = String::from_utf8_lossy(input);
    let mut outcomes = Vec::new();
    for column in [Column::Mobile, Column::Fixed, Column::Any] {
        match Msisdn::parse(&source, column) {
            Ok(parsed) => {
                let number = parsed.number;
                assert_eq!(Msisdn::from_u64(number.as_u64()), Some(number), "not of today's plan");
                for written in [number.to_e164(), number.to_national()] {
                    let again = Msisdn::parse(&written, column).map(|again| (again.number, again.migrated));
                    assert_eq!(again, Ok((number, false)), "does not read back");
                }
                outcomes.push(format!("{:?} {}", parsed.kind, parsed.migrated));
            }
            Err(reject) => {
                assert!(!reject.cure().is_empty());
                outcomes.push(reject.code().to_owned());
            }
        }
    }
    told(outcomes)
}

pub(crate) fn address_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "lan@example.test",
        "  Lan.Anh+tin@EXAMPLE.test ",
        "@",
        "a@@b",
        "lần@example.test",
        "a@b..c",
        "\"a b\"@c.test",
    ])
}

/// An address that is read can stand in an envelope, and reads back as itself.
pub(crate) fn address(input: &[u8]) -> u64 {
    let source = String::from_utf8_lossy(input);
    match EmailAddress::parse(&source) {
        Ok(address) => {
            assert!(loa_wire_smtp::mailbox::check(address.as_str()).is_ok(), "cannot stand in an envelope");
            assert_eq!(EmailAddress::parse(address.as_str()).as_ref(), Ok(&address));
            assert_eq!(format!("{}@{}", address.local(), address.domain()), address.as_str());
            told((class(address.local().len()), class(address.domain().len()), address.is_reserved()))
        }
        Err(error) => told(error.code()),
    }
}
