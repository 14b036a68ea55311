//! Single sends, taken in: checked, remembered, appended to singles.v1, and only then answered.
//!
//! Any dispatch process takes them in; the owner of the address's shard sends them.
//!
//! Must stay true: a caller's key means one message for ever; what was answered is on the log; the same request again
//! appends again, which the owner recognises.

mod check;
pub(crate) mod requests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::pb::event::v1 as event;
use loa_contract::topics::SinglesTopic;
use loa_domain::hours::UTC_OFFSET_US;
use loa_ports::audience::Router;
use loa_ports::lease::Fence;
use loa_ports::log::Log;
use loa_ports::store::dispatch::{Accepted, DispatchStore, NewSingle};
use loa_runtime::control::ControlView;
use loa_runtime::telemetry::continue_trace;
use loa_runtime::{Ctx, record, rpc};
use tonic::Status;

use crate::content::Library;
use check::Checked;

/// When to ask again while the installation is held.
const HELD_RETRY: Duration = Duration::from_secs(2);
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) caller: String,
    pub(crate) key: String,
    pub(crate) notice_id: String,
    pub(crate) to: String,
    pub(crate) slots: HashMap<String, String>,
    pub(crate) expires_at_us: Option<i64>,
    /// The trace that the request belongs to, if it is not the current one.
    pub(crate) traceparent: Option<String>,
    /// Where its results are read, if they are.
    pub(crate) reply_to: Option<event::ReplyTo>,
}

/// Takes single sends in.
pub(crate) struct Intake {
    pub(crate) ctx: Ctx,
    pub(crate) store: Arc<dyn DispatchStore>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) view: ControlView,
    pub(crate) contents: Arc<Library>,
    pub(crate) router: Router,
}

impl Intake {
    /// Takes one in; its message id.
    pub(crate) async fn send(&self, asked: Asked) -> Result<u64, Status> {
        self.not_held()?;
        let now_us = self.ctx.now_us();
        let checked = self.check(asked, now_us).await?;
        let accepted = self.store.accept(&Fence::default(), &[new_single(&checked, now_us)], &[]).await;
        let accepted = accepted.map_err(|error| rpc::store_status(&error))?.pop();
        let accepted = accepted.ok_or_else(|| Status::internal("the store did not answer for the request"))?;
        let (checked, at_us) = settle(checked, accepted, now_us)?;
        let id = checked.id;
        let appended = self.log.append(vec![append(checked, at_us)]).await;
        appended.map_err(|error| rpc::log_status(&error))?;
        Ok(id)
    }
}

impl Intake {
    /// What is taken in while the stores are copied would be in no copy.
    fn not_held(&self) -> Result<(), Status> {
        if self.view.is_held() {
            return Err(rpc::exhausted(
                "the installation is held for a moment (GetHold says why); send it again",
                HELD_RETRY,
            ));
        }
        Ok(())
    }
}

fn new_single(checked: &Checked, now_us: i64) -> NewSingle {
    NewSingle {
        caller: checked.asked.caller.clone(),
        key: checked.asked.key.clone(),
        body_hash: checked.body_hash,
        id: checked.id,
        notice: checked.notice,
        day: (now_us + UTC_OFFSET_US).div_euclid(DAY_US),
        daily_ceiling: checked.daily_ceiling,
        at_us: now_us,
    }
}

/// What the store's answer means; the time at which the message counts as taken in.
fn settle(checked: Checked, accepted: Accepted, now_us: i64) -> Result<(Checked, i64), Status> {
    match accepted {
        Accepted::New => Ok((checked, now_us)),
        Accepted::Repeat { first_at_us } => Ok((checked, first_at_us)),
        Accepted::OtherBody => {
            Err(rpc::aborted("this idempotency key was used with another body; use a new key for a new message"))
        }
        Accepted::CeilingReached => {
            let left_us = DAY_US - (now_us + UTC_OFFSET_US).rem_euclid(DAY_US);
            let message = format!(
                "the notice's daily ceiling of {} messages is reached; it is counted anew from midnight",
                checked.daily_ceiling
            );
            Err(rpc::exhausted(message, Duration::from_micros(left_us.unsigned_abs())))
        }
    }
}

/// The record for the owner of the address's shard.
fn append(checked: Checked, at_us: i64) -> loa_ports::log::Append {
    let Checked { asked, id, notice, msisdn, mailbox, shard, content_hash, expires_us, .. } = checked;
    let mut slots: Vec<_> = asked.slots.into_iter().map(|(name, value)| event::SlotValue { name, value }).collect();
    slots.sort_by(|a, b| a.name.cmp(&b.name));
    let single = event::Single {
        key_hash: id,
        notice_id: notice.to_vec(),
        msisdn,
        mailbox,
        slots,
        caller: asked.caller,
        idempotency_key: asked.key,
        accepted_at_us: at_us,
        hand_over_by_us: expires_us.resolve(at_us),
        content_hash,
        reply_to: asked.reply_to,
    };
    let singles = event::Singles { singles: vec![single] };
    let append = || record::append::<SinglesTopic>(shard.number(), bytes::Bytes::new(), &singles);
    match asked.traceparent {
        None => append(),
        Some(traceparent) => {
            let span = tracing::info_span!("single send");
            continue_trace(&span, &traceparent);
            span.in_scope(append)
        }
    }
}

/// Requests of one partition.
pub(crate) struct Batch {
    pub(crate) asked: Vec<Asked>,
    pub(crate) fence: Fence,
}

impl Intake {
    /// Takes requests of requests.v1 in; an answer for each, or an error if all must be tried again.
    pub(crate) async fn send_all(&self, batch: Batch) -> Result<Vec<Result<u64, Status>>, Status> {
        let now_us = self.ctx.now_us();
        let mut answers = Vec::with_capacity(batch.asked.len());
        let mut good = Vec::new();
        for asked in batch.asked {
            match self.check(asked, now_us).await {
                Ok(checked) => {
                    answers.push(Ok(checked.id));
                    good.push((answers.len() - 1, checked));
                }
                Err(status) if requests::is_passing(&status) => return Err(status),
                Err(status) => answers.push(Err(status)),
            }
        }
        let singles: Vec<_> = good.iter().map(|(_, checked)| new_single(checked, now_us)).collect();
        // The offset is stored only when everything is on the log, so a crash in between repeats and loses nothing.
        let accepted = self.store.accept(&batch.fence, &singles, &[]).await;
        let accepted = accepted.map_err(|error| rpc::store_status(&error))?;
        let mut appends = Vec::with_capacity(good.len());
        for ((at, checked), accepted) in good.into_iter().zip(accepted) {
            match settle(checked, accepted, now_us) {
                Ok((checked, at_us)) => appends.push(append(checked, at_us)),
                Err(status) => answers[at] = Err(status),
            }
        }
        if !appends.is_empty() {
            self.log.append(appends).await.map_err(|error| rpc::log_status(&error))?;
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_domain::ids::{CampaignId, Shard};

    fn checked() -> Checked {
        Checked {
            asked: Asked {
                caller: "billing".to_owned(),
                key: "k".to_owned(),
                notice_id: String::new(),
                to: String::new(),
                slots: HashMap::new(),
                expires_at_us: None,
                traceparent: None,
                reply_to: None,
            },
            id: 1,
            body_hash: [0; 32],
            notice: CampaignId::from_bytes(&[1; 16]).unwrap(),
            daily_ceiling: 5,
            msisdn: 84_912_345_678,
            mailbox: String::new(),
            shard: Shard::new(1).unwrap(),
            content_hash: vec![],
            expires_us: check::Expires::After(10),
        }
    }

    #[test]
    fn a_repeat_counts_from_its_first_time() {
        let (checked, at_us) = settle(checked(), Accepted::Repeat { first_at_us: 7 }, 50).unwrap();
        let single: event::Singles = prost::Message::decode(append(checked, at_us).value).unwrap();
        assert_eq!(
            (single.singles[0].accepted_at_us, single.singles[0].hand_over_by_us),
            (7, 17),
            "the same record again"
        );
    }

    #[test]
    fn the_ceiling_says_when_to_try_again() {
        use tonic_types::StatusExt as _;
        let local_23 = 16 * 3_600 * 1_000_000; // 23:00 in Viet Nam
        let status = settle(checked(), Accepted::CeilingReached, local_23).unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3_600)));
        assert_eq!(settle(checked(), Accepted::OtherBody, 0).unwrap_err().code(), tonic::Code::Aborted);
    }
}
