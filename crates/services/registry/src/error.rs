//! What a caller is told when a call cannot be done.
//!
//! Must stay true: each reason is a stable name, and the message says what to do next.

use std::fmt::Display;

use loa_domain::campaign::{CampaignEvent, CampaignState, WrongState};
use loa_domain::ids::CampaignId;
use loa_runtime::rpc::{Violations, failed_precondition};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The event does not fit the campaign's state; what would fit.
pub(crate) fn wrong_state(wrong: WrongState) -> Status {
    let possible = |event: &&CampaignEvent| {
        let by_people = !matches!(
            event,
            CampaignEvent::Frozen
                | CampaignEvent::FreezeFailed
                | CampaignEvent::Halt
                | CampaignEvent::Complete
                | CampaignEvent::Restore
        );
        by_people && wrong.state.on(**event).is_ok_and(|next| next != wrong.state)
    };
    let possible: Vec<_> = CampaignEvent::ALL.iter().filter(possible).map(|event| event.name()).collect();
    let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
    failed_precondition("WRONG_STATE", format!("{wrong}; possible now: {possible}"))
}

/// Author and approver are the same user.
pub(crate) fn four_eyes(user: &str, what: &str) -> Status {
    Status::with_error_details(
        Code::PermissionDenied,
        format!("`{user}` has written this {what}; somebody else with the right `approver` must approve it"),
        ErrorDetails::with_error_info("FOUR_EYES", "loa", []),
    )
}

/// No such object.
pub(crate) fn not_found(what: &str, id: impl Display, list: &str) -> Status {
    Status::not_found(format!("there is no {what} `{id}`; {list} shows what there is"))
}

/// An object's id of a request.
pub(crate) fn id(field: &str, text: &str) -> Result<CampaignId, Status> {
    let mut faults = Violations::new();
    let id = faults.check(field, text.parse());
    faults.into_result()?;
    id.ok_or_else(|| Status::internal("an id was neither read nor refused"))
}

/// The stored state cannot be read: nothing must be changed on top of it.
pub(crate) fn state(name: &str) -> Result<CampaignState, Status> {
    name.parse().map_err(|error| {
        tracing::error!(%error, "a stored campaign has no known state");
        Status::internal("the store holds something unreadable; see the log of this node")
    })
}
