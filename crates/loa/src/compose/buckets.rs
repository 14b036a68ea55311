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
    parts.push(Box::new(Asking { bucket: Arc::clone(&bucket), role }));
    Ok(bucket)
}

/// Asks Redis for tokens while the gateway takes any, and tells when it does not answer.
struct Asking {
    bucket: Arc<RedisBucket>,
    role: Role,
}

#[async_trait]
impl Service for Asking {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn run(self: Box<Self>, ctx: Ctx) -> Result<(), ServiceError> {
        tokio::select! {
            () = self.bucket.run(ctx.stopping()) => {}
            () = self.tell(&ctx) => {}
        }
        Ok(())
    }
}

impl Asking {
    async fn tell(&self, ctx: &Ctx) {
        let (mut silent, condition) = (self.bucket.silent(), format!("redis of {}", self.role));
        loop {
            match silent.borrow_and_update().as_ref() {
                None => ctx.readiness().holds(&condition),
                Some(why) => {
                    let code = "LOA-007";
                    let why = format!("{code} it does not answer; each process goes by its share of a rate: {why}");
                    ctx.readiness().notes(&condition, why);
                }
            }
            if silent.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
