//! Opening the file: settings, migrations, the two pools.

use crate::{
    fault::{told, told_of_migration},
    work::Work,
};
use sqlx::{
    ConnectOptions, SqlStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{borrow::Cow, fs::OpenOptions, io, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};
use store::StoreError;

/// Readers work beside the writer (WAL); each is a thread and a page cache of its own.
const READERS: u32 = 3;
/// How long a foreign lock (an open database shell) is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const BEGIN: &str = "BEGIN IMMEDIATE";

/// In order; never changed once released, only added to.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "people and tools", include_str!("../migrations/0001_people_and_tools.sql")),
    (2, "runs", include_str!("../migrations/0002_runs.sql")),
    (3, "images and releases", include_str!("../migrations/0003_images_and_releases.sql")),
    (4, "rollbacks", include_str!("../migrations/0004_rollbacks.sql")),
    (5, "turns", include_str!("../migrations/0005_turns.sql")),
    (6, "registry", include_str!("../migrations/0006_registry.sql")),
    (7, "storage", include_str!("../migrations/0007_storage.sql")),
    (10, "quotas", include_str!("../migrations/0010_quotas.sql")),
    (11, "tests", include_str!("../migrations/0011_tests.sql")),
];

/// The state of one platform in one file. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

impl Sqlite {
    /// Opens the file, makes it if there is none, and brings its schema up to date. The directory must exist.
    ///
    /// # Errors
    /// `CannotOpen`, `Newer` for a file of a later version, `Damaged`, `Locked`, `ReadOnly`, `Full`, `Unavailable`.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path)
            .map_err(|source| StoreError::CannotOpen { path: path.to_owned(), source: source.into() })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged write is on disk (design decision 9).
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Statements carry hashes and tenants' words: none goes to the platform's log.
            .disable_statement_logging();
        let pool = |connections| {
            SqlitePoolOptions::new().max_connections(connections).idle_timeout(None).max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(told)?;
        migrate(&writer).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(told)?;
        Ok(Self { writer, readers })
    }

    /// Waits for what is under way and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that writes; it waits for the one before. Dropped without commit it leaves no trace.
    pub(crate) async fn write(&self) -> Result<Work, StoreError> {
        match self.writer.begin_with(BEGIN).await {
            // A full disk made SQLite end the transaction before by itself (sqlite.org/lang_transaction.html), and sqlx
            // still counts it: this connection cannot begin another one ever again.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await.map_err(told)?.close().await.map_err(told)?;
                self.writer.begin_with(BEGIN).await.map(Work::new).map_err(told)
            }
            begun => begun.map(Work::new).map_err(told),
        }
    }
}

/// Whom tools belong to and what tokens hash to is nobody else's to read. The files beside it (`-wal`, `-shm`) get the
/// same mode from SQLite.
fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.iter().map(|&(version, description, sql)| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    let known = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    Migrator::with_migrations(migrations.collect())
        .run(writer)
        .await
        .map_err(|error| told_of_migration(error, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::plain;
    use sqlx::query;
    use store::{Tools as _, Users as _};
    use tempfile::TempDir;

    async fn fresh() -> (Sqlite, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.sqlite")).await.unwrap();
        (store, directory)
    }

    #[tokio::test]
    async fn every_commit_goes_to_disk_and_readers_cannot_write() {
        let (store, _directory) = fresh().await;
        let mut work = store.write().await.unwrap();
        // 2 = FULL (sqlite.org/pragma.html#pragma_synchronous)
        for (pragma, value) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
            let row = work.first(query(pragma)).await.unwrap().unwrap();
            assert_eq!(sqlx::Row::get::<i64, _>(&row, 0), value, "{pragma}");
        }
        let row = work.first(query("PRAGMA journal_mode")).await.unwrap().unwrap();
        assert_eq!(plain::<&str>(&row, "journal_mode").unwrap(), "wal");
        drop(work);
        let error = store.all(query("DELETE FROM users")).await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly), "{error:?}");
    }

    #[tokio::test]
    async fn nobody_else_reads_its_files() {
        let (store, directory) = fresh().await;
        store.ensure_operator("operator").await.unwrap();
        let mut files = 0;
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let mode = std::os::unix::fs::MetadataExt::mode(&file.unwrap().metadata().unwrap());
            assert_eq!(mode & 0o777, 0o600);
            files += 1;
        }
        assert_eq!(files, 3, "database, write-ahead log, shared memory");
    }

    #[tokio::test]
    async fn a_transaction_that_is_dropped_leaves_no_trace() {
        let (store, _directory) = fresh().await;
        let mut work = store.write().await.unwrap();
        work.run(query("INSERT INTO users VALUES ('1', 'ada', 0, 0)")).await.unwrap();
        drop(work);
        assert!(store.users().await.unwrap().is_empty());
        store.ensure_operator("operator").await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_such_and_nothing_is_half_written() {
        let (store, _directory) = fresh().await;
        // The same error as of a file system that has no room for another page.
        store.write().await.unwrap().run(query("PRAGMA max_page_count = 1")).await.unwrap();
        let mut made = 0;
        let error = loop {
            match store.create_user(&format!("{made}-{}", "x".repeat(2000)), &model::Actor::Platform).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full), "{error:?}");
        assert_eq!(store.users().await.unwrap().len(), made);
    }

    #[tokio::test]
    async fn a_file_of_a_later_version_is_left_alone() {
        let (store, directory) = fresh().await;
        let mut work = store.write().await.unwrap();
        let later = query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99, 'later', 1, x'00', 0)",
        );
        work.run(later).await.unwrap();
        work.commit().await.unwrap();
        store.close().await;
        let error = Sqlite::open(&directory.path().join("state.sqlite")).await.unwrap_err();
        let newest = MIGRATIONS[MIGRATIONS.len() - 1].0;
        assert!(matches!(error, StoreError::Newer { found: 99, known } if known == newest), "{error:?}");
    }

    #[tokio::test]
    async fn a_changed_migration_is_noticed() {
        let (store, directory) = fresh().await;
        let mut work = store.write().await.unwrap();
        work.run(query("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1")).await.unwrap();
        work.commit().await.unwrap();
        store.close().await;
        let error = Sqlite::open(&directory.path().join("state.sqlite")).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn words_that_we_never_wrote_are_damage() {
        let (store, _directory) = fresh().await;
        let owner = store.ensure_operator("operator").await.unwrap().id;
        let new = store::NewTool { name: "wordcount".parse().unwrap(), owner };
        let tool = store.create_tool(&new, &model::Actor::Platform).await.unwrap();
        let mut work = store.write().await.unwrap();
        work.run(query("UPDATE tools SET wanted = 'perhaps'")).await.unwrap();
        work.commit().await.unwrap();
        let error = store.tool(tool.id).await.unwrap_err();
        let StoreError::Damaged { what, source } = &error else { panic!("{error:?}") };
        assert_eq!(what, "column `wanted`");
        assert_eq!(source.as_ref().unwrap().to_string(), "unknown word `perhaps`");
    }

    #[tokio::test]
    async fn a_lock_by_another_program_is_named_after_a_while() {
        let (store, directory) = fresh().await;
        let shell = Sqlite::open(&directory.path().join("state.sqlite")).await.unwrap();
        let lock = shell.write().await.unwrap();
        let error = store.ensure_operator("operator").await.unwrap_err();
        assert!(matches!(error, StoreError::Locked), "{error:?}");
        drop(lock);
        store.ensure_operator("operator").await.unwrap();
    }
}
