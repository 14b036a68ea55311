//! Claims and watermarks.
//!
//! Must stay true: a slice has one claim for ever; a watermark never goes back.

use std::collections::BTreeMap;

use async_trait::async_trait;
use loa_domain::ids::{FreezeId, Incarnation, SliceKey};
use loa_ports::store::claims::{Claim, ClaimedFreeze, Claims, Intent, Mark, Standing};
use loa_ports::store::{Offset, StoreError};

use super::Reached;

/// The claims of the channel.
#[derive(Debug, Default)]
pub(crate) struct ClaimRows {
    pub(crate) claims: BTreeMap<SliceKey, Standing>,
    watermarks: BTreeMap<(String, String, u32), i64>,
}

#[async_trait]
impl Claims for Reached<ClaimRows> {
    async fn claim(
        &self,
        writer: Incarnation,
        nonce: u64,
        _: i64,
        claims: &[Claim],
    ) -> Result<Vec<Standing>, StoreError> {
        self.write(|tables| {
            let stands = |claim: &Claim| {
                let new = || Standing { incarnation: writer, nonce, intent: claim.intent, settlement: None };
                tables.own.claims.entry(claim.slice).or_insert_with(new).clone()
            };
            Ok(claims.iter().map(stands).collect())
        })
        .await
    }

    async fn mark(&self, marks: &[Mark], reader: &str, watermarks: &[Offset]) -> Result<(), StoreError> {
        self.write(|tables| {
            for Mark { slice, settlement } in marks {
                if let Some(claim) = tables.own.claims.get_mut(slice) {
                    claim.settlement = Some(settlement.clone());
                }
            }
            for Offset { topic, partition, next } in watermarks {
                let stored = tables.own.watermarks.entry((reader.to_owned(), topic.clone(), *partition)).or_insert(0);
                *stored = (*stored).max(*next);
            }
            Ok(())
        })
        .await
    }

    async fn watermarks(&self, reader: &str) -> Result<Vec<Offset>, StoreError> {
        self.read(|tables| {
            let of_reader = tables.own.watermarks.iter().filter(|((of, _, _), _)| of == reader);
            let offset = |((_, topic, partition), next): (&(String, String, u32), &i64)| Offset {
                topic: topic.clone(),
                partition: *partition,
                next: *next,
            };
            of_reader.map(offset).collect()
        })
        .await
    }

    async fn unsettled(&self, max: u32) -> Result<Vec<SliceKey>, StoreError> {
        self.read(|tables| {
            let open =
                |(_, claim): &(&SliceKey, &Standing)| claim.settlement.is_none() && claim.intent == Intent::Begun;
            tables.own.claims.iter().filter(open).map(|(slice, _)| *slice).take(max as usize).collect()
        })
        .await
    }

    async fn freezes(&self) -> Result<Vec<ClaimedFreeze>, StoreError> {
        // A simulation is over long before a claim may be forgotten.
        self.read(|_| Vec::new()).await
    }

    async fn note_over(&self, _: FreezeId, _: i64) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    async fn forget(&self, _: FreezeId, _: u32) -> Result<u64, StoreError> {
        self.write(|_| Ok(0)).await
    }
}
