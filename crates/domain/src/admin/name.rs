//! Comparing Vietnamese names the way people write them, and finding the one that was probably meant.
//!
//! Must stay true: two spellings of one name fold alike (case, spaces, composed or not, the tone on either vowel); two
//! names do not, so `Hòa` and `Hoa` stay apart.

use unicode_normalization::UnicodeNormalization;

/// Abbreviations of kinds as they are written before a name.
const ABBREVIATIONS: [(&str, &str); 5] =
    [("tp.", "thành phố "), ("tt.", "thị trấn "), ("p.", "phường "), ("x.", "xã "), ("h.", "huyện ")];

/// A name in the form in which names are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folded(String);

impl Folded {
    pub(super) fn of(name: &str) -> Self {
        let words = name.split_whitespace().map(fold_word);
        Self(words.collect::<Vec<_>>().join(" "))
    }
}

/// A word in lower case, decomposed, with its tone at its end: `hoà` and `hòa` differ only in where the tone stands.
fn fold_word(word: &str) -> String {
    let mut letters = String::with_capacity(word.len() + 4);
    let mut tones = String::new();
    for piece in word.chars().flat_map(char::to_lowercase).nfd() {
        if is_tone(piece) { tones.push(piece) } else { letters.push(piece) }
    }
    letters.push_str(&tones);
    letters
}

fn is_tone(piece: char) -> bool {
    matches!(piece, '\u{0300}' | '\u{0301}' | '\u{0303}' | '\u{0309}' | '\u{0323}')
}

/// What somebody typed, with an abbreviated kind written out.
pub(super) fn bare_query(text: &str) -> Folded {
    let lower = text.trim().to_lowercase();
    let long =
        ABBREVIATIONS.iter().find_map(|(short, long)| lower.strip_prefix(short).map(|rest| format!("{long}{rest}")));
    Folded::of(&long.unwrap_or(lower))
}

/// The name that differs least from what was typed, if it differs little.
pub(super) fn closest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let typed = plain(text);
    crate::segment::closest(&typed, names.map(|name| (plain(name), name))).map(str::to_owned)
}

/// Without any mark, since a forgotten tone is the commonest slip.
fn plain(name: &str) -> String {
    let folded = Folded::of(name).0;
    folded
        .chars()
        .filter(|piece| !matches!(piece, '\u{0300}'..='\u{036F}'))
        .map(|piece| if piece == 'đ' { 'd' } else { piece })
        .collect()
}
