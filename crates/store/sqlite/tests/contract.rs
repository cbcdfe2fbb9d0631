//! SQLite keeps the store's contract.

use std::sync::Arc;
use store::Store;
use tempfile::TempDir;
use windlass_store_sqlite::Sqlite;

async fn fresh() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test's database");
    let store = Sqlite::open(&directory.path().join("state.sqlite")).await.expect("a fresh database");
    (Arc::new(store), directory)
}

store::contract!(fresh);
