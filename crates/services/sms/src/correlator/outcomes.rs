//! Outcomes on their way to outcomes.v1, gathered by shard.
//!
//! Must stay true: what the log has not taken is offered again; the receipts behind it are finished only then.

use std::collections::BTreeMap;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::OutcomesTopic;
use loa_domain::hash::AddressHash;
use loa_domain::ids::AccountId;
use loa_ports::log::Append;
use loa_runtime::record;

use super::book::{Match, Said, Waiting};

/// Outcomes of one record, at most: well below the record's limit.
const PER_RECORD_MAX: usize = 4_000;

/// Outcomes that gather.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    by_shard: BTreeMap<u32, Vec<Match>>,
    unmatched: BTreeMap<u32, Vec<event::Unmatched>>,
    /// How many outcomes there are.
    count: usize,
    /// The receipts they stand for: partition and offset.
    receipts: Vec<(u32, i64)>,
}

impl Outcomes {
    /// Adds what a receipt of a partition says.
    pub(crate) fn put(&mut self, partition: u32, found: Match) {
        self.count += 1;
        self.receipts.push((partition, found.offset));
        self.by_shard.entry(found.chunk.shard).or_default().push(found);
    }

    /// Adds a receipt of which nobody knows the message; after the last time it is finished.
    pub(crate) fn put_unmatched(&mut self, partition: u32, account: &AccountId, waiting: Waiting, is_last: bool) {
        self.count += 1;
        if is_last {
            self.receipts.push((partition, waiting.offset));
        }
        let Said { address_hash, sender, state, error, done_at_us } = waiting.said;
        let shard = AddressHash(address_hash).shard().number();
        self.unmatched.entry(shard).or_default().push(event::Unmatched {
            address_hash,
            account: account.to_string(),
            sender,
            state,
            error,
            at_us: done_at_us,
        });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The partition is somebody else's: what is told of its receipts finishes none. If it comes back, they are read again and
    /// counted anew.
    pub(crate) fn forget(&mut self, partition: u32) {
        self.receipts.retain(|(of, _)| *of != partition);
    }

    /// The records to append.
    pub(crate) fn records(&self) -> Vec<Append> {
        let of_shard = |(&shard, found): (&u32, &Vec<Match>)| -> Vec<Append> {
            found.chunks(PER_RECORD_MAX).map(|found| record_of(shard, found)).collect()
        };
        let unmatched = |(&shard, found): (&u32, &Vec<event::Unmatched>)| -> Vec<Append> {
            found.chunks(PER_RECORD_MAX).map(|found| unmatched_of(shard, found)).collect()
        };
        let matched = self.by_shard.iter().flat_map(of_shard);
        matched.chain(self.unmatched.iter().flat_map(unmatched)).collect()
    }

    /// The log has them: the receipts that are finished by that.
    pub(crate) fn clear(&mut self) -> Vec<(u32, i64)> {
        self.by_shard.clear();
        self.unmatched.clear();
        self.count = 0;
        std::mem::take(&mut self.receipts)
    }
}

fn unmatched_of(shard: u32, found: &[event::Unmatched]) -> Append {
    let record = event::Outcomes { shard, unmatched: found.to_vec(), ..Default::default() };
    record::append::<OutcomesTopic>(shard, bytes::Bytes::new(), &record)
}

fn record_of(shard: u32, found: &[Match]) -> Append {
    let mut record = event::Outcomes { shard, ..Default::default() };
    for Match { chunk, outcome, .. } in found {
        let known = record.chunks.iter().rposition(|known| *known == **chunk);
        let at = known.unwrap_or_else(|| {
            record.chunks.push((**chunk).clone());
            record.chunks.len() - 1
        });
        let chunk = u32::try_from(at).unwrap_or(u32::MAX);
        record.outcomes.push(event::Outcome { chunk, ..outcome.clone() });
    }
    record::append::<OutcomesTopic>(shard, bytes::Bytes::new(), &record)
}
