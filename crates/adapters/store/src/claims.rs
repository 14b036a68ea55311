//! Claims as rows: many per commit, on conflict do nothing.
//!
//! Freezes and incarnations are UUIDs of 16 bytes; a row names them by a number that is never given twice.
//!
//! Must stay true: the first insert of a slice stands for ever; what [`SqlClaims::claim`] answers was read or written in a
//! transaction that committed; a watermark never goes back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use loa_domain::ids::{CampaignId, ChunkKey, FreezeId, Incarnation, ReleaseKey, SliceKey};
use loa_domain::state::Returned;
use loa_ports::store::claims::{Claim, ClaimedFreeze, Claims, Intent, Mark, Standing};
use loa_ports::store::{Offset, StoreError};

use crate::db::{Db, Tx};
use crate::error::damaged;
use crate::offsets::offsets;
use crate::query::{Query, Value, sql};

/// Rows of one statement: ten binds a row, far below what either database takes.
const ROWS_PER_STATEMENT: usize = 50;
/// Numbers of freezes remembered; when there are more, they are looked up again.
const FREEZES_REMEMBERED_MAX: usize = 10_000;
const BEGUN: i64 = 1;
const RETURNING: i64 = 2;

/// The claims of one channel's gateways.
#[derive(Debug, Clone)]
pub struct SqlClaims {
    db: Db,
    numbers: Arc<Mutex<Numbers>>,
}

/// Numbers known to be committed.
#[derive(Debug, Default)]
struct Numbers {
    freezes: HashMap<FreezeId, i64>,
    writers: HashMap<Incarnation, i64>,
}

/// A slice as the table names it: freeze number, variant, chunk, release number, slice.
type RowKey = (i64, i64, i64, i64, i64);

impl SqlClaims {
    /// Claims in a store of role `sms` or `email`.
    pub fn new(db: Db) -> Self {
        Self { db, numbers: Arc::default() }
    }

    fn known<R>(&self, f: impl FnOnce(&mut Numbers) -> R) -> R {
        f(&mut self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn writer_no(&self, tx: &mut Tx, writer: Incarnation, now_us: i64) -> Result<i64, StoreError> {
        if let Some(number) = self.known(|numbers| numbers.writers.get(&writer).copied()) {
            return Ok(number);
        }
        let number = tx.next_number(now_us);
        sql("insert into claim_writer (number, incarnation) values ($1, $2) on conflict do nothing")
            .bind(number)
            .bind(&writer.as_bytes()[..])
            .execute(&mut *tx)
            .await?;
        sql("select number from claim_writer where incarnation = $1")
            .bind(&writer.as_bytes()[..])
            .fetch_one(&mut *tx)
            .await
    }

    async fn freeze_no(&self, tx: &mut Tx, claim: &Claim, now_us: i64) -> Result<i64, StoreError> {
        const SQL: &str = "insert into claim_freeze (number, freeze_id, campaign_id, first_claim_at, over_at)
            values ($1, $2, $3, $4, 0) on conflict do nothing";
        let freeze = claim.slice.release.chunk.freeze;
        if let Some(number) = self.known(|numbers| numbers.freezes.get(&freeze).copied()) {
            return Ok(number);
        }
        let number = tx.next_number(now_us);
        let query = sql(SQL).bind(number).bind(&freeze.as_bytes()[..]);
        query.bind(&claim.campaign.as_bytes()[..]).bind(now_us).execute(&mut *tx).await?;
        let stored = read_freeze_no(&mut *tx, freeze).await?;
        stored.ok_or_else(|| StoreError::Conflict { what: "the number of a freeze".to_owned() })
    }

    /// Remembers numbers whose transaction has committed.
    fn remember(&self, freezes: HashMap<FreezeId, i64>, writer: (Incarnation, i64)) {
        self.known(|numbers| {
            if numbers.freezes.len() > FREEZES_REMEMBERED_MAX {
                numbers.freezes.clear();
            }
            numbers.freezes.extend(freezes);
            numbers.writers.insert(writer.0, writer.1);
        });
    }

    async fn numbers_of(&self, marks: &[Mark]) -> Result<HashMap<FreezeId, i64>, StoreError> {
        let mut found = HashMap::new();
        for mark in marks {
            let freeze = mark.slice.release.chunk.freeze;
            if found.contains_key(&freeze) {
                continue;
            }
            let known = self.known(|numbers| numbers.freezes.get(&freeze).copied());
            let number = match known {
                Some(number) => Some(number),
                None => {
                    let query = sql("select number from claim_freeze where freeze_id = $1");
                    query.bind(&freeze.as_bytes()[..]).fetch_optional(&self.db).await?
                }
            };
            found.extend(number.map(|number| (freeze, number)));
        }
        Ok(found)
    }
}

#[async_trait]
impl Claims for SqlClaims {
    async fn claim(
        &self,
        writer: Incarnation,
        nonce: u64,
        now_us: i64,
        claims: &[Claim],
    ) -> Result<Vec<Standing>, StoreError> {
        let mut claims: Vec<(usize, Claim)> = claims.iter().copied().enumerate().collect();
        // All insert in one order: two processes that want the same wait for each other in a line, not in a circle.
        claims.sort_unstable_by_key(|(_, claim)| claim.slice);
        let mut tx = self.db.begin().await?;
        let writer_no = self.writer_no(&mut tx, writer, now_us).await?;
        let mut freezes = HashMap::new();
        let mut keys = Vec::with_capacity(claims.len());
        for (_, claim) in &claims {
            let freeze = claim.slice.release.chunk.freeze;
            let number = match freezes.get(&freeze) {
                Some(&number) => number,
                None => {
                    let number = self.freeze_no(&mut tx, claim, now_us).await?;
                    freezes.insert(freeze, number);
                    number
                }
            };
            keys.push(row_key(number, &claim.slice));
        }
        let nonce_no = nonce.cast_signed();
        let mut standing = Vec::with_capacity(claims.len());
        for (claims, keys) in claims.chunks(ROWS_PER_STATEMENT).zip(keys.chunks(ROWS_PER_STATEMENT)) {
            let inserted = insert(&mut tx, writer_no, nonce_no, claims, keys).await?;
            let mut inserted = inserted.into_iter().collect::<HashSet<_>>();
            for ((at, claim), key) in claims.iter().zip(keys) {
                let stands = if inserted.remove(key) {
                    Standing { incarnation: writer, nonce, intent: claim.intent, settlement: None }
                } else {
                    read(&mut tx, *key).await?
                };
                standing.push((*at, stands));
            }
        }
        tx.commit().await?;
        self.remember(freezes, (writer, writer_no));
        standing.sort_unstable_by_key(|(at, _)| *at);
        Ok(standing.into_iter().map(|(_, stands)| stands).collect())
    }

    async fn mark(&self, marks: &[Mark], reader: &str, watermarks: &[Offset]) -> Result<(), StoreError> {
        let numbers = self.numbers_of(marks).await?;
        let mut tx = self.db.begin().await?;
        for marks in marks.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<_> = marks
                .iter()
                .filter_map(|mark| {
                    let number = numbers.get(&mark.slice.release.chunk.freeze)?;
                    Some((row_key(*number, &mark.slice), &mark.settlement))
                })
                .collect();
            if !rows.is_empty() {
                update(&mut tx, &rows).await?;
            }
        }
        raise(&mut tx, reader, watermarks).await?;
        tx.commit().await
    }

    async fn watermarks(&self, reader: &str) -> Result<Vec<Offset>, StoreError> {
        offsets(&self.db, reader).await
    }

    async fn unsettled(&self, max: u32) -> Result<Vec<SliceKey>, StoreError> {
        const SQL: &str = "select f.freeze_id, c.variant, c.chunk, c.release_no, c.slice
            from claim c join claim_freeze f on f.number = c.freeze_no
            where c.settlement is null and c.intent = 1
            order by c.freeze_no, c.variant, c.chunk, c.release_no, c.slice limit $1";
        let rows: Vec<(Vec<u8>, i64, i64, i64, i64)> = sql(SQL).bind(i64::from(max)).fetch_all(&self.db).await?;
        rows.into_iter().map(slice_key).collect()
    }

    async fn freezes(&self) -> Result<Vec<ClaimedFreeze>, StoreError> {
        const SQL: &str = "select freeze_id, campaign_id, first_claim_at, over_at from claim_freeze order by number";
        let rows: Vec<(Vec<u8>, Vec<u8>, i64, i64)> = sql(SQL).fetch_all(&self.db).await?;
        rows.into_iter()
            .map(|(freeze, campaign, first_claim_at_us, over_at_us)| {
                let (freeze, campaign) = (FreezeId::from_bytes(&freeze), CampaignId::from_bytes(&campaign));
                Ok(ClaimedFreeze {
                    freeze: freeze.map_err(damaged)?,
                    campaign: campaign.map_err(damaged)?,
                    first_claim_at_us,
                    over_at_us,
                })
            })
            .collect()
    }

    async fn note_over(&self, freeze: FreezeId, at_us: i64) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        sql("update claim_freeze set over_at = $1 where freeze_id = $2 and over_at = 0")
            .bind(at_us)
            .bind(&freeze.as_bytes()[..])
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    async fn forget(&self, freeze: FreezeId, max: u32) -> Result<u64, StoreError> {
        const SQL: &str = "delete from claim where (freeze_no, variant, chunk, release_no, slice) in
            (select freeze_no, variant, chunk, release_no, slice from claim where freeze_no = $1 limit $2)";
        let mut tx = self.db.begin().await?;
        let Some(number) = read_freeze_no(&mut tx, freeze).await? else { return Ok(0) };
        let query = sql(SQL).bind(number).bind(i64::from(max));
        let gone = query.execute(&mut tx).await?;
        if gone < u64::from(max) {
            let query = sql("delete from claim_freeze where number = $1").bind(number);
            query.execute(&mut tx).await?;
        }
        tx.commit().await?;
        self.known(|numbers| numbers.freezes.remove(&freeze));
        Ok(gone)
    }
}

/// Inserts claims and answers with the keys of those that were not there.
async fn insert(
    tx: &mut Tx,
    writer_no: i64,
    nonce: i64,
    claims: &[(usize, Claim)],
    keys: &[RowKey],
) -> Result<Vec<RowKey>, StoreError> {
    let mut query = Query::built(
        "insert into claim (freeze_no, variant, chunk, release_no, slice, writer_no, nonce, intent, reason) ",
    );
    query.push_values(claims.iter().zip(keys).map(|((_, claim), key)| {
        let (intent, reason) = intent_codes(claim.intent);
        [key.0, key.1, key.2, key.3, key.4, writer_no, nonce, intent, reason].map(Value::from)
    }));
    query.push(" on conflict do nothing returning freeze_no, variant, chunk, release_no, slice");
    query.fetch_all(&mut *tx).await
}

async fn read(tx: &mut Tx, key: RowKey) -> Result<Standing, StoreError> {
    const SQL: &str = "select w.incarnation, c.nonce, c.intent, c.reason, c.settlement
        from claim c join claim_writer w on w.number = c.writer_no
        where c.freeze_no = $1 and c.variant = $2 and c.chunk = $3 and c.release_no = $4 and c.slice = $5";
    let query = sql(SQL).bind(key.0).bind(key.1).bind(key.2).bind(key.3).bind(key.4);
    let (incarnation, nonce, intent, reason, settlement): (Vec<u8>, i64, i64, i64, Option<Vec<u8>>) =
        query.fetch_one(&mut *tx).await?;
    Ok(Standing {
        incarnation: Incarnation::from_bytes(&incarnation).map_err(damaged)?,
        nonce: nonce.cast_unsigned(),
        intent: intent_of(intent, reason)?,
        settlement: settlement.map(Bytes::from),
    })
}

async fn update(tx: &mut Tx, rows: &[(RowKey, &Bytes)]) -> Result<(), StoreError> {
    let mut query = Query::built("update claim set settlement = v.column6 from (");
    query.push_values(rows.iter().map(|(key, settlement)| {
        [key.0.into(), key.1.into(), key.2.into(), key.3.into(), key.4.into(), settlement[..].into()]
    }));
    query.push(
        ") as v where claim.freeze_no = v.column1 and claim.variant = v.column2 and claim.chunk = v.column3
            and claim.release_no = v.column4 and claim.slice = v.column5",
    );
    query.execute(&mut *tx).await?;
    Ok(())
}

async fn raise(tx: &mut Tx, reader: &str, watermarks: &[Offset]) -> Result<(), StoreError> {
    const SQL: &str = "insert into reader_offset (reader, topic, partition_no, next_offset) values ($1, $2, $3, $4)
        on conflict (reader, topic, partition_no) do update set next_offset = excluded.next_offset
        where reader_offset.next_offset < excluded.next_offset";
    let mut watermarks: Vec<&Offset> = watermarks.iter().collect();
    watermarks.sort_unstable_by_key(|offset| (&offset.topic, offset.partition)); // as claims: in a line
    for watermark in watermarks {
        let query = sql(SQL).bind(reader).bind(&watermark.topic).bind(i64::from(watermark.partition));
        query.bind(watermark.next).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn read_freeze_no(tx: &mut Tx, freeze: FreezeId) -> Result<Option<i64>, StoreError> {
    let query = sql("select number from claim_freeze where freeze_id = $1");
    query.bind(&freeze.as_bytes()[..]).fetch_optional(&mut *tx).await
}

fn row_key(freeze_no: i64, slice: &SliceKey) -> RowKey {
    let release = &slice.release;
    let chunk = &release.chunk;
    (freeze_no, chunk.variant.into(), chunk.chunk.into(), release.release_no.into(), slice.slice.into())
}

fn slice_key(row: (Vec<u8>, i64, i64, i64, i64)) -> Result<SliceKey, StoreError> {
    let chunk = ChunkKey {
        freeze: FreezeId::from_bytes(&row.0).map_err(damaged)?,
        variant: u16::try_from(row.1).map_err(damaged)?,
        chunk: u32::try_from(row.2).map_err(damaged)?,
    };
    let release = ReleaseKey { chunk, release_no: u32::try_from(row.3).map_err(damaged)? };
    Ok(SliceKey { release, slice: u16::try_from(row.4).map_err(damaged)? })
}

fn intent_codes(intent: Intent) -> (i64, i64) {
    match intent {
        Intent::Begun => (BEGUN, 0),
        Intent::Returning(reason) => (RETURNING, reason.code().into()),
    }
}

fn intent_of(intent: i64, reason: i64) -> Result<Intent, StoreError> {
    let reason_of = |code: i64| i32::try_from(code).ok().and_then(Returned::from_code);
    match (intent, reason_of(reason)) {
        (BEGUN, _) => Ok(Intent::Begun),
        (RETURNING, Some(reason)) => Ok(Intent::Returning(reason)),
        _ => Err(damaged(format!("a claim with intent {intent} and reason {reason}"))),
    }
}
