//! Waiting for conditions, with a limit.
//!
//! Must stay true: a wait ends as soon as its condition holds; after its limit it is a fault that says what did not come.

use std::time::Duration;

use tonic::{Code, Status};

use crate::{Fault, fault};

const STEP: Duration = Duration::from_millis(20);
/// How long a call is repeated while the other side says that it may succeed later.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is there; the fault after `limit` names `what` and the last answer.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    let mut last = String::new();
    let looking = async {
        loop {
            match ask().await {
                Ok(Some(found)) => return found,
                Ok(None) => last.clear(),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(STEP).await;
        }
    };
    match tokio::time::timeout(limit, looking).await {
        Ok(found) => Ok(found),
        Err(_) => Err(fault(format!("after {limit:?} still not so: {what} ({last})"))),
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> Result<(), Fault> {
    wait_for(what, limit, async || Ok(condition().await.then_some(()))).await
}

/// Makes a call again while the answer is UNAVAILABLE or ABORTED, as every client of a cluster must.
pub async fn patiently<T>(call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Fault> {
    patiently_for(Duration::ZERO, call).await
}

/// The same for a call that takes that long itself.
pub async fn patiently_for<T>(itself: Duration, call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Fault> {
    let codes = [Code::Unavailable, Code::Aborted, Code::DeadlineExceeded];
    Ok(again_while(PATIENCE + itself, call, &codes).await?)
}

/// The answer to a call that is looked at, ABORTED too; made again only while nobody could answer.
pub async fn answer<T>(call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    again_while(PATIENCE, call, &[Code::Unavailable, Code::DeadlineExceeded]).await
}

async fn again_while<T>(
    limit: Duration,
    mut call: impl AsyncFnMut() -> Result<T, Status>,
    codes: &[Code],
) -> Result<T, Status> {
    let trying = async {
        loop {
            match call().await {
                Err(status) if codes.contains(&status.code()) => tokio::time::sleep(STEP).await,
                other => return other,
            }
        }
    };
    let answered = tokio::time::timeout(limit, trying).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("the other side asked to try again for too long")))
}
