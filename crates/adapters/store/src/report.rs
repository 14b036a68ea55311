//! The ledger's rows.
//!
//! Must stay true: a flush is one transaction, fenced first; facts of a chunk are written once (single sends may grow),
//! states and totals are replaced.

mod replies;

use async_trait::async_trait;
use loa_domain::hash::AddressHash;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId};
use loa_ports::lease::Fence;
use loa_ports::store::report::{
    ChunkFacts, ChunkHit, ChunkState, Flush, GapRow, ReplyRow, ReportStore, SingleRow, TotalsRow,
};
use loa_ports::store::{Offset, StoreError};

use crate::db::{Db, Tx};
use crate::error::damaged;
use crate::fence::check_fence;
use crate::offsets::{offsets, put_offsets};
use crate::query::{Query, Row, sql};

/// The reader's name in the store.
const READER: &str = "report";
const HIT: &str =
    "select c.campaign_id, c.freeze_id, c.variant, c.chunk, c.shard, c.account, c.channel, c.address_keys, s.state
    from chunk c left join chunk_state s on s.freeze_id = c.freeze_id and s.variant = c.variant and s.chunk = c.chunk";

/// The ledger in one SQL store.
#[derive(Debug, Clone)]
pub struct SqlReport {
    db: Db,
}

impl SqlReport {
    /// A store of role `report`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl ReportStore for SqlReport {
    async fn flush(&self, fence: &Fence, flush: &Flush) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        check_fence(&mut tx, fence).await?;
        for facts in &flush.chunks {
            put_chunk(&mut tx, facts).await?;
        }
        for state in &flush.states {
            put_state(&mut tx, state).await?;
        }
        for totals in &flush.totals {
            put_totals(&mut tx, totals).await?;
        }
        for single in &flush.singles {
            put_single(&mut tx, single).await?;
        }
        replies::put(&mut tx, &flush.replies).await?;
        replies::delete(&mut tx, &flush.replied).await?;
        replies::put_gaps(&mut tx, &flush.gaps).await?;
        for (campaign, shard) in &flush.loaded {
            sql("insert into loaded_shard (campaign_id, shard) values ($1, $2) on conflict do nothing")
                .bind(&campaign.as_bytes()[..])
                .bind(i64::from(*shard))
                .execute(&mut tx)
                .await?;
        }
        put_offsets(&mut tx, READER, &flush.offsets).await?;
        tx.commit().await
    }

    async fn load_shard(&self, shard: u32) -> Result<Vec<ChunkHit>, StoreError> {
        let query = Query::built(format!("{HIT} where c.shard = $1 order by c.freeze_id, c.variant, c.chunk"));
        let rows = query.bind(i64::from(shard)).fetch_rows(&self.db).await?;
        rows.iter().map(hit).collect()
    }

    async fn loaded(&self, shard: u32) -> Result<Vec<CampaignId>, StoreError> {
        let query = sql("select campaign_id from loaded_shard where shard = $1").bind(i64::from(shard));
        let rows: Vec<Vec<u8>> = query.fetch_all(&self.db).await?;
        rows.iter().map(|bytes| CampaignId::from_bytes(bytes).map_err(damaged)).collect()
    }

    async fn offsets(&self) -> Result<Vec<Offset>, StoreError> {
        offsets(&self.db, READER).await
    }

    async fn totals(&self, campaign: CampaignId) -> Result<Vec<TotalsRow>, StoreError> {
        const SQL: &str =
            "select variant, shard, channel, counts, at_us from totals where campaign_id = $1 order by variant, shard";
        let rows: Vec<(i64, i64, i64, Vec<u8>, i64)> =
            sql(SQL).bind(&campaign.as_bytes()[..]).fetch_all(&self.db).await?;
        let totals = |(variant, shard, channel, counts, at_us)| {
            Ok(TotalsRow {
                campaign,
                variant: u16::try_from(variant).map_err(damaged)?,
                shard: u32::try_from(shard).map_err(damaged)?,
                channel: u8::try_from(channel).map_err(damaged)?,
                counts,
                at_us,
            })
        };
        rows.into_iter().map(totals).collect()
    }

    async fn find(&self, shard: u32, hash: AddressHash) -> Result<Vec<ChunkHit>, StoreError> {
        let query = Query::built(format!("{HIT} where c.shard = $1 and c.first_key <= $2 and c.last_key >= $2"));
        let query = query.bind(i64::from(shard)).bind(hash.to_ordered_i64());
        let rows = query.fetch_rows(&self.db).await?;
        rows.iter().map(hit).collect()
    }

    async fn chunks(
        &self,
        campaign: CampaignId,
        after: Option<ChunkKey>,
        max: u32,
    ) -> Result<Vec<ChunkHit>, StoreError> {
        let query = Query::built(format!(
            "{HIT} where c.campaign_id = $1 and (c.variant, c.chunk, c.freeze_id) > ($2, $3, $4)
            order by c.variant, c.chunk, c.freeze_id limit $5"
        ));
        let (variant, chunk, freeze) = after
            .map_or((-1, -1, Vec::new()), |key| (i64::from(key.variant), i64::from(key.chunk), key.freeze.to_vec()));
        let query = query.bind(&campaign.as_bytes()[..]).bind(variant).bind(chunk).bind(freeze).bind(i64::from(max));
        let rows = query.fetch_rows(&self.db).await?;
        rows.iter().map(hit).collect()
    }

    async fn singles(&self, keys: &[ChunkKey]) -> Result<Vec<SingleRow>, StoreError> {
        const SQL: &str = "select place, caller, idempotency_key from single_send where freeze_id = $1 and variant = $2 and chunk = $3";
        let mut singles = Vec::new();
        for &key in keys {
            let query =
                sql(SQL).bind(&key.freeze.as_bytes()[..]).bind(i64::from(key.variant)).bind(i64::from(key.chunk));
            let rows: Vec<(i64, String, String)> = query.fetch_all(&self.db).await?;
            for (place, caller, idempotency_key) in rows {
                singles.push(SingleRow { key, index: u16::try_from(place).map_err(damaged)?, caller, idempotency_key });
            }
        }
        Ok(singles)
    }

    async fn replies(&self, shard: u32) -> Result<Vec<ReplyRow>, StoreError> {
        replies::of_shard(&self.db, shard).await
    }

    async fn gaps(&self, campaign: CampaignId) -> Result<Vec<GapRow>, StoreError> {
        replies::gaps(&self.db, campaign).await
    }
}

async fn put_chunk(tx: &mut Tx, facts: &ChunkFacts) -> Result<(), StoreError> {
    const SQL: &str = "insert into chunk
        (campaign_id, freeze_id, variant, chunk, shard, account, channel, first_key, last_key, address_keys)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (freeze_id, variant, chunk) do update set
        first_key = excluded.first_key, last_key = excluded.last_key, address_keys = excluded.address_keys";
    let first = facts.keys.iter().min().copied().unwrap_or(AddressHash(0));
    let last = facts.keys.iter().max().copied().unwrap_or(AddressHash(0));
    let keys: Vec<u8> = facts.keys.iter().flat_map(|hash| hash.0.to_be_bytes()).collect();
    sql(SQL)
        .bind(&facts.campaign.as_bytes()[..])
        .bind(&facts.key.freeze.as_bytes()[..])
        .bind(i64::from(facts.key.variant))
        .bind(i64::from(facts.key.chunk))
        .bind(i64::from(facts.shard))
        .bind(&facts.account)
        .bind(i64::from(facts.channel))
        .bind(first.to_ordered_i64())
        .bind(last.to_ordered_i64())
        .bind(keys)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn put_state(tx: &mut Tx, state: &ChunkState) -> Result<(), StoreError> {
    const SQL: &str = "insert into chunk_state (freeze_id, variant, chunk, state) values ($1, $2, $3, $4)
        on conflict (freeze_id, variant, chunk) do update set state = excluded.state";
    sql(SQL)
        .bind(&state.key.freeze.as_bytes()[..])
        .bind(i64::from(state.key.variant))
        .bind(i64::from(state.key.chunk))
        .bind(&state.blob)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn put_totals(tx: &mut Tx, totals: &TotalsRow) -> Result<(), StoreError> {
    const SQL: &str =
        "insert into totals (campaign_id, variant, shard, channel, counts, at_us) values ($1, $2, $3, $4, $5, $6)
        on conflict (campaign_id, variant, shard) do update set counts = excluded.counts, at_us = excluded.at_us";
    sql(SQL)
        .bind(&totals.campaign.as_bytes()[..])
        .bind(i64::from(totals.variant))
        .bind(i64::from(totals.shard))
        .bind(i64::from(totals.channel))
        .bind(&totals.counts)
        .bind(totals.at_us)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn put_single(tx: &mut Tx, single: &SingleRow) -> Result<(), StoreError> {
    const SQL: &str = "insert into single_send (freeze_id, variant, chunk, place, caller, idempotency_key)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
    sql(SQL)
        .bind(&single.key.freeze.as_bytes()[..])
        .bind(i64::from(single.key.variant))
        .bind(i64::from(single.key.chunk))
        .bind(i64::from(single.index))
        .bind(&single.caller)
        .bind(&single.idempotency_key)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

fn hit(row: &Row) -> Result<ChunkHit, StoreError> {
    let number = |at: usize| row.get::<i64>(at);
    let bytes = |at: usize| row.get::<Vec<u8>>(at);
    let key = ChunkKey {
        freeze: FreezeId::from_bytes(&bytes(1)?).map_err(damaged)?,
        variant: u16::try_from(number(2)?).map_err(damaged)?,
        chunk: u32::try_from(number(3)?).map_err(damaged)?,
    };
    let keys = bytes(7)?;
    let facts = ChunkFacts {
        key,
        campaign: CampaignId::from_bytes(&bytes(0)?).map_err(damaged)?,
        shard: u32::try_from(number(4)?).map_err(damaged)?,
        account: row.get(5)?,
        channel: u8::try_from(number(6)?).map_err(damaged)?,
        keys: keys
            .chunks_exact(8)
            .map(|eight| AddressHash(u64::from_be_bytes(eight.try_into().unwrap_or_default())))
            .collect(),
    };
    let blob = row.get::<Option<Vec<u8>>>(8)?.unwrap_or_default();
    Ok(ChunkHit { facts, blob })
}
