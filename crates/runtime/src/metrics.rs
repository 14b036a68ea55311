//! Meters: counters and gauges by name, made at first use, written as Prometheus text.
//!
//! Must stay true: no label ever holds a number, an address or a text of a person.

use std::sync::Arc;

use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// The meters of one process; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Registry>,
    known: Arc<std::sync::Mutex<std::collections::HashMap<String, Meter>>>,
}

#[derive(Clone)]
enum Meter {
    Counter(IntCounter),
    CounterVec(IntCounterVec),
    Gauge(IntGauge),
    GaugeVec(IntGaugeVec),
    FloatGaugeVec(GaugeVec),
    Histogram(Histogram),
}

macro_rules! meter {
    ($self:ident, $name:ident, $kind:ident, $make:expr) => {{
        let mut known = $self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(Meter::$kind(meter)) = known.get($name) {
            return meter.clone();
        }
        let meter = $make.expect("names and labels of meters are literals of legal form");
        // A meter of another kind under the same name is a programming error and stays unregistered.
        if $self.registry.register(Box::new(meter.clone())).is_ok() {
            known.insert($name.to_owned(), Meter::$kind(meter.clone()));
        }
        meter
    }};
}

impl Metrics {
    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        meter!(self, name, Counter, IntCounter::new(name, help))
    }

    /// A counter with labels.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        meter!(self, name, CounterVec, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        meter!(self, name, Gauge, IntGauge::new(name, help))
    }

    /// A gauge with labels.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        meter!(self, name, GaugeVec, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge of fractions, with labels.
    pub fn float_gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        meter!(self, name, FloatGaugeVec, GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram in seconds.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        meter!(self, name, Histogram, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    /// All meters as Prometheus text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::warn!(%error, "meters could not be written");
        }
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_meter() {
        let metrics = Metrics::default();
        metrics.counter("loa_test_total", "for the test").inc();
        metrics.counter("loa_test_total", "for the test").inc();
        assert!(metrics.text().contains("loa_test_total 2"), "{}", metrics.text());
    }
}
