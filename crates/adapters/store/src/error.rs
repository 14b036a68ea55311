//! What an error of the database means for the caller.
//!
//! Must stay true: nothing here says that something was stored; only a COMMIT can be uncertain, and [`crate::Tx::commit`]
//! says so itself.

use loa_ports::store::StoreError;
use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// Primary result codes of SQLite that say the file itself is not right: CORRUPT, NOTADB, and ERROR (a statement or schema
/// that does not fit).
const SQLITE_DAMAGED: [i32; 3] = [11, 26, 1];
/// Classes of PostgreSQL's codes that say the same: a value or a statement that does not fit, and a damaged file. All
/// others (a deadlock, a lock or a statement that took too long, a server that stops or is full) may pass.
const POSTGRES_DAMAGED: [&str; 4] = ["22", "23", "42", "XX"];
/// PostgreSQL's code for a right that the user does not have: somebody grants it, and the call succeeds.
const POSTGRES_NO_RIGHT: &str = "42501";

/// The port's word for a database error met before COMMIT.
pub fn store_error(error: Error) -> StoreError {
    match error {
        Error::Database(error) => database_error(error.as_ref()),
        Error::RowNotFound => StoreError::Conflict { what: "a row that should be there".to_owned() },
        Error::ColumnNotFound(_)
        | Error::ColumnDecode { .. }
        | Error::Decode(_)
        | Error::TypeNotFound { .. }
        | Error::ColumnIndexOutOfBounds { .. } => damaged(error),
        error => away(error),
    }
}

/// What was read cannot be understood.
pub fn damaged(why: impl ToString) -> StoreError {
    StoreError::Damaged { why: why.to_string() }
}

/// Nothing was changed, and the same call may succeed later.
pub(crate) fn away(why: impl ToString) -> StoreError {
    StoreError::Away { why: why.to_string() }
}

fn database_error(error: &dyn DatabaseError) -> StoreError {
    match error.kind() {
        ErrorKind::UniqueViolation => StoreError::Conflict { what: error.message().to_owned() },
        ErrorKind::Other if !is_damaged(error) => away(error),
        // A constraint of the schema repeats a rule of the domain: a row that breaks it must not be tried again.
        _ => damaged(error),
    }
}

fn is_damaged(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    if error.try_downcast_ref::<PgDatabaseError>().is_some() {
        return code != POSTGRES_NO_RIGHT && POSTGRES_DAMAGED.iter().any(|class| code.starts_with(class));
    }
    code.parse::<i32>().is_ok_and(|code| SQLITE_DAMAGED.contains(&(code & 0xff)))
}
