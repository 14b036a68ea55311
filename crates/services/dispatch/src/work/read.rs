//! Settlements and suppression entries, read.
//!
//! Must stay true: a record that cannot be read stops its partition until somebody mends it; a gap in the log is said
//! aloud, and never taken as "nothing happened".

use std::collections::BTreeMap;

use loa_contract::convert::BadRecord;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SettlementsTopic, SuppressionTopic, Topic as _};
use loa_domain::hash::AddressHash;
use loa_domain::ids::Shard;
use loa_domain::policy::Scope;
use loa_ports::log::{LogError, Position, Record};
use loa_ports::store::StoreError;
use loa_ports::store::dispatch::BlockRow;
use loa_runtime::record;

use super::{RETRY_WAIT, Work};
use crate::core::Settled;

impl Work {
    pub(super) fn read_suppression(&mut self, records: Result<Vec<Record>, LogError>) {
        let records = match records {
            Ok(records) => records,
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                return self.suppression_gap(partition, start, wanted);
            }
            Err(error) => return self.not_read(SuppressionTopic::SPEC.name, &error),
        };
        for (shard, records) in by_shard(records) {
            for record in records {
                match record::decode::<event::Blocks>(&record) {
                    Ok(blocks) => self.block(shard, &record, &blocks),
                    Err(error) => {
                        self.unreadable(SuppressionTopic::SPEC.name, &record, &error);
                        self.close(shard);
                        break;
                    }
                }
            }
        }
    }

    fn block(&mut self, shard: Shard, record: &Record, blocks: &event::Blocks) {
        for block in &blocks.blocks {
            let event::Block { address_hash, scope, at_us, lifted, position } = *block;
            let (address, scope) = (AddressHash(address_hash), Scope(scope));
            self.engine.block(BlockRow { shard, address, scope, lifted, position, at_us });
        }
        self.engine.read_up_to(shard, SuppressionTopic::SPEC.name, record.offset + 1);
    }

    /// Entries were lost: the shard stays closed, since who must not be written to is not known.
    fn suppression_gap(&mut self, partition: u32, start: i64, wanted: i64) {
        self.meters.gaps.inc();
        tracing::error!(
            code = "LOA-112",
            partition,
            start,
            wanted,
            "log gap: suppression entries were lost; nothing of this shard is released"
        );
        if let Ok(shard) = Shard::new(partition) {
            self.close(shard);
        }
    }

    /// Whom the shard may not write to is not known: it releases nothing.
    fn close(&mut self, shard: Shard) {
        self.readers.suppression.unassign(shard.number());
        self.behind.remove(&shard);
        self.engine.set_unready(shard);
    }

    pub(super) async fn read_settlements(&mut self, records: Result<Vec<Record>, LogError>) {
        let records = match records {
            Ok(records) => records,
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                return self.settlements_gap(partition, start, wanted);
            }
            Err(error) => return self.not_read(SettlementsTopic::SPEC.name, &error),
        };
        for (shard, records) in by_shard(records) {
            if let Err(error) = self.settle(shard, records).await {
                tracing::warn!(shard = shard.number(), %error, "settlements could not be taken; the shard is read again");
                self.reload(shard);
            }
        }
    }

    async fn settle(&mut self, shard: Shard, records: Vec<Record>) -> Result<(), StoreError> {
        if !self.engine.owns(shard) {
            return Ok(());
        }
        let (mut settled, mut next) = (Vec::new(), None);
        for record in records {
            match read(&record) {
                Ok(slices) => settled.extend(slices),
                Err(error) => {
                    self.readers.settlements.unassign(record.partition);
                    self.unreadable(SettlementsTopic::SPEC.name, &record, &error);
                    break;
                }
            }
            next = Some(record.offset + 1);
        }
        let missing: Vec<_> = self.engine.missing(shard, &settled).into_iter().collect();
        let now = self.now();
        if !missing.is_empty() {
            self.engine.restore(self.store.releases(&missing).await?, now);
        }
        for settled in &settled {
            if !self.engine.settle(shard, settled, now) {
                tracing::warn!(release = ?settled.release, "a settlement of a release that is not known");
            }
        }
        self.engine.settled_all(shard, missing);
        if let Some(next) = next {
            self.engine.read_up_to(shard, SettlementsTopic::SPEC.name, next);
        }
        Ok(())
    }

    /// Settlements were lost: rows and claims still say what is so, since unsettled rows are published again and answered.
    fn settlements_gap(&mut self, partition: u32, start: i64, wanted: i64) {
        self.meters.gaps.inc();
        tracing::error!(
            code = "LOA-111",
            partition,
            start,
            wanted,
            "log gap: settlements were lost; unsettled releases are published again"
        );
        self.readers.settlements.assign(Position { partition, offset: start });
        if let Ok(shard) = Shard::new(partition) {
            self.engine.read_up_to(shard, SettlementsTopic::SPEC.name, start);
            self.engine.publish_again(shard, self.now());
        }
    }

    pub(super) fn not_read(&mut self, topic: &'static str, error: &LogError) {
        tracing::warn!(topic, %error, "the log could not be read");
        self.read_at = self.ctx.monotonic() + RETRY_WAIT;
    }

    pub(super) fn unreadable(&self, topic: &'static str, record: &Record, error: &BadRecord) {
        tracing::error!(code = "LOA-113", topic, partition = record.partition, offset = record.offset, %error, "a record cannot be read; its partition waits");
    }

    /// Drops a shard from memory and reads it again soon.
    pub(super) fn reload(&mut self, shard: Shard) {
        let held = self.engine.held().find(|&(of, _)| of == shard).map(|(_, held)| held.clone());
        self.forget(shard);
        if let Some(held) = held {
            self.loading.insert(shard, (held, self.ctx.monotonic() + RETRY_WAIT));
        }
    }
}

/// Records by shard, each in order.
pub(super) fn by_shard(records: Vec<Record>) -> BTreeMap<Shard, Vec<Record>> {
    let mut shards: BTreeMap<Shard, Vec<Record>> = BTreeMap::new();
    for record in records {
        if let Ok(shard) = Shard::new(record.partition) {
            shards.entry(shard).or_default().push(record);
        }
    }
    shards
}

fn read(record: &Record) -> Result<Vec<Settled>, BadRecord> {
    record::decode::<event::Settlements>(record)?.slices.iter().map(Settled::read).collect()
}
