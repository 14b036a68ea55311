//! Account buckets: counted by this process for its share, or by Redis for all processes together.

use std::sync::Arc;

use async_trait::async_trait;
use loa_gateway::LocalBucket;
use loa_ports::bucket::Bucket;
use loa_ports::carrier::Secret;
use loa_redis::RedisBucket;
use loa_runtime::{Ctx, Role, Service, ServiceError};

use super::Base;
use crate::exit::Failure;

/// The buckets of a gateway's accounts, and what must run for them.
pub(super) fn of(base: &Base, role: Role, parts: &mut Vec<Box<dyn Service>>) -> Result<Arc<dyn Bucket>, Failure> {
    let clock = Arc::clone(&base.clock);
    let Some(Secret(url)) = &base.config.redis else { return Ok(Arc::new(LocalBucket::new(clock))) };
    // Accounts of texts and of mail may have the same name, and installations the same Redis.
    let prefix = format!("loa:{}:{role}:", base.ctx.hash_key().fingerprint());
    let bucket = Arc::new(RedisBucket::new(url, &prefix, clock).map_err(|error| Failure::of(&error))?);
    parts.push(Box::new(Asking(Arc::clone(&bucket))));
    Ok(bucket)
}

/// Asks Redis for tokens while the gateway takes any.
struct Asking(Arc<RedisBucket>);

#[async_trait]
impl Service for Asking {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        self.0.run(ctx.stopping()).await;
        Ok(())
    }
}
