//! Publishes what was stored and not published at once: its instance died, or the log was away.

use std::time::Duration;

use super::{LOOK_EVERY, OUTBOX, Work};

/// Younger records are still being published by who stored them, in microseconds.
const LEFT_AFTER_US: i64 = 1_000_000;
/// Records published at once, at most.
const BATCH: u32 = 100;
/// After a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn run(work: &Work) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if work.held(OUTBOX).is_none() {
            continue;
        }
        match work.core.publish_left(work.core.now_us() - LEFT_AFTER_US, BATCH).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "published what was left in the outbox"),
            Err(error) => {
                tracing::warn!(%error, "what is left in the outbox could not be published");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
