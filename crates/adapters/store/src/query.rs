//! A statement, its values and its rows, on either database.
//!
//! Values are whole numbers, texts and bytes, the three that the common subset of both databases has. A fixed statement
//! names its values `$1`, `$2`…; one that is put together writes `?` for each, since SQLite looks a name up at every
//! binding; PostgreSQL gets them numbered.
//!
//! Must stay true: a value is bound with its type and never written into the text, so nothing is left to be guessed by
//! either database, an absent value no more than another.

use std::borrow::Cow;

use loa_ports::store::StoreError;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteExecutor, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Decode, Row as _, SqlSafeStr as _, SqlStr, Type};

use crate::db::{Db, Engine, Session, Snapshot, Tx};
use crate::error::store_error;
use crate::postgres;

/// A statement with its values.
#[derive(Debug)]
pub struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// A value of a statement.
#[derive(Debug)]
pub enum Value {
    /// A bigint.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes, or none.
    Bytes(Option<Vec<u8>>),
}

/// Where a statement is executed.
#[derive(Debug)]
pub enum On<'a> {
    /// By itself, on a connection that only reads.
    Alone(&'a Db),
    /// Within a transaction or a snapshot.
    Within(&'a mut Session),
}

/// A row of either database.
#[derive(Debug)]
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

/// What is read from the columns of a row: the value of its only one, or a tuple.
pub trait Columns: Sized {
    /// Reads the row.
    fn of(row: &Row) -> Result<Self, StoreError>;
}

macro_rules! columns {
    ($($one:ty),*; $(($($name:ident $at:literal),*))*) => {
        $(impl Columns for $one {
            fn of(row: &Row) -> Result<Self, StoreError> {
                row.get(0)
            }
        })*
        $(impl<$($name),*> Columns for ($($name,)*)
        where
            $($name: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,)*
        {
            fn of(row: &Row) -> Result<Self, StoreError> {
                Ok(($(row.get::<$name>($at)?,)*))
            }
        })*
    };
}

columns! {
    i64, String, Vec<u8>;
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
}

/// How much of an answer is read.
#[derive(Debug, Clone, Copy)]
enum Read {
    Count,
    First,
    All,
}

/// Rows changed and rows read.
#[derive(Debug, Default)]
struct Answer {
    changed: u64,
    rows: Vec<Row>,
}

/// A fixed statement.
pub fn sql(text: &'static str) -> Query {
    Query { sql: Cow::Borrowed(text), values: Vec::new() }
}

impl Query {
    /// A statement that is put together, beginning with this.
    pub(crate) fn built(start: impl Into<String>) -> Self {
        Self { sql: Cow::Owned(start.into()), values: Vec::new() }
    }

    /// The next value of a fixed statement.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.push("?")
    }

    /// `values (…), (…)`.
    pub(crate) fn push_values<const N: usize>(&mut self, rows: impl IntoIterator<Item = [Value; N]>) -> &mut Self {
        for (at, row) in rows.into_iter().enumerate() {
            self.push(if at == 0 { "values " } else { ", " }).push_list(row);
        }
        self
    }

    /// `(…, …)`.
    pub(crate) fn push_list(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            self.push(if at == 0 { "(" } else { ", " }).push_bind(value);
        }
        self.push(")")
    }

    /// Rows that it changed.
    pub async fn execute(self, on: impl Into<On<'_>>) -> Result<u64, StoreError> {
        Ok(self.run(on.into(), Read::Count).await?.changed)
    }

    /// All its rows.
    pub async fn fetch_all<T: Columns>(self, on: impl Into<On<'_>>) -> Result<Vec<T>, StoreError> {
        self.fetch_rows(on).await?.iter().map(T::of).collect()
    }

    /// All its rows, to be read column by column.
    pub async fn fetch_rows(self, on: impl Into<On<'_>>) -> Result<Vec<Row>, StoreError> {
        Ok(self.run(on.into(), Read::All).await?.rows)
    }

    /// Its first row, if it has any.
    pub async fn fetch_optional<T: Columns>(self, on: impl Into<On<'_>>) -> Result<Option<T>, StoreError> {
        self.fetch_row(on).await?.as_ref().map(T::of).transpose()
    }

    /// Its first row, if it has any, to be read column by column.
    pub async fn fetch_row(self, on: impl Into<On<'_>>) -> Result<Option<Row>, StoreError> {
        Ok(self.run(on.into(), Read::First).await?.rows.pop())
    }

    /// Its first row, which must be there.
    pub async fn fetch_one<T: Columns>(self, on: impl Into<On<'_>>) -> Result<T, StoreError> {
        self.fetch_optional(on).await?.ok_or_else(|| store_error(sqlx::Error::RowNotFound))
    }

    async fn run(self, on: On<'_>, read: Read) -> Result<Answer, StoreError> {
        match on {
            On::Alone(Db { engine: Engine::Sqlite(file), .. }) => {
                self.on_sqlite(&file.readers, read).await.map_err(store_error)
            }
            On::Within(Session::Sqlite(transaction)) => {
                self.on_sqlite(&mut **transaction, read).await.map_err(store_error)
            }
            On::Alone(Db { engine: Engine::Postgres(server), .. }) => {
                self.within(&mut server.reader().await?, read).await
            }
            On::Within(Session::Postgres(session)) => self.within(session, read).await,
        }
    }

    async fn within(self, session: &mut postgres::Session, read: Read) -> Result<Answer, StoreError> {
        let answer = postgres::in_time(self.on_postgres(session.connection()?, read)).await;
        session.judged(answer)
    }

    async fn on_sqlite(self, executor: impl SqliteExecutor<'_>, read: Read) -> sqlx::Result<Answer> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, self.values)?;
        let query = sqlx::query_with::<Sqlite, _>(sql_str(self.sql), arguments);
        Ok(match read {
            Read::Count => Answer { changed: query.execute(executor).await?.rows_affected(), rows: Vec::new() },
            Read::First => Answer::of(query.fetch_optional(executor).await?.map(Row::Sqlite)),
            Read::All => Answer::of(query.fetch_all(executor).await?.into_iter().map(Row::Sqlite)),
        })
    }

    async fn on_postgres(self, connection: &mut PgConnection, read: Read) -> sqlx::Result<Answer> {
        let mut arguments = PgArguments::default();
        add(&mut arguments, self.values)?;
        let query = sqlx::query_with::<Postgres, _>(sql_str(numbered(self.sql)), arguments);
        Ok(match read {
            Read::Count => Answer { changed: query.execute(connection).await?.rows_affected(), rows: Vec::new() },
            Read::First => Answer::of(query.fetch_optional(connection).await?.map(Row::Postgres)),
            Read::All => Answer::of(query.fetch_all(connection).await?.into_iter().map(Row::Postgres)),
        })
    }
}

impl Answer {
    fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { changed: 0, rows: rows.into_iter().collect() }
    }
}

impl Row {
    /// One column, counted from 0.
    pub fn get<'r, T>(&'r self, at: usize) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
        .map_err(store_error)
    }
}

/// Binds the values to the arguments of a driver.
fn add<A: Arguments>(arguments: &mut A, values: Vec<Value>) -> sqlx::Result<()>
where
    i64: for<'t> sqlx::Encode<'t, A::Database> + Type<A::Database>,
    String: for<'t> sqlx::Encode<'t, A::Database> + Type<A::Database>,
    Option<Vec<u8>>: for<'t> sqlx::Encode<'t, A::Database> + Type<A::Database>,
{
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

fn sql_str(sql: Cow<'static, str>) -> SqlStr {
    match sql {
        Cow::Borrowed(sql) => sql.into_sql_str(),
        // Put together from fixed texts; values are bound.
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    }
}

/// `$1`, `$2`… for each `?` of a statement that was put together.
fn numbered(sql: Cow<'static, str>) -> Cow<'static, str> {
    let Cow::Owned(sql) = sql else { return sql };
    let mut out = String::with_capacity(sql.len() * 2);
    for (at, part) in sql.split('?').enumerate() {
        if at > 0 {
            out.push('$');
            out.push_str(&at.to_string());
        }
        out.push_str(part);
    }
    Cow::Owned(out)
}

impl<'a> From<&'a Db> for On<'a> {
    fn from(db: &'a Db) -> Self {
        Self::Alone(db)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Within(&mut tx.session)
    }
}

impl<'a> From<&'a mut Snapshot> for On<'a> {
    fn from(snapshot: &'a mut Snapshot) -> Self {
        Self::Within(&mut snapshot.0)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&i64> for Value {
    fn from(number: &i64) -> Self {
        Self::Number(*number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::Bytes(Some(bytes.clone()))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_numbered_for_postgres() {
        let mut query = Query::built("insert into t (a, b) ");
        query.push_values([(1, "x"), (2, "y")].map(|(a, b)| [a.into(), b.into()]));
        query.push(" on conflict do nothing");
        assert_eq!(query.sql, "insert into t (a, b) values (?, ?), (?, ?) on conflict do nothing");
        assert_eq!(query.values.len(), 4);
        assert_eq!(numbered(query.sql), "insert into t (a, b) values ($1, $2), ($3, $4) on conflict do nothing");
        assert_eq!(numbered(Cow::Borrowed("select '?'")), "select '?'");
    }
}
