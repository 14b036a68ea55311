//! The GSM 7-bit default alphabet and its extension table (3GPP TS 23.038 §6.2.1).
//!
//! SMPP carries it unpacked, one septet in an octet; the SMSC packs. The national shift tables have no Vietnamese, so they
//! are not here.
//!
//! Must stay true: encoding and decoding are each other's inverse over the whole alphabet.

/// The code that says: the next one is from the extension table.
const ESCAPE: u8 = 0x1B;

/// The default alphabet by code; U+FFFD stands at the escape.
const DEFAULT: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', // 0x00
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{FFFD}', 'Æ', 'æ', 'ß', 'É', // 0x10
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', // 0x20
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', // 0x30
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', // 0x40
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', // 0x50
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', // 0x60
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à', // 0x70
];

/// The extension table.
const EXTENSION: [(char, u8); 10] = [
    ('\u{000C}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];

/// Marks a code of the extension table in what [`septet`] answers; codes have seven bits.
const ESCAPED: u8 = 0x80;
/// In the table below: not in the alphabet.
const NONE: u8 = 0xFF;

/// The same tables by ASCII character, since nearly all plain texts are ASCII.
const ASCII: [u8; 128] = {
    let mut table = [NONE; 128];
    let mut code = 0;
    while code < 128u8 {
        let found = DEFAULT[code as usize];
        if found.is_ascii() {
            table[found as usize] = code;
        }
        code += 1;
    }
    let mut index = 0;
    while index < EXTENSION.len() {
        let (found, code) = EXTENSION[index];
        if found.is_ascii() {
            table[found as usize] = ESCAPED | code;
        }
        index += 1;
    }
    table
};

/// The code of a character, with [`ESCAPED`] set for the extension table; `None` when the alphabet does not have it.
fn septet(found: char) -> Option<u8> {
    match u8::try_from(found) {
        Ok(byte) if byte.is_ascii() => Some(ASCII[usize::from(byte)]).filter(|code| *code != NONE),
        _ => septet_beyond_ascii(found),
    }
}

fn septet_beyond_ascii(found: char) -> Option<u8> {
    if let Some((_, code)) = EXTENSION.iter().find(|(extension, _)| *extension == found) {
        return Some(ESCAPED | code);
    }
    let code = DEFAULT.iter().position(|letter| *letter == found && found != '\u{FFFD}')?;
    u8::try_from(code).ok()
}

/// The septet of an ASCII character that needs no escape; `None` for every other byte.
pub(super) fn of_ascii(byte: u8) -> Option<u8> {
    ASCII.get(usize::from(byte)).copied().filter(|code| *code < ESCAPED)
}

/// Septets a character costs: 1 or 2; `None` when the alphabet does not have it.
pub(super) fn width(found: char) -> Option<usize> {
    septet(found).map(|code| 1 + usize::from(code >> 7))
}

/// True when the alphabet, with its extension table, has this character.
pub fn is_gsm7(found: char) -> bool {
    septet(found).is_some()
}

/// Septets of a whole text; `None` when one of its characters is not in the alphabet.
pub(super) fn units(text: &str) -> Option<usize> {
    if text.is_ascii() {
        return units_of_ascii(text.as_bytes());
    }
    text.chars().try_fold(0, |sum, found| Some(sum + width(found)?))
}

/// The same for bytes below 0x80: nearly all plain texts, and the largest part of what rendering costs.
fn units_of_ascii(text: &[u8]) -> Option<usize> {
    let (mut escapes, mut absent) = (0, false);
    for &byte in text {
        let code = ASCII[usize::from(byte & 0x7F)];
        escapes += usize::from(code >> 7);
        absent |= code == NONE;
    }
    if absent { None } else { Some(text.len() + escapes) }
}

/// Appends the septets of a character, one an octet. A character outside the alphabet appends nothing.
pub(super) fn push(octets: &mut Vec<u8>, found: char) {
    match septet(found) {
        Some(code) if code >= ESCAPED => octets.extend([ESCAPE, code & !ESCAPED]),
        Some(code) => octets.push(code),
        None => {}
    }
}

/// The text of unpacked septets; `None` on a code above 0x7F, an unknown extension or a lone escape.
pub(super) fn decode(octets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets.iter();
    while let Some(&code) = rest.next() {
        if code == ESCAPE {
            let code = rest.next()?;
            text.push(EXTENSION.iter().find(|(_, extension)| extension == code)?.0);
        } else {
            text.push(*DEFAULT.get(usize::from(code))?);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_inverse() {
        let letters = DEFAULT.into_iter().filter(|letter| *letter != '\u{FFFD}');
        for letter in letters.chain(EXTENSION.map(|(letter, _)| letter)) {
            let mut octets = Vec::new();
            push(&mut octets, letter);
            assert_eq!(Some(octets.len()), width(letter), "{letter:?}");
            assert_eq!(decode(&octets), Some(letter.to_string()), "{letter:?}");
        }
    }

    #[test]
    fn ascii_counts_like_its_letters() {
        let letter = |byte: u8| units(&char::from(byte).to_string());
        assert!((0..128).all(|byte| letter(byte) == width(char::from(byte))));
        let text: String = (32..127).filter(|byte| *byte != b'`').map(char::from).collect();
        assert_eq!(units(&text), text.chars().map(width).sum());
        assert_eq!(units("a`b"), None);
    }

    #[test]
    fn knows_which_vietnamese_letters_it_has() {
        let lower = "àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ";
        let has = |letters: &str| letters.chars().filter(|letter| is_gsm7(*letter)).collect::<String>();
        assert_eq!(lower.chars().count(), 67);
        assert_eq!(has(lower), "àèéìòù");
        assert_eq!(has(&lower.to_uppercase()), "É");
        assert_eq!(has("“”‘’–—…•₫✓\u{00A0}\u{FFFD}`\t\0"), "");
    }

    #[test]
    fn broken_octets_have_no_text() {
        assert_eq!(decode(&[0x80]), None);
        assert_eq!(decode(&[ESCAPE]), None);
        assert_eq!(decode(&[ESCAPE, 0x00]), None);
    }
}
