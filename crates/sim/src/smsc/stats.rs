//! What a message centre has done, for tests and for people.

crate::counters::counters! {
    /// Connections bound now.
    bound,
    /// Binds refused.
    binds_refused,
    /// Submits accepted; each stands in the sink log.
    accepted,
    /// Submits answered with RTHROTTLED or RMSGQFUL.
    throttled,
    /// Submits refused for another reason.
    refused,
    /// Receipts written, repetitions included.
    receipts_sent,
    /// Receipts the client has acknowledged with status 0.
    receipts_acknowledged,
    /// Receipts the client has refused for now; they come again.
    receipts_refused,
}
