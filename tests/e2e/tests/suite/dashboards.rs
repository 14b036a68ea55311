//! What the dashboard and the alert rules ask for is what a running process tells on /metrics.

use std::collections::BTreeSet;
use std::path::Path;

use loa_harness::turns::beside_others;
use loa_harness::{SiteOptions, TestResult};

const FILES: [&str; 2] = ["loa.json", "alerts.yaml"];

/// Names of meters in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
    words.filter(|word| word.starts_with("loa_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_meter_that_is_shown_is_told() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::process().start().await?;
    let metrics = site.process()?.metrics().await?;
    let told: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_whitespace().next()).collect();
    for file in FILES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dashboards");
        let text = std::fs::read_to_string(folder.join(file))?;
        let shown = names(&text);
        assert!(shown.len() > 3, "{file} shows {shown:?}");
        let strange: Vec<_> = shown.difference(&told).collect();
        assert!(strange.is_empty(), "{file} asks for {strange:?}; a process tells {told:?}");
    }
    site.finish().await.map(drop)
}
