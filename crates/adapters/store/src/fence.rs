//! The fence: an owner's transaction begins by proving that it still owns.
//!
//! Must stay true: of two nodes that both believe to own a lease, only the one with its newest epoch passes; the rows
//! touched here keep the other one's take-over waiting until this transaction has ended.

use loa_ports::lease::{Fence, Held};
use loa_ports::store::StoreError;

use crate::db::{Session, Tx};
use crate::query::{Query, sql};

/// Leases checked by one statement; far below the parameters that SQLite takes in one.
const HELD_PER_STATEMENT: usize = 64;

/// Raises the `seq` of every lease of the fence, or names the first one that is somebody else's by now.
pub async fn check_fence(tx: &mut Tx, fence: &Fence) -> Result<(), StoreError> {
    let mut held: Vec<&Held> = fence.held.iter().collect();
    held.sort_unstable_by_key(|held| (&held.kind, held.number, held.epoch));
    held.dedup();
    for held in held.chunks(HELD_PER_STATEMENT) {
        let touched = if let [one] = held { touch(tx, one).await? } else { touch_all(tx, held).await? };
        if touched != held.len() as u64 {
            return Err(first_lost(tx, held).await?);
        }
    }
    Ok(())
}

async fn touch(tx: &mut Tx, held: &Held) -> Result<u64, StoreError> {
    sql("update lease set seq = seq + 1 where kind = $1 and number = $2 and epoch = $3")
        .bind(&held.kind)
        .bind(i64::from(held.number))
        .bind(held.epoch)
        .execute(&mut *tx)
        .await
}

async fn touch_all(tx: &mut Tx, held: &[&Held]) -> Result<u64, StoreError> {
    // PostgreSQL locks rows as it finds them; asked for in one order, two owners wait in a line and not in a circle.
    let (start, end) = match tx.session {
        Session::Sqlite(_) => ("update lease set seq = seq + 1 where ", ""),
        Session::Postgres(_) => (
            "update lease set seq = seq + 1 from (select kind as of_kind, number as of_number from lease where ",
            " order by kind, number for update) as held where kind = of_kind and number = of_number",
        ),
    };
    let mut query = Query::built(start);
    for (index, held) in held.iter().enumerate() {
        query.push(if index == 0 { "(kind = " } else { " or (kind = " }).push_bind(held.kind.as_str());
        query.push(" and number = ").push_bind(i64::from(held.number));
        query.push(" and epoch = ").push_bind(held.epoch).push(")");
    }
    query.push(end);
    query.execute(&mut *tx).await
}

/// Looks the leases up one by one, to name the one that was lost.
async fn first_lost(tx: &mut Tx, held: &[&Held]) -> Result<StoreError, StoreError> {
    for held in held {
        if touch(tx, held).await? == 0 {
            return Ok(StoreError::Fenced { kind: held.kind.clone(), number: held.number });
        }
    }
    Ok(StoreError::Conflict { what: "the fence".to_owned() })
}
