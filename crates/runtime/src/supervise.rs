//! Runs the parts of the process until a signal or the first exit, then gives the rest a grace period to settle.
//!
//! Must stay true: every exit is reported with its chain, once; parts that are late are named; a failed part stops the
//! process (crash early, never half alive).

use std::future::Future;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::ctx::Ctx;
use crate::service::{Chain, Service, ServiceError};

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All parts settled.
    Well,
    /// A part failed or was late.
    Badly {
        /// What is printed.
        why: String,
    },
}

/// Runs parts; `signal` resolves when the process is asked to stop.
pub async fn supervise(
    ctx: &Ctx,
    parts: Vec<Box<dyn Service>>,
    signal: impl Future<Output = ()>,
    grace: Duration,
) -> Ended {
    let mut running = tokio::task::JoinSet::new();
    for part in parts {
        let (name, ctx) = (part.name(), ctx.clone());
        // The set is part of the supervisor itself: it is what waits.
        running.spawn(async move { (name, part.run(ctx).await) });
    }
    let mut failures = Vec::new();
    tokio::select! {
        () = signal => info!("asked to stop"),
        () = ctx.stopping() => {}
        () = ctx.failed() => failures.push("a task panicked".to_owned()),
        Some(exit) = running.join_next() => failures.extend(failure(exit, true)),
    }
    ctx.stop();
    let settle = async {
        while let Some(exit) = running.join_next().await {
            failures.extend(failure(exit, false));
        }
        ctx.idle().await;
    };
    if tokio::time::timeout(grace, settle).await.is_err() {
        let late = ctx.tasks().join(", ");
        warn!(
            grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            late, "some parts did not settle in time"
        );
        failures.push(format!("did not settle in time: {late}"));
    }
    if failures.is_empty() { Ended::Well } else { Ended::Badly { why: failures.join("; ") } }
}

type Exit = Result<(&'static str, Result<(), ServiceError>), tokio::task::JoinError>;

fn failure(exit: Exit, first: bool) -> Option<String> {
    match exit {
        Ok((name, Ok(()))) if first => Some(format!("{name} ended by itself")),
        Ok((_, Ok(()))) => None,
        Ok((name, Err(ServiceError(cause)))) => {
            let chain = Chain(cause.as_ref()).to_string();
            error!(part = name, error = chain, "a part failed");
            Some(format!("{name}: {chain}"))
        }
        Err(join) => Some(format!("a part panicked: {join}")),
    }
}

/// Resolves at the first SIGINT or SIGTERM; a second one exits the process at once.
pub async fn signals() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        error!("signals cannot be received on this machine");
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    #[allow(clippy::disallowed_methods, reason = "must outlive every context: it is the way out when stopping hangs")]
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(1);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use loa_ports::clock::SystemClock;
    use std::sync::Arc;

    struct Part(&'static str, Option<&'static str>, bool);

    #[async_trait]
    impl Service for Part {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
            if let Some(why) = self.1 {
                return Err(why.into());
            }
            ctx.stopping().await;
            if self.2 {
                ctx.spawn("never done", std::future::pending::<()>());
            }
            Ok(())
        }
    }

    async fn run(parts: Vec<Part>) -> Ended {
        let ctx = Ctx::test(Arc::new(SystemClock::new()), "n1");
        let parts = parts.into_iter().map(|part| Box::new(part) as Box<dyn Service>).collect();
        supervise(&ctx, parts, tokio::time::sleep(Duration::from_millis(20)), Duration::from_millis(50)).await
    }

    #[tokio::test]
    async fn tells_how_it_ended() {
        assert_eq!(run(vec![Part("a", None, false)]).await, Ended::Well);
        let Ended::Badly { why } = run(vec![Part("a", None, false), Part("b", Some("no store"), false)]).await else {
            panic!()
        };
        assert_eq!(why, "b: no store");
        let Ended::Badly { why } = run(vec![Part("a", None, true)]).await else { panic!() };
        assert_eq!(why, "did not settle in time: never done");
    }
}
