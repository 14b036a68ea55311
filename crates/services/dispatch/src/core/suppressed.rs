//! Who of a shard may not be written to: address hash → scopes, as read from suppression.v1.
//!
//! A sorted file of entries and a small delta on top; a chunk's hashes are sorted too, so a look-up is a walk over the
//! smaller side. 12 bytes per entry.
//!
//! Must stay true: of the records about (address, scope) the one with the highest position counts, in whatever order and
//! however often they come (a repeat comes soon, so only the newest changes are remembered with their positions).

use std::collections::{BTreeMap, HashMap};

use loa_domain::mask::Mask;
use loa_domain::policy::Scope;
use loa_ports::store::dispatch::BlockRow;

/// Entries of the delta before it is merged into the base.
const DELTA_MAX: usize = 4_096;
/// Changes whose positions are remembered; a repetition of an older one cannot come any more.
const RECENT_MAX: usize = 8_192;
/// A base range longer than this many times the chunk is searched by the chunk's hashes instead of walked.
const WALK_MAX: usize = 8;

/// The suppression entries of a shard.
#[derive(Debug, Default)]
pub(crate) struct Suppressed {
    hashes: Vec<u64>,
    scopes: Vec<u32>,
    delta: BTreeMap<(u64, u32), bool>,
    positions: HashMap<(u64, u32), u64>,
    recent: BTreeMap<u64, (u64, u32)>,
}

impl Suppressed {
    /// Takes what the store holds.
    pub(crate) fn new(blocks: Vec<BlockRow>) -> Self {
        let in_force = blocks.iter().filter(|block| !block.lifted);
        let mut entries: Vec<_> = in_force.map(|block| (block.address.0, block.scope.0)).collect();
        entries.sort_unstable();
        entries.dedup();
        let (hashes, scopes) = entries.into_iter().unzip();
        let mut list = Self { hashes, scopes, ..Self::default() };
        blocks.iter().for_each(|block| list.remember((block.address.0, block.scope.0), block.position));
        list
    }

    /// Takes a record: an entry is set, or lifted; `false` if something newer is known already.
    pub(crate) fn apply(&mut self, block: &BlockRow) -> bool {
        let key = (block.address.0, block.scope.0);
        if self.positions.get(&key).is_some_and(|&known| known >= block.position) {
            return false;
        }
        self.remember(key, block.position);
        self.delta.insert(key, block.lifted);
        if self.delta.len() > DELTA_MAX {
            self.merge();
        }
        true
    }

    fn remember(&mut self, key: (u64, u32), position: u64) {
        if let Some(before) = self.positions.insert(key, position) {
            self.recent.remove(&before);
        }
        self.recent.insert(position, key);
        while self.recent.len() > RECENT_MAX {
            let Some((_, oldest)) = self.recent.pop_first() else { break };
            self.positions.remove(&oldest);
        }
    }

    fn merge(&mut self) {
        let mut entries: BTreeMap<(u64, u32), bool> = std::mem::take(&mut self.delta);
        for (&hash, &scope) in self.hashes.iter().zip(&self.scopes) {
            entries.entry((hash, scope)).or_insert(false);
        }
        entries.retain(|_, lifted| !*lifted);
        (self.hashes, self.scopes) = entries.into_keys().unzip();
    }

    /// Which of a chunk's people have an entry with one of the scopes. The hashes ascend.
    pub(crate) fn among(&self, hashes: &[u64], scopes: &[Scope]) -> Mask {
        let (Some(&first), Some(&last)) = (hashes.first(), hashes.last()) else { return Mask::EMPTY };
        let mut found = Mask::EMPTY;
        let mut mark = |hash: u64, scope: u32| {
            if scopes.contains(&Scope(scope)) {
                mark_equal(hashes, hash, &mut found);
            }
        };
        let from = self.hashes.partition_point(|&hash| hash < first);
        let base = self.hashes.get(from..).unwrap_or_default();
        let base = base.get(..base.partition_point(|&hash| hash <= last)).unwrap_or_default();
        if base.len() > WALK_MAX * hashes.len() {
            hashes.iter().for_each(|&hash| self.base_of(hash).for_each(|scope| mark(hash, scope)));
        } else {
            for (&hash, &scope) in base.iter().zip(self.scopes.iter().skip(from)) {
                if !self.delta.contains_key(&(hash, scope)) {
                    mark(hash, scope);
                }
            }
        }
        let delta = self.delta.range((first, 0)..=(last, u32::MAX));
        delta.filter(|&(_, &lifted)| !lifted).for_each(|(&(hash, scope), _)| mark(hash, scope));
        found
    }

    /// Scopes of an address in the base that the delta does not speak of.
    fn base_of(&self, hash: u64) -> impl Iterator<Item = u32> {
        let from = self.hashes.partition_point(|&known| known < hash);
        let equal = self.hashes.iter().zip(&self.scopes).skip(from).take_while(move |&(&known, _)| known == hash);
        equal.map(|(_, &scope)| scope).filter(move |&scope| !self.delta.contains_key(&(hash, scope)))
    }
}

fn mark_equal(hashes: &[u64], hash: u64, found: &mut Mask) {
    let from = hashes.partition_point(|&known| known < hash);
    for (index, _) in hashes.iter().enumerate().skip(from).take_while(|&(_, &known)| known == hash) {
        if let Ok(index) = u16::try_from(index) {
            found.insert(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::hash::AddressHash;
    use loa_domain::ids::Shard;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn block(hash: u64, scope: u32, lifted: bool, position: u64) -> BlockRow {
        let (shard, address, scope) = (Shard::new(0).unwrap(), AddressHash(hash), Scope(scope));
        BlockRow { shard, address, scope, lifted, position, at_us: 0 }
    }

    proptest! {
        /// Behaves like a plain set of (hash, scope), however often the delta was merged and wherever an entry stands.
        #[test]
        fn behaves_like_a_set(
            stored in proptest::collection::vec((0..40_u64, 0..3_u32), 0..60),
            records in proptest::collection::vec((0..40_u64, 0..3_u32, any::<bool>(), any::<bool>()), 0..60),
            hashes in proptest::collection::vec(0..40_u64, 0..8),
            scopes in proptest::collection::vec(0..3_u32, 0..3),
        ) {
            let mut plain: BTreeSet<(u64, u32)> = stored.iter().copied().collect();
            let mut list = Suppressed::new((1..).zip(stored).map(|(position, (hash, scope))| block(hash, scope, false, position)).collect());
            for (position, (hash, scope, lifted, merge)) in (100..).zip(records) {
                prop_assert!(list.apply(&block(hash, scope, lifted, position)));
                if lifted { plain.remove(&(hash, scope)); } else { plain.insert((hash, scope)); }
                if merge { list.merge(); }
            }
            let mut hashes = hashes;
            hashes.sort_unstable();
            let asked: Vec<Scope> = scopes.iter().map(|&scope| Scope(scope)).collect();
            let expected: Vec<u16> = (0..hashes.len()).filter(|&at| scopes.iter().any(|&scope| plain.contains(&(hashes[at], scope)))).map(|at| u16::try_from(at).unwrap()).collect();
            prop_assert_eq!(list.among(&hashes, &asked).iter().collect::<Vec<_>>(), expected);
        }

        /// Records in any order and number: the highest position counts.
        #[test]
        fn the_highest_position_counts(order in Just((1..12_u64).collect::<Vec<_>>()).prop_shuffle(), again in proptest::collection::vec(1..12_u64, 0..10)) {
            let mut list = Suppressed::default();
            for position in order.into_iter().chain(again) {
                list.apply(&block(5, 0, position % 2 == 0, position));
            }
            prop_assert!(list.among(&[5], &[Scope::ALL]).contains(0), "the eleventh set it");
        }
    }
}
