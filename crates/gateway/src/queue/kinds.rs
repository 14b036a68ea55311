//! What a queue holds and hands out.
//!
//! Must stay true: a message of a claimed slice is counted as open until nothing more is to come of it.

use std::sync::Arc;

use loa_domain::hash::HashKey;
use loa_domain::ids::AccountId;
use loa_domain::state::{Reason, Returned};
use loa_ports::bucket::Bucket;

use crate::blocks::Known;
use crate::live::Place;
use crate::look::Stops;
use crate::message::{Answer, Message};
use crate::offer::Offer;

/// A slice that nobody has claimed yet, as far as is known.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Its release.
    pub offer: Arc<Offer>,
    /// Its number.
    pub slice: u16,
    /// Where it was read.
    pub place: Place,
}

/// What is done with a pending slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    /// Claim it and hand it over.
    Begin,
    /// Give it back.
    GiveBack(Returned),
    /// Claim it and refuse all of it.
    Refuse(Reason),
    /// Leave it where it is.
    Wait,
}

/// A slice under a claim of this process.
#[derive(Debug)]
pub struct Begun<R> {
    /// Its release.
    pub offer: Arc<Offer>,
    /// Its number.
    pub slice: u16,
    /// Its messages, one per recipient.
    pub messages: Vec<Message>,
    /// What the channel has ready for the wire.
    pub ready: R,
    /// The carrier's ids: recipient within the slice, part, id.
    pub ids: Vec<(u16, u8, String)>,
    start: usize,
    pub(super) cursor: usize,
    pub(super) open: usize,
}

impl<R> Begun<R> {
    /// A claimed slice; `parts` holds for each recipient how many parts it has, or why it cannot be sent.
    pub fn new(offer: Arc<Offer>, slice: u16, ready: R, parts: &[Result<u8, Reason>]) -> Self {
        let message = |parts: &Result<u8, Reason>| parts.map_or_else(Message::refused, Message::new);
        let messages: Vec<_> = parts.iter().map(message).collect();
        let open = messages.iter().filter(|message| !message.is_over()).count();
        let start = offer.range(slice).start;
        Self { offer, slice, messages, ready, ids: Vec::new(), start, cursor: 0, open }
    }

    /// The place among the release's recipients of the slice's `at`-th one.
    pub fn recipient(&self, at: usize) -> usize {
        self.start + at
    }

    pub(super) fn waiting_parts(&self) -> u32 {
        self.messages.iter().map(Message::waiting_parts).sum()
    }
}

/// Parts of one message that leave now.
#[derive(Debug)]
pub struct Leaves<'a, R> {
    /// The slice it belongs to.
    pub begun: &'a Begun<R>,
    /// Its place within the slice.
    pub at: usize,
    /// Given back with each part's answer.
    pub handle: u64,
    /// Which parts leave, as bits.
    pub parts: u16,
}

/// What is true while one pull lasts.
pub(crate) struct Moment<'a> {
    /// Wall time.
    pub now_us: i64,
    /// Whether control.v1 and blocks.v1 are known to their ends.
    pub fresh: bool,
    /// Whether the wall clock agrees with the database's.
    pub clock_agrees: bool,
    /// States of campaigns.
    pub stops: &'a dyn Stops,
    /// Blocks of the last hour.
    pub blocks: &'a Known,
    /// The installation's key.
    pub key: &'a HashKey,
}

/// Where tokens are taken.
pub(crate) struct Purse<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// Its bucket.
    pub bucket: &'a dyn Bucket,
}

/// A carrier's word on a part.
#[derive(Debug)]
pub struct Word {
    /// From [`Leaves`].
    pub handle: u64,
    /// The part, from 0.
    pub part: u8,
    /// What it says.
    pub answer: Answer,
    /// The carrier's id of an accepted part.
    pub id: Option<String>,
}
