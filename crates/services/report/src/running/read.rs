//! Reading settlements and outcomes into the shards' ledgers.
//!
//! Must stay true: records of a partition are taken in order or not at all; a gap is never passed in silence; a record that
//! cannot be read holds up its own partition alone.

use std::time::Duration;

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{SettlementsTopic, Topic as _, TopicSpec};
use loa_domain::campaign::CampaignState;
use loa_ports::log::{LogError, Position, Reader, Record};
use loa_runtime::record;

use super::{RETRY, Running};
use crate::halt::halt_bulk;
use crate::shard::{Gap, NotTaken, Speaks};

/// Registry is asked again to halt after so long.
const HALT_RETRY: Duration = Duration::from_secs(1);

/// A record that waits to be taken.
pub(super) struct Waiting {
    pub(super) topic: &'static TopicSpec,
    pub(super) record: Record,
}

impl Running {
    pub(super) async fn read(&mut self, topic: &'static TopicSpec, records: Result<Vec<Record>, LogError>) {
        match records {
            Ok(records) => {
                records.iter().for_each(|record| self.backlog.note(topic, record.at_us));
                self.waiting.extend(records.into_iter().map(|record| Waiting { topic, record }));
                self.take_waiting().await;
            }
            Err(LogError::Gap { partition, start, wanted, .. }) => {
                self.gap(partition, Gap { topic: topic.name, from: wanted, next: start }).await;
            }
            Err(error) => {
                tracing::warn!(topic = topic.name, %error, "the ledger could not read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Words were lost: the campaigns that may miss some are halted, then marked, and only then reading goes on.
    async fn gap(&mut self, partition: u32, gap: Gap) {
        let Gap { topic, from, next } = gap;
        let code = "LOA-021";
        tracing::error!(topic, partition, from, next, code, "log gap: words were lost to retention");
        let Some((_, ledger)) = self.shards.get(&partition) else { return self.reader(topic).unassign(partition) };
        let mut campaigns = ledger.unsettled();
        let started = |control: &event::CampaignControl| {
            let state = i32::try_from(control.state).ok().and_then(CampaignState::from_code);
            !control.notice && state.is_some_and(|state| state.is_started() && !state.is_over())
        };
        let unread = self.view.campaigns().into_iter().filter(|control| started(control));
        let unread = unread.filter_map(|control| convert::campaign_id(&control.campaign_id).ok());
        campaigns.extend(unread.filter(|&id| !ledger.has_loaded(id)));
        campaigns.sort_unstable();
        campaigns.dedup();
        let reason = format!("{code}: the ledger lost records of {topic}; compare with the carriers, then resume");
        if !halt_bulk(self.registry.as_ref(), &self.view, Some(&campaigns), &reason).await {
            // The reader still stands at the gap and says so again.
            return tokio::time::sleep(HALT_RETRY).await;
        }
        let now_us = self.ctx.now_us();
        if let Some((_, ledger)) = self.shards.get_mut(&partition) {
            ledger.miss(&gap, &campaigns, now_us);
        }
        self.ctx.metrics().counter("loa_report_log_gaps_total", "Log gaps met by the ledger").inc();
        self.reader(topic).assign(Position { partition, offset: next });
    }

    fn reader(&mut self, topic: &str) -> &mut Box<dyn Reader> {
        if topic == SettlementsTopic::SPEC.name { &mut self.settlements } else { &mut self.outcomes }
    }

    /// A record cannot be read: its partition waits at it, the others go on.
    fn stop_partition(&mut self, waiting: &Waiting) {
        let (topic, partition) = (waiting.topic, waiting.record.partition);
        self.reader(topic.name).unassign(partition);
        self.waiting.retain(|other| (other.topic.name, other.record.partition) != (topic.name, partition));
        self.stuck.insert((topic.name, partition), (topic, waiting.record.at_us));
    }

    /// Takes what waits, in order; stops where something must be loaded first and cannot be now.
    pub(super) async fn take_waiting(&mut self) {
        while let Some(waiting) = self.waiting.pop_front() {
            match self.take(&waiting) {
                Ok(()) => {}
                Err(NotTaken::Missing(missing)) => {
                    let known = self.load_missing(missing, waiting.record.partition).await;
                    self.waiting.push_front(waiting);
                    if !known {
                        return;
                    }
                }
                Err(NotTaken::Keyless(hash)) => {
                    let known = self.load_keys(hash, waiting.record.partition).await;
                    self.waiting.push_front(waiting);
                    if !known {
                        return;
                    }
                }
                Err(NotTaken::Bad(error)) => {
                    tracing::error!(topic = waiting.topic.name, partition = waiting.record.partition, offset = waiting.record.offset, %error, code = "LOA-022", "a record of the ledger cannot be read; its partition waits");
                    self.stop_partition(&waiting);
                }
            }
        }
    }

    fn take(&mut self, waiting: &Waiting) -> Result<(), NotTaken> {
        let Waiting { topic, record } = waiting;
        let Some((_, ledger)) = self.shards.get_mut(&record.partition) else { return Ok(()) };
        if topic.name == SettlementsTopic::SPEC.name {
            ledger.take_settlements(&record::decode::<event::Settlements>(record)?)?;
        } else {
            let speaks =
                |campaign, variant, sender: &str| speaks(self.view.campaign(campaign).as_deref(), variant, sender);
            ledger.take_outcomes(&record::decode::<event::Outcomes>(record)?, &speaks)?;
        }
        ledger.set_offset(topic.name, record.partition, record.offset + 1);
        Ok(())
    }
}

/// Whether a receipt under a sender may speak of the variant's messages. One part of several says nothing of the others.
fn speaks(control: Option<&event::CampaignControl>, variant: u16, sender: &str) -> Speaks {
    let variants = control.map(|control| control.variants.as_slice()).unwrap_or_default();
    match variants.iter().find(|frozen| frozen.variant == u32::from(variant)) {
        None => Speaks::Perhaps,
        Some(frozen) if frozen.sender != sender => Speaks::No,
        Some(frozen) if frozen.recipients > 0 && frozen.parts == frozen.recipients => Speaks::Whole,
        Some(_) => Speaks::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_one_part_under_the_sender_are_settled() {
        let frozen = |variant, parts| event::FrozenVariant {
            variant,
            sender: "BENTRE".to_owned(),
            recipients: 5,
            parts,
            ..Default::default()
        };
        let control = event::CampaignControl { variants: vec![frozen(0, 5), frozen(1, 7)], ..Default::default() };
        let said = |variant, sender| speaks(Some(&control), variant, sender);
        assert_eq!(
            [said(0, "BENTRE"), said(1, "BENTRE"), said(0, "OTHER")],
            [Speaks::Whole, Speaks::Perhaps, Speaks::No]
        );
        assert_eq!([said(2, "BENTRE"), speaks(None, 0, "BENTRE")], [Speaks::Perhaps; 2]);
    }
}
