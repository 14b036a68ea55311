//! Spans reach a collector, and one trace leads from the call at registry through dispatch into the gateways: the context
//! travels in the headers of records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loa_harness::turns::beside_others;
use loa_harness::{Plan, SiteOptions, TestResult, fault, say, wait_for};
use loa_testkit::otlp::Spans;

/// Spans of one trace by what they are named after.
const WAY: [&str; 3] = ["rpc", "release", "hand over"];

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_call_to_the_carrier() -> TestResult {
    let _turn = beside_others().await;
    let spans = Spans::listen().await?;
    let mut site = SiteOptions::process().set("telemetry.otlp_endpoint", spans.endpoint()).start().await?;
    site.people(50).await?;
    let id = site.running(&Plan::default()).await?;
    site.finished(&id).await?;

    let found = wait_for("a trace spans registry, dispatch and a gateway", Duration::from_secs(30), async || {
        let mut traces: BTreeMap<Vec<u8>, BTreeSet<String>> = BTreeMap::new();
        for span in spans.received() {
            traces.entry(span.trace_id).or_default().insert(span.name);
        }
        let whole = traces.values().find(|names| WAY.iter().all(|part| names.contains(*part)));
        let longest = traces.values().max_by_key(|names| names.len());
        whole.map(|names| Some(names.clone())).ok_or_else(|| fault(format!("the longest trace has {longest:?}")))
    })
    .await?;
    say(format!("one trace: {found:?}"));
    let told = format!("{:?}", spans.received());
    assert_eq!(site.secrets.found_in(&told), [0_usize; 0], "personal data in spans");
    site.finish().await.map(drop)
}
