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
use std::{borrow::Cow, path::Path, time::Duration};
use store::StoreError;

/// Readers work beside the writer (WAL); each is a thread and a page cache of its own.
const READERS: u32 = 3;
/// How long a foreign lock (an open database shell) is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// In order; never changed once released, only added to.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "people and tools", include_str!("../migrations/0001_people_and_tools.sql")),
    (2, "runs", include_str!("../migrations/0002_runs.sql")),
    (3, "images and releases", include_str!("../migrations/0003_images_and_releases.sql")),
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
    /// `Newer` for a file of a later version, `Damaged`, `Locked`, `ReadOnly`, `Full`, `Unavailable`.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
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
        self.writer.begin_with("BEGIN IMMEDIATE").await.map(Work::new).map_err(told)
    }
}

async fn migrate(writer: &SqlitePool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    let known = MIGRATIONS.len() as i64;
    Migrator::with_migrations(migrations.to_vec())
        .run(writer)
        .await
        .map_err(|error| told_of_migration(error, known))
}
