//! Texts: how a content becomes the octets of each recipient's message.
//!
//! Must stay true: a text without slots is encoded once; what is sent is what the author saw in the preview; a text over the
//! account's parts is refused, never cut.

use bytes::{Bytes, BytesMut};
use loa_contract::pb::registry::v1 as registry;
use loa_domain::channel::Channel;
use loa_domain::state::Reason;
use loa_domain::template::TemplateText;
use loa_domain::text::{Coding, Diacritics, Encoded, apply, encode};
use loa_gateway::{Medium, Offer, Slice};

/// data_coding of the GSM alphabet.
const CODING_GSM7: u8 = 0x00;
/// data_coding of UCS-2.
const CODING_UCS2: u8 = 0x08;
/// A carrier keeps trying for at most this long, in seconds.
const VALIDITY_S_MAX: u32 = 24 * 60 * 60;

/// The channel's part of the engine.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Parts of one text, at most, by account.
    pub(crate) parts_max: Vec<u8>,
}

/// A content, compiled.
#[derive(Debug)]
pub(crate) struct Content {
    template: TemplateText,
    diacritics: Diacritics,
    constant: Option<Encoded>,
}

/// A slice's texts, ready for the wire.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// One for each recipient, or one alone for all.
    texts: Vec<Text>,
    /// validity_period of each, in seconds; 0 = the carrier's default.
    pub(crate) validity_s: u32,
}

/// The parts of one text.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) data_coding: u8,
    pub(crate) parts: Parts,
}

#[derive(Debug, Clone)]
pub(crate) enum Parts {
    /// Most texts have one.
    One(Bytes),
    Many(Box<[Bytes]>),
}

impl Default for Text {
    fn default() -> Self {
        Self { data_coding: CODING_GSM7, parts: Parts::One(Bytes::new()) }
    }
}

/// The texts of a slice in one piece of memory.
#[derive(Default)]
struct Packed {
    octets: BytesMut,
    /// Of each text: its coding, and where each of its parts ends.
    texts: Vec<(u8, Ends)>,
}

enum Ends {
    One(usize),
    Many(Vec<usize>),
}

impl Packed {
    fn push(&mut self, encoded: &Encoded) {
        let data_coding = match encoded.coding {
            Coding::Gsm7 => CODING_GSM7,
            Coding::Ucs2 => CODING_UCS2,
        };
        let mut put = |part: &Vec<u8>| {
            self.octets.extend_from_slice(part);
            self.octets.len()
        };
        let ends = match &encoded.parts[..] {
            [only] => Ends::One(put(only)),
            parts => Ends::Many(parts.iter().map(put).collect()),
        };
        self.texts.push((data_coding, ends));
    }

    fn texts(self) -> Vec<Text> {
        let octets = self.octets.freeze();
        let mut from = 0;
        let mut cut = |end: usize| octets.slice(std::mem::replace(&mut from, end)..end);
        let text = |(data_coding, ends)| Text {
            data_coding,
            parts: match ends {
                Ends::One(end) => Parts::One(cut(end)),
                Ends::Many(ends) => Parts::Many(ends.into_iter().map(&mut cut).collect()),
            },
        };
        self.texts.into_iter().map(text).collect()
    }
}

impl Ready {
    /// The text of the slice's `at`-th recipient.
    pub(crate) fn text(&self, at: usize) -> Option<&Text> {
        if let [same] = &self.texts[..] { Some(same) } else { self.texts.get(at) }
    }
}

impl Text {
    fn alone(encoded: &Encoded) -> Self {
        let mut packed = Packed::default();
        packed.push(encoded);
        packed.texts().pop().unwrap_or_default()
    }

    /// How many parts there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        match &self.parts {
            Parts::One(_) => 1,
            Parts::Many(parts) => parts.len(),
        }
    }

    /// The octets of a part, with its header if there are several.
    pub(crate) fn part(&self, part: u8) -> Bytes {
        match &self.parts {
            Parts::One(only) => only.clone(),
            Parts::Many(parts) => parts.get(usize::from(part)).cloned().unwrap_or_default(),
        }
    }
}

impl Medium for Texts {
    type Content = Content;
    type Ready = Ready;
    const CHANNEL: Channel = Channel::Sms;

    fn compile(&self, content: &registry::Content) -> Result<Content, String> {
        let template = TemplateText::parse(&content.text).map_err(|error| error.to_string())?;
        let diacritics = match content.diacritics.as_str() {
            "" => Diacritics::AsIs,
            policy => policy.parse::<Diacritics>().map_err(|error| error.to_string())?,
        };
        let constant = match template.is_constant() {
            true => {
                let text = template.render(|_| None).map_err(|error| error.to_string())?;
                let text = apply(&text, diacritics).map_err(|error| error.to_string())?;
                Some(encode(&text, 0).map_err(|error| error.to_string())?)
            }
            false => None,
        };
        Ok(Content { template, diacritics, constant })
    }

    fn prepare(&self, slice: &Slice<'_>, content: &Content, parts: &mut Vec<Result<u8, Reason>>) -> Ready {
        let parts_max = usize::from(self.parts_max.get(slice.account).copied().unwrap_or(1));
        let count = |encoded: &Encoded| match encoded.parts.len() {
            parts if parts <= parts_max => u8::try_from(parts).map_err(|_| Reason::TooLong),
            _ => Err(Reason::TooLong),
        };
        let validity_s = validity(slice);
        // A text of one part has no reference in it: all recipients share its octets.
        if let Some(encoded) = content.constant.as_ref().filter(|encoded| !encoded.has_header()) {
            parts.extend(slice.range.clone().map(|_| count(encoded)));
            return Ready { texts: vec![Text::alone(encoded)], validity_s };
        }
        let columns = columns(&content.template, slice.offer);
        let mut rendered = String::new();
        let mut packed = Packed::default();
        for recipient in slice.range.clone() {
            let reference = reference(slice.offer, recipient);
            let encoded = match &content.constant {
                Some(encoded) => {
                    let mut encoded = encoded.clone();
                    encoded.set_reference(reference);
                    Some(encoded)
                }
                None => content.render(slice.offer, &columns, recipient, reference, &mut rendered),
            };
            parts.push(encoded.as_ref().map_or(Err(Reason::Render), count));
            match encoded {
                Some(encoded) => packed.push(&encoded),
                None => packed.texts.push((CODING_GSM7, Ends::One(packed.octets.len()))),
            }
        }
        Ready { texts: packed.texts(), validity_s }
    }

    fn refuse(&self) -> Ready {
        Ready::default()
    }
}

impl Content {
    fn render(
        &self,
        offer: &Offer,
        columns: &[Option<usize>],
        recipient: usize,
        reference: u8,
        text: &mut String,
    ) -> Option<Encoded> {
        text.clear();
        let value = |slot: usize| match columns.get(slot) {
            Some(Some(column)) => offer.slot(*column, recipient),
            _ => "",
        };
        self.template.render_into(text, value).ok()?;
        let text = apply(text, self.diacritics).ok()?;
        encode(&text, reference).ok()
    }
}

/// Which column of the release fills each slot of the template.
fn columns(template: &TemplateText, offer: &Offer) -> Vec<Option<usize>> {
    template.slots().iter().map(|slot| offer.column(&slot.name)).collect()
}

/// What ties the parts of one text together on the telephone: the same at every try, another for the next text.
fn reference(offer: &Offer, recipient: usize) -> u8 {
    let [.., freeze] = *offer.key.chunk.freeze.as_bytes();
    let [chunk, ..] = offer.key.chunk.chunk.to_le_bytes();
    let [index, above] = offer.index(recipient).to_le_bytes();
    freeze ^ chunk.rotate_left(3) ^ index ^ above.rotate_left(7)
}

fn validity(slice: &Slice<'_>) -> u32 {
    match (slice.ends_at_us.saturating_sub(slice.now_us)) / 1_000_000 {
        _ if slice.ends_at_us == 0 => 0,
        left => u32::try_from(left).unwrap_or(0).clamp(60, VALIDITY_S_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_contract::pb::event::v1 as event;
    use loa_domain::mask::Mask;
    use loa_domain::text::{decode, split_header};

    const TEXTS: fn() -> Texts = || Texts { parts_max: vec![3] };

    fn offer(names: &[&str]) -> Offer {
        let slots = vec![event::SlotColumn {
            name: "ten".to_owned(),
            values: names.iter().map(|name| (*name).to_owned()).collect(),
        }];
        let record = event::Release {
            chunk: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 3 }),
            campaign_id: vec![2; 16],
            lane: event::Lane::Bulk.into(),
            class: event::Class::PublicInformation.into(),
            slice_length: 100,
            mask: Mask::first(names.len()).to_vec(),
            msisdns: vec![84_912_345_678; names.len()],
            slots,
            ..Default::default()
        };
        Offer::parse(Channel::Sms, record).unwrap()
    }

    fn prepare(text: &str, diacritics: &str, names: &[&str]) -> (Ready, Vec<Result<u8, Reason>>) {
        let content =
            registry::Content { text: text.to_owned(), diacritics: diacritics.to_owned(), ..Default::default() };
        let content = TEXTS().compile(&content).unwrap();
        let offer = offer(names);
        let slice = Slice { account: 0, offer: &offer, range: 0..names.len(), ends_at_us: 0, now_us: 0 };
        let mut parts = Vec::new();
        (TEXTS().prepare(&slice, &content, &mut parts), parts)
    }

    fn shown(text: &Text) -> String {
        let coding = if text.data_coding == CODING_UCS2 { Coding::Ucs2 } else { Coding::Gsm7 };
        let part = |part| {
            let octets = text.part(part);
            let octets = if text.len() > 1 { split_header(&octets).unwrap().1.to_vec() } else { octets.to_vec() };
            decode(coding, &octets).unwrap()
        };
        (0..u8::try_from(text.len()).unwrap()).map(part).collect()
    }

    #[test]
    fn each_gets_their_own_text() {
        let (ready, parts) = prepare("Chào {ten}", "as_is", &["Lan", "Hương", ""]);
        assert_eq!(parts, [Ok(1), Ok(1), Err(Reason::Render)], "half a sentence is not sent");
        assert_eq!(shown(ready.text(0).unwrap()), "Chào Lan");
        assert_eq!(shown(ready.text(1).unwrap()), "Chào Hương");
        assert_eq!(ready.text(0).unwrap().data_coding, CODING_GSM7);
        assert_eq!(ready.text(1).unwrap().data_coding, CODING_UCS2);
        let (ready, _) = prepare("Chào {ten}", "strip", &["Hương"]);
        assert_eq!(shown(ready.text(0).unwrap()), "Chao Huong");
    }

    #[test]
    fn a_text_without_slots_is_shared() {
        let (ready, parts) = prepare("Mời họp", "as_is", &["", ""]);
        assert_eq!(parts, [Ok(1), Ok(1)]);
        assert_eq!(ready.texts.len(), 1);
        assert_eq!(shown(ready.text(1).unwrap()), "Mời họp");
    }

    #[test]
    fn parts_of_one_text_share_a_reference() {
        let long = "Chuyển đổi số ".repeat(10);
        let (ready, parts) = prepare(&long, "as_is", &["", ""]);
        assert_eq!(parts, [Ok(3), Ok(3)]);
        let references = |at| {
            let text = ready.text(at).unwrap();
            (0..3).map(|part| split_header(&text.part(part)).unwrap().0.reference).collect::<Vec<_>>()
        };
        let (one, two) = (references(0), references(1));
        assert!(one.iter().all(|reference| *reference == one[0]));
        assert_ne!(one[0], two[0], "two texts to one telephone do not mix");
        assert_eq!(shown(ready.text(0).unwrap()), long);
    }

    #[test]
    fn too_many_parts_for_the_account_are_refused() {
        let (_, parts) = prepare(&"Chuyển đổi số ".repeat(18), "as_is", &[""]);
        assert_eq!(parts, [Err(Reason::TooLong)]);
    }

    #[test]
    fn a_content_that_is_none_says_why() {
        let content = |text: &str, diacritics: &str| registry::Content {
            text: text.to_owned(),
            diacritics: diacritics.to_owned(),
            ..Default::default()
        };
        assert!(TEXTS().compile(&content("Chào {ten", "")).unwrap_err().contains("never closed"));
        assert!(TEXTS().compile(&content("Chào", "none")).unwrap_err().contains("as_is"));
        assert!(TEXTS().compile(&content("😀", "strip")).is_err());
    }
}
