//! A mail content, compiled once: three templates, and the letterheads of its senders.
//!
//! Must stay true: what has no slots is encoded once per sender, not once per mail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use loa_contract::pb::registry::v1 as registry;
use loa_domain::template::TemplateText;
use loa_ports::mailer::{Composer, Letterhead, Stationery};

/// Senders of one content that are remembered, at most.
const SENDERS_MAX: usize = 64;

/// Letterheads by sender name, mailbox and relay.
type Sheets = HashMap<(String, String, usize), Arc<dyn Stationery>>;

/// A compiled content.
pub(crate) struct MailContent {
    pub(crate) subject: TemplateText,
    pub(crate) text: TemplateText,
    /// `None` = a mail without HTML.
    pub(crate) html: Option<TemplateText>,
    sheets: Mutex<Sheets>,
}

impl MailContent {
    /// Parses the three templates.
    pub(crate) fn compile(content: &registry::Content) -> Result<Self, String> {
        let parse = |part: &str, text: &str| TemplateText::parse(text).map_err(|error| format!("{part}: {error}"));
        let html = if content.html.is_empty() { None } else { Some(parse("html", &content.html)?) };
        Ok(Self {
            subject: parse("subject", &content.subject)?,
            text: parse("text", &content.text)?,
            html,
            sheets: Mutex::default(),
        })
    }

    /// The letterhead of a sender on a relay.
    pub(crate) fn sheet(
        &self,
        composer: &dyn Composer,
        sender: (&str, &str),
        relay: (usize, &str),
    ) -> Result<Arc<dyn Stationery>, String> {
        let (sender_name, mailbox) = sender;
        let (number, return_domain) = relay;
        let key = (sender_name.to_owned(), mailbox.to_owned(), number);
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sheets.get(&key) {
            return Ok(Arc::clone(known));
        }
        let constants: Vec<Option<String>> =
            [Some(&self.subject), Some(&self.text), self.html.as_ref()].map(constant).into();
        let html = if self.html.is_none() { Some("") } else { constants[2].as_deref() };
        let head = Letterhead {
            sender_name,
            sender: mailbox,
            return_domain,
            subject: constants[0].as_deref(),
            text: constants[1].as_deref(),
            html,
        };
        let sheet = composer.letterhead(&head)?;
        if sheets.len() >= SENDERS_MAX {
            sheets.clear();
        }
        sheets.insert(key, Arc::clone(&sheet));
        Ok(sheet)
    }
}

/// The rendered text of a template without slots.
fn constant(template: Option<&TemplateText>) -> Option<String> {
    let template = template.filter(|template| template.is_constant())?;
    template.render(|_| None).ok()
}
