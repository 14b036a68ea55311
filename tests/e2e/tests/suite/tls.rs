//! Over TLS everything works as without, a wrong CA is refused, and so is who speaks no TLS; on every port that speaks
//! gRPC.

use std::path::{Path, PathBuf};

use loa::cli::client::Client;
use loa::keys::Keys;
use loa_contract::pb::registry::v1::ListCampaignsRequest;
use loa_harness::authority::Authority;
use loa_harness::seed::seed;
use loa_harness::turns::beside_others;
use loa_harness::{Fault, Plan, SiteOptions, TestResult, fault};

/// PEM files of one authority and of a server that it vouches for.
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn make(folder: &Path, name: &str) -> Result<Files, Fault> {
    let ours = Authority::new()?;
    let server = ours.vouches_for(&["localhost", "127.0.0.1"])?;
    let file = |kind: &str, text: String| {
        let path = folder.join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, text).map(|()| path)
    };
    Ok(Files {
        ca: file("ca", ours.pem())?,
        certificate: file("server", server.certificate)?,
        key: file("key", server.key)?,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_over_tls_and_nobody_with_a_wrong_ca() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::process()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_over_tls_in_a_storm() -> TestResult {
    let _turn = beside_others().await;
    scenario(SiteOptions::storm(seed("TLS in a storm"))).await
}

async fn scenario(options: SiteOptions) -> TestResult {
    let folder = tempfile::tempdir()?;
    let (ours, others) = (make(folder.path(), "ours")?, make(folder.path(), "others")?);
    let options = SiteOptions { ca: Some(ours.ca.clone()), ..options };
    let options =
        options.set("grpc.tls_certificate", ours.certificate.display()).set("grpc.tls_key", ours.key.display());
    let mut site = options.set("grpc.tls_peer_ca", ours.ca.display()).start().await?;

    let keys = Keys::read(&site.data()).map_err(fault)?;
    let key = keys.of("viewer").ok_or_else(|| fault("no key"))?;
    let asks = async |url: String, ca: Option<&PathBuf>| {
        let client = Client::to(&url, key, ca).map_err(|failure| failure.to_string())?;
        let answer = client.registry().list_campaigns(ListCampaignsRequest::default()).await;
        answer.map(drop).map_err(|status| status.to_string())
    };
    for grpc in site.addresses().into_iter().map(|addresses| addresses.grpc) {
        asks(format!("https://{grpc}"), Some(&ours.ca)).await?;
        let believed = asks(format!("https://{grpc}"), Some(&others.ca)).await;
        assert!(believed.is_err(), "a server was believed that nobody vouched for");
        let plain = asks(format!("http://{grpc}"), None).await;
        assert!(plain.is_err(), "a call without TLS was answered");
    }

    site.people(60).await?;
    let id = site.running(&Plan::default()).await?;
    site.finished(&id).await?;
    site.finish().await.map(drop)
}
