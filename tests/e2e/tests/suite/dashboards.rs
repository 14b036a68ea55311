//! What the dashboard and the alert rules ask for is what a running process tells on /metrics.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use loa_harness::turns::beside_others;
use loa_harness::{SiteOptions, TestResult, fault, wait_for};

/// All roles are at work by then; the clock is compared each minute.
const LIMIT: Duration = Duration::from_secs(90);
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dashboards");
    let texts = FILES.map(|file| std::fs::read_to_string(folder.join(file)));
    for (file, text) in FILES.iter().zip(texts) {
        let text = text?;
        let shown = names(&text);
        assert!(shown.len() > 3, "{file} shows {shown:?}");
        // A role tells its meters when it has begun to work.
        wait_for("every meter that is shown is told", LIMIT, async || {
            let metrics = site.process()?.metrics().await?;
            let told: BTreeSet<&str> =
                metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_whitespace().next()).collect();
            let strange: Vec<_> = shown.difference(&told).collect();
            if strange.is_empty() { Ok(Some(())) } else { Err(fault(format!("{file} asks for {strange:?}"))) }
        })
        .await?;
    }
    site.finish().await.map(drop)
}
