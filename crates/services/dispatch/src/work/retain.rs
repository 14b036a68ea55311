//! Deleting what is old: by whoever owns shard 0, now and then.
//!
//! Must stay true: rows of a campaign stay until its receipts cannot come any more.

use std::time::Duration;

use loa_domain::ids::Shard;
use loa_domain::limits::{IDEMPOTENCY_HOURS, RECEIPT_HOURS_MAX};
use loa_ports::store::dispatch::Retention;

use super::Work;
use crate::core::SECOND_US;

/// How often.
const RETAIN_EVERY: Duration = Duration::from_secs(3_600);
/// Hours that rows of a campaign that is over are kept beyond the last receipt.
const MARGIN_HOURS: i64 = 24;
const HOUR_US: i64 = 3_600 * SECOND_US;

impl Work {
    pub(super) async fn retain(&mut self) {
        let (now, first) = (self.now(), Shard::new(0));
        if now.mono < self.retain_at || !first.is_ok_and(|shard| self.engine.owns(shard)) {
            return;
        }
        self.retain_at = now.mono + RETAIN_EVERY;
        let retention = Retention {
            over: self.engine.over(),
            rows_before_us: now.us - (RECEIPT_HOURS_MAX + MARGIN_HOURS) * HOUR_US,
            singles_before_us: now.us - IDEMPOTENCY_HOURS * HOUR_US,
        };
        match self.store.retain(&retention).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "old rows were deleted"),
            Err(error) => tracing::warn!(%error, "old rows could not be deleted; it is tried again in an hour"),
        }
    }
}
