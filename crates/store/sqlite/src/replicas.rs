//! Replicas on SQLite.

use crate::{
    columns::{plain, text, time, whole, word},
    open::Sqlite,
    words::Word as _,
};
use async_trait::async_trait;
use model::ReplicaId;
use sqlx::{query, sqlite::SqliteRow};
use store::{Replica, ReplicaState, Replicas, StoreError};

fn replica(row: &SqliteRow) -> Result<Replica, StoreError> {
    Ok(Replica {
        id: text(row, "id")?,
        tool: text(row, "tool")?,
        environment: text(row, "environment")?,
        release: plain(row, "release")?,
        process: text(row, "process")?,
        sandbox: plain(row, "sandbox")?,
        address: plain(row, "address")?,
        state: word(row, "state")?,
        restarts: plain(row, "restarts")?,
        created_at: time(row, "created_at")?,
    })
}

#[async_trait]
impl Replicas for Sqlite {
    async fn add_replica(&self, replica: &Replica) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let release = query("SELECT 1 FROM releases WHERE tool = ? AND number = ?");
        work.one("release", release.bind(replica.tool.to_string()).bind(whole(replica.release))).await?;
        let insert = query(
            "INSERT INTO replicas (id, tool, environment, release, process, sandbox, address, state, restarts,
             created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(replica.id.to_string())
        .bind(replica.tool.to_string())
        .bind(replica.environment.as_str())
        .bind(whole(replica.release))
        .bind(replica.process.as_str())
        .bind(&replica.sandbox)
        .bind(replica.address.as_deref())
        .bind(replica.state.word())
        .bind(whole(replica.restarts))
        .bind(replica.created_at.0);
        work.run(insert).await?;
        work.commit().await
    }

    async fn update_replica(
        &self,
        id: ReplicaId,
        state: ReplicaState,
        address: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let update = query("UPDATE replicas SET state = ?, address = ? WHERE id = ?")
            .bind(state.word())
            .bind(address)
            .bind(id.to_string());
        if work.run(update).await? == 0 {
            return Err(StoreError::NotFound("replica"));
        }
        work.commit().await
    }

    async fn remove_replica(&self, id: ReplicaId) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("DELETE FROM replicas WHERE id = ?").bind(id.to_string())).await?;
        work.commit().await
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.all(query("SELECT * FROM replicas ORDER BY created_at, id")).await?.iter().map(replica).collect()
    }
}
