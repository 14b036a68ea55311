//! What a bind counts: things that are not errors, but that somebody should see when they grow.

use loa_runtime::metrics::Metrics;
use prometheus::IntCounter;

/// Counters shared by all binds of this process.
#[derive(Clone)]
pub(crate) struct Meters {
    /// Answers that came after their time-out.
    pub(crate) late_answers: IntCounter,
    /// Receipts without an identifier, and messages that are no receipts.
    pub(crate) unmatched: IntCounter,
    /// PDUs that were not as the specification says.
    pub(crate) odd_pdus: IntCounter,
    /// Receipts whose TLVs and text contradict each other.
    pub(crate) conflicts: IntCounter,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            late_answers: metrics.counter(
                "loa_smpp_late_answers_total",
                "Answers to submits that came after their time-out; the messages stay in doubt until their receipt.",
            ),
            unmatched: metrics.counter(
                "loa_smpp_unmatched_deliveries_total",
                "deliver_sm that name no message: receipts without an id, mobile-originated messages.",
            ),
            odd_pdus: metrics
                .counter("loa_smpp_odd_pdus_total", "PDUs read leniently because they break the specification."),
            conflicts: metrics.counter(
                "loa_smpp_receipt_conflicts_total",
                "Receipts whose TLVs contradict their text; the TLVs were taken.",
            ),
        }
    }
}
