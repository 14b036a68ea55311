//! Cutting a text into parts, each with the header that lets a telephone put them together.
//!
//! The number of parts is found by cutting, not by dividing: a part may not end between the escape and its code, inside a
//! surrogate pair, or inside what a reader sees as one character.
//!
//! Must stay true: counting and encoding cut at the same places.

use std::fmt;

use unicode_segmentation::UnicodeSegmentation;

use super::{Coding, TextError, gsm7, nfc};
use crate::limits::SMS_PARTS_MAX;

/// Octets of the header with an 8-bit reference: its length, the element 00, 3 octets of it, RR TT SS.
const HEADER_OCTETS: usize = 6;
/// Octets of text beside that header, at most: 153 septets, or 67 units of 2.
const PART_OCTETS_MAX: usize = 153;
/// Where the reference stands in that header.
const REFERENCE_AT: usize = 3;

/// What a text costs on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The alphabet it needs.
    pub coding: Coding,
    /// Septets or 16-bit units of the whole text.
    pub units: usize,
    /// Parts, at least 1; may be over [`SMS_PARTS_MAX`], see [`Parts::check`].
    pub parts: usize,
}

impl Parts {
    /// Refuses a text of more parts than may be sent.
    pub fn check(self) -> Result<Self, TextError> {
        if self.parts > SMS_PARTS_MAX { Err(TextError::TooManyParts { parts: self.parts }) } else { Ok(self) }
    }
}

/// A text ready for a carrier: unpacked septets or UTF-16BE, each part with its header when there are several.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The alphabet of every part.
    pub coding: Coding,
    /// 1 to [`SMS_PARTS_MAX`] parts.
    pub parts: Vec<Vec<u8>>,
}

impl Encoded {
    /// True when every part begins with a header (and the carrier must be told so).
    pub fn has_header(&self) -> bool {
        self.parts.len() > 1
    }

    /// Gives the parts another reference, so that a text without slots is encoded once for a whole campaign.
    pub fn set_reference(&mut self, reference: u8) {
        if self.has_header() {
            for octet in self.parts.iter_mut().filter_map(|part| part.get_mut(REFERENCE_AT)) {
                *octet = reference;
            }
        }
    }
}

/// For logs: sizes only, a text is personal.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets: Vec<usize> = self.parts.iter().map(Vec::len).collect();
        f.debug_struct("Encoded").field("coding", &self.coding).field("octets", &octets).finish()
    }
}

/// The alphabet, units and parts of a text. Does not allocate for a text that is already in NFC.
pub fn count(text: &str) -> Parts {
    count_nfc(&nfc(text))
}

fn count_nfc(text: &str) -> Parts {
    let (coding, units) = match gsm7::units(text) {
        Some(units) => (Coding::Gsm7, units),
        None => (Coding::Ucs2, text.encode_utf16().count()),
    };
    let mut parts = 1;
    if units > coding.single_units() {
        if is_even(text, units) {
            parts = units.div_ceil(coding.part_units());
        } else {
            Cutter::new(coding).each_piece(text, |_, begins_part| parts += usize::from(begins_part));
        }
    }
    Parts { coding, units, parts }
}

/// The octets of a text. `reference` ties the parts of one text together on the telephone; a single part has no header.
pub fn encode(text: &str, reference: u8) -> Result<Encoded, TextError> {
    let text = nfc(text);
    let counted = count_nfc(&text).check()?;
    let parts = match counted.parts {
        1 => vec![encode_whole(&text, counted)],
        _ => encode_parts(&text, counted, reference),
    };
    Ok(Encoded { coding: counted.coding, parts })
}

fn encode_whole(text: &str, counted: Parts) -> Vec<u8> {
    match counted.coding {
        // ASCII with as many septets as bytes has no escape and is read through the table at once.
        Coding::Gsm7 if text.is_ascii() && counted.units == text.len() => {
            text.bytes().map(|byte| gsm7::of_ascii(byte).unwrap_or(b' ')).collect()
        }
        Coding::Gsm7 => {
            let mut octets = Vec::with_capacity(counted.units);
            text.chars().for_each(|piece| gsm7::push(&mut octets, piece));
            octets
        }
        Coding::Ucs2 => {
            let mut octets = vec![0; 2 * counted.units];
            let (pairs, _) = octets.as_chunks_mut::<2>();
            pairs.iter_mut().zip(text.encode_utf16()).for_each(|(pair, unit)| *pair = unit.to_be_bytes());
            octets
        }
    }
}

fn encode_parts(text: &str, counted: Parts, reference: u8) -> Vec<Vec<u8>> {
    let Parts { coding, parts: total, .. } = counted;
    let header = |sequence: usize| -> Vec<u8> {
        let mut part = Vec::with_capacity(HEADER_OCTETS + PART_OCTETS_MAX);
        let [total, sequence] = [total, sequence].map(|number| u8::try_from(number).unwrap_or(u8::MAX));
        part.extend([0x05, 0x00, 0x03, reference, total, sequence]);
        part
    };
    let mut parts = Vec::with_capacity(total);
    if is_even(text, counted.units) {
        let octets = encode_whole(text, counted);
        for slice in octets.chunks(coding.part_units() * coding.unit_octets()) {
            let mut part = header(parts.len() + 1);
            part.extend_from_slice(slice);
            parts.push(part);
        }
        return parts;
    }
    let mut part = header(1);
    Cutter::new(coding).each_piece(text, |piece, begins_part| {
        if begins_part {
            let next = header(parts.len() + 2);
            parts.push(std::mem::replace(&mut part, next));
        }
        push(&mut part, coding, piece);
    });
    parts.push(part);
    parts
}

fn push(part: &mut Vec<u8>, coding: Coding, piece: char) {
    match coding {
        Coding::Gsm7 => gsm7::push(part, piece),
        Coding::Ucs2 => piece.encode_utf16(&mut [0; 2]).iter().for_each(|unit| part.extend(unit.to_be_bytes())),
    }
}

/// True when every character is one unit and may end a part, so that cutting is dividing. Nearly every text is.
fn is_even(text: &str, units: usize) -> bool {
    text.chars().count() == units && text.chars().all(stands_alone)
}

/// Fills parts from left to right.
struct Cutter {
    coding: Coding,
    room: usize,
    used: usize,
}

impl Cutter {
    fn new(coding: Coding) -> Self {
        Self { coding, room: coding.part_units(), used: 0 }
    }

    /// Calls `each` for every scalar with whether a new part begins at it.
    fn each_piece(&mut self, text: &str, mut each: impl FnMut(char, bool)) {
        if text.chars().all(stands_alone) {
            text.chars().for_each(|piece| each(piece, self.begins_part(self.width(piece))));
            return;
        }
        for cluster in text.graphemes(true) {
            let width: usize = cluster.chars().map(|piece| self.width(piece)).sum();
            if width > self.room {
                // Nobody reads sixty marks on one letter as a letter; cut it, but never inside a surrogate pair.
                cluster.chars().for_each(|piece| each(piece, self.begins_part(self.width(piece))));
                continue;
            }
            let mut begins_part = self.begins_part(width);
            for piece in cluster.chars() {
                each(piece, std::mem::take(&mut begins_part));
            }
        }
    }

    fn width(&self, piece: char) -> usize {
        match self.coding {
            Coding::Gsm7 => gsm7::width(piece).unwrap_or(0),
            Coding::Ucs2 => piece.len_utf16(),
        }
    }

    fn begins_part(&mut self, width: usize) -> bool {
        let begins = self.used + width > self.room;
        self.used = if begins { width } else { self.used + width };
        begins
    }
}

/// Characters that are one cluster each among their like: Latin, Vietnamese, the punctuation and signs of daily texts.
/// Finding clusters costs more than all the rest, and nearly no text needs it.
fn stands_alone(piece: char) -> bool {
    matches!(piece,
        '\0'..='\u{000C}' | '\u{000E}'..='\u{02FF}' | '\u{0370}'..='\u{03FF}' | '\u{1E00}'..='\u{1EFF}'
        | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}' | '\u{20A0}'..='\u{20BF}')
}

/// The concatenation header of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The same in all parts of a text.
    pub reference: u16,
    /// Parts of the text.
    pub total: u8,
    /// The place of this part, from 1.
    pub sequence: u8,
}

/// Takes the header off a part that has one (8-bit or 16-bit reference). The header may hold other elements too.
pub fn split_header(part: &[u8]) -> Option<(Concat, &[u8])> {
    let (&length, rest) = part.split_first()?;
    let (mut elements, text) = rest.split_at_checked(usize::from(length))?;
    while let [id, size, following @ ..] = elements {
        let (value, others) = following.split_at_checked(usize::from(*size))?;
        match (*id, value) {
            (0x00, &[reference, total, sequence]) => {
                return Some((Concat { reference: reference.into(), total, sequence }, text));
            }
            (0x08, &[high, low, total, sequence]) => {
                return Some((Concat { reference: u16::from_be_bytes([high, low]), total, sequence }, text));
            }
            _ => elements = others,
        }
    }
    None
}

/// The text of one part without its header; `None` when the octets are not of this coding.
pub fn decode(coding: Coding, octets: &[u8]) -> Option<String> {
    match coding {
        Coding::Gsm7 => gsm7::decode(octets),
        Coding::Ucs2 => {
            let (pairs, rest) = octets.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Gsm7, Ucs2};
    use proptest::prelude::*;

    fn joined(encoded: &Encoded) -> String {
        let mut text = String::new();
        for (index, part) in encoded.parts.iter().enumerate() {
            let octets = if encoded.has_header() {
                let (concat, octets) = split_header(part).unwrap();
                assert_eq!(usize::from(concat.total), encoded.parts.len());
                assert_eq!(usize::from(concat.sequence), index + 1);
                octets
            } else {
                part
            };
            text.push_str(&decode(encoded.coding, octets).unwrap());
        }
        text
    }

    #[test]
    fn counts_billable_parts() {
        #[track_caller]
        fn check(text: &str, coding: Coding, units: usize, parts: usize) {
            assert_eq!(count(text), Parts { coding, units, parts }, "{} characters", text.chars().count());
            let encoded = encode(text, 7).unwrap();
            assert_eq!((encoded.coding, encoded.parts.len()), (coding, parts));
            assert_eq!(joined(&encoded), nfc(text));
        }
        let a = |n: usize| "a".repeat(n);
        let d = |n: usize| "đ".repeat(n);

        check(&a(160), Gsm7, 160, 1);
        check(&a(161), Gsm7, 161, 2);
        check(&a(306), Gsm7, 306, 2);
        check(&a(307), Gsm7, 307, 3);
        check(&"€".repeat(80), Gsm7, 160, 1); // an extension character costs two septets
        check(&("€".repeat(80) + "a"), Gsm7, 161, 2);
        check(&(a(152) + "€" + &a(152)), Gsm7, 306, 3); // an escape pair is never cut
        check(&(a(159) + "^"), Gsm7, 161, 2);
        check("à è ì ò ù É", Gsm7, 11, 1);
        check("é^", Gsm7, 3, 1); // as many septets as bytes, by chance
        check("Cà phê", Ucs2, 6, 1); // one letter outside GSM-7 recodes the whole text
        check(&d(70), Ucs2, 70, 1);
        check(&d(71), Ucs2, 71, 2);
        check(&d(134), Ucs2, 134, 2);
        check(&d(135), Ucs2, 135, 3);
        check(&(d(66) + "😀" + &d(66)), Ucs2, 134, 3); // a surrogate pair is never cut
        check(&"😀".repeat(35), Ucs2, 70, 1);
        check(&"😀".repeat(36), Ucs2, 72, 2);
        check("Gia [50.000] VND ~ {2} USD", Gsm7, 31, 1); // 26 characters and 5 escapes
        check("Gia 50.000đ", Ucs2, 11, 1);
        check("e\u{0302}\u{0301}", Ucs2, 1, 1); // NFC first
        check("a\u{00A0}b", Ucs2, 3, 1);
        check(&("x".repeat(150) + "–"), Ucs2, 151, 3);
        check(&"Tiếng Việt ".repeat(7), Ucs2, 77, 2);
        check("", Gsm7, 0, 1);
        check(&(d(66) + "👨‍👩‍👧" + &d(60)), Ucs2, 134, 3); // a family is one character to its reader
        check(&(a(152) + "\r\n" + &a(152)), Gsm7, 306, 3);
        check(&("q".to_owned() + &"\u{0316}".repeat(133)), Ucs2, 134, 2); // marks without end are cut all the same
    }

    #[test]
    fn a_part_is_its_header_and_its_octets() {
        let encoded = encode(&"a".repeat(161), 0x2A).unwrap();
        let [first, second] = encoded.parts.as_slice() else { panic!("{encoded:?}") };
        assert_eq!(first, &[&[0x05, 0x00, 0x03, 0x2A, 2, 1][..], &[0x61; 153]].concat());
        assert_eq!(second, &[&[0x05, 0x00, 0x03, 0x2A, 2, 2][..], &[0x61; 8]].concat());
        assert_eq!(encode("đ", 1).unwrap().parts, [vec![0x01, 0x11]]);
        assert_eq!(encode("€", 1).unwrap().parts, [vec![0x1B, 0x65]]);
        assert_eq!(encode(&"đ".repeat(71), 9).unwrap().parts[0].len(), 140);
    }

    #[test]
    fn a_reference_can_be_changed_later() {
        let mut encoded = encode(&"đ".repeat(71), 1).unwrap();
        encoded.set_reference(200);
        assert_eq!(encoded, encode(&"đ".repeat(71), 200).unwrap());
        let mut single = encode("abcdef", 1).unwrap();
        single.set_reference(200);
        assert_eq!(single.parts, [b"abcdef"]);
    }

    #[test]
    fn a_text_over_the_limit_is_refused() {
        assert_eq!(encode(&"a".repeat(1_530), 1).unwrap().parts.len(), SMS_PARTS_MAX);
        assert_eq!(encode(&"a".repeat(1_531), 1), Err(TextError::TooManyParts { parts: 11 }));
        assert_eq!(count(&"a".repeat(1_531)).parts, 11);
    }

    #[test]
    fn reads_both_kinds_of_headers() {
        let concat = |reference, total, sequence| Concat { reference, total, sequence };
        assert_eq!(split_header(&[5, 0, 3, 9, 2, 1, b'x']), Some((concat(9, 2, 1), &b"x"[..])));
        assert_eq!(split_header(&[6, 8, 4, 1, 2, 3, 1, b'x']), Some((concat(258, 3, 1), &b"x"[..])));
        assert_eq!(split_header(&[8, 0x24, 1, 1, 0, 3, 9, 2, 1]), Some((concat(9, 2, 1), &b""[..])));
        assert_eq!(split_header(&[]), None);
        assert_eq!(split_header(&[9, 0, 3, 1]), None);
        assert_eq!(split_header(&[5, 0, 9, 9, 2, 1]), None);
    }

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", encode("ma OTP", 1).unwrap()), "Encoded { coding: Gsm7, octets: [6] }");
    }

    proptest! {
        /// Nothing is lost, nothing is added, and no part is larger than a part may be.
        #[test]
        fn parts_put_together_are_the_text(text in "[é€^a]{0,40}|\\PC{0,300}|[a-z€^\\[\\]~đế \r\n]{0,500}|(e\u{0302}\u{0301}|👨‍👩‍👧|🇻🇳|q\u{0316}|a){0,120}", reference: u8) {
            let counted = count(&text);
            match encode(&text, reference) {
                Ok(encoded) => {
                    prop_assert_eq!(encoded.parts.len(), counted.parts);
                    prop_assert_eq!(joined(&encoded), nfc(&text));
                    for part in &encoded.parts {
                        let limit = match (encoded.coding, encoded.has_header()) {
                            (Gsm7, false) => 160, (Gsm7, true) => 159, (Ucs2, _) => 140,
                        };
                        prop_assert!(part.len() <= limit);
                    }
                }
                Err(TextError::TooManyParts { parts }) => prop_assert_eq!(parts, counted.parts),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// A part never ends inside what a reader sees as one character.
        #[test]
        fn parts_end_between_clusters(text in "(e\u{0302}\u{0301}|👨‍👩‍👧|🇻🇳|q\u{0316}|đ|a|\r\n){0,150}") {
            if let Ok(encoded) = encode(&text, 1) {
                let whole = nfc(&text);
                let edges: Vec<usize> = whole.grapheme_indices(true).map(|(at, _)| at).collect();
                let mut at = 0;
                for part in &encoded.parts {
                    prop_assert!(at == 0 || edges.contains(&at));
                    let octets = if encoded.has_header() { split_header(part).unwrap().1 } else { part };
                    at += decode(encoded.coding, octets).unwrap().len();
                }
            }
        }

        /// Another implementation counts the same where it knows the same rules (it cuts clusters, and never composes).
        #[test]
        fn agrees_with_another_splitter(text in "[ -_a-~€^àèéìòù]{0,700}|[ -~ăâđêôơưếệ–]{0,400}|[a😀đ]{0,200}") {
            let other = sms_splitter::SplitSms::default().split(text.clone());
            let ours = count(&text);
            prop_assert_eq!(ours.coding == Gsm7, other.character_set == "GSM");
            prop_assert_eq!(ours.parts, other.parts.len());
        }

        /// Whatever octets arrive, reading them answers.
        #[test]
        fn any_octets_are_answered(octets: Vec<u8>) {
            let body = split_header(&octets).map_or(&octets[..], |(_, body)| body);
            for &coding in Coding::ALL {
                if let Some(text) = decode(coding, body) {
                    prop_assert!(text.len() <= 3 * body.len());
                }
            }
        }

        /// The quick path finds the same clusters as the tables of Unicode.
        #[test]
        fn letters_that_stand_alone_do(text in "[\u{1E00}-\u{1EFF}\u{00}-\u{0C}\u{0E}-\u{2FF}\u{370}-\u{3FF}\u{2010}-\u{2027}\u{2030}-\u{205E}\u{20A0}-\u{20BF}]{0,50}") {
            prop_assert!(text.chars().all(stands_alone));
            prop_assert_eq!(text.graphemes(true).count(), text.chars().count());
        }
    }
}
