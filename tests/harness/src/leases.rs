//! Who owns what, as the stores of running processes have it, and what a shard's people have been handed over.
//!
//! Must stay true: leases are read as every node reads them; nothing is asked of a process.

use std::path::Path;
use std::time::Duration;

use loa::compose::open_store;
use loa_domain::hash::HashKey;
use loa_domain::ids::Shard;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_ports::lease::Leases as _;
use loa_runtime::Role;
use loa_runtime::config::Config;
use loa_store::{Db, SqlLeases, sql};

use crate::sims::Sims;
use crate::wait::wait_for;
use crate::{Fault, fault};

/// A kind of lease of a role, and how many there are.
pub type Kind = (Role, &'static str, u32);

/// What every process of the tests' configuration shares with the others: shards, and lines of the simulated accounts.
pub const SHARED: [Kind; 5] = [
    (Role::Dispatch, "shard", 64),
    (Role::Report, "shard", 64),
    (Role::Sms, "bind:sim-a", 2),
    (Role::Sms, "bind:sim-b", 2),
    (Role::Email, "bind:sim-mail", 4),
];

/// Roles with leases.
const ROLES: [Role; 6] = [Role::Registry, Role::Audience, Role::Dispatch, Role::Sms, Role::Email, Role::Report];
/// How long a take-over is looked for; the promise is shorter.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// Connections to the stores, kept for as long as somebody looks.
pub struct Owners(Vec<(Role, Db)>);

impl Owners {
    /// Of a configuration.
    pub async fn of(config: &Config) -> Result<Self, Fault> {
        let mut stores = Vec::new();
        for role in ROLES {
            stores.push((role, open_store(config, role).await?));
        }
        Ok(Self(stores))
    }

    /// Numbers of a kind that a node holds.
    pub async fn numbers(&self, (role, kind, count): Kind, node: &str) -> Result<Vec<u32>, Fault> {
        let store = self.0.iter().find(|(of, _)| *of == role);
        let (_, store) = store.ok_or_else(|| fault("a role without leases"))?;
        let rows = SqlLeases::new(store.clone()).rows(kind, count).await?;
        Ok(rows.into_iter().filter(|row| row.node == node).map(|row| row.number).collect())
    }

    /// How many of each kind a node holds, in the order of [`SHARED`].
    pub async fn counts(&self, node: &str) -> Result<Vec<usize>, Fault> {
        let mut counts = Vec::new();
        for kind in SHARED {
            counts.push(self.numbers(kind, node).await?.len());
        }
        Ok(counts)
    }

    /// How many leases of any kind a node holds.
    pub async fn all(&self, node: &str) -> Result<i64, Fault> {
        let mut held = 0;
        for (_, store) in &self.0 {
            let statement = sql("select count(*) from lease where node = $1").bind(node.to_owned());
            let of_role: i64 = statement.fetch_one(store).await?;
            held += of_role;
        }
        Ok(held)
    }

    /// Returns when a node holds something.
    pub async fn wait_for(&self, node: &str) -> Result<(), Fault> {
        let holds = async || Ok((self.all(node).await? > 0).then_some(()));
        wait_for(&format!("{node} holds something"), LOOK_LIMIT, holds).await
    }

    /// How long others take to have everything that a node holds, which has just ceased to move.
    pub async fn taken_from(&self, node: &str) -> Result<Duration, Fault> {
        let clock = SystemClock::new();
        let held = self.all(node).await?;
        if held == 0 {
            return Err(fault(format!("{node} held nothing, so nothing can be taken over")));
        }
        wait_for("others have taken over", LOOK_LIMIT, async || match self.all(node).await? {
            0 => Ok(Some(())),
            left => Err(fault(format!("{left} of {held} leases are left to {node}"))),
        })
        .await?;
        Ok(clock.monotonic())
    }

    /// Closes the connections.
    pub async fn close(self) {
        for (_, store) in self.0 {
            store.close().await;
        }
    }
}

/// When each message was accepted, and of which shard its recipient is; in the order of time.
pub fn hand_overs(sims: &Sims, data: &Path) -> Result<Vec<(u64, Shard)>, Fault> {
    let text = std::fs::read_to_string(data.join("hash.key"))?;
    let key = HashKey::new(u128::from_str_radix(text.trim(), 16)?.to_be_bytes());
    let mut all = Vec::new();
    for line in sims.sms_lines()? {
        all.push((line.unix_us, key.number(line.address.parse()?).shard()));
    }
    for line in sims.mail_lines()? {
        all.push((line.unix_us, key.mailbox(&line.address).shard()));
    }
    all.sort_by_key(|(at_us, _)| *at_us);
    Ok(all)
}

/// The longest time from one of these moments to the next: when it began, and how long it was, in microseconds.
pub fn longest_pause(from_us: u64, times_us: impl Iterator<Item = u64>) -> (u64, u64) {
    let (mut last, mut longest) = (from_us, (from_us, 0));
    for at in times_us.filter(|at| *at >= from_us) {
        if at - last > longest.1 {
            longest = (last, at - last);
        }
        last = at;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_begins_where_it_is_looked_from() {
        assert_eq!(longest_pause(10, [3, 12, 20, 21].into_iter()), (12, 8));
        assert_eq!(longest_pause(10, [40, 41].into_iter()), (10, 30));
        assert_eq!(longest_pause(10, [3].into_iter()), (10, 0));
    }
}
