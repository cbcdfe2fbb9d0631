//! Releases on SQLite.

use crate::{
    columns::{json, plain, text, time, to_json, whole, word},
    open::Sqlite,
    words::Word as _,
};
use async_trait::async_trait;
use model::{Timestamp, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{NewRelease, Release, ReleaseState, Releases, StoreError};

/// A query for releases with the commit of their run.
macro_rules! releases {
    ($tail:literal) => {
        query(concat!(
            "SELECT releases.*, pushes.commit_id FROM releases
             JOIN runs ON runs.id = releases.run JOIN pushes ON pushes.id = runs.push ",
            $tail
        ))
    };
}

/// Of a row of `releases`: older than the newest ones of its tool, and needed by nobody.
macro_rules! old {
    () => {
        "state IN ('made', 'deployed')
         AND (SELECT count(*) FROM releases AS newer WHERE newer.tool = releases.tool
              AND newer.number > releases.number AND newer.state IN ('made', 'deployed')) >= ?
         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.ended_at IS NULL AND runs.tool = releases.tool
                         AND (runs.id = releases.run OR runs.rollback_to = releases.number))
         AND NOT EXISTS (SELECT 1 FROM replicas WHERE replicas.tool = releases.tool
                         AND replicas.release = releases.number)
         AND NOT EXISTS (
             SELECT 1 FROM environments WHERE environments.tool = releases.tool
             AND (environments.current = releases.number
                  OR releases.number = (
                      SELECT release FROM deployments WHERE deployments.tool = environments.tool
                      AND deployments.environment = environments.name
                      AND deployments.release <> environments.current
                      ORDER BY deployments.number DESC LIMIT 1)
                  -- Where a rollback leads: what was live when the current one was first deployed.
                  OR releases.number = (
                      SELECT release FROM deployments WHERE deployments.tool = environments.tool
                      AND deployments.environment = environments.name
                      AND deployments.number < (
                          SELECT min(first.number) FROM deployments AS first
                          WHERE first.tool = environments.tool AND first.environment = environments.name
                          AND first.release = environments.current)
                      ORDER BY deployments.number DESC LIMIT 1)))"
    };
}

fn release(row: &SqliteRow) -> Result<Release, StoreError> {
    Ok(Release {
        tool: text(row, "tool")?,
        number: plain(row, "number")?,
        run: text(row, "run")?,
        commit: plain(row, "commit_id")?,
        processes: json(row, "processes")?,
        config: json(row, "config")?,
        state: word(row, "state")?,
        created_at: time(row, "created_at")?,
    })
}

#[async_trait]
impl Releases for Sqlite {
    async fn create_release(&self, new: &NewRelease) -> Result<Release, StoreError> {
        let mut work = self.write().await?;
        let before = releases!("WHERE releases.run = ?").bind(new.run.to_string());
        if let Some(row) = work.first(before).await? {
            return release(&row);
        }
        work.need_tool(new.tool).await?;
        let run = query("SELECT 1 FROM runs WHERE id = ? AND tool = ?");
        work.one("run", run.bind(new.run.to_string()).bind(new.tool.to_string())).await?;
        for process in new.processes.values() {
            let image = query("SELECT 1 FROM images WHERE tool = ? AND digest = ?");
            work.one("image", image.bind(new.tool.to_string()).bind(process.image.to_string())).await?;
        }
        let count =
            query("UPDATE tools SET last_release = last_release + 1 WHERE id = ? RETURNING last_release");
        let number: u64 = plain(&work.one("tool", count.bind(new.tool.to_string())).await?, "last_release")?;
        let insert = query(
            "INSERT INTO releases (tool, number, run, processes, config, state, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.tool.to_string())
        .bind(whole(number))
        .bind(new.run.to_string())
        .bind(to_json(&new.processes)?)
        .bind(to_json(&new.config)?)
        .bind(ReleaseState::Made.word())
        .bind(Timestamp::now().0);
        work.run(insert).await?;
        let made = releases!("WHERE releases.run = ?").bind(new.run.to_string());
        let made = release(&work.one("release", made).await?)?;
        work.commit().await?;
        Ok(made)
    }

    async fn release(&self, tool: ToolId, number: u64) -> Result<Release, StoreError> {
        let found = releases!("WHERE releases.tool = ? AND releases.number = ?");
        release(&self.one("release", found.bind(tool.to_string()).bind(whole(number))).await?)
    }

    async fn releases_of(
        &self,
        tool: ToolId,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<Release>, StoreError> {
        let found = releases!(
            "WHERE releases.tool = ? AND releases.number < ? ORDER BY releases.number DESC LIMIT ?"
        )
        .bind(tool.to_string())
        .bind(before.map_or(i64::MAX, whole))
        .bind(limit);
        self.all(found).await?.iter().map(release).collect()
    }

    async fn release_failed(&self, tool: ToolId, number: u64) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let found = query("SELECT 1 FROM releases WHERE tool = ? AND number = ?");
        work.one("release", found.bind(tool.to_string()).bind(whole(number))).await?;
        let fail = query("UPDATE releases SET state = ? WHERE tool = ? AND number = ? AND state = ?")
            .bind(ReleaseState::Failed.word())
            .bind(tool.to_string())
            .bind(whole(number))
            .bind(ReleaseState::Made.word());
        work.run(fail).await?;
        work.commit().await
    }

    async fn remove_releases(&self, keep: u32) -> Result<Vec<(ToolId, u64)>, StoreError> {
        let old = query(concat!("SELECT tool, number FROM releases WHERE ", old!())).bind(keep);
        if self.first(old).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut work = self.write().await?;
        let remove =
            query(concat!("UPDATE releases SET state = 'removed' WHERE ", old!(), " RETURNING tool, number"));
        let rows = work.all(remove.bind(keep)).await?;
        work.commit().await?;
        rows.iter().map(|row| Ok((text(row, "tool")?, plain(row, "number")?))).collect()
    }
}
