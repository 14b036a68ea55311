//! The hold of the installation while it is copied.
//!
//! Must stay true: [`Hold::was_kept`] says yes only if no process can have let go between the first answer and the last: each
//! renewal was on the log well before the one before it could run out.

use std::time::Duration;

use loa_contract::pb::registry::v1::{EndHoldRequest, PutHoldRequest};
use loa_ports::clock::{Clock as _, SystemClock};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::cli::client::Client;
use crate::exit::Failure;

/// How long it lasts from each renewal, in seconds.
const LASTS_S: u32 = 30;
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// From asking for one renewal to the answer of the next, at most: a process may read a record 1.5 s late.
const APART_MAX: Duration = Duration::from_secs(LASTS_S as u64 - 5);
/// How long one call is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A hold that is in force.
pub(super) struct Hold {
    client: Client,
    id: String,
    reason: String,
    clock: SystemClock,
    /// When the renewal that was answered last was asked for.
    asked_at: Duration,
}

impl Hold {
    /// Begins it.
    pub(super) async fn begin(client: Client, reason: &str) -> Result<Self, Failure> {
        let (clock, id) = (SystemClock::new(), Uuid::now_v7().to_string());
        let mut hold = Self { client, id, reason: reason.to_owned(), asked_at: clock.monotonic(), clock };
        hold.put().await?;
        Ok(hold)
    }

    /// Renews it for ever; ends only when it cannot be known to be in force any more.
    pub(super) async fn keep(&mut self) -> Failure {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if let Err(failure) = self.renew().await {
                return failure;
            }
        }
    }

    /// Renews it once more, which proves that it was in force until now.
    pub(super) async fn was_kept(&mut self) -> Result<(), Failure> {
        self.renew().await
    }

    /// Lets go. If that is not heard, it runs out by itself.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let request = EndHoldRequest { id: self.id };
        let mut registry = self.client.registry();
        match tokio::time::timeout(ANSWER_WITHIN, registry.end_hold(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => {
                Err(Status::deadline_exceeded("the registry does not answer; the hold runs out by itself").into())
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        let before = self.asked_at;
        let answer = self.put().await;
        let apart = self.clock.monotonic().saturating_sub(before);
        match answer {
            _ if apart > APART_MAX => Err(lost(&format!("it was not renewed for {} s", apart.as_secs()))),
            Err(status) if status.code() == Code::FailedPrecondition => Err(lost(status.message())),
            // Not heard; there is time to ask again.
            Err(_) | Ok(()) => Ok(()),
        }
    }

    async fn put(&mut self) -> Result<(), Status> {
        let asked_at = self.clock.monotonic();
        let request = PutHoldRequest { id: self.id.clone(), reason: self.reason.clone(), seconds: LASTS_S };
        let mut registry = self.client.registry();
        match tokio::time::timeout(ANSWER_WITHIN, registry.put_hold(request)).await {
            Ok(answer) => answer.map(drop)?,
            Err(_) => return Err(Status::deadline_exceeded("the registry does not answer")),
        }
        self.asked_at = asked_at;
        Ok(())
    }
}

fn lost(why: &str) -> Failure {
    Failure::Failed(format!("the installation may have gone on meanwhile ({why}); the backup is void, make another"))
}
