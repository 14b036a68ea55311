//! Work in the background, each kind done by the instance that holds its lease.
//!
//! A role's loops share the context, the role's own core and the leases; one loop, publishing what is left in the outbox,
//! is the same for every role and stands here.
//!
//! Must stay true: a lease is only permission to try; what is stored carries its fence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loa_ports::lease::{Held, Leases};
use loa_ports::store::StoreError;

use crate::ctx::Ctx;
use crate::lease::{LeaseKeeper, Want};
use crate::outbox::{OUTBOX, Publisher};

/// How often the outbox is looked for what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Younger records are still being published by who stored them, in microseconds.
const LEFT_AFTER_US: i64 = 1_000_000;
/// Records of the outbox published at once, at most.
const BATCH: u32 = 100;

/// What the loops of a role share.
pub struct Work<C> {
    /// The process.
    pub ctx: Ctx,
    /// What the role's calls and loops share.
    pub core: Arc<C>,
    keeper: Mutex<LeaseKeeper>,
}

impl<C> Work<C> {
    /// Keeps one lease of each of these kinds from now on.
    pub async fn start(
        ctx: &Ctx,
        core: Arc<C>,
        leases: Arc<dyn Leases>,
        endpoint: &str,
        kinds: &[&str],
    ) -> Result<Self, StoreError> {
        let wants = kinds.iter().map(|&kind| Want { kind: kind.to_owned(), count: 1, drains: false }).collect();
        let keeper = LeaseKeeper::start(ctx, leases, endpoint, wants).await?;
        Ok(Self { ctx: ctx.clone(), core, keeper: Mutex::new(keeper) })
    }

    fn with<R>(&self, f: impl FnOnce(&mut LeaseKeeper) -> R) -> R {
        f(&mut self.keeper.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lease of a kind, if this instance holds it.
    pub fn held(&self, kind: &str) -> Option<Held> {
        self.with(|keeper| {
            while keeper.try_change().is_some() {}
            keeper.held(kind).pop()
        })
    }

    /// Whether it may go on in the name of this lease.
    pub fn holds(&self, held: &Held) -> bool {
        self.with(|keeper| keeper.holds(held)) && !self.ctx.is_stopping()
    }

    /// A transaction in its name was fenced: it is somebody else's.
    pub fn lost(&self, held: &Held) {
        self.with(|keeper| keeper.lost(held));
    }

    /// Publishes, until the context stops, what was stored and not published at once: its instance died, or the log was
    /// away.
    pub async fn publish_left(&self, publisher: &Publisher) {
        loop {
            tokio::select! {
                () = self.ctx.beat(LOOK_EVERY) => {}
                () = self.ctx.stopping() => return,
            }
            if self.held(OUTBOX).is_none() {
                continue;
            }
            tokio::select! {
                () = self.ctx.stopping() => return,
                published = publisher.publish_left(self.ctx.now_us() - LEFT_AFTER_US, BATCH) => match published {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "published what was left in the outbox"),
                    Err(error) => tracing::warn!(%error, "what is left in the outbox could not be published"),
                },
            }
        }
    }

    /// Frees the leases, so that others need not wait; the loops have ended.
    pub async fn stop(self) {
        self.keeper.into_inner().unwrap_or_else(PoisonError::into_inner).stop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::Rows as LeaseRows;
    use crate::outbox::tests::{Shelf, parts, with};
    use loa_ports::clock::SystemClock;

    fn ctx(node: &str) -> Ctx {
        Ctx::test(Arc::new(SystemClock::new()), node)
    }

    async fn work(ctx: &Ctx, leases: &Arc<LeaseRows>) -> Work<()> {
        Work::start(ctx, Arc::new(()), leases.clone(), "", &["import", OUTBOX]).await.unwrap()
    }

    #[tokio::test]
    async fn a_lease_is_given_up_on_loss_and_on_stop() {
        let leases = Arc::new(LeaseRows::default());
        let (one, two) = (ctx("one"), ctx("two"));
        let first = work(&one, &leases).await;
        let held = first.held("import").expect("nobody else is there");
        assert!(first.holds(&held));
        assert_eq!(first.held("export"), None, "it was not asked for");
        first.lost(&held);
        assert!(!first.holds(&held));
        assert_eq!(first.held("import"), None);

        let outbox = first.held(OUTBOX).unwrap();
        one.stop();
        assert!(!first.holds(&outbox), "nothing new is begun while the process stops");
        first.stop().await;
        assert!(work(&two, &leases).await.held(OUTBOX).is_some(), "who stops leaves it free");
    }

    #[tokio::test]
    async fn only_the_holder_publishes_what_is_left() {
        let leases = Arc::new(LeaseRows::default());
        let (one, two) = (ctx("one"), ctx("two"));
        let (first, second) = (work(&one, &leases).await, work(&two, &leases).await);
        assert!(first.held(OUTBOX).is_some() && second.held(OUTBOX).is_none());
        let (rows, shelf, publisher) = parts(with(3), Shelf::default());
        let others_shelf = Arc::new(Shelf::default());
        let others = Publisher::new(rows.clone(), others_shelf.clone());

        let published = async {
            while !rows.left.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            one.stop();
            two.stop();
        };
        // The other looks first each time, so it would publish if it did not ask for the lease.
        let both =
            async { tokio::join!(biased; second.publish_left(&others), first.publish_left(&publisher), published) };
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("it is published, and a stop ends both loops");
        assert_eq!(*shelf.taken.lock().unwrap(), ["r0", "r1", "r2"]);
        assert_eq!(*others_shelf.taken.lock().unwrap(), [""; 0]);
    }
}
