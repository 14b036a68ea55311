//! The connection of a command: which server, as whom.

use std::path::PathBuf;

use loa_contract::pb::{audience, dispatch, email, registry, report, sms};
use loa_runtime::peers::{AddKey, endpoint};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use super::args::Global;
use crate::exit::Failure;
use crate::keys::Keys;
use crate::place::Addresses;

/// A channel that acts as the user.
pub type Link = InterceptedService<Channel, AddKey>;

/// Clients of every service over one channel.
#[derive(Clone)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Connects lazily; the key is the user's.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let data = data(global);
        let server = match &global.server {
            Some(url) => url.clone(),
            None => Addresses::read(&data)
                .map_or_else(|| "http://127.0.0.1:7400".to_owned(), |known| format!("http://{}", known.grpc)),
        };
        let key = match &global.api_key {
            Some(key) => key.clone(),
            None => {
                let keys = Keys::read(&data).map_err(Failure::Usage)?;
                let key = keys.of(&global.user).map(str::to_owned);
                key.ok_or_else(|| {
                    Failure::Usage(format!("no key of user `{}`; known: {}", global.user, keys.users().join(", ")))
                })?
            }
        };
        Self::to(&server, &key, global.ca.as_ref())
    }

    /// Connects to an address with a key.
    pub fn to(server: &str, key: &str, ca: Option<&PathBuf>) -> Result<Self, Failure> {
        let tls = match ca {
            Some(path) => {
                let pem = std::fs::read(path)
                    .map_err(|error| Failure::Usage(format!("--ca `{}`: {error}", path.display())))?;
                Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
            }
            None => None,
        };
        let endpoint =
            endpoint(server, tls.as_ref()).map_err(|error| Failure::Usage(format!("--server `{server}`: {error}")))?;
        Ok(Self { link: InterceptedService::new(endpoint.connect_lazy(), AddKey::new(key)) })
    }

    /// The channel itself.
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// The registry.
    pub fn registry(&self) -> registry::v1::registry_service_client::RegistryServiceClient<Link> {
        registry::v1::registry_service_client::RegistryServiceClient::new(self.link.clone())
    }

    /// Audience.
    pub fn audience(&self) -> audience::v1::audience_service_client::AudienceServiceClient<Link> {
        audience::v1::audience_service_client::AudienceServiceClient::new(self.link.clone())
    }

    /// Dispatch.
    pub fn dispatch(&self) -> dispatch::v1::dispatch_service_client::DispatchServiceClient<Link> {
        dispatch::v1::dispatch_service_client::DispatchServiceClient::new(self.link.clone())
    }

    /// The ledger.
    pub fn report(&self) -> report::v1::report_service_client::ReportServiceClient<Link> {
        report::v1::report_service_client::ReportServiceClient::new(self.link.clone())
    }

    /// The SMS gateway.
    pub fn sms(&self) -> sms::v1::sms_service_client::SmsServiceClient<Link> {
        sms::v1::sms_service_client::SmsServiceClient::new(self.link.clone())
    }

    /// The email gateway.
    pub fn email(&self) -> email::v1::email_service_client::EmailServiceClient<Link> {
        email::v1::email_service_client::EmailServiceClient::new(self.link.clone())
    }
}

/// The data folder of a command.
pub fn data(global: &Global) -> PathBuf {
    global.data.clone().unwrap_or_else(|| PathBuf::from("./loa-data"))
}

/// `name=value` pairs.
pub fn pairs(texts: &[String]) -> Result<std::collections::HashMap<String, String>, Failure> {
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let parsed: Option<_> = texts.iter().map(pair).collect();
    parsed.ok_or_else(|| Failure::Usage("--slot takes NAME=VALUE, e.g. --slot ten=Lan".to_owned()))
}
