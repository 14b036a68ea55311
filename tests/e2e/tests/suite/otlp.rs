//! Spans reach a collector, and one trace leads from the call at registry through dispatch into the gateways: the context
//! travels in the headers of records, from instance to instance too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Kind, Plan, SiteOptions, TestResult, capture, fault, say, wait_for};
use loa_runtime::telemetry::traceparent;
use loa_testkit::otlp::Spans;
use tracing::Instrument as _;

/// Spans of one trace by what they are named after.
const WAY: [&str; 3] = ["rpc", "release", "hand over"];

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_call_to_the_carrier() -> TestResult {
    let _turn = beside_others().await;
    let spans = Spans::listen().await?;
    scenario(SiteOptions::process().set("telemetry.otlp_endpoint", spans.endpoint()), spans).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_from_the_call_to_the_carrier_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    // Instances of one program share its telemetry, and so do the storms of other tests.
    scenario(SiteOptions::storm(seed("traces in a storm")), capture::spans()?).await
}

async fn scenario(options: SiteOptions, spans: Spans) -> TestResult {
    let in_a_storm = matches!(options.kind, Kind::Storm(_));
    let mut site = options.start().await?;
    site.people(50).await?;
    let asking = tracing::info_span!("asking");
    // Known where this program has telemetry; a process of its own begins its traces itself.
    let own = asking.in_scope(traceparent);
    assert!(own.is_some() || !in_a_storm, "this program has no telemetry");
    let id = site.running(&Plan::default()).instrument(asking).await?;
    site.finished(&id).await?;

    let found = wait_for("a trace spans registry, dispatch and a gateway", Duration::from_secs(30), async || {
        let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for span in spans.received() {
            let id = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
            traces.entry(id).or_default().insert(span.name);
        }
        traces.retain(|id, _| own.as_ref().is_none_or(|own| own.contains(id.as_str())));
        let whole = traces.values().find(|names| WAY.iter().all(|part| names.contains(*part)));
        let longest = traces.values().max_by_key(|names| names.len());
        whole.map(|names| Some(names.clone())).ok_or_else(|| fault(format!("the longest trace has {longest:?}")))
    })
    .await?;
    say(format!("one trace: {found:?}"));
    let told: String = spans.received().iter().map(|span| format!("{span:?}\n")).collect();
    assert_eq!(site.secrets.found_in(&told), [0_usize; 0], "personal data in spans");
    site.finish().await.map(drop)
}
