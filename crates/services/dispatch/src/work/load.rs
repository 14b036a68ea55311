//! Taking shards over: rows, cursors and offsets from the store, then reading on.
//!
//! Must stay true: a shard releases nothing before suppression.v1 was read to the end that the log named after the lease
//! was taken.

use std::time::Duration;

use loa_contract::topics::{SettlementsTopic, SinglesTopic, SuppressionTopic, Topic as _, TopicSpec};
use loa_domain::ids::Shard;
use loa_ports::lease::Held;
use loa_ports::log::Position;
use loa_ports::store::Offset;
use loa_runtime::ServiceError;

use super::{RETRY_WAIT, Work};

impl Work {
    /// Reads the shards that are to be taken over.
    pub(super) async fn load(&mut self) {
        let now = self.ctx.monotonic();
        let due: Vec<_> = self.loading.iter().filter(|(_, (_, at))| *at <= now).map(|(&shard, _)| shard).collect();
        if due.is_empty() {
            return;
        }
        let starts = match self.starts().await {
            Ok(starts) => starts,
            Err(ServiceError(error)) => return self.load_later(due, &*error),
        };
        for shard in due {
            let Some((held, _)) = self.loading.remove(&shard) else { continue };
            if !self.keeper.holds(&held) {
                continue;
            }
            if let Err(ServiceError(error)) = self.take_over(shard, held.clone(), &starts).await {
                self.loading.insert(shard, (held, Duration::ZERO));
                self.load_later(vec![shard], &*error);
            }
        }
    }

    fn load_later(&mut self, shards: Vec<Shard>, error: &(dyn std::error::Error + Send + Sync)) {
        let at = self.ctx.monotonic() + RETRY_WAIT;
        tracing::warn!(shards = shards.len(), %error, "shards could not be taken over; they are tried again");
        for shard in shards {
            if let Some((_, later)) = self.loading.get_mut(&shard) {
                *later = at;
            }
        }
    }

    async fn starts(&mut self) -> Result<Starts, ServiceError> {
        Ok(Starts {
            settlements: self.log.starts(SettlementsTopic::SPEC).await?,
            singles: self.log.starts(SinglesTopic::SPEC).await?,
            suppression_ends: self.log.ends(SuppressionTopic::SPEC).await?,
        })
    }

    async fn take_over(&mut self, shard: Shard, held: Held, starts: &Starts) -> Result<(), ServiceError> {
        let stored = self.store.shard(shard).await?;
        let offset = |spec: &TopicSpec, start: i64| next_of(&stored.offsets, spec).unwrap_or(start);
        let partition = shard.number();
        let start = |starts: &[i64]| starts.get(shard.index()).copied().unwrap_or(0);
        let settlements = offset(SettlementsTopic::SPEC, start(&starts.settlements));
        let singles = offset(SinglesTopic::SPEC, start(&starts.singles));
        // From the very beginning if nothing was read yet: a list with a hole is no list.
        let suppression = offset(SuppressionTopic::SPEC, 0);
        self.readers.settlements.assign(Position { partition, offset: settlements });
        self.readers.singles.assign(Position { partition, offset: singles });
        self.readers.suppression.assign(Position { partition, offset: suppression });
        self.engine.gain(shard, held, stored, self.now());
        self.behind.insert(shard, starts.suppression_ends.get(shard.index()).copied().unwrap_or(0));
        Ok(())
    }

    /// Lets shards begin whose suppression list has become complete.
    pub(super) fn look_ready(&mut self) {
        let position = |shard: &Shard| self.readers.suppression.position(shard.number()).unwrap_or(0);
        let ready: Vec<_> =
            self.behind.iter().filter(|(shard, end)| position(shard) >= **end).map(|(&shard, _)| shard).collect();
        let now = self.now();
        for shard in ready {
            self.behind.remove(&shard);
            self.engine.set_ready(shard, now);
        }
    }
}

/// Where the log begins and ends, by shard.
struct Starts {
    settlements: Vec<i64>,
    singles: Vec<i64>,
    suppression_ends: Vec<i64>,
}

fn next_of(offsets: &[Offset], spec: &TopicSpec) -> Option<i64> {
    offsets.iter().find(|offset| offset.topic == spec.name).map(|offset| offset.next)
}
