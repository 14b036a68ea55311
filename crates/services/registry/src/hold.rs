//! The hold of the whole installation: begun, renewed, ended, and over by itself when nobody renews it.
//!
//! Must stay true: one hold at a time; what was lifted or has run out is never in force again under its id, so who renewed
//! it without an error from beginning to end knows that it was in force all the while.

use loa_contract::convert::{micros, timestamp};
use loa_contract::pb::event::v1::{Control, HoldControl, control::Object};
use loa_contract::pb::registry::v1::Hold;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, StoredHold};
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{aborted, failed_precondition};

use crate::change::{NotChanged, TRIES};
use crate::control;
use crate::core::Core;

/// Who is named in the audit where a hold ran out.
const USER: &str = "hold";

/// Whether it is in force at a time.
pub(crate) fn is_in_force(hold: &Hold, now_us: i64) -> bool {
    let lasts_us = i64::from(hold.seconds) * 1_000_000;
    hold.seconds > 0 && hold.renewed_at.as_ref().is_some_and(|at| now_us < micros(at) + lasts_us)
}

impl Core {
    /// The hold in force, if there is one.
    pub(crate) async fn held(&self) -> Result<Option<Hold>, StoreError> {
        let now_us = self.now_us();
        Ok(self.store.hold().await?.map(|stored| stored.hold).filter(|hold| is_in_force(hold, now_us)))
    }

    /// Begins a hold, or renews the one that has its id.
    pub(crate) async fn put(&self, asked: &Hold) -> Result<Hold, NotChanged> {
        for _ in 0..TRIES {
            let (stored, now_us) = (self.store.hold().await?, self.now_us());
            let in_force = stored.as_ref().map(|stored| &stored.hold).filter(|hold| is_in_force(hold, now_us));
            let renews = match (in_force, &stored) {
                (Some(held), _) if held.id != asked.id => {
                    let (reason, by) = (&held.reason, &held.held_by);
                    let message = format!("`{by}` holds the installation ({reason}); wait until that is over");
                    return Err(failed_precondition("HELD", message).into());
                }
                (None, Some(before)) if before.hold.id == asked.id => {
                    let message = "the hold with this id is over; begin another with a new id";
                    return Err(failed_precondition("HOLD_ENDED", message).into());
                }
                (in_force, _) => in_force.is_some(),
            };
            let next = Hold { renewed_at: Some(timestamp(now_us)), ..asked.clone() };
            let version = stored.map_or(0, |stored| stored.version) + 1;
            let act = act(&next, if renews { "renew" } else { "begin" }, now_us);
            if self.store_hold(&StoredHold { hold: next.clone(), version }, Some(&act).filter(|_| !renews)).await? {
                return Ok(next);
            }
        }
        Err(aborted("the hold is being changed by others; try again").into())
    }

    /// Ends the hold with this id, if it is the last one.
    pub(crate) async fn end(&self, id: &str, user: &str) -> Result<(), NotChanged> {
        for _ in 0..TRIES {
            let Some(stored) = self.store.hold().await?.filter(|stored| stored.hold.id == id) else { return Ok(()) };
            let now_us = self.now_us();
            if stored.hold.seconds == 0 {
                let record = control::record(&of_hold(&stored, now_us));
                return Ok(self.publisher.publish(&[record], &[], Acknowledge::Must).await?);
            }
            let next = Hold { seconds: 0, renewed_at: Some(timestamp(now_us)), ..stored.hold };
            let act = Act { user: user.to_owned(), ..act(&next, "end", now_us) };
            if self.store_hold(&StoredHold { hold: next, version: stored.version + 1 }, Some(&act)).await? {
                return Ok(());
            }
        }
        Err(aborted("the hold is being changed by others; try again").into())
    }

    /// Ends a hold that nobody renews any more; the readers of control.v1 have let go by then.
    pub(crate) async fn end_what_ran_out(&self) -> Result<(), NotChanged> {
        let stored = self.store.hold().await?;
        match stored.filter(|stored| stored.hold.seconds > 0 && !is_in_force(&stored.hold, self.now_us())) {
            Some(stored) => self.end(&stored.hold.id, USER).await,
            None => Ok(()),
        }
    }

    /// `false`: somebody else was faster.
    async fn store_hold(&self, next: &StoredHold, act: Option<&Act>) -> Result<bool, NotChanged> {
        let record = control::record(&of_hold(next, self.now_us()));
        let numbers = match self.store.change_hold(next, &record, act).await {
            Ok(numbers) => numbers,
            Err(StoreError::Conflict { .. }) => return Ok(false),
            Err(StoreError::Uncertain { why }) => match self.store.hold().await? {
                Some(stored) if stored == *next => Vec::new(),
                _ => return Err(StoreError::Uncertain { why }.into()),
            },
            Err(error) => return Err(error.into()),
        };
        self.publisher.publish(&[record], &numbers, Acknowledge::Must).await?;
        Ok(true)
    }
}

/// A hold for control.v1.
pub(crate) fn of_hold(stored: &StoredHold, now_us: i64) -> Control {
    let Hold { id, reason, seconds, .. } = stored.hold.clone();
    Control { version: stored.version, at_us: now_us, object: Some(Object::Hold(HoldControl { id, reason, seconds })) }
}

fn act(hold: &Hold, action: &str, now_us: i64) -> Act {
    Act {
        at_us: now_us,
        user: hold.held_by.clone(),
        object_kind: "hold",
        object_id: hold.id.clone(),
        action: action.to_owned(),
        detail: hold.reason.clone(),
    }
}
