//! What a session tells its caller while it reads.

use std::time::Duration;

use crate::pdu::{BindResp, Message};

/// Names one deliver_sm for its later answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliverToken {
    pub(super) sequence: u32,
    pub(super) command: u32,
}

/// One thing that happened; borrowed from the input, so copy what must outlive the call.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a, T> {
    /// Messages may go from now on.
    Bound(BindResp<'a>),
    /// The peer refused the bind; the session is closed.
    BindRefused { status: u32 },
    /// A submit was answered; `message_id` is empty when refused, and at some carriers when accepted.
    Answered { handle: T, status: u32, message_id: &'a [u8], took: Duration },
    /// A submit that had expired was answered after all.
    AnsweredLate { handle: T, status: u32, message_id: &'a [u8] },
    /// A submit got no answer in time: in doubt, never failed.
    Expired { handle: T },
    /// A receipt or a mobile-originated message; answer it with `token` when it is durable.
    Delivered { token: DeliverToken, message: Message<'a>, raw: &'a [u8] },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the peer refused the bind with status {status:#06x}")]
    BindRefused { status: u32 },
    #[error("the peer did not answer the bind in time")]
    BindTimedOut,
    #[error("unbound as asked")]
    Unbound,
    #[error("the peer unbound")]
    PeerUnbound,
    #[error("the peer left too many requests unanswered")]
    PeerSilent,
    #[error("the peer sent a length that cannot be right, so where a PDU begins is not known any more")]
    FramingLost,
    #[error("the socket closed")]
    SocketClosed,
}
