//! Deleting what is no longer needed, in bites that never keep the writer long.
//!
//! Must stay true: nothing of a campaign that may still send is deleted.

use loa_ports::store::StoreError;
use loa_ports::store::dispatch::Retention;

use crate::db::Db;
use crate::query::{Query, sql};

/// Rows of one transaction.
const BITE: i64 = 1_000;
/// Transactions of one call for each kind; the rest waits for the next call.
const BITES_MAX: usize = 100;

pub(super) async fn run(db: &Db, retention: &Retention) -> Result<u64, StoreError> {
    const SINGLE_ROWS: &str = "delete from release where (freeze_id, variant, chunk, release_no) in
        (select freeze_id, variant, chunk, release_no from release where is_single = 1 and hand_over_by < $1 limit $2)";
    const MEMBERS: &str = "delete from single_member where freeze_id in
        (select freeze_id from single_chunk where expires_at < $1 order by expires_at, freeze_id limit $2)";
    const CHUNKS: &str = "delete from single_chunk where freeze_id in
        (select freeze_id from single_chunk where expires_at < $1 order by expires_at, freeze_id limit $2)";
    const REQUESTS: &str = "delete from single_request where (caller, request_key) in
        (select caller, request_key from single_request where accepted_at < $1 limit $2)";
    const LIFTED: &str = "delete from suppression where (shard, address, scope) in
        (select shard, address, scope from suppression where is_lifted = 1 and changed_at < $1 limit $2)";
    let before = retention.singles_before_us;
    let mut gone = over(db, retention).await?;
    gone += bites(db, &[SINGLE_ROWS], before).await?;
    gone += bites(db, &[MEMBERS, CHUNKS], before).await?;
    gone += bites(db, &[REQUESTS], before).await?;
    gone += bites(db, &[LIFTED], before).await?;
    Ok(gone)
}

/// Runs the statements together until nothing is left for the last of them.
async fn bites(db: &Db, statements: &[&'static str], before_us: i64) -> Result<u64, StoreError> {
    let mut gone = 0;
    for _ in 0..BITES_MAX {
        let mut tx = db.begin().await?;
        let mut last = 0;
        for statement in statements {
            let query = sql(statement).bind(before_us).bind(BITE);
            last = query.execute(&mut tx).await?;
            gone += last;
        }
        tx.commit().await?;
        if last < BITE.unsigned_abs() {
            break;
        }
    }
    Ok(gone)
}

/// Rows of campaigns that are over.
async fn over(db: &Db, retention: &Retention) -> Result<u64, StoreError> {
    let mut gone = 0;
    for campaign in &retention.over {
        for _ in 0..BITES_MAX {
            let mut tx = db.begin().await?;
            let mut query = Query::built(
                "delete from release where (freeze_id, variant, chunk, release_no) in
                    (select freeze_id, variant, chunk, release_no from release where is_open = 0 and campaign_id = ",
            );
            query.push_bind(campaign.to_vec()).push(" and hand_over_by < ").push_bind(retention.rows_before_us);
            query.push(" limit ").push_bind(BITE).push(")");
            let bite = query.execute(&mut tx).await?;
            tx.commit().await?;
            gone += bite;
            if bite < BITE.unsigned_abs() {
                break;
            }
        }
    }
    Ok(gone)
}
