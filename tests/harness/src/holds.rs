//! Who holds which leases, read from the stores while processes run.
//!
//! Must stay true: what is read is what decides, the rows of the stores; no process is asked.

use std::time::Duration;

use loa::compose::open_store;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_runtime::Role;
use loa_runtime::config::Config;
use loa_store::{Db, sql};

use crate::wait::wait_for;
use crate::{Fault, fault};

/// Roles with leases.
const ROLES: [Role; 6] = [Role::Registry, Role::Audience, Role::Dispatch, Role::Sms, Role::Email, Role::Report];
/// How long a take-over is looked for; the promise is shorter.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// The stores of an installation, open.
pub struct Holds(Vec<Db>);

impl Holds {
    /// Opens them.
    pub async fn open(config: &Config) -> Result<Self, Fault> {
        let mut stores = Vec::new();
        for role in ROLES {
            stores.push(open_store(config, role).await?);
        }
        Ok(Self(stores))
    }

    /// How many leases a node holds.
    pub async fn of(&self, node: &str) -> Result<i64, Fault> {
        let mut held = 0;
        for store in &self.0 {
            let statement = sql("select count(*) from lease where node = $1").bind(node.to_owned());
            let of_role: i64 = statement.fetch_one(store).await?;
            held += of_role;
        }
        Ok(held)
    }

    /// Returns when a node holds something.
    pub async fn wait_for(&self, node: &str) -> Result<(), Fault> {
        wait_for(&format!("{node} holds something"), LOOK_LIMIT, async || Ok((self.of(node).await? > 0).then_some(())))
            .await
    }

    /// How long others take to have everything that a node holds, which has just ceased to move.
    pub async fn taken_from(&self, node: &str) -> Result<Duration, Fault> {
        let clock = SystemClock::new();
        let held = self.of(node).await?;
        if held == 0 {
            return Err(fault(format!("{node} held nothing, so nothing can be taken over")));
        }
        wait_for("others have taken over", LOOK_LIMIT, async || match self.of(node).await? {
            0 => Ok(Some(())),
            left => Err(fault(format!("{left} of {held} leases are left to {node}"))),
        })
        .await?;
        Ok(clock.monotonic())
    }

    /// Closes them.
    pub async fn close(self) {
        for store in self.0 {
            store.close().await;
        }
    }
}
