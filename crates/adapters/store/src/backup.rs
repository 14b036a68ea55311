//! What a backup looks at and copies of a store that others work on, and what is set anew in one that was put back.
//!
//! Must stay true: nothing here changes a store that others work on, and none is brought to another version by looking.

use std::path::Path;

use loa_domain::mask::Mask;
use loa_ports::store::{Offset, StoreError};
use sqlx::postgres::PgConnection;

use crate::db::{Db, Engine};
use crate::dispatch::open_releases;
use crate::error::{away, damaged};
use crate::migrations;
use crate::query::sql;

/// Positions of suppression entries that the original may have given after the backup; none of them is given again.
const POSITIONS_SKIPPED: i64 = 1_000_000;

impl Db {
    pub(crate) async fn of_this_version(self, role: &str) -> Result<Self, StoreError> {
        let found: i64 = sql("select max(version) from _sqlx_migrations").fetch_one(&self).await?;
        let known = migrations::newest(role);
        if found == known {
            return Ok(self);
        }
        let why = format!("its tables are of version {found} and this loa knows {known}; use the loa that runs on it");
        Err(damaged(why))
    }

    /// Writes a copy of a file that others work on, as it is at one moment; the target must not be there.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => file.copy_to(path).await,
            Engine::Postgres(_) => Err(away("a database of PostgreSQL is copied by pg_dump")),
        }
    }

    /// Keeps the database of a PostgreSQL server readable as it is now, whatever others change.
    pub async fn still(&self) -> Result<Still, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Err(away("a file is copied by itself")),
            Engine::Postgres(server) => {
                let (connection, name) = server.still().await?;
                Ok(Still { name, _connection: connection })
            }
        }
    }

    /// The major version of a PostgreSQL server; 0 for a file.
    pub async fn server_version(&self) -> Result<u32, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(0),
            Engine::Postgres(server) => server.major_version().await,
        }
    }
}

/// A database as it was at one moment, as long as this lives.
#[derive(Debug)]
pub struct Still {
    /// What `pg_dump --snapshot` names.
    pub name: String,
    _connection: PgConnection,
}

/// Where every reader of a role goes on, whatever its name.
pub async fn all_offsets(db: &Db) -> Result<Vec<Offset>, StoreError> {
    const SQL: &str = "select topic, partition_no, next_offset from reader_offset order by topic, partition_no";
    let rows: Vec<(String, i64, i64)> = sql(SQL).fetch_all(db).await?;
    let offset = |(topic, partition, next): (String, i64, i64)| {
        Ok(Offset { topic, partition: u32::try_from(partition).map_err(damaged)?, next })
    };
    rows.into_iter().map(offset).collect()
}

/// Lets every reader of a role begin where the log begins: for a log that is not the one the positions are of.
pub async fn forget_offsets(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sql("delete from reader_offset").execute(&mut tx).await?;
    tx.commit().await
}

/// Leaves out positions of suppression entries that the original may have given after the backup: readers that know such
/// an entry take a newer one only with a higher position.
pub async fn skip_positions(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let query = sql("update suppression_position set position = position + $1").bind(POSITIONS_SKIPPED);
    query.execute(&mut tx).await?;
    tx.commit().await
}

/// Releases of which something was offered and nothing is known yet.
pub async fn unsettled_releases(db: &Db) -> Result<u64, StoreError> {
    let is_unsettled = |offered: &Mask, heard: &Mask| !offered.difference(heard).is_empty();
    let rows = open_releases(db).await?;
    Ok(rows.iter().filter(|(offered, heard)| is_unsettled(offered, heard)).count() as u64)
}

/// Whether a database has no tables; one that is not empty is not written over.
pub async fn is_empty(url: &str) -> Result<bool, StoreError> {
    let db = Db::unopened_postgres(url).await?;
    const SQL: &str = "select count(*) from information_schema.tables
        where table_schema not in ('pg_catalog', 'information_schema')";
    let tables: i64 = sql(SQL).fetch_one(&db).await?;
    db.close().await;
    Ok(tables == 0)
}
