//! What email adds to the engine: a slice of recipients becomes composed mails.
//!
//! Must stay true: the token of a mail names its message (freeze, variant, chunk, index) and nothing of the person.

use std::sync::Arc;

use loa_contract::pb::registry::v1 as registry;
use loa_domain::channel::Channel;
use loa_domain::state::Reason;
use loa_domain::template::TemplateText;
use loa_gateway::{Addresses, Medium, Offer, Slice};
use loa_ports::mailer::{Composed, Composer, LetterParts, Stationery};

use crate::content::MailContent;

/// MIME mails.
pub(crate) struct Mime {
    composer: Arc<dyn Composer>,
    return_domains: Vec<String>,
}

impl Mime {
    pub(crate) fn new(composer: Arc<dyn Composer>, return_domains: Vec<String>) -> Self {
        Self { composer, return_domains }
    }
}

/// The mails of one slice, one per recipient; `None` where it was refused.
pub(crate) type Mails = Vec<Option<Composed>>;

impl Medium for Mime {
    type Content = MailContent;
    type Ready = Mails;
    const CHANNEL: Channel = Channel::Email;

    fn compile(&self, content: &registry::Content) -> Result<MailContent, String> {
        MailContent::compile(content)
    }

    fn prepare(&self, slice: &Slice<'_>, content: &MailContent, parts: &mut Vec<Result<u8, Reason>>) -> Mails {
        let offer = slice.offer;
        let relay = (slice.account, self.return_domains.get(slice.account).map_or("", String::as_str));
        let sheet = content.sheet(self.composer.as_ref(), (&offer.sender_name, &offer.sender), relay);
        let sheet = match sheet {
            Ok(sheet) => sheet,
            Err(why) => {
                tracing::warn!(campaign = %offer.campaign, why, "mails of this sender cannot be written");
                parts.extend(slice.range.clone().map(|_| Err(Reason::SenderInvalid)));
                return slice.range.clone().map(|_| None).collect();
            }
        };
        let mut writer = Writer::new(offer, content, sheet, slice.now_us.div_euclid(1_000_000));
        slice
            .range
            .clone()
            .map(|recipient| {
                let mail = writer.write(recipient);
                parts.push(mail.as_ref().map(|_| 1).map_err(|reason| *reason));
                mail.ok()
            })
            .collect()
    }

    fn refuse(&self) -> Mails {
        Vec::new()
    }
}

/// Writes the mails of one slice over reused buffers.
struct Writer<'a> {
    offer: &'a Offer,
    content: &'a MailContent,
    sheet: Arc<dyn Stationery>,
    date_unix_s: i64,
    columns: [Vec<Option<usize>>; 3],
    subject: String,
    text: String,
    html: String,
}

impl<'a> Writer<'a> {
    fn new(offer: &'a Offer, content: &'a MailContent, sheet: Arc<dyn Stationery>, date_unix_s: i64) -> Self {
        let columns = |template: Option<&TemplateText>| {
            template.map_or_else(Vec::new, |template| {
                template.slots().iter().map(|slot| offer.column(&slot.name)).collect()
            })
        };
        Self {
            offer,
            content,
            sheet,
            date_unix_s,
            columns: [columns(Some(&content.subject)), columns(Some(&content.text)), columns(content.html.as_ref())],
            subject: String::new(),
            text: String::new(),
            html: String::new(),
        }
    }

    fn write(&mut self, recipient: usize) -> Result<Composed, Reason> {
        let Addresses::Mailboxes(mailboxes) = &self.offer.addresses else { return Err(Reason::InvalidAddress) };
        let to = mailboxes.get(recipient).ok_or(Reason::InvalidAddress)?;
        self.render(recipient)?;
        let token = token(self.offer, recipient);
        let letter = LetterParts {
            to,
            token: &token,
            date_unix_s: self.date_unix_s,
            subject: &self.subject,
            text: &self.text,
            html: &self.html,
        };
        self.sheet.compose(&letter).map_err(|why| {
            tracing::debug!(campaign = %self.offer.campaign, why, "a mail cannot be written");
            Reason::Render
        })
    }

    fn render(&mut self, recipient: usize) -> Result<(), Reason> {
        let (offer, [subject, text, html]) = (self.offer, &self.columns);
        let value = |columns: &[Option<usize>], slot: usize| {
            columns.get(slot).copied().flatten().map_or("", |column| offer.slot(column, recipient))
        };
        let render = |_| Reason::Render;
        self.subject.clear();
        self.text.clear();
        self.html.clear();
        if !self.content.subject.is_constant() {
            self.content.subject.render_into(&mut self.subject, |slot| value(subject, slot)).map_err(render)?;
        }
        if !self.content.text.is_constant() {
            self.content.text.render_into(&mut self.text, |slot| value(text, slot)).map_err(render)?;
        }
        if let Some(template) = self.content.html.as_ref().filter(|template| !template.is_constant()) {
            template.render_html_into(&mut self.html, |slot| value(html, slot)).map_err(render)?;
        }
        Ok(())
    }
}

/// Freeze, variant, chunk and index: 24 octets.
fn token(offer: &Offer, recipient: usize) -> [u8; 24] {
    let mut token = [0; 24];
    let chunk = offer.key.chunk;
    token[..16].copy_from_slice(chunk.freeze.as_bytes());
    token[16..18].copy_from_slice(&chunk.variant.to_be_bytes());
    token[18..22].copy_from_slice(&chunk.chunk.to_be_bytes());
    token[22..].copy_from_slice(&offer.index(recipient).to_be_bytes());
    token
}
