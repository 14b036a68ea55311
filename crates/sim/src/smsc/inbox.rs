//! The last messages that arrived, for the console page and for tests that read texts.
//!
//! Messages are kept as they came and decoded only when somebody looks, so keeping them costs the wire one copy each.
//!
//! Must stay true: at most the configured number is kept; the oldest goes first and its memory is used again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use loa_domain::text::{Coding, decode};
use loa_wire_smpp::pdu::{Message, Part};

/// One message, its parts put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// When its first part came, microseconds since 1970.
    pub unix_us: u64,
    /// The sender shown on the phone.
    pub from: String,
    /// The number.
    pub to: String,
    pub text: String,
    pub parts: u8,
    /// Parts that have come; fewer than `parts` while the text is incomplete.
    pub parts_seen: u8,
}

/// One part as it came.
struct Kept {
    unix_us: u64,
    data_coding: u8,
    part: Part,
    /// Sender, number and text one after the other.
    octets: Vec<u8>,
    from: usize,
    to: usize,
}

/// A bounded store of the last messages.
pub struct Inbox {
    max: usize,
    kept: Mutex<VecDeque<Kept>>,
}

impl Inbox {
    /// An inbox of at most `max` parts.
    pub(super) fn new(max: usize) -> Self {
        Self { max, kept: Mutex::default() }
    }

    pub(super) fn push(&self, unix_us: u64, message: &Message<'_>, part: Part, text: &[u8]) {
        if self.max == 0 {
            return;
        }
        let (from, to) = (message.source.address, message.destination.address);
        let mut kept = self.lock();
        let reused = if kept.len() == self.max { kept.pop_front().map(|oldest| oldest.octets) } else { None };
        let mut octets = reused.unwrap_or_default();
        octets.clear();
        for piece in [from, to, text] {
            octets.extend_from_slice(piece);
        }
        let (from, to) = (from.len(), to.len());
        kept.push_back(Kept { unix_us, data_coding: message.data_coding, part, octets, from, to });
    }

    /// The newest messages whose number or text holds `needle` (any case; empty = all), newest first, at most `limit`.
    pub fn search(&self, needle: &str, limit: usize) -> Vec<InboxMessage> {
        let needle = needle.to_lowercase();
        let found = |message: &InboxMessage| {
            needle.is_empty() || message.to.contains(&needle) || message.text.to_lowercase().contains(&needle)
        };
        self.messages().into_iter().rev().filter(found).take(limit).collect()
    }

    /// Everything that is kept, oldest first; parts of one text are put together.
    pub fn messages(&self) -> Vec<InboxMessage> {
        let mut messages: Vec<InboxMessage> = Vec::new();
        let mut open = HashMap::<(String, String, u16), (usize, Vec<String>)>::new();
        for kept in self.lock().iter() {
            let (from, to, text) = kept.read();
            let message = InboxMessage { unix_us: kept.unix_us, from, to, text, parts: kept.part.parts, parts_seen: 1 };
            if kept.part.parts <= 1 {
                messages.push(message);
                continue;
            }
            let key = (message.from.clone(), message.to.clone(), kept.part.reference);
            let texts = vec![String::new(); usize::from(kept.part.parts)];
            let (at, texts) = open.entry(key.clone()).or_insert_with(|| {
                messages.push(InboxMessage { parts_seen: 0, ..message.clone() });
                (messages.len() - 1, texts)
            });
            let whole = &mut messages[*at];
            if let Some(place) = texts.get_mut(usize::from(kept.part.part).wrapping_sub(1)) {
                whole.parts_seen += u8::from(place.is_empty());
                *place = message.text;
            }
            whole.text = texts.concat();
            if whole.parts_seen == whole.parts {
                open.remove(&key); // the reference may be used again
            }
        }
        messages
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Kept {
    fn read(&self) -> (String, String, String) {
        let (from, rest) = self.octets.split_at(self.from);
        let (to, text) = rest.split_at(self.to);
        let plain = |octets| String::from_utf8_lossy(octets).into_owned();
        (plain(from), plain(to), readable(self.data_coding, text))
    }
}

/// The text as a phone would show it.
fn readable(data_coding: u8, text: &[u8]) -> String {
    let decoded = match data_coding {
        0x00 | 0x10..=0x13 => decode(Coding::Gsm7, text),
        0x08 | 0x18 => decode(Coding::Ucs2, text),
        0x01 | 0x03 => Some(text.iter().map(|&octet| char::from(octet)).collect()),
        _ => None,
    };
    decoded.unwrap_or_else(|| format!("({} octets that are no text in coding {data_coding:#04x})", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_wire_smpp::pdu::Address;

    fn push(inbox: &Inbox, to: &str, data_coding: u8, (reference, part, parts): (u16, u8, u8), text: &[u8]) {
        let address = |address| Address { ton: 1, npi: 1, address };
        let message = Message {
            source: address(&b"LOA"[..]),
            destination: address(to.as_bytes()),
            data_coding,
            ..Message::default()
        };
        inbox.push(7, &message, Part { reference, part, parts }, text);
    }

    fn seen(messages: &[InboxMessage]) -> Vec<(&str, &str, u8)> {
        messages.iter().map(|message| (message.to.as_str(), message.text.as_str(), message.parts_seen)).collect()
    }

    #[test]
    fn keeps_the_last_ones_and_finds_them() {
        let inbox = Inbox::new(3);
        push(&inbox, "841", 0, (0, 1, 1), b"forgotten");
        push(&inbox, "842", 0, (0, 1, 1), b"Xin chao");
        push(&inbox, "843", 8, (0, 1, 1), &[0x1E, 0xA1, 0x00, b'B']);
        push(&inbox, "844", 2, (0, 1, 1), &[1, 2, 3]);
        let all = inbox.search("", 10);
        let binary = "(3 octets that are no text in coding 0x02)";
        assert_eq!(seen(&all), [("844", binary, 1), ("843", "ạB", 1), ("842", "Xin chao", 1)]);
        assert_eq!(seen(&inbox.search("xin CHAO", 10)), [("842", "Xin chao", 1)]);
        assert_eq!(seen(&inbox.search("84", 1)), [("844", binary, 1)]);
        assert_eq!(inbox.search("841", 10), []);
        assert_eq!(inbox.messages()[0].from, "LOA");
    }

    #[test]
    fn puts_parts_together() {
        let inbox = Inbox::new(10);
        push(&inbox, "841", 0, (9, 2, 2), b"world");
        push(&inbox, "842", 0, (9, 1, 2), b"other ");
        assert_eq!(seen(&inbox.messages()), [("841", "world", 1), ("842", "other ", 1)]);
        push(&inbox, "841", 0, (9, 1, 2), b"hello ");
        push(&inbox, "841", 0, (9, 1, 2), b"again ");
        assert_eq!(seen(&inbox.messages()), [("841", "hello world", 2), ("842", "other ", 1), ("841", "again ", 1)]);
        push(&inbox, "843", 0, (1, 0, 3), b"no such part");
        assert_eq!(inbox.messages().last().unwrap().parts_seen, 0);
    }
}
