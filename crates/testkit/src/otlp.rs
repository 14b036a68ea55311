//! A receiver of spans: what a collector would get from a process, kept to be looked at.
//!
//! Must stay true: it speaks the OTLP of the wire, so the exporter, its batching and its end at a stop are tested too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Spans kept, at most; later ones are counted out.
const SPANS_MAX: usize = 500_000;

/// A running receiver; it ends with its runtime.
#[derive(Debug, Clone)]
pub struct Spans {
    addr: SocketAddr,
    kept: Arc<Mutex<Vec<Span>>>,
}

impl Spans {
    /// Listens on a free port.
    pub async fn listen() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let spans = Self { addr: listener.local_addr()?, kept: Arc::default() };
        let service = TraceServiceServer::new(spans.clone());
        let serve = tonic::transport::Server::builder().add_service(service);
        #[allow(
            clippy::disallowed_methods,
            reason = "a test's collector has no context; it ends with the test's runtime"
        )]
        tokio::spawn(serve.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(spans)
    }

    /// What `telemetry.otlp_endpoint` must be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Span> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SPANS_MAX.saturating_sub(kept.len());
        kept.extend(spans.take(room));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
