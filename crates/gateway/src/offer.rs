//! A release record as a gateway works with it: who is in it, how it is sliced, until when it may leave.
//!
//! Must stay true: a record whose columns do not fit its mask is refused with the field's name; slice k is the k-th run of
//! `slice_length` indices of the mask, as in dispatch's row.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use loa_contract::convert::{self, BadRecord};
use loa_contract::pb::event::v1 as event;
use loa_domain::channel::{Channel, Class, Lane};
use loa_domain::hash::{AddressHash, HashKey};
use loa_domain::ids::{CampaignId, ReleaseKey, Shard, SliceKey};
use loa_domain::limits::SLICE_RECIPIENTS_MAX;
use loa_domain::mask::Mask;
use loa_domain::policy::Scope;

/// Addresses of the recipients, one per set bit of the mask.
#[derive(Debug)]
pub enum Addresses {
    /// Subscriber numbers as E.164 digits.
    Numbers(Vec<u64>),
    /// Mailboxes.
    Mailboxes(Vec<String>),
}

/// A release; recipients are named by their place among the set bits of the mask.
pub struct Offer {
    /// Which release.
    pub key: ReleaseKey,
    /// Whose people.
    pub shard: Shard,
    /// The campaign or notice.
    pub campaign: CampaignId,
    /// The channel it travels by.
    pub channel: Channel,
    /// The account it is meant for.
    pub account: String,
    /// Its lane.
    pub lane: Lane,
    /// Its class.
    pub class: Class,
    /// Brand name, short number or mailbox.
    pub sender: Arc<str>,
    /// Display name of the sender.
    pub sender_name: String,
    /// Nothing is handed over from this time on, microseconds since 1970.
    pub hand_over_by_us: i64,
    /// SHA-256 of the content.
    pub content_hash: Box<[u8]>,
    /// Addresses.
    pub addresses: Addresses,
    /// Slot columns by name.
    pub slots: Vec<event::SlotColumn>,
    /// Only a simulator may take these people.
    pub synthetic: bool,
    unit: String,
    topic: String,
    indices: Box<[u16]>,
    attempts: Vec<u8>,
    parts: Vec<u8>,
    slice_length: usize,
    scopes: OnceLock<Vec<Scope>>,
    /// From its reading until nothing of it is in flight; none where the record belongs to no trace.
    _span: Option<tracing::Span>,
}

impl Offer {
    /// Reads a record of a lane topic of this channel.
    pub fn parse(channel: Channel, record: event::Release) -> Result<Self, BadRecord> {
        let key = convert::release_key(&record)?;
        let indices: Box<[u16]> = convert::mask(&record.mask)?.iter().collect();
        let lane = convert::lane(record.lane)?;
        let slice_length = match usize::try_from(record.slice_length) {
            Ok(length) if (1..=SLICE_RECIPIENTS_MAX).contains(&length) => length,
            _ => return Err(BadRecord::new("slice_length", format!("{} is not 1 to 100", record.slice_length))),
        };
        let fits = |field: &'static str, len: usize| match len == indices.len() {
            true => Ok(()),
            false => Err(BadRecord::new(field, format!("{len} values for {} recipients", indices.len()))),
        };
        let addresses = match channel {
            Channel::Sms => Addresses::Numbers(record.msisdns),
            Channel::Email => Addresses::Mailboxes(record.mailboxes),
        };
        match &addresses {
            Addresses::Numbers(numbers) => fits("msisdns", numbers.len())?,
            Addresses::Mailboxes(mailboxes) => fits("mailboxes", mailboxes.len())?,
        }
        record.slots.iter().try_for_each(|column| fits("slots", column.values.len()))?;
        if !record.attempts.is_empty() {
            fits("attempts", record.attempts.len())?;
        }
        if !record.parts.is_empty() {
            fits("parts", record.parts.len())?;
        }
        Ok(Self {
            key,
            shard: convert::shard(record.shard)?,
            campaign: convert::campaign_id(&record.campaign_id)?,
            channel,
            account: record.account,
            lane,
            class: convert::class(record.class)?,
            sender: record.sender.into(),
            sender_name: record.sender_name,
            hand_over_by_us: record.hand_over_by_us,
            content_hash: record.content_hash.into(),
            addresses,
            slots: record.slots,
            synthetic: record.synthetic,
            unit: record.unit_id,
            topic: record.topic,
            indices,
            attempts: record.attempts,
            parts: record.parts,
            slice_length,
            scopes: OnceLock::new(),
            _span: None,
        })
    }

    /// Makes the hand-over a part of the trace that the record belongs to.
    pub fn follow(&mut self, traceparent: &str) {
        let span = tracing::info_span!("hand over", account = self.account, recipients = self.len());
        loa_runtime::telemetry::continue_trace(&span, traceparent);
        self._span = Some(span);
    }

    /// How many recipients it has.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether it has no recipient.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// How many slices it has.
    pub fn slices(&self) -> u16 {
        u16::try_from(self.indices.len().div_ceil(self.slice_length)).unwrap_or(u16::MAX)
    }

    /// The name of a slice.
    pub fn slice(&self, slice: u16) -> SliceKey {
        SliceKey { release: self.key, slice }
    }

    /// The recipients of a slice.
    pub fn range(&self, slice: u16) -> Range<usize> {
        let start = usize::from(slice) * self.slice_length;
        start.min(self.len())..(start + self.slice_length).min(self.len())
    }

    /// The indices of a slice, within the chunk.
    pub fn mask(&self, slice: u16) -> Mask {
        self.indices.get(self.range(slice)).unwrap_or_default().iter().copied().collect()
    }

    /// The index of a recipient within the chunk.
    pub fn index(&self, recipient: usize) -> u16 {
        self.indices.get(recipient).copied().unwrap_or_default()
    }

    /// Tries that a recipient has used up before this release.
    pub fn attempts(&self, recipient: usize) -> u8 {
        self.attempts.get(recipient).copied().unwrap_or_default()
    }

    /// Parts of a slice's texts as dispatch counted them.
    pub fn parts(&self, slice: u16) -> u32 {
        let range = self.range(slice);
        let parts = match self.parts.get(range.clone()) {
            Some(parts) => parts.iter().copied().map(usize::from).sum(),
            None => range.len(),
        };
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    /// The keyed hash of a recipient's address.
    pub fn address_hash(&self, key: &HashKey, recipient: usize) -> AddressHash {
        match &self.addresses {
            Addresses::Numbers(numbers) => key.number(numbers.get(recipient).copied().unwrap_or_default()),
            Addresses::Mailboxes(mailboxes) => {
                let mailbox = mailboxes.get(recipient).map_or("", String::as_str);
                key.mailbox(mailbox)
            }
        }
    }

    /// Suppression scopes that cover a message of this release.
    pub fn scopes(&self, key: &HashKey) -> &[Scope] {
        self.scopes.get_or_init(|| Scope::covering(key, &self.unit, self.class, &self.topic))
    }

    /// The value of a slot column for a recipient; empty if there is none.
    pub fn slot(&self, column: usize, recipient: usize) -> &str {
        self.slots.get(column).and_then(|column| column.values.get(recipient)).map_or("", String::as_str)
    }

    /// Which column fills a slot.
    pub fn column(&self, slot: &str) -> Option<usize> {
        self.slots.iter().position(|column| column.name == slot)
    }
}

/// For logs: which release, and nobody's address.
impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("key", &self.key).field("recipients", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(recipients: u16) -> event::Release {
        event::Release {
            chunk: Some(event::ChunkKey { freeze_id: vec![1; 16], variant: 0, chunk: 3 }),
            release_no: 1,
            shard: 5,
            campaign_id: vec![2; 16],
            account: "a".to_owned(),
            lane: event::Lane::Bulk.into(),
            class: event::Class::PublicInformation.into(),
            slice_length: 4,
            mask: (0..recipients).map(|index| index * 2).collect::<Mask>().to_vec(),
            msisdns: (0..u64::from(recipients)).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn slices_are_runs_of_the_mask() {
        let offer = Offer::parse(Channel::Sms, record(10)).unwrap();
        assert_eq!(offer.slices(), 3);
        assert_eq!(offer.range(2), 8..10);
        assert_eq!(offer.mask(1).iter().collect::<Vec<_>>(), [8, 10, 12, 14]);
        assert_eq!(offer.range(7), 10..10, "a slice that is not there is empty");
        assert_eq!(Offer::parse(Channel::Sms, record(0)).unwrap().slices(), 0);
    }

    #[test]
    fn columns_must_fit() {
        #[track_caller]
        fn check(field: &str, change: impl FnOnce(&mut event::Release)) {
            let mut record = record(10);
            change(&mut record);
            assert_eq!(Offer::parse(Channel::Sms, record).unwrap_err().field, field);
        }
        check("msisdns", |record| record.msisdns.truncate(9));
        check("attempts", |record| record.attempts = vec![0; 3]);
        check("parts", |record| record.parts = vec![1; 11]);
        check("slots", |record| record.slots = vec![event::SlotColumn::default()]);
        check("slice_length", |record| record.slice_length = 0);
        check("slice_length", |record| record.slice_length = 101);
        check("mask", |record| record.mask = vec![1; 65]);
        check("lane", |record| record.lane = 0);
        check("shard", |record| record.shard = 64);
        check("chunk", |record| record.chunk = None);
    }
}
