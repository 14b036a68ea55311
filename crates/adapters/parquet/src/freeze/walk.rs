//! The second pass: one shard of one variant, walked in order of the address hash.
//!
//! In one walk equal neighbours are dropped, the suppressed met (both lists ascend), policy asked, the account chosen and
//! the parts counted; then the people of each account are cut into chunks.
//!
//! Must stay true: everybody who comes in is frozen or counted under one reason; the hashes of a chunk ascend; a chunk is
//! at most [`CHUNK_RECIPIENTS_MAX`] people and about [`CHUNK_BYTES_MAX`] bytes, so that its release fits a log record.

use std::collections::BTreeMap;

use loa_contract::pb::audience::v1 as pb;
use loa_contract::pb::event::v1 as event;
use loa_domain::channel::{Channel, Class};
use loa_domain::hash::AddressHash;
use loa_domain::limits::CHUNK_RECIPIENTS_MAX;
use loa_domain::policy::{CampaignFacts, PersonFacts, Verdict, verdict};
use loa_domain::state::Reason;
use loa_ports::audience::{Address, FreezeInputs};

use super::plan::VariantPlan;
use super::recipient::{Flags, Recipient};

/// Bytes of addresses and slot values in one chunk, about; half of a log record.
const CHUNK_BYTES_MAX: usize = 512 * 1024;

/// What decides about everybody of a freeze.
pub(super) struct Walk<'a> {
    pub(super) inputs: &'a FreezeInputs,
    pub(super) variant: &'a VariantPlan,
    pub(super) is_synthetic: bool,
    pub(super) shard: u32,
}

/// A shard of a variant.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) excluded: BTreeMap<&'static str, u64>,
    pub(super) frozen: u64,
    pub(super) parts: u64,
    /// In order of the accounts; chunks without their keys.
    pub(super) chunks: Vec<pb::Chunk>,
}

/// Somebody who is frozen.
#[derive(Clone, Copy)]
struct Frozen<'a> {
    recipient: Recipient<'a>,
    parts: u8,
}

impl Walk<'_> {
    /// Walks the recipients (sorted) beside the suppressed addresses (ascending).
    pub(super) fn walk(&self, recipients: &[Recipient<'_>], suppressed: &[AddressHash]) -> Walked {
        let mut walked = Walked::default();
        let mut by_account: BTreeMap<usize, Vec<Frozen<'_>>> = BTreeMap::new();
        let mut suppressed = suppressed.iter().peekable();
        let (mut values, mut buffer) = (Vec::new(), String::new());
        for same in recipients.chunk_by(Recipient::is_same_address) {
            let recipient = same[0];
            walked.exclude(Reason::Duplicate, same.len() - 1);
            while suppressed.next_if(|hash| hash.0 < recipient.hash).is_some() {}
            let is_suppressed = suppressed.peek().is_some_and(|hash| hash.0 == recipient.hash);
            let flags = same.iter().fold(Flags::default(), |flags, row| flags.with(row.flags));
            recipient.slots(&mut values);
            match self.decide(&recipient, flags, is_suppressed, &values, &mut buffer) {
                Ok((account, parts)) => {
                    by_account.entry(account).or_default().push(Frozen { recipient, parts });
                    walked.frozen += 1;
                    walked.parts += u64::from(parts);
                }
                Err(reason) => walked.exclude(reason, 1),
            }
        }
        for (account, people) in by_account {
            self.cut(account, &people, &mut walked.chunks);
        }
        walked
    }

    /// The account and the parts, or why not.
    fn decide(
        &self,
        recipient: &Recipient<'_>,
        flags: Flags,
        is_suppressed: bool,
        values: &[&str],
        buffer: &mut String,
    ) -> Result<(usize, u8), Reason> {
        let class = self.inputs.class;
        let person = flags.person();
        let person = PersonFacts { suppressed: person.suppressed || is_suppressed, ..person };
        // Hours and the end are a matter of the release; a freeze knows no time.
        let campaign = CampaignFacts { class, opens_at_us: None, ends_at_us: i64::MAX };
        if let Verdict::Skip(reason) = verdict(campaign, person, self.inputs.respect_dnc_for_public, 0) {
            return Err(reason);
        }
        if flags.is_child() && matches!(class, Class::Advertising | Class::AdRegistration) {
            return Err(Reason::Underage);
        }
        let address = match self.variant.channel {
            Channel::Sms => Address::Number(recipient.number()),
            Channel::Email => Address::Mailbox(recipient.mailbox()),
        };
        let router = &self.inputs.router;
        let account = router.choose(address, AddressHash(recipient.hash), self.is_synthetic).ok_or(Reason::NoRoute)?;
        let parts = self.variant.cost.of(values, buffer)?;
        let parts_max = router.routes().get(account).map_or(u8::MAX, |route| route.parts_max);
        if self.variant.channel == Channel::Sms && parts > parts_max {
            return Err(Reason::TooLong);
        }
        Ok((account, parts))
    }

    fn cut(&self, account: usize, mut people: &[Frozen<'_>], chunks: &mut Vec<pb::Chunk>) {
        let account = self.inputs.router.routes().get(account).map(|route| route.account.clone()).unwrap_or_default();
        while !people.is_empty() {
            let (chunk, rest) = people.split_at(chunk_length(people));
            chunks.push(self.chunk(&account, chunk));
            people = rest;
        }
    }

    fn chunk(&self, account: &str, people: &[Frozen<'_>]) -> pb::Chunk {
        let is_sms = self.variant.channel == Channel::Sms;
        let column = |name: &String| event::SlotColumn { name: name.clone(), values: Vec::with_capacity(people.len()) };
        let mut slots: Vec<event::SlotColumn> = self.variant.slots.iter().map(column).collect();
        let mut values = Vec::new();
        for person in people {
            person.recipient.slots(&mut values);
            for (column, value) in slots.iter_mut().zip(&values) {
                column.values.push((*value).to_owned());
            }
        }
        let numbers = people.iter().filter(|_| is_sms).map(|person| person.recipient.number());
        let mailboxes = people.iter().filter(|_| !is_sms).map(|person| person.recipient.mailbox().to_owned());
        pb::Chunk {
            key: None,
            shard: self.shard,
            account: account.to_owned(),
            msisdns: numbers.collect(),
            mailboxes: mailboxes.collect(),
            slots,
            parts: people.iter().map(|person| person.parts).collect(),
            address_hashes: people.iter().map(|person| person.recipient.hash).collect(),
        }
    }
}

impl Walked {
    fn exclude(&mut self, reason: Reason, people: usize) {
        if people > 0 {
            *self.excluded.entry(reason.name()).or_default() += u64::try_from(people).unwrap_or(0);
        }
    }
}

/// How many of these people go into the next chunk; at least one.
fn chunk_length(people: &[Frozen<'_>]) -> usize {
    let mut bytes = 0;
    let fits = people.iter().take(CHUNK_RECIPIENTS_MAX).take_while(|person| {
        bytes += person.recipient.bytes();
        bytes <= CHUNK_BYTES_MAX
    });
    fits.count().max(1)
}
