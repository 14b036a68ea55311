//! How a campaign or notice is changed: read, decide, store with audit and record in one transaction, publish.
//!
//! Must stay true: a change is decided on the state it is stored on top of (who was slower decides again); one whose COMMIT
//! had no answer is looked up before it is tried again, so it is never made twice.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{Campaign, Notice};
use loa_domain::campaign::CampaignEvent;
use loa_domain::ids::CampaignId;
use loa_ports::lease::Fence;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, StoredCampaign, StoredNotice, Told};
use loa_runtime::outbox::Acknowledge;
use loa_runtime::rpc::{aborted, store_status};
use tonic::Status;

use crate::core::Core;
use crate::{control, error};

/// Attempts at storing one change, at most: others are faster, or COMMITs have no answer.
pub(crate) const TRIES: u32 = 8;

/// A change of a campaign.
pub(crate) struct Change<'a> {
    /// Who makes it.
    pub user: &'a str,
    /// What happens to it.
    pub event: CampaignEvent,
    /// For the audit, beside the states.
    pub note: String,
    /// In whose name; empty for people's calls.
    pub fence: Fence,
    /// Whether the reply says that the log has it.
    pub acknowledge: Acknowledge,
}

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum NotChanged {
    /// It is not allowed, or not in force yet.
    Refused(Box<Status>),
    /// The store did not take it.
    Store(StoreError),
}

impl From<Status> for NotChanged {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<StoreError> for NotChanged {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotChanged> for Status {
    fn from(error: NotChanged) -> Self {
        match error {
            NotChanged::Refused(status) => *status,
            NotChanged::Store(error) => store_status(&error),
        }
    }
}

impl Core {
    /// A campaign, or NOT_FOUND.
    pub(crate) async fn stored(&self, id: CampaignId) -> Result<StoredCampaign, NotChanged> {
        let stored = self.store.campaign(id).await?;
        stored.ok_or_else(|| error::not_found("campaign", id, "ListCampaigns").into())
    }

    /// Changes a campaign. `edit` may refuse, and is asked again when somebody else was faster; what changes neither the
    /// state nor a field was done before and is not stored again.
    pub(crate) async fn change(
        &self,
        id: CampaignId,
        change: Change<'_>,
        edit: impl Fn(&mut StoredCampaign) -> Result<(), Status> + Send + Sync,
    ) -> Result<Campaign, NotChanged> {
        for _ in 0..TRIES {
            let stored = self.stored(id).await?;
            let from = error::state(&stored.campaign.state)?;
            let to = from.on(change.event).map_err(error::wrong_state)?;
            let mut next = stored.clone();
            edit(&mut next)?;
            if to == from && next.campaign == stored.campaign {
                return self.told_again(stored.campaign, &change).await;
            }
            let now_us = self.now_us();
            next.campaign.state = to.name().to_owned();
            next.campaign.version += 1;
            next.campaign.updated_at = Some(timestamp(now_us));
            let told = tell(&next.campaign, &change, format!("{from} → {to}"), now_us);
            match self.store_campaign(&next, &told, &change.fence).await {
                Ok(numbers) => {
                    self.publisher.publish(&[told.record], &numbers, change.acknowledge).await?;
                    return Ok(next.campaign);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(aborted("the campaign is being changed by others; read it and try again").into())
    }

    /// A repeated stop must be able to say that the log has it by now.
    async fn told_again(&self, campaign: Campaign, change: &Change<'_>) -> Result<Campaign, NotChanged> {
        if change.acknowledge == Acknowledge::Must {
            let record = control::record(&control::of_campaign(&campaign, self.now_us()));
            self.publisher.publish(&[record], &[], Acknowledge::Must).await?;
        }
        Ok(campaign)
    }

    async fn store_campaign(&self, next: &StoredCampaign, told: &Told, fence: &Fence) -> Result<Vec<i64>, StoreError> {
        let mut tries = 1;
        loop {
            match self.store.change_campaign(next, told, fence).await {
                Err(StoreError::Uncertain { why }) if tries < TRIES => {
                    let id = next.campaign.id.parse().map_err(|_| StoreError::Uncertain { why })?;
                    if self.store.campaign(id).await?.as_ref() == Some(next) {
                        return Ok(Vec::new());
                    }
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Changes a notice's state and what `edit` changes beside it.
    pub(crate) async fn change_notice(
        &self,
        id: CampaignId,
        user: &str,
        state: &str,
        edit: impl Fn(&mut Notice) -> Result<(), Status> + Send + Sync,
    ) -> Result<Notice, NotChanged> {
        for _ in 0..TRIES {
            let stored = self.store.notice(id).await?;
            let stored = stored.ok_or_else(|| error::not_found("notice", id, "ListNotices"))?;
            let mut next = StoredNotice { version: stored.version + 1, ..stored.clone() };
            edit(&mut next.notice)?;
            if stored.notice.state == state {
                let record = control::record(&control::of_notice(&stored, self.now_us()));
                self.publisher.publish(&[record], &[], Acknowledge::Must).await?;
                return Ok(stored.notice);
            }
            state.clone_into(&mut next.notice.state);
            let now_us = self.now_us();
            let act = Act {
                at_us: now_us,
                user: user.to_owned(),
                object_kind: "notice",
                object_id: next.notice.id.clone(),
                action: state.to_owned(),
                detail: format!("{} → {state}", stored.notice.state),
            };
            let told = Told { act, record: control::record(&control::of_notice(&next, now_us)) };
            match self.store_notice(&next, &told).await {
                Ok(numbers) => {
                    self.publisher.publish(&[told.record], &numbers, Acknowledge::Must).await?;
                    return Ok(next.notice);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(aborted("the notice is being changed by others; read it and try again").into())
    }

    async fn store_notice(&self, next: &StoredNotice, told: &Told) -> Result<Vec<i64>, StoreError> {
        let mut tries = 1;
        loop {
            match self.store.change_notice(next, told).await {
                Err(StoreError::Uncertain { why }) if tries < TRIES => {
                    let id = next.notice.id.parse().map_err(|_| StoreError::Uncertain { why })?;
                    if self.store.notice(id).await?.as_ref() == Some(next) {
                        return Ok(Vec::new());
                    }
                    tries += 1;
                }
                result => return result,
            }
        }
    }
}

fn tell(campaign: &Campaign, change: &Change<'_>, states: String, now_us: i64) -> Told {
    let detail = if change.note.is_empty() { states } else { format!("{states}: {}", change.note) };
    let act = Act {
        at_us: now_us,
        user: change.user.to_owned(),
        object_kind: "campaign",
        object_id: campaign.id.clone(),
        action: change.event.name().to_owned(),
        detail,
    };
    Told { act, record: control::record(&control::of_campaign(campaign, now_us)) }
}
