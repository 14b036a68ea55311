//! How the other roles are reached: a lazy gRPC channel each, with the system key on every call.
//!
//! Must stay true: services talk through loopback gRPC even when they share a process, so one process and many behave
//! alike.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::role::Role;

/// A channel that carries a key and the trace context.
pub type Peer = InterceptedService<Channel, AddKey>;

/// Adds `authorization: Bearer <key>` and `traceparent` to each call.
#[derive(Clone)]
pub struct AddKey(Option<MetadataValue<Ascii>>);

impl AddKey {
    /// A key in its header form; a key that is not visible ASCII is left out and refused by the server.
    pub fn new(key: &str) -> Self {
        let mut value = MetadataValue::<Ascii>::try_from(format!("Bearer {key}")).ok();
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Self(value)
    }
}

impl Interceptor for AddKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        if let Some(parent) = crate::telemetry::traceparent().and_then(|text| MetadataValue::try_from(text).ok()) {
            request.metadata_mut().insert("traceparent", parent);
        }
        Ok(request)
    }
}

/// The other roles.
#[derive(Clone, Default)]
pub struct Peers {
    channels: Arc<HashMap<Role, Channel>>,
    key: Option<AddKey>,
}

impl Peers {
    /// Channels to each role's endpoint (`http://` or `https://`); must be called within a runtime.
    pub fn new(
        endpoints: &HashMap<Role, String>,
        tls: Option<&ClientTlsConfig>,
        system_key: &str,
    ) -> Result<Self, tonic::transport::Error> {
        let mut channels = HashMap::new();
        for (&role, url) in endpoints {
            channels.insert(role, endpoint(url, tls)?.connect_lazy());
        }
        Ok(Self { channels: Arc::new(channels), key: Some(AddKey::new(system_key)) })
    }

    /// The channel to a role. Calls fail with UNAVAILABLE where no endpoint is known.
    pub fn channel(&self, role: Role) -> Peer {
        let channel = self.channels.get(&role).cloned().unwrap_or_else(|| {
            // Port 9 (discard) on loopback: nothing listens, the call says UNAVAILABLE.
            Endpoint::from_static("http://127.0.0.1:9").connect_lazy()
        });
        InterceptedService::new(channel, self.key.clone().unwrap_or(AddKey(None)))
    }
}

/// An endpoint with Loa's time-outs and keep-alives.
pub fn endpoint(url: &str, tls: Option<&ClientTlsConfig>) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(std::time::Duration::from_secs(5))
        .keep_alive_timeout(std::time::Duration::from_secs(10))
        .http2_keep_alive_interval(std::time::Duration::from_secs(25))
        .tcp_nodelay(true);
    match tls {
        Some(tls) if url.starts_with("https:") => endpoint.tls_config(tls.clone()),
        _ => Ok(endpoint),
    }
}
