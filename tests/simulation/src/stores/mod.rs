//! The stores in memory: what the SQL adapter keeps, with the same fences, and a COMMIT whose answer may be lost.
//!
//! Must stay true: a transaction is there whole or not at all, whatever its caller hears; of two owners only the one of the
//! newest epoch can commit.

mod claims;
mod dispatch;
mod leases;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_ports::store::StoreError;

use crate::gate::Gate;

pub(crate) use claims::ClaimRows;
pub(crate) use dispatch::DispatchRows;
pub(crate) use leases::LeaseRows;
pub(crate) use report::ReportRows;

/// One role's store: its leases, and its own tables.
#[derive(Debug, Default)]
pub(crate) struct Tables<T> {
    pub(crate) leases: LeaseRows,
    pub(crate) own: T,
}

/// How a store behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    pub(crate) away: bool,
    /// Share of transactions whose COMMIT gets no answer; half of them took effect.
    pub(crate) uncertain_share: f64,
}

#[derive(Debug, Default)]
struct Shelf<T> {
    tables: Mutex<Tables<T>>,
    manners: Mutex<Manners>,
}

/// A store, shared by the processes of a role.
#[derive(Debug)]
pub(crate) struct Store<T>(Arc<Shelf<T>>);

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Store<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Store<T> {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables<T>> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.0.manners.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn manners(&self) -> Manners {
        *self.0.manners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store as one process reaches it.
    pub(crate) fn through(&self, gate: &Arc<Gate>) -> Arc<Reached<T>> {
        Arc::new(Reached { store: self.clone(), gate: Arc::clone(gate) })
    }
}

/// A store as one process reaches it.
#[derive(Debug)]
pub(crate) struct Reached<T> {
    store: Store<T>,
    gate: Arc<Gate>,
}

impl<T: Send> Reached<T> {
    async fn reach(&self) -> Result<(), StoreError> {
        self.gate.travel().await;
        if self.store.manners().away {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Err(StoreError::Away { why: "it is away".to_owned() });
        }
        Ok(())
    }

    async fn read<R: Send>(&self, f: impl FnOnce(&Tables<T>) -> R + Send) -> Result<R, StoreError> {
        self.reach().await?;
        let answer = f(&self.store.tables());
        self.gate.travel().await;
        Ok(answer)
    }

    async fn write<R: Send>(
        &self,
        f: impl FnOnce(&mut Tables<T>) -> Result<R, StoreError> + Send,
    ) -> Result<R, StoreError> {
        self.reach().await?;
        let uncertain = || StoreError::Uncertain { why: "the answer was lost".to_owned() };
        let share = self.store.manners().uncertain_share;
        let (lost, done) = self.gate.throw(|dice| (dice.happens(share), dice.happens(0.5)));
        if lost && !done {
            self.gate.travel().await;
            return Err(uncertain());
        }
        let answer = f(&mut self.store.tables());
        self.gate.travel().await;
        if lost && answer.is_ok() { Err(uncertain()) } else { answer }
    }
}
