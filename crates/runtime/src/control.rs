//! control.v1 as this process has read it: campaigns, notices, accounts; and how a state is published.
//!
//! Must stay true: the highest version of an object counts, whatever the order of the records; nothing that sends starts
//! before the topic was read to its end. A hold ends here only when it was lifted, or was read its whole length ago while
//! the topic is known to its end: a renewal that this process has not read cannot be missed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use loa_contract::topics::{ControlTopic, Topic as _};
use loa_domain::campaign::CampaignState;
use loa_domain::ids::CampaignId;
use loa_ports::log::{Log, LogError, Position, Reader, Record};
use tokio::sync::watch;

use crate::ctx::Ctx;
use crate::fresh::{ASK_EVERY, Freshness, Question};
use crate::record;

const READ_MAX: usize = 512;
const AWAY_WAIT: Duration = Duration::from_millis(200);

/// What this process knows of control.v1; cheap to clone.
#[derive(Clone)]
pub struct ControlView {
    inner: Arc<Inner>,
}

struct Inner {
    ctx: Ctx,
    known: RwLock<Known>,
    freshness: Freshness,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    campaigns: HashMap<CampaignId, (u64, Arc<event::CampaignControl>)>,
    accounts: HashMap<String, AccountSeen>,
    installation: Option<(u64, event::InstallationControl)>,
    hold: Option<HoldSeen>,
    /// The trace of the call that made a campaign's state.
    traces: HashMap<CampaignId, String>,
}

struct AccountSeen {
    version: u64,
    control: Arc<event::AccountControl>,
    read_at: Duration,
}

struct HoldSeen {
    version: u64,
    control: event::HoldControl,
    read_at: Duration,
}

impl HoldSeen {
    fn is_in_force(&self, now: Duration, is_fresh: bool) -> bool {
        let lasts = Duration::from_secs(u64::from(self.control.seconds));
        !lasts.is_zero() && (now < self.read_at + lasts || !is_fresh)
    }
}

impl ControlView {
    /// Reads the topic to its end and goes on reading in the background.
    pub async fn start(ctx: &Ctx, log: Arc<dyn Log>) -> Result<Self, LogError> {
        let inner = Inner {
            ctx: ctx.clone(),
            known: RwLock::default(),
            freshness: Freshness::default(),
            changed: watch::Sender::new(0),
        };
        let view = Self { inner: Arc::new(inner) };
        let start = log.starts(ControlTopic::SPEC).await?.first().copied().unwrap_or(0);
        let asked_at = ctx.monotonic();
        let question = Question { asked_at, end: log.end(ControlTopic::SPEC, 0).await? };
        let mut reader = log.reader(ControlTopic::SPEC, vec![Position { partition: 0, offset: start }]).await?;
        while !question.settle(reader.position(0).unwrap_or(start), &view.inner.freshness) {
            view.take(&reader.next(READ_MAX).await?);
        }
        let (background, task_ctx) = (view.clone(), ctx.clone());
        ctx.spawn("control view", async move {
            tokio::select! {
                () = task_ctx.stopping() => {}
                () = background.follow(log, reader) => {}
            }
        });
        Ok(view)
    }

    async fn follow(&self, log: Arc<dyn Log>, mut reader: Box<dyn Reader>) {
        let mut question: Option<Question> = None;
        let mut was_held = false;
        let mut tick = self.inner.ctx.beats(ASK_EVERY);
        loop {
            tokio::select! {
                records = reader.next(READ_MAX) => match records {
                    Ok(records) => self.take(&records),
                    Err(error) => {
                        tracing::warn!(%error, "control.v1 could not be read");
                        tokio::time::sleep(AWAY_WAIT).await;
                    }
                },
                _ = tick.tick() => {
                    let asked_at = self.inner.ctx.monotonic();
                    match log.end(ControlTopic::SPEC, 0).await {
                        Ok(end) => question = Some(Question { asked_at, end }),
                        Err(error) => tracing::debug!(%error, "the end of control.v1 could not be asked for"),
                    }
                }
            }
            if question.is_some_and(|open| open.settle(reader.position(0).unwrap_or(0), &self.inner.freshness)) {
                question = None;
            }
            was_held = self.look_held(was_held);
        }
    }

    /// Tells when a hold begins or ends, which it does by time, too.
    fn look_held(&self, was_held: bool) -> bool {
        let is_held = self.is_held();
        if is_held != was_held {
            let reason = self.read().hold.as_ref().map(|seen| seen.control.reason.clone()).unwrap_or_default();
            match is_held {
                true => tracing::info!(reason, "the installation is held: nothing is released or handed over"),
                false => tracing::info!("the installation is not held any more"),
            }
            self.inner.changed.send_modify(|count| *count += 1);
        }
        is_held
    }

    fn take(&self, records: &[Record]) {
        let mut changes = 0;
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            match record::decode::<event::Control>(record) {
                Ok(control) => {
                    let id = campaign_of(&control);
                    if known.take(control, self.inner.ctx.monotonic()) {
                        changes += 1;
                        known.trace(id, record);
                    }
                }
                Err(error) => tracing::error!(offset = record.offset, %error, "a record of control.v1 cannot be read"),
            }
        }
        drop(known);
        if changes > 0 {
            self.inner.changed.send_modify(|count| *count += changes);
        }
    }

    /// A campaign or notice.
    pub fn campaign(&self, id: CampaignId) -> Option<Arc<event::CampaignControl>> {
        self.read().campaigns.get(&id).map(|(_, control)| Arc::clone(control))
    }

    /// The version of a campaign or notice that was read.
    pub fn campaign_version(&self, id: CampaignId) -> Option<u64> {
        self.read().campaigns.get(&id).map(|(version, _)| *version)
    }

    /// The trace of the call that made a campaign's state, if it was part of one.
    pub fn traceparent(&self, id: CampaignId) -> Option<String> {
        self.read().traces.get(&id).cloned()
    }

    /// Every campaign and notice.
    pub fn campaigns(&self) -> Vec<Arc<event::CampaignControl>> {
        self.read().campaigns.values().map(|(_, control)| Arc::clone(control)).collect()
    }

    /// A campaign's state: what is looked at before each message.
    pub fn state(&self, id: CampaignId) -> Option<CampaignState> {
        let code = self.read().campaigns.get(&id).map(|(_, control)| control.state)?;
        CampaignState::from_code(i32::try_from(code).ok()?)
    }

    /// Whether the whole installation is held: nothing may be released, handed over or taken in.
    pub fn is_held(&self) -> bool {
        // Asked for every slice that leaves, and nearly always there is none.
        let known = self.read();
        let Some(seen) = known.hold.as_ref().filter(|seen| seen.control.seconds > 0) else { return false };
        seen.is_in_force(self.inner.ctx.monotonic(), self.is_fresh())
    }

    /// An account as announced last.
    pub fn account(&self, id: &str) -> Option<Arc<event::AccountControl>> {
        self.read().accounts.get(id).map(|seen| Arc::clone(&seen.control))
    }

    /// When that was read, monotonic.
    pub fn account_read_at(&self, id: &str) -> Option<Duration> {
        self.read().accounts.get(id).map(|seen| seen.read_at)
    }

    /// Every account.
    pub fn accounts(&self) -> Vec<Arc<event::AccountControl>> {
        self.read().accounts.values().map(|seen| Arc::clone(&seen.control)).collect()
    }

    /// The installation's facts.
    pub fn installation(&self) -> Option<event::InstallationControl> {
        self.read().installation.as_ref().map(|(_, installation)| installation.clone())
    }

    /// Changes whenever something became known.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Whether what is known was complete at most 1.5 s ago.
    pub fn is_fresh(&self) -> bool {
        self.inner.freshness.is_fresh(self.inner.ctx.monotonic())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.inner.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn campaign_of(control: &event::Control) -> Option<CampaignId> {
    match &control.object {
        Some(event::control::Object::Campaign(campaign)) => convert::campaign_id(&campaign.campaign_id).ok(),
        _ => None,
    }
}

impl Known {
    fn trace(&mut self, id: Option<CampaignId>, record: &Record) {
        let Some(id) = id else { return };
        let header = record.headers.iter().find(|(name, _)| name == record::TRACEPARENT);
        match header.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
            Some(traceparent) => self.traces.insert(id, traceparent.to_owned()),
            None => self.traces.remove(&id),
        };
    }

    fn take(&mut self, control: event::Control, now: Duration) -> bool {
        let version = control.version;
        match control.object {
            Some(event::control::Object::Campaign(campaign)) => match convert::campaign_id(&campaign.campaign_id) {
                Ok(id) => {
                    let newer = self.campaigns.get(&id).is_none_or(|(known, _)| version > *known);
                    if newer {
                        self.campaigns.insert(id, (version, Arc::new(campaign)));
                    }
                    newer
                }
                Err(error) => {
                    tracing::error!(%error, "a campaign state without a campaign");
                    false
                }
            },
            Some(event::control::Object::Account(account)) => {
                let newer = self.accounts.get(&account.account).is_none_or(|seen| version > seen.version);
                if newer {
                    let seen = AccountSeen { version, control: Arc::new(account.clone()), read_at: now };
                    self.accounts.insert(account.account, seen);
                }
                newer
            }
            Some(event::control::Object::Installation(installation)) => {
                let newer = self.installation.as_ref().is_none_or(|(known, _)| version > *known);
                if newer {
                    self.installation = Some((version, installation));
                }
                newer
            }
            Some(event::control::Object::Hold(hold)) => {
                let newer = self.hold.as_ref().is_none_or(|seen| version > seen.version);
                if newer {
                    self.hold = Some(HoldSeen { version, control: hold, read_at: now });
                }
                newer
            }
            None => false,
        }
    }
}

/// The compaction key of a control record.
pub fn key(control: &event::Control) -> Bytes {
    match &control.object {
        Some(event::control::Object::Campaign(campaign)) => match convert::campaign_id(&campaign.campaign_id) {
            Ok(id) => Bytes::from(format!("campaign/{id}")),
            Err(_) => Bytes::new(),
        },
        Some(event::control::Object::Account(account)) => Bytes::from(format!("account/{}", account.account)),
        Some(event::control::Object::Installation(_)) => Bytes::from_static(b"installation"),
        Some(event::control::Object::Hold(_)) => Bytes::from_static(b"hold"),
        None => Bytes::new(),
    }
}

/// Publishes a state; when it returns, the log has it.
pub async fn publish(log: &dyn Log, control: &event::Control) -> Result<(), LogError> {
    log.append(vec![record::append::<ControlTopic>(0, key(control), control)]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(version: u64, state: CampaignState) -> event::Control {
        let campaign =
            event::CampaignControl { campaign_id: vec![7; 16], state: u32::from(state.code()), ..Default::default() };
        event::Control { version, at_us: 0, object: Some(event::control::Object::Campaign(campaign)) }
    }

    #[test]
    fn a_hold_ends_when_lifted_or_when_its_time_is_over_and_all_is_known() {
        let mut known = Known::default();
        let hold = |version, seconds| event::Control {
            version,
            at_us: 0,
            object: Some(event::control::Object::Hold(event::HoldControl { seconds, ..Default::default() })),
        };
        let held = |known: &Known, second, fresh| {
            known.hold.as_ref().is_some_and(|seen| seen.is_in_force(Duration::from_secs(second), fresh))
        };
        assert!(!held(&known, 0, true));
        known.take(hold(1, 30), Duration::from_secs(5));
        assert!(held(&known, 34, true) && !held(&known, 35, true));
        assert!(held(&known, 9_999, false), "a renewal may be there that was not read");
        known.take(hold(2, 30), Duration::from_secs(20));
        assert!(held(&known, 49, true));
        assert!(!known.take(hold(1, 30), Duration::from_secs(40)), "an older one came late");
        known.take(hold(3, 0), Duration::from_secs(21));
        assert!(!held(&known, 21, false), "lifted is lifted");
    }

    #[test]
    fn the_highest_version_counts_in_any_order() {
        let mut known = Known::default();
        assert!(known.take(campaign(3, CampaignState::Paused), Duration::ZERO));
        assert!(!known.take(campaign(2, CampaignState::Running), Duration::ZERO), "an older state came late");
        assert!(!known.take(campaign(3, CampaignState::Paused), Duration::ZERO), "a repeat changes nothing");
        let id = CampaignId::from_bytes(&[7; 16]).unwrap();
        assert_eq!(known.campaigns[&id].1.state, u32::from(CampaignState::Paused.code()));
    }
}
