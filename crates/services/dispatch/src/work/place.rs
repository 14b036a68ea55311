//! Accepted single sends become chunks: one for each notice, account and content of what waits.
//!
//! Must stay true: what stands in a chunk already is dropped; nothing is dropped that does not; the offset is stored with
//! the chunks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use loa_contract::convert::BadRecord;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SinglesTopic, Topic as _};
use loa_domain::channel::{Channel, Lane};
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, Shard};
use loa_domain::limits::CHUNK_RECIPIENTS_MAX;
use loa_ports::audience::Address;
use loa_ports::log::{LogError, Position, Record};
use loa_runtime::record::TRACEPARENT;
use loa_runtime::{ServiceError, record};
use uuid::Uuid;

use super::read::by_shard;
use super::{RETRY_WAIT, Work};
use crate::content::Compiled;
use crate::core::{NewChunk, SingleBody};

/// The account of addresses that no account takes; it is never bound.
const NO_ACCOUNT: &str = "none";

/// A single send with everything that decides where it goes.
struct Ready {
    single: event::Single,
    traceparent: String,
    notice: CampaignId,
    channel: Channel,
    lane: Lane,
    hash: AddressHash,
    account: Option<String>,
    content: Arc<Compiled>,
}

impl Work {
    pub(super) async fn read_singles(&mut self, records: Result<Vec<Record>, LogError>) {
        let records = match records {
            Ok(records) => records,
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                self.meters.gaps.inc();
                tracing::error!(
                    code = "LOA-111",
                    partition,
                    start,
                    wanted,
                    "log gap: accepted single sends were lost; who asked must ask again"
                );
                return self.readers.singles.assign(Position { partition, offset: start });
            }
            Err(error) => return self.not_read(SinglesTopic::SPEC.name, &error),
        };
        for (shard, records) in by_shard(records) {
            let Some(first) = records.first().map(|record| record.offset) else { continue };
            if let Err(ServiceError(error)) = self.place(shard, records).await {
                tracing::warn!(shard = shard.number(), %error, "single sends wait for what they need");
                self.singles_at = self.ctx.monotonic() + RETRY_WAIT;
                self.readers.singles.assign(Position { partition: shard.number(), offset: first });
            }
        }
    }

    async fn place(&mut self, shard: Shard, records: Vec<Record>) -> Result<(), ServiceError> {
        if !self.engine.owns(shard) {
            return Ok(());
        }
        let (mut singles, mut next) = (Vec::new(), None);
        for record in &records {
            match record::decode::<event::Singles>(record) {
                Ok(batch) => {
                    let traceparent = traceparent(record);
                    singles.extend(batch.singles.into_iter().map(|single| (single, traceparent.clone())));
                }
                Err(error) => {
                    self.readers.singles.unassign(record.partition);
                    self.unreadable(SinglesTopic::SPEC.name, record, &error);
                    break;
                }
            }
            next = Some(record.offset + 1);
        }
        let ids: Vec<_> = singles.iter().map(|(single, _)| single.key_hash).collect();
        let mut seen: HashSet<_> = self.store.placed(&ids).await?.into_iter().collect();
        seen.extend(self.engine.members_waiting());
        let mut groups: BTreeMap<(CampaignId, Option<String>, Vec<u8>), Vec<Ready>> = BTreeMap::new();
        for (single, traceparent) in singles {
            if seen.insert(single.key_hash) {
                let ready = self.ready(single, traceparent).await?;
                let group = (ready.notice, ready.account.clone(), ready.single.content_hash.clone());
                groups.entry(group).or_default().push(ready);
            }
        }
        for ((notice, account, content_hash), mut group) in groups {
            group.sort_by_key(|ready| ready.hash);
            for part in group.chunks(CHUNK_RECIPIENTS_MAX) {
                let new = new_chunk(shard, notice, account.as_deref(), &content_hash, part);
                self.engine.place(shard, new, self.now())?;
            }
        }
        if let Some(next) = next {
            self.engine.read_up_to(shard, SinglesTopic::SPEC.name, next);
        }
        Ok(())
    }

    /// Looks up what a single send needs; an error is something that may come yet.
    async fn ready(&mut self, single: event::Single, traceparent: String) -> Result<Ready, ServiceError> {
        let notice = CampaignId::from_bytes(&single.notice_id)?;
        let Some((lane, variant)) = self.engine.notice(notice) else {
            return Err(ServiceError::from(format!("control.v1 does not tell of notice {notice} yet")));
        };
        let channel = variant.channel;
        let content = self.contents.get(&single.content_hash).await?;
        let content = content.ok_or_else(|| BadRecord::new("content_hash", "registry does not know it"))?;
        let (key, router) = (self.ctx.hash_key(), &self.options.router);
        let (address, hash) = match channel {
            Channel::Sms => (Address::Number(single.msisdn), key.number(single.msisdn)),
            Channel::Email => (Address::Mailbox(&single.mailbox), key.address(channel, &single.mailbox)),
        };
        let account = router.choose(address, hash, false).and_then(|at| router.routes().get(at));
        let account = account.map(|route| route.account.clone());
        Ok(Ready { single, traceparent, notice, channel, lane, hash, account, content })
    }
}

fn traceparent(record: &Record) -> String {
    let found = record.headers.iter().find(|(name, _)| name == TRACEPARENT);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

/// The chunk of a group; its freeze is its own.
fn new_chunk(
    shard: Shard,
    notice: CampaignId,
    account: Option<&str>,
    content_hash: &[u8],
    group: &[Ready],
) -> NewChunk {
    let key = ChunkKey { freeze: FreezeId(Uuid::now_v7()), variant: 0, chunk: 0 };
    let (channel, lane) = group.first().map_or((Channel::Sms, Lane::Bulk), |first| (first.channel, first.lane));
    let account = account.unwrap_or(NO_ACCOUNT);
    let slots = |single: &event::Single| -> HashMap<String, String> {
        single.slots.iter().map(|slot| (slot.name.clone(), slot.value.clone())).collect()
    };
    let values: Vec<_> = group.iter().map(|ready| slots(&ready.single)).collect();
    let mut names: Vec<_> = values.iter().flat_map(HashMap::keys).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let column = |name: String| {
        let values = values.iter().map(|values| values.get(&name).cloned().unwrap_or_default()).collect();
        event::SlotColumn { name, values }
    };
    let of = |wanted: Channel| group.iter().filter(move |_| channel == wanted).map(|ready| &ready.single);
    let chunk = audience::Chunk {
        key: Some(loa_contract::convert::chunk_key_record(key)),
        shard: shard.number(),
        account: account.to_owned(),
        msisdns: of(Channel::Sms).map(|single| single.msisdn).collect(),
        mailboxes: of(Channel::Email).map(|single| single.mailbox.clone()).collect(),
        slots: names.into_iter().map(column).collect(),
        parts: group.iter().zip(&values).map(|(ready, values)| ready.content.parts(values).unwrap_or(1)).collect(),
        address_hashes: group.iter().map(|ready| ready.hash.0).collect(),
    };
    let accepted = (0..).zip(group).map(|(index, ready)| event::SingleAccepted {
        chunk: Some(loa_contract::convert::chunk_key_record(key)),
        index,
        notice_id: notice.to_vec(),
        address_hash: ready.hash.0,
        caller: ready.single.caller.clone(),
        idempotency_key: ready.single.idempotency_key.clone(),
        channel: i32::from(channel.code()),
        accepted_at_us: ready.single.accepted_at_us,
        account: account.to_owned(),
        message_id: ready.single.key_hash,
        reply_to: ready.single.reply_to.clone(),
    });
    let body = SingleBody {
        chunk: Some(chunk),
        expires_us: group.iter().map(|ready| ready.single.hand_over_by_us).collect(),
        content_hash: content_hash.to_vec(),
        accepted: accepted.collect(),
        channel: i32::from(channel.code()),
        lane: i32::from(lane.code()),
        traceparent: group
            .iter()
            .map(|ready| &ready.traceparent)
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_default(),
    };
    let members = group.iter().map(|ready| ready.single.key_hash).collect();
    NewChunk { notice, body, members, no_route: account == NO_ACCOUNT }
}
