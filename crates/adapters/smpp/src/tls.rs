//! TLS towards a carrier: its name is verified against the CAs the account names, versions 1.2 and 1.3.
//!
//! Must stay true: a connection whose certificate does not fit is never used, not even to say why.

use std::sync::Arc;

use loa_ports::carrier::CarrierTls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why the TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("`tls.ca` holds no certificate that can be read: give the carrier's CA as PEM")]
    NoCa,
    #[error("`tls.server_name` is not a host name: give the name in the carrier's certificate")]
    ServerName,
    #[error("could not set up TLS")]
    Setup(#[from] rustls::Error),
}

/// A connector for one account; made once.
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(crate) fn new(settings: &CarrierTls) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let readable = CertificateDer::pem_slice_iter(&settings.ca_pem).filter_map(Result::ok);
        roots.add_parsable_certificates(readable);
        if roots.is_empty() {
            return Err(TlsError::NoCa);
        }
        let name = ServerName::try_from(settings.server_name.clone()).map_err(|_| TlsError::ServerName)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(crate) async fn connect<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.name.clone(), stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_setting_that_is_wrong() {
        let error = |server_name: &str, ca: &[u8]| {
            let settings = CarrierTls { server_name: server_name.to_owned(), ca_pem: ca.to_vec() };
            Tls::new(&settings).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error("smsc.example.test", b"not PEM").contains("tls.ca"));
        let ca = rcgen::generate_simple_self_signed(["ca.example.test".to_owned()]).unwrap().cert.pem();
        assert!(error("not a name", ca.as_bytes()).contains("tls.server_name"));
    }
}
