//! The migrations in the binary: `base` for every role, then the role's own.
//!
//! Must stay true: forward only; a file that was released is never edited (its checksum is stored and compared); two
//! processes that open the same store at once apply each file once.

use loa_ports::store::StoreError;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::error::{damaged, store_error};

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// What a role's store is made of on SQLite, by version.
pub(crate) fn of_sqlite(role: &str) -> Migrator {
    of(role, |sql| sql.into_sql_str())
}

/// The same on PostgreSQL. The one difference: its texts are sorted by their bytes, as SQLite sorts, whatever the language
/// that the database was made with; pages of a list then follow each other alike on both.
pub(crate) fn of_postgres(role: &str) -> Migrator {
    of(role, |sql| AssertSqlSafe(sql.replace(TEXT, TEXT_BY_BYTES)).into_sql_str())
}

/// The type of a column that holds a text, as the migrations write it.
const TEXT: &str = " text ";
/// The same, sorted by bytes.
const TEXT_BY_BYTES: &str = " text collate \"C\" ";

fn of(role: &str, written: impl Fn(&'static str) -> SqlStr) -> Migrator {
    let files = FILES.iter().filter(|(owner, ..)| *owner == "base" || *owner == role);
    let migrations = files.map(|(_, version, what, sql)| {
        Migration::new(*version, (*what).into(), MigrationType::Simple, written(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The newest version of a role's store.
pub(crate) fn newest(role: &str) -> i64 {
    FILES
        .iter()
        .filter(|(owner, ..)| *owner == "base" || *owner == role)
        .map(|(_, version, ..)| *version)
        .max()
        .unwrap_or(0)
}

/// Applies what is missing; the caller keeps a second process out meanwhile.
pub(crate) async fn apply(migrator: &Migrator, role: &str, connection: &mut impl Migrate) -> Result<(), StoreError> {
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => store_error(error),
        error => damaged(format!(
            "store of {role}: {error}; every role needs a store of its own, and none goes back to an older version"
        )),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn versions_are_unique_in_each_store() {
        for role in FILES.iter().map(|(role, ..)| *role).collect::<HashSet<_>>() {
            let versions: Vec<_> = of_sqlite(role).iter().map(|migration| migration.version).collect();
            assert_eq!(versions.first(), Some(&1), "{role}");
            assert_eq!(versions.iter().collect::<HashSet<_>>().len(), versions.len(), "{role} has a version twice");
        }
    }

    /// What one of the two databases does not take, or takes differently.
    #[test]
    fn migrations_keep_to_the_common_subset() {
        const FORBIDDEN: &[&str] = &[
            "autoincrement",
            "serial",
            " jsonb",
            "::",
            " blob",
            " datetime",
            "without rowid",
            " strict",
            "pragma",
            "identity",
            "table freeze (",
            "unnest",
            "ilike",
        ];
        for (role, version, what, sql) in FILES {
            let code: String =
                sql.lines().map(|line| line.split("--").next().unwrap_or_default().to_lowercase() + "\n").collect();
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{role}/{version:04}_{what}.sql says `{word}`");
            }
            assert!(!code.replace(TEXT, "").contains(" text"), "{role}/{version:04}_{what}.sql: a space after `text`");
            assert!(sql.starts_with("-- "), "{role}/{version:04}_{what}.sql must say what it is for");
        }
    }
}
