//! Account buckets: how fast messages may leave, in parts, over all nodes that serve the account.
//!
//! Must stay true: what all takers of an account were given in any second is at most its rate (plus one burst); a share is
//! kept for urgent.

use std::time::Duration;

use loa_domain::ids::AccountId;

/// Tokens of accounts.
pub trait Bucket: Send + Sync + std::fmt::Debug {
    /// Sets the rate of an account, in parts a second over all nodes.
    fn configure(&self, account: &AccountId, rate: f64);

    /// Takes up to `wanted` parts; what is not used is given back by [`Bucket::give`].
    fn take(&self, account: &AccountId, wanted: u32, urgent: bool) -> Taken;

    /// Gives unused parts back.
    fn give(&self, account: &AccountId, unused: u32);

    /// The account told us to slow down: halves the rate, which recovers additively.
    fn slow_down(&self, account: &AccountId);

    /// How many of an account's binds (or connections) this process holds, of those that all processes together are to hold:
    /// its share of the rate where nobody counts for all of them.
    fn set_binds(&self, account: &AccountId, held: u32, configured: u32);

    /// The rate now, in parts a second over all nodes.
    fn rate(&self, account: &AccountId) -> f64;
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Parts that may leave now.
    pub parts: u32,
    /// When to ask again, if fewer than wanted.
    pub wait: Duration,
}
