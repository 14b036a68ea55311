//! Publishes what was stored and not published at once: its instance died, or the log was away.

use std::time::Duration;

use super::{OUTBOX, Work};

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Younger records are still being published by who stored them, in microseconds.
const LEFT_AFTER_US: i64 = 1_000_000;
/// Records published at once, at most.
const BATCH: u32 = 100;

pub(super) async fn run(work: &Work) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = work.ctx.stopping() => return,
        }
        if work.held(OUTBOX).is_none() {
            continue;
        }
        let publish = work.core.publish_left(work.core.now_us() - LEFT_AFTER_US, BATCH);
        tokio::select! {
            () = work.ctx.stopping() => return,
            published = publish => match published {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "published what was left in the outbox"),
                Err(error) => tracing::warn!(%error, "what is left in the outbox could not be published"),
            },
        }
    }
}
