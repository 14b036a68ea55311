//! What a registry's store is after it was put back from a backup: everything that could send stands still, and everything
//! is told anew, to a log that may know nothing.
//!
//! Must stay true: nothing leaves from a restored copy before a person has said so, since what the original has sent after
//! the backup is not known here; doing it again changes nothing more.

use loa_contract::convert::timestamp;
use loa_contract::pb::registry::v1::{Campaign, Hold};
use loa_domain::campaign::CampaignEvent;
use loa_domain::limits::RESTORED;
use loa_ports::lease::Fence;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, PageAsk, RegistryStore, StoredCampaign, StoredHold, StoredNotice, Told};

use crate::control;
use crate::hold::of_hold;

/// Objects read and told at once, at most.
const BATCH: u32 = 200;
/// Who is named in the audit.
const USER: &str = "restore";

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Campaigns that are halted now; their ids.
    pub halted: Vec<String>,
    /// Notices that are stopped now; their ids.
    pub stopped: Vec<String>,
    /// States that are told anew.
    pub told: usize,
}

/// Works on the store alone; the log is told by the first start.
pub async fn restore(store: &dyn RegistryStore, now_us: i64) -> Result<Restored, StoreError> {
    let mut restored = Restored::default();
    let mut start = 0;
    loop {
        let page = store.campaigns(PageAsk { start, rows: BATCH }).await?;
        let mut as_they_are = Vec::new();
        for stored in &page.rows {
            match halted(stored, now_us) {
                Some((next, told)) => {
                    store.change_campaign(&next, &told, &Fence::default()).await?;
                    restored.halted.push(next.campaign.id);
                }
                None => as_they_are.push(control::record(&control::of_campaign(&stored.campaign, now_us))),
            }
        }
        store.tell_again(&as_they_are, now_us).await?;
        restored.told += page.rows.len();
        match page.next {
            Some(next) => start = next,
            None => break,
        }
    }
    notices(store, now_us, &mut restored).await?;
    let_go(store, now_us).await?;
    Ok(restored)
}

/// A campaign that could send, halted.
fn halted(stored: &StoredCampaign, now_us: i64) -> Option<(StoredCampaign, Told)> {
    let from: loa_domain::campaign::CampaignState = stored.campaign.state.parse().ok()?;
    let to = from.on(CampaignEvent::Restore).ok().filter(|to| *to != from)?;
    let campaign = Campaign {
        state: to.name().to_owned(),
        halt_reason: RESTORED.to_owned(),
        version: stored.campaign.version + 1,
        updated_at: Some(timestamp(now_us)),
        ..stored.campaign.clone()
    };
    let act = act("campaign", &campaign.id, format!("{from} → {to}: {RESTORED}"), now_us);
    let told = Told { act, record: control::record(&control::of_campaign(&campaign, now_us)) };
    Some((StoredCampaign { campaign, authors: stored.authors.clone() }, told))
}

/// Single sends wait for a person, too.
async fn notices(store: &dyn RegistryStore, now_us: i64, restored: &mut Restored) -> Result<(), StoreError> {
    let mut start = 0;
    loop {
        let page = store.notices(PageAsk { start, rows: BATCH }).await?;
        let mut as_they_are = Vec::new();
        for stored in &page.rows {
            if stored.notice.state != "approved" {
                as_they_are.push(control::record(&control::of_notice(stored, now_us)));
                continue;
            }
            let mut next = StoredNotice { version: stored.version + 1, ..stored.clone() };
            "stopped".clone_into(&mut next.notice.state);
            let act = act("notice", &next.notice.id, format!("approved → stopped: {RESTORED}"), now_us);
            let told = Told { act, record: control::record(&control::of_notice(&next, now_us)) };
            store.change_notice(&next, &told).await?;
            restored.stopped.push(next.notice.id);
        }
        store.tell_again(&as_they_are, now_us).await?;
        restored.told += page.rows.len();
        match page.next {
            Some(next) => start = next,
            None => return Ok(()),
        }
    }
}

/// The hold under which the copy was made is over here.
async fn let_go(store: &dyn RegistryStore, now_us: i64) -> Result<(), StoreError> {
    let Some(stored) = store.hold().await?.filter(|stored| stored.hold.seconds > 0) else { return Ok(()) };
    let hold = Hold { seconds: 0, renewed_at: Some(timestamp(now_us)), ..stored.hold };
    let act = act("hold", &hold.id, RESTORED.to_owned(), now_us);
    let next = StoredHold { hold, version: stored.version + 1 };
    let record = control::record(&of_hold(&next, now_us));
    store.change_hold(&next, &record, Some(&act)).await.map(drop)
}

fn act(object_kind: &'static str, id: &str, detail: String, now_us: i64) -> Act {
    let (user, action) = (USER.to_owned(), CampaignEvent::Restore.name().to_owned());
    Act { at_us: now_us, user, object_kind, object_id: id.to_owned(), action, detail }
}
