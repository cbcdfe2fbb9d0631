//! What SQLite's error codes (sqlite.org/rescode.html) mean to whoever has to do something about them.

use sqlx::migrate::MigrateError;
use store::StoreError;

/// Any error of a query, told as the store tells it.
pub(crate) fn told(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(database) = &error else { return StoreError::Unavailable(error.into()) };
    let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
    // The low byte is the primary code; the rest says where it was noticed.
    match code & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED
        5 | 6 => StoreError::Locked,
        // SQLITE_READONLY
        8 => StoreError::ReadOnly,
        // SQLITE_CORRUPT, SQLITE_NOTADB
        11 | 26 => StoreError::Damaged { what: database.message().to_owned(), source: None },
        // SQLITE_FULL
        13 => StoreError::Full,
        _ => StoreError::Unavailable(error.into()),
    }
}

/// Whether a row of that key was there already.
pub(crate) fn is_duplicate(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    source
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// An error of a migration; `known` is the newest schema of this program.
pub(crate) fn told_of_migration(error: MigrateError, known: i64) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => told(error),
        MigrateError::VersionMissing(found) if found > known => StoreError::Newer { found, known },
        other => StoreError::Damaged {
            what: "its schema is not the one that was installed".to_owned(),
            source: Some(other.into()),
        },
    }
}
