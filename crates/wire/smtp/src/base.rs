//! Base64 for bodies and headers, base32 for tokens in addresses.
//!
//! Must stay true: an encoded line is never longer than 76 octets, and a token survives servers that change the case of
//! local parts.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Octets that make one line of 76 characters.
const LINE_OCTETS: usize = 57;

/// Appends `octets` in base64, without line ends.
pub(crate) fn base64(octets: &[u8], out: &mut Vec<u8>) {
    let digit = |word: u32, shift: u32| BASE64[((word >> shift) & 63) as usize];
    let (threes, rest) = octets.as_chunks::<3>();
    for &[a, b, c] in threes {
        let word = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[digit(word, 18), digit(word, 12), digit(word, 6), digit(word, 0)]);
    }
    match *rest {
        [a] => {
            let word = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[digit(word, 18), digit(word, 12), b'=', b'=']);
        }
        [a, b] => {
            let word = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[digit(word, 18), digit(word, 12), digit(word, 6), b'=']);
        }
        _ => {}
    }
}

/// Appends `octets` as base64 lines of 76 characters that end in CRLF.
pub(crate) fn base64_lines(octets: &[u8], out: &mut Vec<u8>) {
    out.reserve(base64_lines_len(octets.len()));
    for line in octets.chunks(LINE_OCTETS) {
        base64(line, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// How many octets [`base64_lines`] makes of `len`.
pub(crate) fn base64_lines_len(len: usize) -> usize {
    len.div_ceil(3) * 4 + len.div_ceil(LINE_OCTETS) * 2
}

/// `octets` in lower-case base32 without padding.
pub(crate) fn base32(octets: &[u8]) -> String {
    let mut text = String::with_capacity((octets.len() * 8).div_ceil(5));
    let (mut window, mut bits) = (0u32, 0);
    for &octet in octets {
        window = (window << 8) | u32::from(octet);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[((window >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[((window << (5 - bits)) & 31) as usize]));
    }
    text
}

/// Reads base32 in any case; `None` when it is not, or when its last bits are not zero.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut window, mut bits) = (0u32, 0);
    for character in text.bytes() {
        let value = match character.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        window = (window << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            let [.., lowest] = (window >> bits).to_be_bytes();
            octets.push(lowest);
        }
    }
    (bits < 5 && window & ((1 << bits) - 1) == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, in64, in32) in [
            ("", "", ""),
            ("f", "Zg==", "my"),
            ("fo", "Zm8=", "mzxq"),
            ("foo", "Zm9v", "mzxw6"),
            ("foob", "Zm9vYg==", "mzxw6yq"),
            ("fooba", "Zm9vYmE=", "mzxw6ytb"),
            ("foobar", "Zm9vYmFy", "mzxw6ytboi"),
        ] {
            let mut out = Vec::new();
            base64(plain.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).expect("ascii"), in64);
            assert_eq!(base32(plain.as_bytes()), in32);
            assert_eq!(from_base32(&in32.to_uppercase()).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["a", "mzxw1", "m z", "mz"] {
            assert_eq!(from_base32(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lines_keep_their_length(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut out = Vec::new();
            base64_lines(&octets, &mut out);
            prop_assert_eq!(out.len(), base64_lines_len(octets.len()));
            prop_assert!(String::from_utf8(out).expect("ascii").split("\r\n").all(|line| line.len() <= 76));
            prop_assert_eq!(from_base32(&base32(&octets)), Some(octets));
        }
    }
}
