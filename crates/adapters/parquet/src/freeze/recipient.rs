//! One selected person with one address, and its bytes in the spill.
//!
//! Must stay true: what is encoded decodes to the same; recipients sort by (hash, address, key), so the same people give the
//! same order whatever thread found them.

use std::cmp::Ordering;

use loa_domain::policy::{Consent, PersonFacts};

/// What decides about a person, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags(u8);

impl Flags {
    const DNC: u8 = 1;
    const SUPPRESSED: u8 = 2;
    const GRANTED: u8 = 4;
    const WITHDRAWN: u8 = 8;
    const CHILD: u8 = 16;

    pub(super) fn new(person: PersonFacts, is_child: bool) -> Self {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        Self(
            bit(person.dnc, Self::DNC)
                | bit(person.suppressed, Self::SUPPRESSED)
                | bit(person.consent == Consent::Granted, Self::GRANTED)
                | bit(person.consent == Consent::Withdrawn, Self::WITHDRAWN)
                | bit(is_child, Self::CHILD),
        )
    }

    /// Of two people with one address the stricter word counts.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn person(self) -> PersonFacts {
        let has = |bit: u8| self.0 & bit != 0;
        let consent = match (has(Self::WITHDRAWN), has(Self::GRANTED)) {
            (true, _) => Consent::Withdrawn,
            (false, true) => Consent::Granted,
            (false, false) => Consent::None,
        };
        PersonFacts { suppressed: has(Self::SUPPRESSED), dnc: has(Self::DNC), consent }
    }

    pub(super) fn is_child(self) -> bool {
        self.0 & Self::CHILD != 0
    }
}

/// Appends a recipient.
pub(super) fn encode<'s>(
    hash: u64,
    key: u64,
    flags: Flags,
    address: &[u8],
    slots: impl Iterator<Item = &'s str>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&hash.to_le_bytes());
    out.extend_from_slice(&key.to_le_bytes());
    out.push(flags.0);
    put(address, out);
    slots.for_each(|slot| put(slot.as_bytes(), out));
    let length = u32::try_from(out.len() - start - 4).expect("a recipient is far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("addresses and slots are checked to be far below 64 KiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A recipient in the spill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipient<'a> {
    pub(super) hash: u64,
    key: u64,
    pub(super) flags: Flags,
    pub(super) address: &'a [u8],
    slots: &'a [u8],
}

impl<'a> Recipient<'a> {
    /// Every recipient of a shard's bytes, sorted.
    pub(super) fn sorted(mut bytes: &'a [u8]) -> Vec<Self> {
        let mut found = Vec::with_capacity(bytes.len() / 48);
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (row, rest) = rest.split_at(length.min(rest.len()));
            bytes = rest;
            found.extend(Self::decode(row));
        }
        found.sort_unstable_by(Self::order);
        found
    }

    fn decode(row: &'a [u8]) -> Option<Self> {
        let (hash, row) = row.split_first_chunk()?;
        let (key, row) = row.split_first_chunk()?;
        let (flags, mut row) = row.split_first()?;
        let address = take(&mut row);
        let (hash, key) = (u64::from_le_bytes(*hash), u64::from_le_bytes(*key));
        Some(Self { hash, key, flags: Flags(*flags), address, slots: row })
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.hash.cmp(&other.hash))
            .then_with(|| self.address.cmp(other.address))
            .then_with(|| self.key.cmp(&other.key))
    }

    /// The same address, compared byte by byte where the hash is the same.
    pub(super) fn is_same_address(&self, other: &Self) -> bool {
        self.hash == other.hash && self.address == other.address
    }

    /// The number of a text message.
    pub(super) fn number(&self) -> u64 {
        self.address.try_into().map_or(0, u64::from_le_bytes)
    }

    /// The mailbox of a mail.
    pub(super) fn mailbox(&self) -> &'a str {
        std::str::from_utf8(self.address).unwrap_or_default()
    }

    /// Bytes of its address and values, about.
    pub(super) fn bytes(&self) -> usize {
        self.address.len() + self.slots.len()
    }

    /// The slot values, in the order of the variant's slots.
    pub(super) fn slots(&self, out: &mut Vec<&'a str>) {
        out.clear();
        let mut rest = self.slots;
        while !rest.is_empty() {
            out.push(std::str::from_utf8(take(&mut rest)).unwrap_or_default());
        }
    }
}

/// Takes a length and its bytes off; short bytes end it, since the spill never leaves this process.
fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk() else {
        *rest = &[];
        return &[];
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
    let (bytes, after) = after.split_at(length);
    *rest = after;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = PersonFacts> {
        let consent = prop_oneof![Just(Consent::None), Just(Consent::Granted), Just(Consent::Withdrawn)];
        (any::<bool>(), any::<bool>(), consent).prop_map(|(suppressed, dnc, consent)| PersonFacts {
            suppressed,
            dnc,
            consent,
        })
    }

    proptest! {
        #[test]
        fn recipients_come_back(hash: u64, key: u64, number: u64, person in facts(), is_child: bool, slots in proptest::collection::vec("\\PC{0,64}", 0..4)) {
            let mut bytes = Vec::new();
            let flags = Flags::new(person, is_child);
            encode(hash, key, flags, &number.to_le_bytes(), slots.iter().map(String::as_str), &mut bytes);
            let found = Recipient::sorted(&bytes);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!((found[0].hash, found[0].key, found[0].number()), (hash, key, number));
            prop_assert_eq!((found[0].flags.person(), found[0].flags.is_child()), (person, is_child));
            let mut values = Vec::new();
            found[0].slots(&mut values);
            prop_assert_eq!(values, slots);
        }
    }

    #[test]
    fn the_stricter_word_counts() {
        let person = |dnc, consent| Flags::new(PersonFacts { suppressed: false, dnc, consent }, false);
        let both = person(true, Consent::Granted).with(person(false, Consent::Withdrawn)).person();
        assert_eq!(both, PersonFacts { suppressed: false, dnc: true, consent: Consent::Withdrawn });
        assert_eq!(
            person(false, Consent::Granted).with(person(false, Consent::None)).person().consent,
            Consent::Granted
        );
    }
}
