//! Waiting for conditions, never for time.
//!
//! Must stay true: a wait ends as soon as its condition holds, and fails with its own words after [`LIMIT`].

use std::time::Duration;

/// How long any condition may take.
pub const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(5);

/// Waits until the condition holds; panics with `what` after [`LIMIT`].
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !condition().await {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("after {LIMIT:?} still not so: {what}"));
}
