//! How an input is changed: as files and wires are damaged, and as somebody would who means harm.

use loa_testkit::dice::Dice;

/// Changes of one input, at most.
const CHANGES_MAX: u64 = 6;
/// Bytes inserted, repeated or taken away at once, at most.
const RUN_MAX: usize = 64;
/// What parsers stumble over: ends of lines, quotes, lengths, halves of characters, signs of other grammars.
const WORDS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\r\n",
    b"\n",
    b"\r\n.\r\n",
    b"\"",
    b",",
    b"\t",
    b"{",
    b"}",
    b"{{",
    b"(",
    b")",
    b"=",
    b"'",
    b"\\",
    b"@",
    b".",
    b"-",
    b"+",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x80",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\xe1\xba\xbf",
    b"\xf0\x9f\x98\x80",
    b"0",
    b"9999999999999999999999",
    b"-1",
    b"not ",
    b" and ",
    b" or ",
    b" in ",
    b"id:",
    b"stat:",
    b"250-",
    b"354 ",
    b"421 ",
    b"\0\0\0\x10",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
];

/// Changes the input, taking pieces of the other one.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(CHANGES_MAX) {
        let at = dice.index(input.len() + 1);
        match dice.below(8) {
            0 => flip(input, at, dice),
            1 => set(input, at, dice),
            2 => insert(input, at, WORDS[dice.index(WORDS.len())]),
            3 => take(input, at, dice),
            4 => repeat(input, at, dice),
            5 => splice(input, at, other, dice),
            6 => input.truncate(at),
            _ => swap(input, at, dice),
        }
    }
}

fn flip(input: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn set(input: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(byte) = input.get_mut(at) {
        *byte = u8::try_from(dice.below(256)).unwrap_or(0);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let rest = input.split_off(at);
    input.extend_from_slice(piece);
    input.extend_from_slice(&rest);
}

fn take(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let to = (at + dice.index(RUN_MAX)).min(input.len());
    input.drain(at..to);
}

fn repeat(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let to = (at + dice.index(RUN_MAX)).min(input.len());
    let piece = input[at..to].repeat(1 + dice.index(8));
    insert(input, at, &piece);
}

fn splice(input: &mut Vec<u8>, at: usize, other: &[u8], dice: &mut Dice) {
    let from = dice.index(other.len() + 1);
    let to = (from + dice.index(RUN_MAX * 4)).min(other.len());
    insert(input, at, &other[from..to]);
}

fn swap(input: &mut [u8], at: usize, dice: &mut Dice) {
    let with = dice.index(input.len() + 1);
    if at < input.len() && with < input.len() {
        input.swap(at, with);
    }
}
