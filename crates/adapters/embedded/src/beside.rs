//! The file of a log that another process works on: its bounds, and a copy of it.
//!
//! Must stay true: nothing is written to the file, and who works on it is not waited for; what was acknowledged before the
//! call is seen.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::error::OpenError;
use crate::file::{Loaded, load_all};

/// Where every partition of every topic begins and ends, all at one moment; by the topic's name.
pub async fn bounds(path: &Path) -> Result<BTreeMap<&'static str, Vec<(i64, i64)>>, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let mut connection = attach(path).await.map_err(database)?;
    let mut transaction = connection.begin().await.map_err(database)?;
    let loaded = load_all(&mut transaction).await?;
    transaction.rollback().await.map_err(database)?;
    connection.close().await.map_err(database)?;
    let of_topic = |topic: Loaded| (topic.spec().name, topic.starts.into_iter().zip(topic.ends).collect());
    Ok(loaded.into_iter().map(of_topic).collect())
}

/// Writes a copy of the file as it is at one moment; the target must not be there.
pub async fn copy(path: &Path, to: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let mut connection = attach(path).await.map_err(database)?;
    let query = sqlx::query("vacuum into ?").bind(to.display().to_string());
    query.execute(&mut connection).await.map_err(database)?;
    connection.close().await.map_err(database)
}

async fn attach(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(crate::file::BUSY);
    SqliteConnection::connect_with(&options).await
}
