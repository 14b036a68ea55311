//! What a service is to the process that hosts it.
//!
//! `run` returns when the context is stopping and what was in flight is settled: stop taking, settle, close.

use async_trait::async_trait;

use crate::ctx::Ctx;

/// A part of the process that runs until it is asked to stop.
#[async_trait]
pub trait Service: Send {
    /// How it is called in logs and when it is late.
    fn name(&self) -> &'static str;

    /// Works until `ctx.stopping()` resolves, then settles what is in flight and returns.
    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError>;
}

/// Why a service had to end. The chain is printed once, by the supervisor.
#[derive(Debug)]
pub struct ServiceError(pub Box<dyn std::error::Error + Send + Sync>);

impl<E> From<E> for ServiceError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// An error and all its causes on one line, each once.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
