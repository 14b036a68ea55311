//! The migrations in the binary: `base` for every role, then the role's own.
//!
//! Must stay true: forward only; a file that was released is never edited (its checksum is stored and compared); two
//! processes that open the same store at once apply each file once.

use loa_ports::store::StoreError;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::error::damaged;

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// What a role's store is made of, by version.
pub(crate) fn of(role: &str) -> Migrator {
    let files = FILES.iter().filter(|(owner, ..)| *owner == "base" || *owner == role);
    let migrations = files.map(|(_, version, what, sql)| {
        Migration::new(*version, (*what).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Applies what is missing; the caller's transaction keeps a second process out meanwhile.
pub(crate) async fn apply(role: &str, connection: &mut sqlx::SqliteConnection) -> Result<(), StoreError> {
    of(role).run_direct(None, connection, false).await.map_err(|error| damaged(format!("store of {role}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn versions_are_unique_in_each_store() {
        for role in FILES.iter().map(|(role, ..)| *role).collect::<HashSet<_>>() {
            let versions: Vec<_> = of(role).iter().map(|migration| migration.version).collect();
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
            assert!(sql.starts_with("-- "), "{role}/{version:04}_{what}.sql must say what it is for");
        }
    }
}
