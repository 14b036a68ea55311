//! /metrics, /live and /ready over plain HTTP for the machines that watch.
//!
//! Ready = every named condition holds; the answer lists those that do not, with what to do. What an operator must know
//! and what stops only a part of the work (a carrier, the common count of an account) is listed too, and the answer is
//! ready all the same: nobody is served better by taking the process away.
//!
//! Must stay true: a condition is listed as it was told last, by whoever watches it.

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
pub struct Readiness(Arc<Mutex<BTreeMap<String, Stand>>>);

/// How a condition stands.
#[derive(Debug)]
enum Stand {
    Holds,
    Noted(String),
    Not(String),
}

impl Readiness {
    /// A condition does not hold, and why.
    pub fn not(&self, condition: &str, why: impl Into<String>) {
        self.put(condition, Stand::Not(why.into()));
    }

    /// A condition does not hold, and the process is ready all the same.
    pub fn notes(&self, condition: &str, why: impl Into<String>) {
        self.put(condition, Stand::Noted(why.into()));
    }

    /// A condition holds.
    pub fn holds(&self, condition: &str) {
        self.put(condition, Stand::Holds);
    }

    /// A condition is of no concern to this process any more.
    pub fn forgets(&self, condition: &str) {
        self.with(|all| all.remove(condition));
    }

    /// Whether everything holds.
    pub fn is_ready(&self) -> bool {
        self.with(|all| !all.values().any(|stand| matches!(stand, Stand::Not(_))))
    }

    fn text(&self) -> String {
        let word = |stand: &Stand| match stand {
            Stand::Holds => "ok".to_owned(),
            Stand::Noted(why) | Stand::Not(why) => why.clone(),
        };
        self.with(|all| all.iter().map(|(name, stand)| format!("{name}: {}\n", word(stand))).collect())
    }

    fn put(&self, condition: &str, stand: Stand) {
        self.with(|all| all.insert(condition.to_owned(), stand));
    }

    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<String, Stand>) -> R) -> R {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_told_and_stops_nobody() {
        let readiness = Readiness::default();
        readiness.holds("log");
        readiness.notes("account a", "LOA-203 away");
        assert!(readiness.is_ready());
        assert_eq!(readiness.text(), "account a: LOA-203 away\nlog: ok\n");
        readiness.not("log", "LOA-005 away");
        assert!(!readiness.is_ready());
        readiness.forgets("account a");
        readiness.holds("log");
        assert_eq!((readiness.is_ready(), readiness.text().as_str()), (true, "log: ok\n"));
    }
}
