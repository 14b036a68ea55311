//! The database's own time.
//!
//! For SQLite that is the clock of the machine that runs the process, so it always agrees and judges nothing; PostgreSQL
//! answers with its own (`now()` there would be the transaction's).
//!
//! Must stay true: the time is read by the database while it answers, never by us.

use async_trait::async_trait;
use loa_ports::store::{StoreClock, StoreError};

use crate::db::{Db, Engine};
use crate::query::sql;

#[async_trait]
impl StoreClock for Db {
    async fn database_now_us(&self) -> Result<i64, StoreError> {
        let text = match self.engine {
            Engine::Sqlite(_) => "select cast(round(unixepoch('subsec') * 1000000) as integer)",
            Engine::Postgres(_) => "select cast(round(extract(epoch from clock_timestamp()) * 1000000) as bigint)",
        };
        sql(text).fetch_one(self).await
    }

    fn is_of_this_machine(&self) -> bool {
        matches!(self.engine, Engine::Sqlite(_))
    }
}
