//! Somebody who vouches for servers and clients of a test, in PEM.
//!
//! Must stay true: everything is made anew, and nothing outside of a test trusts it.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::Fault;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Who shows a certificate of an authority.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self, Fault> {
        let mut params = named("an authority of tests", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Vouches for who has these names, of which there is one at least.
    pub fn vouches_for(&self, names: &[&str]) -> Result<Identity, Fault> {
        let key = KeyPair::generate()?;
        let certificate = named(names.first().copied().unwrap_or_default(), names)?.signed_by(&key, &self.0)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Who has the name of its issuer would be taken for its own.
fn named(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
