//! Who the recipients of a chunk are.
//!
//! Of a frozen chunk it never changes and is hardly ever asked, so it takes no room here once the store has it. Must stay
//! true: `recipients` counts everybody whether the keys are here or not.

use std::iter::repeat_n;
use std::sync::Arc;

use loa_domain::hash::AddressHash;

use super::ChunkLedger;

/// Keys that are in the store alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    count: usize,
    first: AddressHash,
    last: AddressHash,
}

impl ChunkLedger {
    /// The index of an address, if it is in this chunk and its keys are here.
    pub(crate) fn index_of(&self, hash: AddressHash) -> Option<u16> {
        let at = self.facts.keys.iter().position(|&key| key == hash)?;
        u16::try_from(at).ok()
    }

    /// Whether an address is in this chunk, or may be, as far as is known without the keys.
    pub(crate) fn may_hold(&self, hash: AddressHash) -> bool {
        self.stored_keys.map_or_else(|| self.index_of(hash).is_some(), |keys| (keys.first..=keys.last).contains(&hash))
    }

    /// Whether who its recipients are is in the store alone.
    pub(crate) fn is_without_keys(&self) -> bool {
        self.stored_keys.is_some()
    }

    /// The store has the keys, and nobody is added any more: they take no room here.
    pub(crate) fn drop_keys(&mut self) {
        if let (Some(&first), Some(&last)) = (self.facts.keys.iter().min(), self.facts.keys.iter().max()) {
            self.stored_keys = Some(Stored { count: self.facts.keys.len(), first, last });
            self.facts.keys = Arc::default();
        }
    }

    /// The keys, from the store; whether they were not here.
    pub(crate) fn take_keys(&mut self, keys: Arc<[AddressHash]>) -> bool {
        let Some(stored) = self.stored_keys.take() else { return false };
        self.facts.keys = keys;
        self.note_nobody(stored.count);
        true
    }

    /// How many recipients it has, told of or not.
    pub(crate) fn recipients(&self) -> usize {
        self.stored_keys.map_or(self.facts.keys.len(), |keys| keys.count)
    }

    /// Whether it is known that this address has this index. Nobody is added where the keys are in the store alone.
    pub(crate) fn knows(&self, index: u16, hash: AddressHash) -> bool {
        self.is_without_keys() || self.facts.keys.get(usize::from(index)) == Some(&hash)
    }

    /// Makes room for an index (single sends tell their recipients one by one) and notes its address.
    pub(crate) fn note_address(&mut self, index: u16, hash: AddressHash) {
        self.grow(usize::from(index) + 1);
        Arc::make_mut(&mut self.facts.keys)[usize::from(index)] = hash;
    }

    /// Up to so many recipients have an address, if only one that is not told yet.
    pub(super) fn note_nobody(&mut self, len: usize) {
        let keys = &mut self.facts.keys;
        if let Some(stored) = &mut self.stored_keys {
            stored.count = stored.count.max(len);
        } else if keys.len() < len {
            *keys = keys.iter().copied().chain(repeat_n(AddressHash(0), len - keys.len())).collect();
        }
    }
}
