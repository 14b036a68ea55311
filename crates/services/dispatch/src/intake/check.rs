//! Is this single send one that may be taken in? Every fault at once, none of them with the address.
//!
//! Must stay true: an approved notice and slot values, never free text.

use loa_domain::address::EmailAddress;
use loa_domain::campaign::CampaignState;
use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, Shard};
use loa_domain::msisdn::{Column, Msisdn};
use loa_ports::audience::Address;
use loa_runtime::rpc::{self, Violations};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::{Asked, DAY_US, Intake};
use crate::core::SECOND_US;

/// Not handed over later than this after it was taken in, if the request does not say.
const EXPIRES_DEFAULT_US: i64 = 3_600 * SECOND_US;
/// Characters of a caller's name, at most.
const CALLER_CHARS_MAX: usize = 200;

/// A request that may be taken in.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) asked: Asked,
    pub(crate) id: u64,
    pub(crate) body_hash: [u8; 32],
    pub(crate) notice: CampaignId,
    pub(crate) daily_ceiling: u32,
    pub(crate) msisdn: u64,
    pub(crate) mailbox: String,
    pub(crate) shard: Shard,
    pub(crate) content_hash: Vec<u8>,
    pub(crate) expires_us: Expires,
}

/// When a message is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expires {
    /// At this time.
    At(i64),
    /// So long after it was taken in.
    After(i64),
}

impl Expires {
    pub(crate) fn resolve(self, accepted_at_us: i64) -> i64 {
        match self {
            Self::At(at_us) => at_us,
            Self::After(wait_us) => accepted_at_us + wait_us,
        }
    }
}

/// An address as it is written to.
struct To {
    msisdn: u64,
    mailbox: String,
    hash: AddressHash,
}

impl Intake {
    /// Checks a request; the status says every fault.
    pub(crate) async fn check(&self, asked: Asked, now_us: i64) -> Result<Checked, Status> {
        let mut faults = Violations::new();
        rpc::idempotency_key(&asked.key, &mut faults);
        if asked.caller.is_empty() || asked.caller.chars().count() > CALLER_CHARS_MAX {
            faults.add("source", format!("1 to {CALLER_CHARS_MAX} characters that name who asks"));
        }
        let expires_us = expires(asked.expires_at_us, now_us, &mut faults);
        let notice = faults.check("notice_id", asked.notice_id.parse::<CampaignId>());
        let Some(control) = notice.and_then(|id| self.view.campaign(id)).filter(|control| control.notice) else {
            if notice.is_some() {
                faults.add("notice_id", "no notice has this id; `loa notice list` names them");
            }
            faults.into_result()?;
            return Err(Status::internal("a request without a notice passed its check"));
        };
        let variant = control.variants.first().cloned().unwrap_or_default();
        let channel = Channel::from_code(variant.channel).unwrap_or(Channel::Sms);
        let to = self.address(channel, &asked.to, &mut faults);
        let content = self.contents.get(&variant.content_hash).await.map_err(|error| {
            tracing::warn!(%error, "a content could not be read");
            Status::unavailable("registry does not answer; try again")
        })?;
        let Some(content) = content else {
            return Err(rpc::failed_precondition("CONTENT_UNKNOWN", "registry does not have the notice's text"));
        };
        content.faults(&asked.slots).into_iter().for_each(|(field, what)| faults.add(field, what));
        faults.into_result()?;
        let (Some(notice), Some(to)) = (notice, to) else {
            return Err(Status::internal("a request without an address passed its check"));
        };
        may_send(control.state)?;
        Ok(Checked {
            id: self.id(&asked),
            body_hash: body_hash(&asked, &to),
            notice,
            daily_ceiling: control.daily_ceiling,
            msisdn: to.msisdn,
            mailbox: to.mailbox,
            shard: to.hash.shard(),
            content_hash: variant.content_hash,
            expires_us,
            asked,
        })
    }

    fn address(&self, channel: Channel, text: &str, faults: &mut Violations) -> Option<To> {
        let key = self.ctx.hash_key();
        let to = match channel {
            Channel::Sms => {
                let number = faults.check("to", Msisdn::parse(text, Column::Mobile))?.number.as_u64();
                To { msisdn: number, mailbox: String::new(), hash: key.number(number) }
            }
            Channel::Email => {
                let mailbox = faults.check("to", EmailAddress::parse(text))?.as_str().to_owned();
                let hash = key.address(channel, &mailbox);
                To { msisdn: 0, mailbox, hash }
            }
        };
        let address = if channel == Channel::Sms { Address::Number(to.msisdn) } else { Address::Mailbox(&to.mailbox) };
        if self.router.choose(address, to.hash, false).is_none() {
            faults.add(
                "to",
                "no account takes this address; see prefixes and domains of the accounts in the configuration",
            );
            return None;
        }
        Some(to)
    }

    /// Computed from who asks and their key, so a repeat has the same.
    fn id(&self, asked: &Asked) -> u64 {
        self.ctx.hash_key().hash(format!("single\u{1f}{}\u{1f}{}", asked.caller, asked.key).as_bytes())
    }
}

fn may_send(state: u32) -> Result<(), Status> {
    let state = i32::try_from(state).ok().and_then(CampaignState::from_code);
    match state {
        Some(CampaignState::Running) => Ok(()),
        Some(CampaignState::Paused | CampaignState::Halted) => {
            Err(rpc::failed_precondition("NOTICE_STOPPED", "the notice is stopped; an operator can let it go on"))
        }
        _ => Err(rpc::failed_precondition(
            "NOTICE_NOT_APPROVED",
            "the notice is not approved; another user must approve it",
        )),
    }
}

fn expires(asked_us: Option<i64>, now_us: i64, faults: &mut Violations) -> Expires {
    match asked_us.filter(|&at_us| at_us != 0) {
        None => Expires::After(EXPIRES_DEFAULT_US),
        Some(at_us) => {
            if at_us <= now_us || at_us > now_us + DAY_US {
                faults.add("expires_at", "must be in the future and at most 24 h ahead");
            }
            Expires::At(at_us)
        }
    }
}

/// SHA-256 over everything that makes the message, each field with its length.
fn body_hash(asked: &Asked, to: &To) -> [u8; 32] {
    let mut slots: Vec<_> = asked.slots.iter().collect();
    slots.sort_unstable();
    let (number, expires) = (to.msisdn.to_string(), asked.expires_at_us.unwrap_or(0).to_string());
    let head = [&asked.notice_id, &number, &to.mailbox, &expires].map(String::as_str);
    let fields = head.into_iter().chain(slots.into_iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn hash(to: u64, slots: &[(&str, &str)], expires_at_us: Option<i64>) -> [u8; 32] {
        let slots: HashMap<_, _> =
            slots.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (caller, key, notice_id) = ("a".to_owned(), "k".to_owned(), "n".to_owned());
        let (traceparent, reply_to) = (None, None);
        let asked = Asked { caller, key, notice_id, to: String::new(), slots, expires_at_us, traceparent, reply_to };
        body_hash(&asked, &To { msisdn: to, mailbox: String::new(), hash: AddressHash(0) })
    }

    #[test]
    fn the_same_body_has_the_same_hash() {
        let body = hash(1, &[("a", "x"), ("b", "y")], None);
        assert_eq!(body, hash(1, &[("b", "y"), ("a", "x")], Some(0)));
        for other in [
            hash(2, &[("a", "x"), ("b", "y")], None),
            hash(1, &[("a", "xb"), ("", "y")], None),
            hash(1, &[("a", "x"), ("b", "y")], Some(9)),
        ] {
            assert_ne!(body, other);
        }
    }

    #[test]
    fn a_deadline_is_at_most_a_day_ahead() {
        #[track_caller]
        fn check(asked: Option<i64>, expected: Expires, good: bool) {
            let mut faults = Violations::new();
            assert_eq!(expires(asked, 1_000, &mut faults), expected);
            assert_eq!(faults.is_empty(), good);
        }
        check(None, Expires::After(EXPIRES_DEFAULT_US), true);
        check(Some(1_001), Expires::At(1_001), true);
        check(Some(1_000), Expires::At(1_000), false);
        check(Some(1_000 + DAY_US), Expires::At(1_000 + DAY_US), true);
        check(Some(1_001 + DAY_US), Expires::At(1_001 + DAY_US), false);
    }

    #[test]
    fn only_an_approved_notice_sends() {
        let code = |state: CampaignState| may_send(u32::from(state.code())).map_err(|status| status.code());
        assert_eq!(code(CampaignState::Running), Ok(()));
        assert_eq!(code(CampaignState::Paused), Err(tonic::Code::FailedPrecondition));
        assert_eq!(code(CampaignState::Submitted), Err(tonic::Code::FailedPrecondition));
    }
}
