//! Environments on SQLite.

use crate::{
    columns::{plain, text, time, whole},
    open::Sqlite,
    words::Word as _,
};
use async_trait::async_trait;
use model::{EnvironmentName, ReplicaId, RunId, Timestamp, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, Deployment, Environment, Environments, ReleaseState, ReplicaState, StoreError};

fn environment(row: &SqliteRow) -> Result<Environment, StoreError> {
    Ok(Environment {
        tool: text(row, "tool")?,
        name: text(row, "name")?,
        current: plain(row, "current")?,
        since: time(row, "since")?,
    })
}

impl Sqlite {
    async fn make_current(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        release: u64,
        expected: Option<u64>,
        run: RunId,
        goes_on: Option<ReplicaId>,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        let found = query("SELECT current FROM environments WHERE tool = ? AND name = ?");
        let found = work.first(found.bind(tool.to_string()).bind(environment.as_str())).await?;
        let current: Option<u64> = found.map(|row| plain(&row, "current")).transpose()?;
        if current == Some(release) {
            return Ok(());
        }
        if current != expected {
            return Err(Conflict::CurrentReleaseMoved { expected, found: current }.into());
        }
        let deployed = query("UPDATE releases SET state = ? WHERE tool = ? AND number = ?")
            .bind(ReleaseState::Deployed.word())
            .bind(tool.to_string())
            .bind(whole(release));
        if work.run(deployed).await? == 0 {
            return Err(StoreError::NotFound("release"));
        }
        let known = query("SELECT 1 FROM runs WHERE id = ? AND tool = ?");
        work.one("run", known.bind(run.to_string()).bind(tool.to_string())).await?;
        let now = Timestamp::now();
        let set = query(
            "INSERT INTO environments (tool, name, current, since) VALUES (?, ?, ?, ?)
             ON CONFLICT (tool, name) DO UPDATE SET current = excluded.current, since = excluded.since",
        )
        .bind(tool.to_string())
        .bind(environment.as_str())
        .bind(whole(release))
        .bind(now.0);
        work.run(set).await?;
        let history =
            query("INSERT INTO deployments (tool, environment, release, at, run) VALUES (?, ?, ?, ?, ?)")
                .bind(tool.to_string())
                .bind(environment.as_str())
                .bind(whole(release))
                .bind(now.0)
                .bind(run.to_string());
        work.run(history).await?;
        if let Some(replica) = goes_on {
            let moved = query(
                "UPDATE replicas SET release = ? WHERE id = ? AND tool = ? AND environment = ? AND release = ?
                 AND state = ?",
            )
            .bind(whole(release))
            .bind(replica.to_string())
            .bind(tool.to_string())
            .bind(environment.as_str())
            .bind(expected.map(whole))
            .bind(ReplicaState::Healthy.word());
            if work.run(moved).await? == 0 {
                return Err(StoreError::NotFound("replica"));
            }
        }
        work.commit().await
    }
}

#[async_trait]
impl Environments for Sqlite {
    async fn set_current(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        release: u64,
        expected: Option<u64>,
        run: RunId,
    ) -> Result<(), StoreError> {
        self.make_current(tool, environment, release, expected, run, None).await
    }

    async fn keep_running(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        release: u64,
        expected: u64,
        run: RunId,
        goes_on: ReplicaId,
    ) -> Result<(), StoreError> {
        self.make_current(tool, environment, release, Some(expected), run, Some(goes_on)).await
    }

    async fn environment(
        &self,
        tool: ToolId,
        name: &EnvironmentName,
    ) -> Result<Option<Environment>, StoreError> {
        let found = query("SELECT * FROM environments WHERE tool = ? AND name = ?");
        let found = self.first(found.bind(tool.to_string()).bind(name.as_str())).await?;
        found.as_ref().map(environment).transpose()
    }

    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        let found = query(
            "SELECT environments.* FROM environments JOIN tools ON tools.id = environments.tool
             WHERE tools.deleted_at IS NULL ORDER BY tools.name, environments.name",
        );
        self.all(found).await?.iter().map(environment).collect()
    }

    async fn deployments(
        &self,
        tool: ToolId,
        environment: &EnvironmentName,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError> {
        let found = query(
            "SELECT deployments.release, deployments.at, runs.number AS run, runs.user,
             runs.rollback_to IS NOT NULL AS rollback
             FROM deployments JOIN runs ON runs.id = deployments.run
             WHERE deployments.tool = ? AND environment = ? ORDER BY deployments.number DESC LIMIT ?",
        )
        .bind(tool.to_string())
        .bind(environment.as_str())
        .bind(limit);
        let rows = self.all(found).await?;
        rows.iter()
            .map(|row| {
                Ok(Deployment {
                    release: plain(row, "release")?,
                    at: time(row, "at")?,
                    run: plain(row, "run")?,
                    by: text(row, "user")?,
                    rollback: plain(row, "rollback")?,
                })
            })
            .collect()
    }
}
