//! The recipients of a chunk: columns, checked once.
//!
//! Must stay true: every column has one value per recipient, so an index below `size` is good in all of them.

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_domain::ids::{AccountId, ChunkKey, Shard};
use loa_domain::limits::CHUNK_RECIPIENTS_MAX;

/// Bytes of a release record that its recipients may take; the rest of a record is small.
pub(crate) const RELEASE_BYTES_MAX: usize = 900 * 1024;
/// Bytes of a recipient beside address and slots: number, parts, attempts, lengths.
const RECIPIENT_BYTES: usize = 16;

/// A chunk with its recipients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChunkData {
    pub(crate) key: ChunkKey,
    pub(crate) shard: Shard,
    pub(crate) account: AccountId,
    pub(crate) msisdns: Vec<u64>,
    pub(crate) mailboxes: Vec<String>,
    pub(crate) slots: Vec<event::SlotColumn>,
    pub(crate) parts: Vec<u8>,
    /// Ascending.
    pub(crate) hashes: Vec<u64>,
    /// Single sends: each one's deadline; empty = the campaign's end is everybody's.
    pub(crate) expires_us: Vec<i64>,
    /// Single sends: the content they were asked for with; else the variant's.
    pub(crate) content_hash: Option<Vec<u8>>,
    /// Single sends: the trace they belong to.
    pub(crate) traceparent: Option<String>,
}

impl ChunkData {
    /// Checks a chunk as audience gives it.
    pub(crate) fn read(chunk: audience::Chunk) -> Result<Self, BadRecord> {
        let size = chunk.address_hashes.len();
        if size == 0 || size > CHUNK_RECIPIENTS_MAX {
            return Err(BadRecord::new(
                "address_hashes",
                format!("{size} recipients, 1 to {CHUNK_RECIPIENTS_MAX} expected"),
            ));
        }
        let columns =
            [("msisdns or mailboxes", chunk.msisdns.len() + chunk.mailboxes.len()), ("parts", chunk.parts.len())];
        let slots = chunk.slots.iter().map(|slot| ("slots", slot.values.len()));
        if let Some((field, length)) = columns.into_iter().chain(slots).find(|&(_, length)| length != size) {
            return Err(BadRecord::new(field, format!("{length} values for {size} recipients")));
        }
        if !chunk.address_hashes.is_sorted() {
            return Err(BadRecord::new("address_hashes", "not ascending"));
        }
        Ok(Self {
            key: convert::chunk_key(chunk.key.as_ref())?,
            shard: convert::shard(chunk.shard)?,
            account: AccountId::new(&chunk.account).map_err(|error| BadRecord::new("account", error))?,
            msisdns: chunk.msisdns,
            mailboxes: chunk.mailboxes,
            slots: chunk.slots,
            parts: chunk.parts,
            hashes: chunk.address_hashes,
            expires_us: Vec::new(),
            content_hash: None,
            traceparent: None,
        })
    }

    /// How many recipients it has.
    pub(crate) fn size(&self) -> u16 {
        u16::try_from(self.hashes.len()).unwrap_or(u16::MAX)
    }

    /// Parts of a recipient's message; at least one.
    pub(crate) fn parts_of(&self, index: u16) -> u32 {
        self.parts.get(usize::from(index)).map_or(1, |&parts| u32::from(parts.max(1)))
    }

    /// When a recipient's message is over.
    pub(crate) fn expires_of(&self, index: u16, campaign_ends_us: i64) -> i64 {
        self.expires_us.get(usize::from(index)).map_or(campaign_ends_us, |&own| own.min(campaign_ends_us))
    }

    /// About how many bytes a recipient takes in a record.
    pub(crate) fn bytes_of(&self, index: u16) -> usize {
        let at = usize::from(index);
        let slots: usize = self.slots.iter().filter_map(|slot| slot.values.get(at)).map(|value| value.len() + 4).sum();
        RECIPIENT_BYTES + slots + self.mailboxes.get(at).map_or(0, |mailbox| mailbox.len() + 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_columns_that_do_not_fit() {
        let good = audience::Chunk {
            key: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 0 }),
            account: "viet".to_owned(),
            msisdns: vec![84_912_345_678, 84_912_345_679],
            parts: vec![1, 2],
            address_hashes: vec![5, 9],
            slots: vec![event::SlotColumn {
                name: "ten".to_owned(), values: vec!["An".to_owned(), "Bình".to_owned()]
            }],
            ..Default::default()
        };
        assert_eq!(ChunkData::read(good.clone()).unwrap().size(), 2);
        #[track_caller]
        fn check(chunk: audience::Chunk, field: &str) {
            assert_eq!(ChunkData::read(chunk).unwrap_err().field, field);
        }
        check(audience::Chunk { address_hashes: vec![], ..good.clone() }, "address_hashes");
        check(audience::Chunk { address_hashes: vec![9, 5], ..good.clone() }, "address_hashes");
        check(audience::Chunk { parts: vec![1], ..good.clone() }, "parts");
        check(audience::Chunk { msisdns: vec![1], ..good.clone() }, "msisdns or mailboxes");
        check(audience::Chunk { slots: vec![event::SlotColumn::default()], ..good.clone() }, "slots");
        check(audience::Chunk { account: "Viet Tel".to_owned(), ..good.clone() }, "account");
        check(audience::Chunk { shard: 64, ..good }, "shard");
    }
}
