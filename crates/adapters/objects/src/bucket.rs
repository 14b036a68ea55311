//! A bucket of a store that speaks S3: how it is reached, and whether it is.
//!
//! Must stay true: nothing is made or changed by asking.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loa_ports::carrier::Secret;
use loa_runtime::config::ObjectsConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::error::told;

/// Until a connection stands, at most.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Without an octet of an answer, at most. A file may take as long as it comes at all.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// Requests are made again for so long.
const AGAIN_FOR: Duration = Duration::from_secs(20);
const AGAIN_MAX: usize = 5;

/// How a bucket is reached.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    prefix: Path,
    url: String,
}

/// A configuration no client can be made of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ObjectsError(String);

/// The bucket does not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("the object store at {url} cannot be used: {why}")]
pub struct Unreachable {
    url: String,
    why: String,
}

impl Bucket {
    /// Reads the CA and makes a client; nothing is asked yet.
    pub fn new(access: &ObjectsConfig) -> Result<Self, ObjectsError> {
        // The client takes the process's own; a second call changes nothing.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let mut client = ClientOptions::new()
            .with_allow_http(access.url.starts_with("http://"))
            .with_connect_timeout(CONNECT_WITHIN)
            .with_timeout_disabled()
            .with_read_timeout(SILENT_FOR);
        if let Some(path) = &access.ca {
            let fault = |why: String| ObjectsError(format!("objects.tls_ca: `{}` {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
            let certificates = Certificate::from_pem_bundle(&pem);
            let certificates = certificates.map_err(|error| fault(format!("holds no PEM certificate: {error}")))?;
            client = certificates.into_iter().fold(client, ClientOptions::with_root_certificate);
        }
        let retry = RetryConfig { max_retries: AGAIN_MAX, retry_timeout: AGAIN_FOR, ..RetryConfig::default() };
        let Secret(secret_key) = &access.secret_key;
        let store = AmazonS3Builder::new()
            .with_endpoint(access.url.trim_end_matches('/'))
            .with_bucket_name(&access.bucket)
            .with_region(&access.region)
            .with_access_key_id(&access.access_key)
            .with_secret_access_key(secret_key)
            .with_client_options(client)
            .with_retry(retry)
            .build()
            .map_err(|error| ObjectsError(format!("objects: {}", told(&error))))?;
        let prefix = Path::parse(&access.prefix).map_err(|error| ObjectsError(format!("objects.prefix: {error}")))?;
        Ok(Self { store: Arc::new(store), prefix, url: access.url.clone() })
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as Arc<dyn ObjectStore>
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Whether it answers and lets this user look.
    pub async fn reach(&self) -> Result<(), Unreachable> {
        match self.store.list(Some(&self.prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Unreachable { url: self.url.clone(), why: told(&error) }),
        }
    }
}
