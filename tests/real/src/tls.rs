//! One authority, a server and a client that it vouches for, as PEM files beside a server.
//!
//! Must stay true: everything is made anew for each set of servers, and nothing outside of a test trusts it.

use std::path::{Path, PathBuf};

use loa_harness::Fault;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The name under which servers are found: their certificate is for it.
pub(crate) const HOST: &str = "localhost";

/// Texts in PEM.
pub(crate) struct Certificates {
    /// Who vouches for both.
    pub(crate) ca: String,
    /// Key and certificate of a server, in one.
    pub(crate) server: String,
    certificate: String,
    key: String,
}

/// Files by which a client is known and knows its servers.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// Who vouches for the servers.
    pub ca: PathBuf,
    /// The client's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, Fault> {
        let named = |names: Vec<String>, name: &str| {
            let mut params = CertificateParams::new(names)?;
            // Who has the name of its issuer is taken for its own.
            params.distinguished_name.push(DnType::CommonName, name);
            Ok::<_, rcgen::Error>(params)
        };
        let mut params = named(Vec::new(), "an authority of tests")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let [server_key, key] = [KeyPair::generate()?, KeyPair::generate()?];
        let server = named(vec![HOST.to_owned()], HOST)?.signed_by(&server_key, &ca)?;
        let client = named(vec!["loa".to_owned()], "loa")?.signed_by(&key, &ca)?;
        Ok(Self {
            ca: ca.pem(),
            server: server_key.serialize_pem() + &server.pem(),
            certificate: client.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Writes down what a client needs.
    pub(crate) fn for_client(&self, folder: &Path) -> Result<ClientFiles, Fault> {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).map(|()| path)
        };
        Ok(ClientFiles {
            ca: file("client-ca.pem", &self.ca)?,
            certificate: file("client.pem", &self.certificate)?,
            key: file("client-key.pem", &self.key)?,
        })
    }
}
