//! What the text of one recipient costs, and whether it can be made at all.
//!
//! Must stay true: what is counted here is what the gateway encodes: the same template, the same policy on diacritics.

use loa_domain::channel::Channel;
use loa_domain::limits::SMS_PARTS_MAX;
use loa_domain::state::Reason;
use loa_domain::template::{self, TemplateText};
use loa_domain::text::{self, Diacritics};

/// How a variant's parts are found.
#[derive(Debug)]
pub(super) enum Cost {
    /// The same for everybody.
    Constant(Result<u8, Reason>),
    /// Rendered for each recipient; the slots' places among the recipient's values.
    Rendered { template: Box<TemplateText>, places: Vec<usize>, policy: Diacritics },
    /// A mail is one part; its slots must be filled.
    Mail,
}

impl Cost {
    /// Of a variant's text; `slots`: the names of a recipient's values in order.
    pub(super) fn new(channel: Channel, template: TemplateText, policy: Diacritics, slots: &[String]) -> Self {
        if channel == Channel::Email {
            return Self::Mail;
        }
        if template.is_constant() {
            // The words as they are sent: two braces stand for one.
            let words = template.render(|_| None);
            return Self::Constant(words.map_err(|_| Reason::Render).and_then(|words| parts(&words, policy)));
        }
        let place = |name: &str| slots.iter().position(|slot| slot == name).unwrap_or(usize::MAX);
        let places = template.slots().iter().map(|slot| place(&slot.name)).collect();
        Self::Rendered { template: Box::new(template), places, policy }
    }

    /// Of one recipient. `buffer` is used again and again.
    pub(super) fn of(&self, values: &[&str], buffer: &mut String) -> Result<u8, Reason> {
        match self {
            Self::Constant(parts) => *parts,
            Self::Mail => {
                let is_filled = values.iter().all(|value| template::check_value("", value).is_ok());
                if is_filled { Ok(1) } else { Err(Reason::Render) }
            }
            Self::Rendered { template, places, policy } => {
                buffer.clear();
                let value =
                    |slot: usize| places.get(slot).and_then(|place| values.get(*place)).copied().unwrap_or_default();
                template.render_into(buffer, value).map_err(|_| Reason::Render)?;
                parts(buffer, *policy)
            }
        }
    }
}

fn parts(words: &str, policy: Diacritics) -> Result<u8, Reason> {
    let sent = text::apply(words, policy).map_err(|_| Reason::Render)?;
    let parts = text::count(&sent).parts;
    match u8::try_from(parts) {
        Ok(small) if parts <= SMS_PARTS_MAX => Ok(small),
        _ => Err(Reason::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_each_person_gets() {
        #[track_caller]
        fn check(channel: Channel, text: &str, policy: Diacritics, values: &[&str], expected: Result<u8, Reason>) {
            let template = TemplateText::parse(text).unwrap();
            let cost = Cost::new(channel, template, policy, &["danh_xung".to_owned(), "ten".to_owned()]);
            assert_eq!(cost.of(values, &mut "left over".to_owned()), expected, "{text}");
        }

        let lan = ["chị", "Lan"];
        check(Channel::Sms, "Kinh gui ba con", Diacritics::AsIs, &lan, Ok(1));
        check(Channel::Sms, &"a".repeat(161), Diacritics::AsIs, &lan, Ok(2));
        check(Channel::Sms, &"a".repeat(1_531), Diacritics::AsIs, &lan, Err(Reason::TooLong));
        check(Channel::Sms, &"{{".repeat(80), Diacritics::AsIs, &lan, Ok(1)); // a brace costs two septets, two braces make one
        check(Channel::Sms, &format!("{}{{ten}}", "a".repeat(157)), Diacritics::AsIs, &lan, Ok(1));
        check(Channel::Sms, &format!("{}{{ten}}", "a".repeat(157)), Diacritics::AsIs, &["", "Loan"], Ok(2));
        check(Channel::Sms, &format!("{}{{ten}}", "a".repeat(70)), Diacritics::AsIs, &["", "Đỗ"], Ok(2));
        check(Channel::Sms, &format!("{}{{ten}}", "a".repeat(70)), Diacritics::Strip, &["", "Đỗ"], Ok(1));
        check(Channel::Sms, "a{ten}", Diacritics::Strip, &["", "😀"], Err(Reason::Render));
        check(Channel::Sms, "a{ten}", Diacritics::AsIs, &["", ""], Err(Reason::Render)); // half a sentence
        check(Channel::Sms, "a{tuoi}", Diacritics::AsIs, &lan, Err(Reason::Render));
        check(Channel::Email, "", Diacritics::AsIs, &lan, Ok(1));
        check(Channel::Email, "", Diacritics::AsIs, &["chị", ""], Err(Reason::Render));
    }
}
