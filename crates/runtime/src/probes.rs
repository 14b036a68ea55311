//! /metrics, /live and /ready over plain HTTP for the machines that watch.
//!
//! Ready = every named condition holds; the answer lists those that do not, with what to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::ctx::Ctx;
use crate::metrics::Metrics;
use crate::service::{Service, ServiceError};

/// What must hold before the process is ready; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// A condition does not hold, and why.
    pub fn not(&self, condition: &str, why: impl Into<String>) {
        self.with(|all| all.insert(condition.to_owned(), Some(why.into())));
    }

    /// A condition holds.
    pub fn holds(&self, condition: &str) {
        self.with(|all| all.insert(condition.to_owned(), None));
    }

    /// Whether everything holds.
    pub fn is_ready(&self) -> bool {
        self.with(|all| all.values().all(Option::is_none))
    }

    fn text(&self) -> String {
        self.with(|all| {
            let lines = all.iter().map(|(name, why)| format!("{name}: {}\n", why.as_deref().unwrap_or("ok")));
            lines.collect()
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<String, Option<String>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The HTTP server of the probes.
pub struct Probes {
    /// Bound already, so that a taken port is known before anything starts.
    pub listener: TcpListener,
    /// What to answer.
    pub readiness: Readiness,
    /// What to write.
    pub metrics: Metrics,
}

#[async_trait]
impl Service for Probes {
    fn name(&self) -> &'static str {
        "probes"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        let (metrics, readiness) = (self.metrics, self.readiness);
        let ready = move || async move {
            let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (code, readiness.text())
        };
        let router = Router::new()
            .route("/metrics", get(move || async move { metrics.text() }))
            .route("/live", get(|| async { "ok\n" }))
            .route("/ready", get(ready));
        axum::serve(self.listener, router).with_graceful_shutdown(async move { ctx.stopping().await }).await?;
        Ok(())
    }
}
