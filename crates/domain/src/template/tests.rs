//! What parses, what renders, and what every refusal says.

use proptest::prelude::*;

use super::*;
use crate::text::{Coding, count};

fn parsed(source: &str) -> TemplateText {
    TemplateText::parse(source).unwrap_or_else(|error| panic!("{source:?}: {error}"))
}

#[test]
fn fills_slots_by_name() {
    #[track_caller]
    fn check(source: &str, text: &str) {
        let values = [("ten", "Lan"), ("xa", "An Thủy"), ("BRAND", "X"), ("gio2", "08:00")];
        let lookup = |name: &str| values.iter().find(|(slot, _)| *slot == name).map(|(_, value)| *value);
        assert_eq!(parsed(source).render(lookup).as_deref(), Ok(text), "{source:?}");
    }

    check("", "");
    check("Chào", "Chào");
    check("{ten}", "Lan");
    check("Chào {ten} xã {xa}, {ten}!", "Chào Lan xã An Thủy, Lan!");
    check("{BRAND}{gio2}", "X08:00");
    check("{{ten}} {{{ten}}} }}{{", "{ten} {Lan} }{"); // two braces stand for one
    check("dòng một\nđòng hai\t.", "dòng một\nđòng hai\t.");
}

#[test]
fn a_fault_names_its_place_and_its_cure() {
    #[track_caller]
    fn check(source: &str, error: &str) {
        assert_eq!(TemplateText::parse(source).expect_err(source).to_string(), error);
    }

    check("Chào {ten", "line 1, column 6: a slot is opened here and never closed; add `}`, or write `{{` for a brace");
    check(
        "Chào {ten {xa}",
        "line 1, column 6: a slot is opened here and never closed; add `}`, or write `{{` for a brace",
    );
    check("đ\nđ}", "line 2, column 2: `}` closes no slot; write `}}` for a brace");
    check("{}", "line 1, column 1: the slot has no name; write it as {ten}, or `{{}}` for two braces");
    check(
        "{tên}",
        "line 1, column 2: `tên` is no slot name; use a letter, then letters, digits or `_`, at most 32 (plain ASCII), \
         or write `{{` for a brace",
    );
    check("a\u{1B}[2J", "line 1, column 2: U+001B is a control character; take it out");
    let many: String = (0..=SLOTS_MAX).map(|slot| format!("{{s{slot}}}")).collect();
    check(&many, "line 1, column 151: this slot is one too many; at most 32 different ones are allowed");
    let long = "a".repeat(TEMPLATE_BYTES_MAX + 1);
    check(&long, "line 1, column 262145: the template has 262145 bytes, at most 262144 are allowed; shorten it");
}

#[test]
fn a_name_is_a_plain_word() {
    let fault = |source: &str| TemplateText::parse(source).map(|_| ()).map_err(|error| error.fault);
    let bad = |found: &str| Err(Fault::BadName { found: found.to_owned() });
    assert_eq!(fault("{2}"), bad("2"));
    assert_eq!(fault("{ ten }"), bad(" ten "));
    assert_eq!(fault("{a-b}"), bad("a-b"));
    assert_eq!(fault(&format!("{{{}}}", "a".repeat(33))), bad(&"a".repeat(33)));
    assert_eq!(fault(&format!("{{{}}}", "a".repeat(32))), Ok(()));
}

#[test]
fn slots_are_known_in_order_of_their_first_place() {
    let template = parsed("{xa} {ten}\n{xa} {huyen}");
    let slots: Vec<_> = template.slots().iter().map(|slot| (&*slot.name, slot.place.line, slot.place.column)).collect();
    assert_eq!(slots, [("xa", 1, 1), ("ten", 1, 6), ("huyen", 2, 6)]);
    assert!(!template.is_constant());
    assert!(parsed("{{xa}}").is_constant());
    assert_eq!(template.check_slots(&["ten", "xa", "huyen"]), Ok(()));
    let error = template.check_slots(&["ten", "xa"]).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 6: nothing fills slot `huyen`; there are: ten, xa");
}

#[test]
fn a_value_is_checked_where_it_enters() {
    #[track_caller]
    fn check(value: &str, error: &str) {
        let rendered = parsed("Chào {ten}").render(|_| Some(value));
        assert_eq!(rendered.expect_err(value).to_string(), error);
        assert_eq!(check_value("ten", value).expect_err(value).to_string(), error);
    }

    let missing = "slot `ten` has no value; fill it for this recipient or leave it out of the template";
    check("", missing);
    check(" \u{00A0}", missing);
    check(
        "Lan\r\nBcc: x",
        "character 4 of the value of slot `ten` is U+000D, which does not belong in a text; take it out",
    );
    check(
        "La\u{202E}n",
        "character 3 of the value of slot `ten` is U+202E, which does not belong in a text; take it out",
    );
    check(&"ễ".repeat(65), "the value of slot `ten` has 65 characters, at most 64 are allowed; shorten it");
    assert_eq!(check_value("ten", &"ễ".repeat(64)), Ok(()));
    assert_eq!(parsed("{ten}").render(|_| None), Err(RenderError::Missing { slot: "ten".to_owned() }));
}

#[test]
fn html_values_bring_no_tags() {
    let template = parsed("<p>Chào {ten} &amp; {xa}</p>");
    let text = template.render_html(|slot| Some(if slot == "ten" { "<b>\"O'Lan\" & An</b>" } else { "xã" }));
    assert_eq!(text.as_deref(), Ok("<p>Chào &lt;b&gt;&quot;O&#39;Lan&quot; &amp; An&lt;/b&gt; &amp; xã</p>"));
}

#[test]
fn renders_by_number_into_a_buffer_that_is_used_again() {
    let template = parsed("{ten} {xa} {ten}");
    let mut out = String::new();
    for name in ["Lan", "Đạt"] {
        out.clear();
        template.render_into(&mut out, |slot| [name, "An Hội"].get(slot).copied().unwrap_or_default()).unwrap();
        assert_eq!(out, format!("{name} An Hội {name}"));
    }
}

#[test]
fn parts_vary_with_the_values() {
    let template = parsed(
        "UBND huyen {huyen} moi ba con du buoi huong dan dung dich vu cong truc tuyen luc {gio} ngay {ngay} tai {diadiem}. \
         Mang theo can cuoc va dien thoai.",
    );
    let parts = |diadiem| {
        let values = ["Ba Tri", "08:00", "10/10/2024", diadiem];
        let mut text = String::new();
        template.render_into(&mut text, |slot| values[slot]).unwrap();
        let counted = count(&text);
        assert_eq!(counted.coding, Coding::Gsm7);
        (counted.units, counted.parts)
    };
    assert_eq!(parts("Nha van hoa xa An Thuy"), (163, 2));
    assert_eq!(parts("UBND xa An Thuy"), (156, 1));
}

#[test]
fn debug_hides_the_words() {
    assert_eq!(format!("{:?}", parsed("mật {ma}")), "TemplateText { bytes: 10, slots: [\"ma\"] }");
}

proptest! {
    /// Any text parses or says where it does not; what parses renders exactly its words with the values in place.
    #[test]
    fn any_text_is_answered(source in "(?s).{0,80}|[a-c{}\n ]{0,40}", value in "[a-zđ<&]{1,10}") {
        match TemplateText::parse(&source) {
            Err(error) => prop_assert!(error.place.offset <= source.len()),
            Ok(template) => {
                let mut expected = source.replace("{{", "\u{E000}").replace("}}", "\u{E001}");
                prop_assume!(!source.contains(['\u{E000}', '\u{E001}']));
                for slot in template.slots() {
                    expected = expected.replace(&format!("{{{}}}", slot.name), &value);
                }
                let expected = expected.replace('\u{E000}', "{").replace('\u{E001}', "}");
                if !source.contains("}}}") {
                    prop_assert_eq!(template.render(|_| Some(&value)).unwrap(), expected);
                }
                let html = template.render_html(|_| Some(&value)).unwrap();
                prop_assert_eq!(template.slots().is_empty() || !value.contains('<') || html.contains("&lt;"), true);
            }
        }
    }

    /// Any value is taken or refused, and what is taken stays on its line.
    #[test]
    fn any_value_is_answered(value in "(?s).{0,80}") {
        if let Ok(text) = parsed("{v}").render(|_| Some(&value)) {
            prop_assert!(!text.contains(['\n', '\r', '\0']));
            prop_assert_eq!(text, value);
        }
    }
}
