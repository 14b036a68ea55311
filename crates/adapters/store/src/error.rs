//! What an error of the database means for the caller.
//!
//! Must stay true: nothing here says that something was stored; only a COMMIT can be uncertain, and [`crate::Tx::commit`]
//! says so itself.

use loa_ports::store::StoreError;
use sqlx::Error;
use sqlx::error::DatabaseError;

/// Primary result codes of SQLite that say the file itself is not right: CORRUPT, NOTADB, and ERROR (a statement or schema
/// that does not fit).
const SQLITE_DAMAGED: [i32; 3] = [11, 26, 1];

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
        error => StoreError::Away { why: error.to_string() },
    }
}

/// What was read cannot be understood.
pub fn damaged(why: impl ToString) -> StoreError {
    StoreError::Damaged { why: why.to_string() }
}

fn database_error(error: &dyn DatabaseError) -> StoreError {
    let primary = error.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    match error.kind() {
        sqlx::error::ErrorKind::UniqueViolation => StoreError::Conflict { what: error.message().to_owned() },
        sqlx::error::ErrorKind::Other if primary.is_none_or(|code| !SQLITE_DAMAGED.contains(&code)) => {
            StoreError::Away { why: error.to_string() }
        }
        // A constraint of the schema repeats a rule of the domain: a row that breaks it must not be tried again.
        _ => damaged(error),
    }
}
