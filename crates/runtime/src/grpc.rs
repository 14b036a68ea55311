//! The gRPC server of a process: every role's service on one port, with authentication, health and reflection.
//!
//! Must stay true: a call reaches a service only with a known key (health and reflection excepted); the caller is in the
//! request's extensions.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use loa_domain::limits::GRPC_MESSAGE_BYTES_MAX;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tower::{Layer, Service as TowerService};

use crate::ctx::Ctx;
use crate::rpc::{Caller, unauthenticated};
use crate::service::{Service, ServiceError};

/// SHA-256 of a key: all that the configuration holds of it.
pub fn key_hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Users by the hash of their key.
#[derive(Debug, Clone, Default)]
pub struct Users(Arc<HashMap<[u8; 32], Caller>>);

impl Users {
    /// From (key hash, user) pairs.
    pub fn new(users: impl IntoIterator<Item = ([u8; 32], Caller)>) -> Self {
        Self(Arc::new(users.into_iter().collect()))
    }

    fn find(&self, headers: &http::HeaderMap) -> Option<Caller> {
        let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let key = value.strip_prefix("Bearer ")?;
        self.0.get(&key_hash(key)).cloned()
    }
}

/// Puts the caller into the request, or refuses it.
#[derive(Debug, Clone)]
struct Authenticate(Users);

impl<S> Layer<S> for Authenticate {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, users: self.0.clone() }
    }
}

#[derive(Debug, Clone)]
struct Authenticated<S> {
    inner: S,
    users: Users,
}

impl<S> TowerService<http::Request<Body>> for Authenticated<S>
where
    S: TowerService<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = futures_util::future::Either<
        tracing::instrument::Instrumented<S::Future>,
        std::future::Ready<Result<S::Response, S::Error>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        use futures_util::future::Either;
        use tracing::Instrument as _;

        let path = request.uri().path();
        let open = path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.");
        let span = tracing::info_span!("rpc", path);
        if let Some(parent) = request.headers().get(crate::record::TRACEPARENT).and_then(|value| value.to_str().ok()) {
            crate::telemetry::continue_trace(&span, parent);
        }
        match self.users.find(request.headers()) {
            Some(caller) => {
                request.extensions_mut().insert(caller);
            }
            None if open => {}
            None => return Either::Right(std::future::ready(Ok(unauthenticated().into_http()))),
        }
        Either::Left(self.inner.call(request).instrument(span))
    }
}

/// The gRPC server of this process.
pub struct GrpcServer {
    /// Bound already.
    pub listener: TcpListener,
    /// Every role's service.
    pub routes: Routes,
    /// Names of the services, for health.
    pub services: Vec<&'static str>,
    /// Who may call.
    pub users: Users,
    /// Certificate, key and the CA of clients, if TLS is configured.
    pub tls: Option<ServerTlsConfig>,
}

#[async_trait]
impl Service for GrpcServer {
    fn name(&self) -> &'static str {
        "grpc"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for service in &self.services {
            reporter.set_service_status(*service, tonic_health::ServingStatus::Serving).await;
        }
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(loa_contract::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let mut server = Server::builder();
        if let Some(tls) = self.tls {
            server = server.tls_config(tls)?;
        }
        let routes = self.routes.add_service(health).add_service(reflection);
        // Without it a small answer, such as leave to send more, waits for the peer's delayed acknowledgement.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let stopping = ctx.clone();
        server
            .layer(Authenticate(self.users))
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move { stopping.stopping().await })
            .await?;
        Ok(())
    }
}

/// Applies Loa's message limit to a generated server: `limited!(XServer::new(service))`.
#[macro_export]
macro_rules! limited {
    ($server:expr) => {
        $server
            .max_decoding_message_size($crate::grpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size($crate::grpc::MESSAGE_BYTES_MAX)
    };
}

/// Bytes of one gRPC message, at most.
pub const MESSAGE_BYTES_MAX: usize = GRPC_MESSAGE_BYTES_MAX;
