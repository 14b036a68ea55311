//! How many recipients stand where: of a chunk, a shard, a campaign.
//!
//! Must stay true: `frozen` equals the sum of all states, since each recipient is in exactly one.

use std::collections::BTreeMap;

use loa_domain::state::{Reason, RecipientState};
use prost::Message;

use crate::chunk::Entry;

/// Counts by state and reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    states: BTreeMap<RecipientState, u64>,
    reasons: BTreeMap<Reason, u64>,
    /// Recipients to whom a second hand-over was told.
    pub repeated: u64,
    /// Parts submitted.
    pub parts: u64,
    /// Recipients by the chunks' own size, counted apart from the states.
    pub frozen: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(uint64, repeated, tag = "1")]
    states: Vec<u64>,
    #[prost(uint64, repeated, tag = "2")]
    reasons: Vec<u64>,
    #[prost(uint64, tag = "3")]
    repeated: u64,
    #[prost(uint64, tag = "4")]
    parts: u64,
    #[prost(uint64, tag = "5")]
    frozen: u64,
}

impl Counts {
    /// Counts a recipient in.
    pub(crate) fn add(&mut self, entry: &Entry) {
        *self.states.entry(entry.known.state).or_default() += 1;
        *self.reasons.entry(entry.reason).or_default() += 1;
        self.repeated += u64::from(entry.repeated);
        self.parts += u64::from(entry.parts);
    }

    /// Counts a recipient out.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        take_one(&mut self.states, entry.known.state);
        take_one(&mut self.reasons, entry.reason);
        self.repeated = self.repeated.saturating_sub(u64::from(entry.repeated));
        self.parts = self.parts.saturating_sub(u64::from(entry.parts));
    }

    /// Adds other counts.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (&state, count) in &other.states {
            *self.states.entry(state).or_default() += count;
        }
        for (&reason, count) in &other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.repeated += other.repeated;
        self.parts += other.parts;
        self.frozen += other.frozen;
    }

    /// Recipients in a state.
    pub(crate) fn of(&self, state: RecipientState) -> u64 {
        self.states.get(&state).copied().unwrap_or(0)
    }

    /// Recipients in any state.
    pub(crate) fn total(&self) -> u64 {
        self.states.values().sum()
    }

    /// Whether everybody is in a final state.
    pub(crate) fn is_settled(&self) -> bool {
        self.states.iter().all(|(state, &count)| count == 0 || state.is_final())
    }

    /// Recipients by reason.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.reasons.iter().filter(|(_, count)| **count > 0).map(|(&reason, &count)| (reason, count))
    }

    /// For a row.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let states = RecipientState::ALL.iter().map(|&state| self.of(state)).collect();
        let reasons = Reason::ALL.iter().map(|reason| self.reasons.get(reason).copied().unwrap_or(0)).collect();
        Stored { states, reasons, repeated: self.repeated, parts: self.parts, frozen: self.frozen }.encode_to_vec()
    }

    /// From a row.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let stored = Stored::decode(bytes)?;
        let states = RecipientState::ALL.iter().copied().zip(stored.states).filter(|(_, count)| *count > 0).collect();
        let reasons = Reason::ALL.iter().copied().zip(stored.reasons).filter(|(_, count)| *count > 0).collect();
        Ok(Self { states, reasons, repeated: stored.repeated, parts: stored.parts, frozen: stored.frozen })
    }
}

/// A count that falls to zero is no entry, so equal counts are equal maps.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    if let std::collections::btree_map::Entry::Occupied(mut count) = counts.entry(key) {
        match count.get().saturating_sub(1) {
            0 => {
                count.remove();
            }
            rest => {
                count.insert(rest);
            }
        }
    }
}
