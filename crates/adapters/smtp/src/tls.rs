//! TLS towards a relay.
//!
//! Must stay true: where TLS is required, the certificate is verified against the relay's CA and name; where it is only
//! taken when offered, it is not verified (RFC 7435: encryption against listeners is better than none, and a refusal
//! would send the mail in the clear).

use std::sync::Arc;

use loa_ports::mailer::TlsPolicy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::error::Broken;

/// How to make a connection secure: with which settings and which name.
#[derive(Clone)]
pub(crate) struct Secure {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

impl Secure {
    /// The settings a policy asks for; `None` when it asks for none.
    pub(crate) fn of(policy: &TlsPolicy, address: &str) -> Result<Option<Self>, Broken> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Broken::TlsSettings(error.to_string()))?;
        let (config, name) = match policy {
            TlsPolicy::Off => return Ok(None),
            TlsPolicy::Opportunistic => {
                let verifier = Arc::new(Unverified { provider });
                let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
                (config, host(address))
            }
            TlsPolicy::Required(tls) => {
                let roots = roots(&tls.ca_pem)?;
                (builder.with_root_certificates(roots).with_no_client_auth(), tls.server_name.as_str())
            }
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Broken::TlsSettings("the server name must be a host name or an IP address".to_owned()))?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

/// The host of `host:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Broken> {
    let unusable = |why: String| Broken::TlsSettings(format!("the CA file must hold PEM certificates: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("there is none".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate, and checks only that the peer holds its key.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loa_ports::carrier::CarrierTls;

    #[test]
    fn settings_are_checked_before_the_first_connection() {
        #[track_caller]
        fn check(policy: TlsPolicy, address: &str, expected: &str) {
            let found = Secure::of(&policy, address).map(|secure| secure.map(|secure| format!("{:?}", secure.name)));
            let found = found.map_or_else(|error| error.chain(), |name| name.unwrap_or_default());
            assert!(found.contains(expected), "{found}");
        }
        let required = |server_name: &str, ca: &str| {
            TlsPolicy::Required(CarrierTls { server_name: server_name.to_owned(), ca_pem: ca.as_bytes().to_vec() })
        };
        check(TlsPolicy::Off, "mx.example.test:25", "");
        check(TlsPolicy::Opportunistic, "mx.example.test:25", "mx.example.test");
        check(TlsPolicy::Opportunistic, "[::1]:25", "IpAddress(V6");
        check(TlsPolicy::Opportunistic, "a b:25", "host name");
        check(required("mx.example.test", ""), "x:25", "the CA file must hold PEM certificates: there is none");
    }
}
