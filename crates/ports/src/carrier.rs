//! Carriers: how texts leave. Work is pulled: a bind asks for what its window has room for, so no unsent message waits in
//! a queue and whatever may have changed (pause, block, deadline) is looked at when a message is about to be written.
//!
//! Must stay true: a message that [`SubmitSource::pull`] has yielded is answered exactly once per part by
//! [`SubmitSource::settled`], whatever happens to the bind; receipts are acknowledged to the carrier only after
//! [`SubmitSource::receipts`] returned `Ok`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use loa_domain::ids::AccountId;
use loa_domain::msisdn::Msisdn;
use loa_domain::state::RecipientState;

/// One part of a text, ready for the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// Given back with the result.
    pub handle: u64,
    /// Part number from 0, given back with the result.
    pub part: u8,
    /// Parts of the message; a message's parts are pulled together.
    pub parts: u8,
    /// Subscriber number as E.164 digits.
    pub destination: u64,
    /// Brand name or short number.
    pub sender: Arc<str>,
    /// 0x00 (GSM-7, one septet an octet) or 0x08 (UCS-2).
    pub data_coding: u8,
    /// The user data, with its header if `parts` > 1; at most 254 octets.
    pub body: Bytes,
    /// After this the carrier shall not deliver: seconds from now, 0 = the carrier's default.
    pub validity_s: u32,
    /// 0 bulk and normal, 1 urgent.
    pub priority: u8,
}

/// What became of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitResult {
    /// From [`Submit`].
    pub handle: u64,
    /// From [`Submit`].
    pub part: u8,
    /// The carrier's word.
    pub verdict: SubmitVerdict,
}

/// The carrier's word on one part (domain.md names these verdicts of command_status).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitVerdict {
    /// Taken; receipts name this id (already in normal form).
    Accepted {
        /// The carrier's message id.
        id: String,
    },
    /// Not taken since we are too fast (RTHROTTLED, RMSGQFUL): safe to hand over again.
    Throttled,
    /// Not taken, may be later.
    RetryLater {
        /// command_status.
        status: u32,
    },
    /// Not taken, never will be.
    Refused {
        /// command_status.
        status: u32,
    },
    /// Not taken, and no message of this campaign will be (sender, coding, template).
    RefusedCampaign {
        /// command_status.
        status: u32,
    },
    /// Written, and no answer came: in doubt.
    Unanswered,
    /// Never written to the socket: safe to hand over again.
    NotWritten,
}

/// A delivery receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierReceipt {
    /// The carrier's message id in normal form.
    pub id: String,
    /// What it says; `None` = intermediate.
    pub state: Option<RecipientState>,
    /// The carrier's error code, at most 8 characters; empty = none.
    pub error: String,
    /// When it became so, microseconds since 1970; the time of arrival if the carrier gave none.
    pub done_at_us: i64,
    /// The number the message went to, if it can be read.
    pub number: Option<Msisdn>,
    /// The message's sender.
    pub sender: String,
}

/// The receipts could not be made durable: close the bind, the carrier will send them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receipts could not be stored")]
pub struct NotStored;

/// Where a bind takes work from and tells what became of it; implemented by the gateway.
#[async_trait]
pub trait SubmitSource: Send + Sync {
    /// Appends messages that may leave now, at most `room` parts and whole messages only; decides at this moment, must not
    /// block. `more` in the answer: there may be more as soon as there is room or tokens.
    fn pull(&self, room: usize, out: &mut Vec<Submit>) -> Pulled;

    /// Resolves when [`SubmitSource::pull`] may yield something again.
    async fn ready(&self);

    /// Takes results; drains the vector.
    fn settled(&self, results: &mut Vec<SubmitResult>);

    /// Makes receipts durable; only then are they acknowledged to the carrier.
    async fn receipts(&self, receipts: Vec<CarrierReceipt>) -> Result<(), NotStored>;

    /// The bind's state has changed.
    fn bind_changed(&self, slot: u32, state: BindState);
}

/// What a pull tells about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Nothing more to take now; wait for [`SubmitSource::ready`].
    Empty,
    /// More is there, but room ran out.
    Full,
    /// More is there, but tokens ran out: ask again after this time.
    Paced(Duration),
}

/// Where a bind stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindState {
    /// Connecting or binding.
    Opening,
    /// Messages may leave.
    Bound,
    /// Failed; tries again after this time.
    BackingOff {
        /// What the carrier or the socket said, with its cure where there is one.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// Stopped by us.
    Closed,
}

/// Everything that one account's binds need; checked configuration.
#[derive(Debug, Clone)]
pub struct CarrierAccount {
    /// Its name.
    pub id: AccountId,
    /// host:port.
    pub address: String,
    /// SMPP system_id, at most 15 characters.
    pub system_id: String,
    /// SMPP password, at most 8 characters; hidden in logs.
    pub password: Secret,
    /// SMPP system_type, at most 12 characters.
    pub system_type: String,
    /// Submits without answer per bind, 1 to 1,000.
    pub window: u32,
    /// How message ids of responses and receipts are written.
    pub id_form: IdForm,
    /// Source TON/NPI of alphanumeric senders and of short numbers; destination is always 1/1.
    pub sender_ton_npi: Option<(u8, u8)>,
    /// Verdict overrides by command_status.
    pub status_overrides: Vec<(u32, StatusVerdict)>,
    /// Answer awaited at most.
    pub response_timeout: Duration,
    /// enquire_link after this much silence.
    pub enquire_link: Duration,
    /// TLS: name to verify and CA file (PEM); `None` = plain.
    pub tls: Option<CarrierTls>,
}

/// TLS towards a carrier.
#[derive(Debug, Clone)]
pub struct CarrierTls {
    /// Name in the carrier's certificate.
    pub server_name: String,
    /// PEM of the CAs to trust.
    pub ca_pem: Vec<u8>,
}

/// How a carrier writes its ids in submit_sm_resp and in receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdForm {
    /// The same in both.
    AsIs,
    /// Hexadecimal in the response, decimal in the receipt.
    RespHexReceiptDec,
    /// Decimal in the response, hexadecimal in the receipt.
    RespDecReceiptHex,
}

/// What a command_status means for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusVerdict {
    /// Taken.
    Ok,
    /// This message later.
    Retry,
    /// Slow the account; this message again at once.
    Throttle,
    /// Final for the message.
    Permanent,
    /// Final for every message of the campaign.
    PermanentCampaign,
    /// Stop this bind.
    Link,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Opens binds of carriers.
pub trait Carrier: Send + Sync + std::fmt::Debug {
    /// Starts one bind that pulls from the source, reconnecting until it is stopped. Returns at once.
    fn open(&self, account: &CarrierAccount, slot: u32, source: Arc<dyn SubmitSource>) -> Box<dyn Bind>;
}

/// One bind under way.
#[async_trait]
pub trait Bind: Send + Sync {
    /// Stops pulling, waits for answers (at most `drain`), unbinds and closes; every pulled part is answered by then.
    async fn stop(self: Box<Self>, drain: Duration);

    /// Submits without answer now.
    fn in_flight(&self) -> u32;
}
