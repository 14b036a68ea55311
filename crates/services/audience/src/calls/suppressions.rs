//! Suppression entries: opt-outs, blocks, and their lifting.
//!
//! Must stay true: the address is hashed here and forgotten, only its hash and its last two characters go on; OK is said
//! only after the log has the change, for dispatch (suppression.v1) and for every gateway (blocks.v1).

use loa_contract::convert::timestamp;
use loa_contract::pb::audience::v1::*;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{BlocksTopic, SuppressionTopic, Topic as _};
use loa_domain::address::EmailAddress;
use loa_domain::channel::{Channel, Class};
use loa_domain::hash::AddressHash;
use loa_domain::msisdn::{Column, Msisdn};
use loa_domain::policy::Scope;
use loa_ports::store::audience::{NewSuppression, SuppressionRow, SuppressionStored};
use loa_ports::store::{OutboxRecord, StoreError};
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{Violations, page_size, page_start, page_token, store_status};
use prost::Message as _;
use tonic::Status;

use super::field;
use crate::core::Core;

/// Characters of a unit's code or a topic, at most.
const SCOPE_CHARS_MAX: usize = 64;
/// Characters of the address that people may see.
const HINT_CHARS: usize = 2;
/// Tries at a COMMIT whose answer was lost.
const COMMIT_TRIES: u32 = 5;

pub(super) async fn add(core: &Core, asked: Option<Suppression>, user: &str) -> Result<Suppression, Status> {
    let entry = checked(core, asked, user)?;
    let stored = stored(core, &entry).await?;
    publish(core, stored.outbox).await?;
    Ok(shown(SuppressionRow { position: stored.position, entry: NewSuppression { at_us: stored.at_us, ..entry } }))
}

pub(super) async fn remove(core: &Core, asked: Option<Suppression>, user: &str) -> Result<bool, Status> {
    let NewSuppression { hash, scope, by, at_us, .. } = checked(core, asked, user)?;
    let records = |position: u64, at_us: i64| records(hash, scope, at_us, position, true);
    match core.store.lift(hash, scope, &by, at_us, &records).await.map_err(|error| store_status(&error))? {
        None => Ok(false),
        Some(stored) => publish(core, stored.outbox).await.map(|()| true),
    }
}

/// OK means: the log has it, the change is in force (T0).
async fn publish(core: &Core, stored: Vec<(i64, OutboxRecord)>) -> Result<(), Status> {
    let (numbers, records): (Vec<i64>, Vec<OutboxRecord>) = stored.into_iter().unzip();
    core.publisher.publish(&records, &numbers, Acknowledge::Must).await
}

pub(super) async fn list(core: &Core, request: &ListSuppressionsRequest) -> Result<ListSuppressionsResponse, Status> {
    let mut faults = Violations::new();
    let size = page_size(request.page_size, &mut faults);
    let below = page_start(&request.page_token, &mut faults);
    faults.into_result()?;
    let rows = core.store.suppressions_page(below, size + 1).await.map_err(|error| store_status(&error))?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let last = rows.get(..size).and_then(<[_]>::last).filter(|_| rows.len() > size);
    let next_page_token = last.map(|row| page_token(row.position)).unwrap_or_default();
    Ok(ListSuppressionsResponse { suppressions: rows.into_iter().take(size).map(shown).collect(), next_page_token })
}

/// What will be stored; the address ends here.
fn checked(core: &Core, asked: Option<Suppression>, user: &str) -> Result<NewSuppression, Status> {
    let mut faults = Violations::new();
    let asked = asked.unwrap_or_default();
    let address = address(core, &asked, &mut faults);
    field::text("suppression.unit_code", &asked.unit_code, SCOPE_CHARS_MAX, &mut faults);
    field::text("suppression.topic", &asked.topic, SCOPE_CHARS_MAX, &mut faults);
    if !asked.class.is_empty() {
        faults.check("suppression.class", asked.class.parse::<Class>());
    }
    faults.into_result()?;
    let (channel, hash, hint) = address.ok_or_else(|| Status::internal("an address was neither read nor refused"))?;
    let scope = Scope::of(core.hash_key(), &asked.unit_code, &asked.class, &asked.topic);
    let Suppression { unit_code, class, topic, .. } = asked;
    let (by, at_us) = (user.to_owned(), core.now_us());
    Ok(NewSuppression { hash, scope, channel, hint, unit_code, class, topic, by, at_us })
}

/// The address's channel, hash and hint.
fn address(core: &Core, asked: &Suppression, faults: &mut Violations) -> Option<(Channel, AddressHash, String)> {
    let text = asked.address.trim();
    let is_mailbox = text.contains('@');
    let channel = if is_mailbox { Channel::Email } else { Channel::Sms };
    if asked.channel != 0 && asked.channel != i32::from(channel.code()) {
        faults.add("suppression.channel", "it does not fit the address; leave it out");
    }
    // What is stored is hashed in the form in which datasets and releases hold it.
    if is_mailbox {
        let mailbox = faults.check("suppression.address", EmailAddress::parse(text))?;
        let hint = hint(mailbox.as_str());
        return Some((channel, core.hash_key().mailbox(mailbox.as_str()), hint));
    }
    let number = faults.check("suppression.address", Msisdn::parse(text, Column::Mobile))?.number;
    Some((channel, core.hash_key().number(number.as_u64()), hint(&number.to_string())))
}

fn hint(address: &str) -> String {
    let count = address.chars().count();
    address.chars().skip(count.saturating_sub(HINT_CHARS)).collect()
}

fn shown(row: SuppressionRow) -> Suppression {
    let SuppressionRow { position, entry } = row;
    Suppression {
        address: String::new(),
        unit_code: entry.unit_code,
        class: entry.class,
        topic: entry.topic,
        address_hash: format!("{:016x}", entry.hash.0),
        hint: entry.hint,
        at: Some(timestamp(entry.at_us)),
        by: entry.by,
        position,
        channel: i32::from(entry.channel.code()),
    }
}

/// The same word for dispatch, in the shard of the person, and for the gateways.
fn records(hash: AddressHash, scope: Scope, at_us: i64, position: u64, lifted: bool) -> Vec<OutboxRecord> {
    let block = event::Block { address_hash: hash.0, scope: scope.0, at_us, lifted, position };
    let value = event::Blocks { blocks: vec![block] }.encode_to_vec();
    let record = |topic: &str, partition: u32| OutboxRecord {
        topic: topic.to_owned(),
        partition,
        key: bytes::Bytes::new(),
        value: value.clone().into(),
    };
    vec![record(SuppressionTopic::SPEC.name, hash.shard().number()), record(BlocksTopic::SPEC.name, 0)]
}

/// Repeating is harmless, so where the answer to a COMMIT was lost it is asked for again.
async fn stored(core: &Core, entry: &NewSuppression) -> Result<SuppressionStored, Status> {
    let (hash, scope) = (entry.hash, entry.scope);
    let records = |position: u64, at_us: i64| records(hash, scope, at_us, position, false);
    let mut tries = 1;
    loop {
        match core.store.suppress(entry, &records).await {
            Err(StoreError::Uncertain { .. }) if tries < COMMIT_TRIES => tries += 1,
            outcome => return outcome.map_err(|error| store_status(&error)),
        }
    }
}
