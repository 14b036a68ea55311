//! Lease rows: beats, owners, epochs, and the fence.
//!
//! Must stay true: every change of owner raises the epoch, freeing too.

use std::collections::BTreeMap;

use async_trait::async_trait;
use loa_ports::lease::{Fence, Held, LeaseRow, Leases, NodeRow};
use loa_ports::store::StoreError;

use super::Reached;

/// Nodes and leases of one store.
#[derive(Debug, Default)]
pub(crate) struct LeaseRows {
    nodes: BTreeMap<String, NodeRow>,
    rows: BTreeMap<(String, u32), (String, i64)>,
}

impl LeaseRows {
    /// What each transaction of an owner begins with.
    pub(crate) fn check(&self, fence: &Fence) -> Result<(), StoreError> {
        for Held { kind, number, epoch } in &fence.held {
            if self.rows.get(&(kind.clone(), *number)).is_none_or(|(_, newest)| newest != epoch) {
                return Err(StoreError::Fenced { kind: kind.clone(), number: *number });
            }
        }
        Ok(())
    }

    /// Somebody takes these away, as an owner that came and went would.
    pub(crate) fn rob(&mut self, mut is_robbed: impl FnMut() -> bool) {
        for (node, epoch) in self.rows.values_mut() {
            if is_robbed() {
                node.clear();
                *epoch += 1;
            }
        }
    }
}

#[async_trait]
impl<T: Send + std::fmt::Debug> Leases for Reached<T> {
    async fn beat(&self, node: &str, endpoint: &str) -> Result<(), StoreError> {
        self.write(|tables| {
            let row = NodeRow { node: node.to_owned(), endpoint: endpoint.to_owned(), beat: 0 };
            tables.leases.nodes.entry(node.to_owned()).or_insert(row).beat += 1;
            Ok(())
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.read(|tables| tables.leases.nodes.values().cloned().collect()).await
    }

    async fn rows(&self, kind: &str, count: u32) -> Result<Vec<LeaseRow>, StoreError> {
        self.write(|tables| {
            let row = |number: u32| {
                let (node, epoch) = tables.leases.rows.entry((kind.to_owned(), number)).or_default();
                LeaseRow { kind: kind.to_owned(), number, node: node.clone(), epoch: *epoch }
            };
            Ok((0..count).map(row).collect())
        })
        .await
    }

    async fn take(&self, kind: &str, number: u32, seen: i64, node: &str) -> Result<Option<i64>, StoreError> {
        self.write(|tables| {
            let row = tables.leases.rows.get_mut(&(kind.to_owned(), number)).filter(|(_, epoch)| *epoch == seen);
            Ok(row.map(|(owner, epoch)| {
                node.clone_into(owner);
                *epoch += 1;
                *epoch
            }))
        })
        .await
    }

    async fn free(&self, held: &[Held]) -> Result<(), StoreError> {
        self.write(|tables| {
            for Held { kind, number, epoch } in held {
                let row = tables.leases.rows.get_mut(&(kind.clone(), *number));
                if let Some((owner, newest)) = row.filter(|(_, newest)| newest == epoch) {
                    owner.clear();
                    *newest += 1;
                }
            }
            Ok(())
        })
        .await
    }
}
