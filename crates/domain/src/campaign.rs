//! The life of a campaign and of a notice.
//!
//! `draft → freezing → submitted → approved → scheduled → running ⇄ paused → done | cancelled`;
//! `running → halted → running`. An edit after submit returns it to draft and voids the approval. Restored from a backup,
//! what was scheduled or started and is not over is halted; one that was never started may be scheduled again.
//!
//! Must stay true: nothing runs that was not approved by somebody other than its author.

use crate::channel::closed_set;

closed_set!(
    /// Where a campaign stands.
    CampaignState, "campaign state", {
        /// Being written.
        Draft = 1 "draft",
        /// Submitted; its recipients are being frozen.
        Freezing = 2 "freezing",
        /// Frozen; waits for an approval.
        Submitted = 3 "submitted",
        /// Approved; may be scheduled or started.
        Approved = 4 "approved",
        /// Starts by itself at its time.
        Scheduled = 5 "scheduled",
        /// Messages may leave.
        Running = 6 "running",
        /// Stopped by a person; may go on.
        Paused = 7 "paused",
        /// Stopped by a rule; a person may let it go on.
        Halted = 8 "halted",
        /// Nothing is open any more.
        Done = 9 "done",
        /// Stopped for good; what was open is cancelled.
        Cancelled = 10 "cancelled",
    }
);

closed_set!(
    /// What may happen to a campaign.
    CampaignEvent, "campaign event", {
        /// The author changes it.
        Edit = 1 "edit",
        /// The author asks for approval.
        Submit = 2 "submit",
        /// Audience has frozen the recipients.
        Frozen = 3 "frozen",
        /// Audience could not freeze.
        FreezeFailed = 4 "freeze_failed",
        /// Another user approves the frozen content.
        Approve = 5 "approve",
        /// Another user sends it back.
        Reject = 6 "reject",
        /// It shall start at a time.
        Schedule = 7 "schedule",
        /// It shall start now.
        Start = 8 "start",
        /// A person stops it.
        Pause = 9 "pause",
        /// A person lets it go on.
        Resume = 10 "resume",
        /// A rule stops it.
        Halt = 11 "halt",
        /// The ledger shows nothing open.
        Complete = 12 "complete",
        /// A person stops it for good.
        Cancel = 13 "cancel",
        /// The stores were put back from a backup: what it has sent since is not known.
        Restore = 14 "restore",
    }
);

/// The event does not fit the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a campaign that is {state} cannot take `{event}`")]
pub struct WrongState {
    /// Where the campaign stands.
    pub state: CampaignState,
    /// What was asked.
    pub event: CampaignEvent,
}

impl CampaignState {
    /// The next state; repeating what is already so is allowed and changes nothing.
    pub fn on(self, event: CampaignEvent) -> Result<Self, WrongState> {
        use CampaignEvent as E;
        use CampaignState as S;
        match (self, event) {
            (S::Draft | S::Freezing | S::Submitted | S::Approved | S::Scheduled, E::Edit) => Ok(S::Draft),
            (S::Draft | S::Freezing, E::Submit) => Ok(S::Freezing),
            (S::Freezing, E::Frozen) => Ok(S::Submitted),
            (S::Freezing, E::FreezeFailed) => Ok(S::Draft),
            (S::Submitted | S::Approved, E::Approve) => Ok(S::Approved),
            (S::Submitted | S::Approved | S::Scheduled, E::Reject) => Ok(S::Draft),
            (S::Approved | S::Scheduled | S::Halted, E::Schedule) => Ok(S::Scheduled),
            (S::Approved | S::Scheduled | S::Running, E::Start) => Ok(S::Running),
            (S::Running | S::Paused | S::Halted, E::Pause) => Ok(S::Paused),
            (S::Running | S::Paused | S::Halted, E::Resume) => Ok(S::Running),
            (S::Running | S::Halted, E::Halt) | (S::Scheduled | S::Running | S::Paused | S::Halted, E::Restore) => {
                Ok(S::Halted)
            }
            (S::Running | S::Paused | S::Halted | S::Done, E::Complete) => Ok(S::Done),
            (S::Done, E::Cancel) => Err(WrongState { state: self, event }),
            (_, E::Cancel) => Ok(S::Cancelled),
            (S::Paused, E::Halt) => Ok(S::Paused),
            (
                S::Running | S::Paused | S::Halted | S::Done | S::Cancelled,
                E::Edit | E::Submit | E::Frozen | E::FreezeFailed | E::Approve | E::Reject,
            )
            | (S::Running | S::Paused | S::Done | S::Cancelled, E::Schedule)
            | (S::Draft | S::Freezing | S::Submitted | S::Approved | S::Done | S::Cancelled, E::Restore)
            | (S::Draft, E::Frozen | E::FreezeFailed | E::Approve | E::Reject | E::Schedule | E::Start)
            | (S::Freezing, E::Approve | E::Reject | E::Schedule | E::Start)
            | (S::Submitted, E::Submit | E::Frozen | E::FreezeFailed | E::Schedule | E::Start)
            | (S::Approved, E::Submit | E::Frozen | E::FreezeFailed)
            | (S::Scheduled, E::Submit | E::Frozen | E::FreezeFailed | E::Approve)
            | (
                S::Draft | S::Freezing | S::Submitted | S::Approved | S::Scheduled,
                E::Pause | E::Resume | E::Halt | E::Complete,
            )
            | (S::Paused | S::Halted | S::Done | S::Cancelled, E::Start)
            | (S::Done | S::Cancelled, E::Pause | E::Resume | E::Halt)
            | (S::Cancelled, E::Complete) => Err(WrongState { state: self, event }),
        }
    }

    /// Whether messages may be released and handed over.
    pub fn may_send(self) -> bool {
        self == Self::Running
    }

    /// Whether nothing more will be sent.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// Whether it was started and its ledger is live.
    pub fn is_started(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Halted | Self::Done | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::CampaignEvent as E;
    use super::CampaignState as S;

    #[test]
    fn walks_its_life() {
        #[track_caller]
        fn check(from: S, event: E, to: Result<S, ()>) {
            assert_eq!(from.on(event).map_err(|_| ()), to, "{from} {event}");
        }
        check(S::Draft, E::Submit, Ok(S::Freezing));
        check(S::Freezing, E::Frozen, Ok(S::Submitted));
        check(S::Submitted, E::Approve, Ok(S::Approved));
        check(S::Submitted, E::Start, Err(())); // nothing runs without an approval
        check(S::Approved, E::Edit, Ok(S::Draft)); // an edit voids it
        check(S::Running, E::Edit, Err(()));
        check(S::Approved, E::Schedule, Ok(S::Scheduled));
        check(S::Scheduled, E::Start, Ok(S::Running));
        check(S::Running, E::Pause, Ok(S::Paused));
        check(S::Paused, E::Pause, Ok(S::Paused)); // a repeated pause is a pause
        check(S::Paused, E::Start, Err(())); // resume is its own right
        check(S::Halted, E::Resume, Ok(S::Running));
        check(S::Paused, E::Halt, Ok(S::Paused)); // a person's pause is not weakened by a rule
        check(S::Scheduled, E::Restore, Ok(S::Halted)); // nothing starts by itself on a restored copy
        check(S::Paused, E::Restore, Ok(S::Halted));
        check(S::Done, E::Restore, Err(()));
        check(S::Halted, E::Schedule, Ok(S::Scheduled));
        check(S::Draft, E::Cancel, Ok(S::Cancelled));
        check(S::Done, E::Cancel, Err(()));
        check(S::Cancelled, E::Resume, Err(()));
    }

    #[test]
    fn what_is_over_never_sends_again() {
        for &state in S::ALL.iter().filter(|state| state.is_over()) {
            for &event in E::ALL {
                assert!(!state.on(event).is_ok_and(S::may_send), "{state} {event}");
            }
        }
    }

    #[test]
    fn only_start_and_resume_lead_to_running() {
        for &state in S::ALL {
            for &event in E::ALL {
                if state != S::Running && state.on(event) == Ok(S::Running) {
                    assert!(matches!(event, E::Start | E::Resume), "{state} {event}");
                }
            }
        }
    }
}
