//! Reads control.v1 for an older state behind a newer one, and publishes the newest again.
//!
//! Two instances publish without waiting for each other, and one may be frozen between its COMMIT and its append. Readers
//! keep the highest version, but compaction keeps the last record, so the last one must become the newest before that.
//!
//! Must stay true: after every batch the last record of each campaign and notice on the log is its newest, or is being
//! published again.

use std::collections::HashMap;
use std::time::Duration;

use loa_contract::convert;
use loa_contract::pb::event::v1::{Control, control::Object};
use loa_contract::topics::{ControlTopic, Topic as _};
use loa_domain::ids::CampaignId;
use loa_ports::log::{LogError, Position, Reader, Record};
use loa_ports::store::StoreError;
use loa_runtime::record::decode;

use super::Work;
use crate::control;

/// Records read at once, at most.
const READ_MAX: usize = 512;
/// After the log was away.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Versions of each object: the highest, and that of the last record.
#[derive(Default)]
struct Seen(HashMap<CampaignId, Versions>);

#[derive(Clone, Copy)]
struct Versions {
    highest: u64,
    last: u64,
}

pub(super) async fn run(work: &Work) {
    loop {
        if let Err(error) = follow(work).await {
            tracing::warn!(%error, "control.v1 could not be read; beginning again");
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Reads from the start: the versions are kept in memory alone.
async fn follow(work: &Work) -> Result<(), LogError> {
    let mut seen = Seen::default();
    let offset = work.core.log.starts(ControlTopic::SPEC).await?.first().copied().unwrap_or(0);
    let end = work.core.log.end(ControlTopic::SPEC, 0).await?;
    let mut reader = work.core.log.reader(ControlTopic::SPEC, vec![Position { partition: 0, offset }]).await?;
    // What was mended before is not mended again: look only once all that was there is read.
    while reader.position(0).unwrap_or(offset) < end {
        seen.read(&reader.next(READ_MAX).await?);
    }
    loop {
        mend(work, &mut seen).await;
        seen.read(&next(reader.as_mut(), &seen).await?);
    }
}

/// The next records, or none after a while if something could not be mended yet.
async fn next(reader: &mut dyn Reader, seen: &Seen) -> Result<Vec<Record>, LogError> {
    if seen.behind().next().is_none() {
        return reader.next(READ_MAX).await;
    }
    tokio::select! {
        records = reader.next(READ_MAX) => records,
        () = tokio::time::sleep(AGAIN_AFTER) => Ok(Vec::new()),
    }
}

async fn mend(work: &Work, seen: &mut Seen) {
    let behind: Vec<CampaignId> = seen.behind().collect();
    for id in behind {
        match newest(work, id).await {
            Ok(Some(state)) if state.version < seen.highest(id) => {
                let (version, on_log) = (state.version, seen.highest(id));
                tracing::error!(campaign = %id, version, on_log, "the log is ahead of the store: was it put back?");
                seen.forget(id);
            }
            Ok(Some(state)) => {
                let version = state.version;
                match loa_runtime::control::publish(work.core.log.as_ref(), &state).await {
                    Ok(()) => {
                        tracing::info!(campaign = %id, version, "an older state stood behind a newer one; published again");
                        seen.note(id, version);
                    }
                    Err(error) => tracing::warn!(%error, "the newest state could not be published again"),
                }
            }
            Ok(None) => seen.forget(id),
            Err(error) => tracing::warn!(%error, "the newest state could not be read"),
        }
    }
}

async fn newest(work: &Work, id: CampaignId) -> Result<Option<Control>, StoreError> {
    let now_us = work.core.now_us();
    if let Some(stored) = work.core.store.campaign(id).await? {
        return Ok(Some(control::of_campaign(&stored.campaign, now_us)));
    }
    Ok(work.core.store.notice(id).await?.map(|stored| control::of_notice(&stored, now_us)))
}

impl Seen {
    fn read(&mut self, records: &[Record]) {
        for record in records {
            let Ok(Control { version, object: Some(Object::Campaign(campaign)), .. }) = decode::<Control>(record)
            else {
                continue; // accounts are their gateways' to mend; the control view complains of what cannot be read
            };
            if let Ok(id) = convert::campaign_id(&campaign.campaign_id) {
                self.note(id, version);
            }
        }
    }

    fn note(&mut self, id: CampaignId, version: u64) {
        let versions = self.0.entry(id).or_insert(Versions { highest: version, last: version });
        versions.highest = versions.highest.max(version);
        versions.last = version;
    }

    fn highest(&self, id: CampaignId) -> u64 {
        self.0.get(&id).map_or(0, |versions| versions.highest)
    }

    /// Nothing here can be newer than what is on the log.
    fn forget(&mut self, id: CampaignId) {
        self.0.remove(&id);
    }

    fn behind(&self) -> impl Iterator<Item = CampaignId> {
        self.0.iter().filter(|(_, versions)| versions.last < versions.highest).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_state_behind_a_newer_one_is_seen() {
        let id = |number| CampaignId::from_bytes(&[number; 16]).unwrap();
        let mut seen = Seen::default();
        for (number, version) in [(1, 1), (1, 2), (2, 5), (2, 4), (3, 7), (3, 7), (1, 3)] {
            seen.note(id(number), version);
        }
        assert_eq!(seen.behind().collect::<Vec<_>>(), [id(2)]);
        seen.note(id(2), 5); // published again
        assert_eq!(seen.behind().count(), 0);
    }
}
