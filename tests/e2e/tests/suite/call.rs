//! `loa call` on the binary: any call by its name, JSON in and a line of JSON for each answer; faults with their fields and
//! the exit codes of every command.

use std::process::{Output, Stdio};

use loa_harness::process::binary;
use loa_harness::turns::beside_others;
use loa_harness::{Fault, Plan, Site, SiteOptions, TestResult, fault};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const PEOPLE: u64 = 50;

/// Types a command as somebody; what it prints, and its exit code.
async fn typed(site: &Site, user: &str, words: &[&str], input: &str) -> Result<(Output, i32), Fault> {
    let mut command = Command::new(binary()?);
    command.arg("--data").arg(site.data()).args(["--as", user]).args(words);
    command.env_remove("LOA_KEY").env_remove("LOA_SERVER").kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(|| fault("no standard input"))?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let code = output.status.code().ok_or_else(|| fault("it was killed"))?;
    Ok((output, code))
}

/// What a call answers, which must go well.
async fn called(site: &Site, user: &str, words: &[&str]) -> Result<String, Fault> {
    let (output, code) = typed(site, user, words, "").await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if code == 0 { Ok(String::from_utf8(output.stdout)?) } else { Err(fault(format!("{words:?}: {code}: {said}"))) }
}

/// A call that is refused with this code says this.
async fn refused(site: &Site, user: &str, words: &[&str], code: i32, says: &[&str]) -> TestResult {
    let (output, found) = typed(site, user, words, "").await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(found, code, "{words:?}: {said}");
    assert!(says.iter().all(|part| said.contains(part)), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?}: a refusal is no result");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_is_typed_by_its_name() -> TestResult {
    let _turn = beside_others().await;
    let mut site = SiteOptions::process().start().await?;
    site.people(PEOPLE).await?;

    let list = called(&site, "viewer", &["call", "--list"]).await?;
    for method in
        ["loa.registry.v1.RegistryService/ListUnits  ", "loa.audience.v1.AudienceService/ImportDataset  stream "]
    {
        assert!(list.lines().any(|line| line.starts_with(method)), "{method}: {list}");
    }
    let fields = called(&site, "viewer", &["call", "--list", "RegistryService/PutUnit"]).await?;
    assert!(fields.contains(r#""unit":"loa.registry.v1.Unit""#), "{fields}");

    let unit =
        r#"{"unit": {"code": "so-y-te", "name": "Sở Y tế", "kind": "so", "valid_from": "2020-01-01T00:00:00Z"}}"#;
    called(&site, "operator", &["call", "loa.registry.v1.RegistryService/PutUnit", unit]).await?;
    let units = called(&site, "viewer", &["call", "RegistryService/ListUnits"]).await?;
    assert!(
        units.contains(r#""name":"Sở Y tế""#) && units.contains(r#""valid_from":"2020-01-01T00:00:00Z""#),
        "{units}"
    );

    let id = site.running(&Plan::default()).await?;
    site.finished(&id).await?;
    let request = format!(r#"{{"campaign_id": "{id}"}}"#);
    let (ledger, code) = typed(&site, "viewer", &["call", "ReportService/GetLedger", "-"], &request).await?;
    let ledger = String::from_utf8(ledger.stdout)?;
    assert!(code == 0 && ledger.contains(&format!(r#""delivered":{PEOPLE}"#)), "{code} {ledger}");
    let export = called(&site, "operator", &["call", "ReportService/ExportLedger", &request]).await?;
    assert!(
        export.lines().count() > 0 && export.lines().all(|line| line.starts_with(r#"{"data":""#)),
        "one line an answer"
    );

    // What is not sent at all, and what the server says: by field, by right, by whether it is there.
    refused(&site, "viewer", &["call", "RegistryService/ListUnits", r#"{"pages": 1}"#], 2, &["pages"]).await?;
    refused(&site, "viewer", &["call", "RegistryService/Unlist"], 2, &["no method `Unlist`", "ListUnits"]).await?;
    refused(&site, "viewer", &["call", "Nobody/ListUnits"], 2, &["no service `Nobody`", "RegistryService"]).await?;
    let start = r#"[{"start": {"dataset": "A B"}}]"#;
    refused(&site, "operator", &["call", "AudienceService/ImportDataset", start], 2, &["dataset: "]).await?;
    let pause = format!(r#"{{"id": "{id}"}}"#);
    refused(&site, "viewer", &["call", "RegistryService/PauseCampaign", &pause], 4, &[]).await?;
    refused(&site, "viewer", &["--server", "http://127.0.0.1:9", "call", "--list"], 3, &["no answer from the server"])
        .await?;
    site.finish().await.map(drop)
}
