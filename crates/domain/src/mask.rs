//! A set of recipients of one chunk: 512 bits, one for each index.
//!
//! Must stay true: the bytes of a mask are little-endian and at most 64; trailing zero bytes may be missing.

use std::fmt;

const WORDS: usize = 8;

/// Which indices of a chunk are meant.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Mask([u64; WORDS]);

impl Mask {
    /// How many indices a mask can hold.
    pub const BITS: usize = WORDS * 64;

    /// No index.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The first `count` indices.
    pub fn first(count: usize) -> Self {
        (0..count.min(Self::BITS)).filter_map(|index| u16::try_from(index).ok()).collect()
    }

    /// Adds an index; one beyond the mask is a programming error.
    pub fn insert(&mut self, index: u16) {
        self.0[usize::from(index) / 64] |= 1 << (index % 64);
    }

    /// Takes an index out.
    pub fn remove(&mut self, index: u16) {
        self.0[usize::from(index) / 64] &= !(1 << (index % 64));
    }

    /// Whether the index is in.
    pub fn contains(&self, index: u16) -> bool {
        self.0.get(usize::from(index) / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// How many indices are in.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is in.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The indices in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(at, &word)| Bits(word).map(move |bit| u16::try_from(at * 64).unwrap_or(u16::MAX) + bit))
    }

    /// In this or in the other.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    /// In this and in the other.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    /// In this and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !other.0[at]))
    }

    /// The `number`-th run of `length` indices: slice k of a release.
    #[must_use]
    pub fn run(&self, number: usize, length: usize) -> Self {
        self.iter().skip(number * length).take(length).collect()
    }

    /// How many runs of `length` the mask has.
    pub fn runs(&self, length: usize) -> usize {
        self.len().div_ceil(length.max(1))
    }

    /// The bytes for records and rows, without trailing zeros.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    }

    /// Reads [`Mask::to_vec`]; `None` if there are more than 64 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut whole = [0_u8; WORDS * 8];
        whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let mut words = [0; WORDS];
        for (word, eight) in words.iter_mut().zip(whole.chunks_exact(8)) {
            *word = u64::from_le_bytes(eight.try_into().ok()?);
        }
        Some(Self(words))
    }
}

struct Bits(u64);

impl Iterator for Bits {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        u16::try_from(bit).ok()
    }
}

impl FromIterator<u16> for Mask {
    fn from_iter<I: IntoIterator<Item = u16>>(indices: I) -> Self {
        let mut mask = Self::EMPTY;
        indices.into_iter().for_each(|index| mask.insert(index));
        mask
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(a in proptest::collection::btree_set(0..512_u16, 0..80), b in proptest::collection::btree_set(0..512_u16, 0..80)) {
            let (x, y): (Mask, Mask) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(x.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.union(&y).iter().collect::<BTreeSet<_>>(), a.union(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(x.difference(&y).iter().collect::<BTreeSet<_>>(), a.difference(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(x.intersection(&y).iter().collect::<BTreeSet<_>>(), a.intersection(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(Mask::from_slice(&x.to_vec()), Some(x));
        }

        #[test]
        fn slices_are_the_release(set in proptest::collection::btree_set(0..500_u16, 0..500), length in 1..101_usize) {
            let mask: Mask = set.iter().copied().collect();
            let slices: Vec<u16> = (0..mask.runs(length)).flat_map(|number| mask.run(number, length).iter().collect::<Vec<_>>()).collect();
            prop_assert_eq!(slices, set.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn refuses_more_than_64_bytes() {
        assert_eq!(Mask::from_slice(&[1; 65]), None);
    }
}
