//! What a gateway counts, by account. Must stay true: no label holds anything about a person.

use loa_domain::channel::Channel;
use loa_runtime::metrics::Metrics;
use prometheus::{IntCounter, IntGauge};

use crate::message::Fate;

/// The counters of one account.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Messages accepted by the carrier or next hop.
    pub accepted: IntCounter,
    /// Messages refused or given up.
    pub refused: IntCounter,
    /// Messages that may have reached the person.
    pub in_doubt: IntCounter,
    /// Messages given back.
    pub returned: IntCounter,
    /// Parts that the carrier did not take since we were too fast.
    pub throttled: IntCounter,
    /// Slices claimed and not finished.
    pub begun: IntGauge,
}

impl Meters {
    /// The counters of an account.
    pub fn new(metrics: &Metrics, channel: Channel, account: &str) -> Self {
        let counter = |what: &str, help: &str| {
            metrics
                .counter_vec(&format!("loa_{channel}_{what}_total"), help, &["account"])
                .with_label_values(&[account])
        };
        let begun = format!("loa_{channel}_slices_begun");
        Self {
            accepted: counter("accepted", "messages accepted by the carrier or the next hop"),
            refused: counter("refused", "messages refused for good or given up"),
            in_doubt: counter("in_doubt", "messages whose hand-over began and whose result is not known"),
            returned: counter("returned", "messages given back without having been handed over"),
            throttled: counter("throttled", "parts that were not taken since we were too fast"),
            begun: metrics
                .gauge_vec(&begun, "slices claimed and not finished", &["account"])
                .with_label_values(&[account]),
        }
    }

    /// Counts fates.
    pub fn count(&self, fates: &[Fate]) {
        let of = |wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count() as u64;
        self.accepted.inc_by(of(|fate| matches!(fate, Fate::Accepted)));
        self.refused.inc_by(of(|fate| matches!(fate, Fate::Rejected { .. } | Fate::Undelivered { .. })));
        self.in_doubt.inc_by(of(|fate| matches!(fate, Fate::InDoubt { .. })));
        self.returned.inc_by(of(|fate| matches!(fate, Fate::Returned { .. })));
    }
}
