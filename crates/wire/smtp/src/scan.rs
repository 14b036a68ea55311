//! Finding one octet in many, eight at a time.
//!
//! Every octet of every message passes through here once or twice (line ends, dots), so the plain loop of one octet a
//! step would be the largest item of the whole crate. Must stay true: the answer is that of `iter().position`.

const WORD: usize = size_of::<u64>();
const LOW: u64 = u64::from_ne_bytes([0x01; WORD]);
const HIGH: u64 = u64::from_ne_bytes([0x80; WORD]);

/// Where `needle` first stands in `haystack`.
pub(crate) fn find(needle: u8, haystack: &[u8]) -> Option<usize> {
    let pattern = u64::from_ne_bytes([needle; WORD]);
    let (words, tail) = haystack.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let difference = u64::from_ne_bytes(*word) ^ pattern;
        // Some octet of `difference` is zero exactly when this is not.
        if difference.wrapping_sub(LOW) & !difference & HIGH != 0 {
            return word.iter().position(|&octet| octet == needle).map(|at| index * WORD + at);
        }
    }
    tail.iter().position(|&octet| octet == needle).map(|at| words.len() * WORD + at)
}

#[cfg(test)]
mod tests {
    use super::find;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_the_plain_loop_finds(haystack in proptest::collection::vec(0u8..4, 0..64), needle in 0u8..4) {
            prop_assert_eq!(find(needle, &haystack), haystack.iter().position(|&octet| octet == needle));
        }

        #[test]
        fn sees_through_high_octets(haystack in proptest::collection::vec(any::<u8>(), 0..64), needle in any::<u8>()) {
            prop_assert_eq!(find(needle, &haystack), haystack.iter().position(|&octet| octet == needle));
        }
    }
}
