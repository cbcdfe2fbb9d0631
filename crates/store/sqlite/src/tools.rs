//! Tools on SQLite.

use crate::{
    columns::{plain, text, time, time_if_any, word, word_if_any},
    fault::is_duplicate,
    open::Sqlite,
    queue::rows::{apply, view},
    words::Word as _,
};
use async_trait::async_trait;
use model::{
    Action, Actor, Role, RunId, Timestamp, ToolId, ToolName, UserId,
    instance::{FIRST_TOOL_RANGE, RANGES_PER_INSTANCE, RangeIndex},
    run::{CancelReason, Event, OnNewPush, next},
};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, NewTool, StoreError, Tool, Tools, Wanted};

fn tool(row: &SqliteRow) -> Result<Tool, StoreError> {
    Ok(Tool {
        id: text(row, "id")?,
        name: text(row, "name")?,
        range: RangeIndex(plain(row, "range_index")?),
        production_branch: plain(row, "production_branch")?,
        on_new_push: word_if_any(row, "on_new_push")?,
        wanted: word(row, "wanted")?,
        restarts: plain(row, "restarts")?,
        created_at: time(row, "created_at")?,
        deleted_at: time_if_any(row, "deleted_at")?,
    })
}

#[async_trait]
impl Tools for Sqlite {
    async fn create_tool(&self, new: &NewTool, by: &Actor) -> Result<Tool, StoreError> {
        let mut work = self.write().await?;
        work.one("user", query("SELECT 1 FROM users WHERE id = ?").bind(new.owner.to_string())).await?;
        let last = work.first(query("SELECT max(range_index) AS last FROM tools")).await?;
        let last: Option<u32> = last.map(|row| plain(&row, "last")).transpose()?.flatten();
        let range = last.map_or(FIRST_TOOL_RANGE, |last| last + 1);
        if range >= RANGES_PER_INSTANCE {
            return Err(Conflict::RangesSpent(RANGES_PER_INSTANCE - FIRST_TOOL_RANGE).into());
        }
        let tool = Tool {
            id: ToolId::new(),
            name: new.name.clone(),
            range: RangeIndex(range),
            production_branch: None,
            on_new_push: None,
            wanted: Wanted::Running,
            restarts: 0,
            created_at: Timestamp::now(),
            deleted_at: None,
        };
        let row =
            query("INSERT INTO tools (id, name, range_index, wanted, created_at) VALUES (?, ?, ?, ?, ?)")
                .bind(tool.id.to_string())
                .bind(tool.name.as_str())
                .bind(range)
                .bind(tool.wanted.word())
                .bind(tool.created_at.0);
        work.run(row).await.map_err(|error| {
            if is_duplicate(&error) { Conflict::ToolNameTaken(new.name.clone()).into() } else { error }
        })?;
        let owner = query("INSERT INTO members (tool, user, role, since) VALUES (?, ?, ?, ?)")
            .bind(tool.id.to_string())
            .bind(new.owner.to_string())
            .bind(Role::Owner.word())
            .bind(tool.created_at.0);
        work.run(owner).await?;
        let target = format!("tool {}", tool.name);
        work.audit(&by.to_string(), Action::CreateTool.as_str(), Some(tool.id), &target).await?;
        work.commit().await?;
        Ok(tool)
    }

    async fn delete_tool(&self, id: ToolId, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let found = query("SELECT * FROM tools WHERE id = ? AND deleted_at IS NULL").bind(id.to_string());
        let name = tool(&work.one("tool", found).await?)?.name;
        let now = Timestamp::now();
        work.run(query("UPDATE tools SET deleted_at = ? WHERE id = ?").bind(now.0).bind(id.to_string()))
            .await?;
        work.run(query("DELETE FROM members WHERE tool = ?").bind(id.to_string())).await?;
        let tokens = query("UPDATE tokens SET revoked_at = ? WHERE tool = ? AND revoked_at IS NULL");
        work.run(tokens.bind(now.0).bind(id.to_string())).await?;
        let open = query("SELECT id FROM runs WHERE tool = ? AND ended_at IS NULL").bind(id.to_string());
        for row in work.all(open).await? {
            let run: RunId = text(&row, "id")?;
            if let Ok(changes) = next(&view(&mut work, run).await?, Event::CancelAsked(CancelReason::Person))
            {
                apply(&mut work, run, &changes, now).await?;
            }
        }
        work.audit(&by.to_string(), Action::DeleteTool.as_str(), Some(id), &format!("tool {name}")).await?;
        work.commit().await
    }

    async fn tool(&self, id: ToolId) -> Result<Tool, StoreError> {
        let found = query("SELECT * FROM tools WHERE id = ? AND deleted_at IS NULL").bind(id.to_string());
        tool(&self.one("tool", found).await?)
    }

    async fn tool_by_name(&self, name: &ToolName) -> Result<Tool, StoreError> {
        let found = query("SELECT * FROM tools WHERE name = ? AND deleted_at IS NULL").bind(name.as_str());
        tool(&self.one("tool", found).await?)
    }

    async fn tools(&self) -> Result<Vec<Tool>, StoreError> {
        let found = query("SELECT * FROM tools WHERE deleted_at IS NULL ORDER BY name");
        self.all(found).await?.iter().map(tool).collect()
    }

    async fn tools_of(&self, user: UserId) -> Result<Vec<(Tool, Role)>, StoreError> {
        let found = query(
            "SELECT tools.*, members.role FROM tools JOIN members ON members.tool = tools.id
             WHERE members.user = ? AND tools.deleted_at IS NULL ORDER BY tools.name",
        )
        .bind(user.to_string());
        self.all(found).await?.iter().map(|row| Ok((tool(row)?, word(row, "role")?))).collect()
    }

    async fn settle_production_branch(&self, id: ToolId, branch: &str) -> Result<String, StoreError> {
        let mut work = self.write().await?;
        let settle = query(
            "UPDATE tools SET production_branch = coalesce(production_branch, ?)
             WHERE id = ? AND deleted_at IS NULL RETURNING production_branch",
        )
        .bind(branch)
        .bind(id.to_string());
        let settled = plain(&work.one("tool", settle).await?, "production_branch")?;
        work.commit().await?;
        Ok(settled)
    }

    async fn set_production_branch(&self, id: ToolId, branch: &str, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(id).await?;
        let set =
            query("UPDATE tools SET production_branch = ? WHERE id = ?").bind(branch).bind(id.to_string());
        work.run(set).await?;
        let target = format!("production branch {branch}");
        work.audit(&by.to_string(), Action::ConfigureTool.as_str(), Some(id), &target).await?;
        work.commit().await
    }

    async fn set_on_new_push(
        &self,
        id: ToolId,
        on_new_push: Option<OnNewPush>,
        by: &Actor,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(id).await?;
        let word = on_new_push.map(OnNewPush::word);
        let set = query("UPDATE tools SET on_new_push = ? WHERE id = ?").bind(word).bind(id.to_string());
        work.run(set).await?;
        let target = format!("on new push {}", word.unwrap_or("as the platform is set"));
        work.audit(&by.to_string(), Action::ConfigureTool.as_str(), Some(id), &target).await?;
        work.commit().await
    }

    async fn set_wanted(&self, id: ToolId, wanted: Wanted, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(id).await?;
        let set = query("UPDATE tools SET wanted = ? WHERE id = ?").bind(wanted.word()).bind(id.to_string());
        work.run(set).await?;
        let target = format!("wanted {}", wanted.word());
        work.audit(&by.to_string(), Action::ControlTool.as_str(), Some(id), &target).await?;
        work.commit().await
    }

    async fn ask_restart(&self, id: ToolId, by: &Actor) -> Result<u64, StoreError> {
        let mut work = self.write().await?;
        let count = query(
            "UPDATE tools SET restarts = restarts + 1, wanted = ? WHERE id = ? AND deleted_at IS NULL
             RETURNING restarts",
        )
        .bind(Wanted::Running.word())
        .bind(id.to_string());
        let restarts = plain(&work.one("tool", count).await?, "restarts")?;
        work.audit(&by.to_string(), Action::ControlTool.as_str(), Some(id), "restart").await?;
        work.commit().await?;
        Ok(restarts)
    }

    async fn deleted_tools(&self) -> Result<Vec<Tool>, StoreError> {
        let found =
            query("SELECT * FROM tools WHERE deleted_at IS NOT NULL AND cleared_at IS NULL ORDER BY id");
        self.all(found).await?.iter().map(tool).collect()
    }

    async fn tool_cleared(&self, id: ToolId) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let clear = query("UPDATE tools SET cleared_at = ? WHERE id = ? AND deleted_at IS NOT NULL")
            .bind(Timestamp::now().0)
            .bind(id.to_string());
        if work.run(clear).await? == 0 {
            return Err(StoreError::NotFound("deleted tool"));
        }
        // Its layers are nobody's now, unless another tool shares them.
        let holders = format!("{}*", crate::images::cache_holder(id, ""));
        work.run(query("DELETE FROM layer_use WHERE holder GLOB ?").bind(holders)).await?;
        for delete in [
            "DELETE FROM manifests WHERE repository IN (SELECT id FROM repositories WHERE tool = ?)",
            "DELETE FROM repository_blobs WHERE repository IN (SELECT id FROM repositories WHERE tool = ?)",
            "DELETE FROM repositories WHERE tool = ?",
            "DELETE FROM builds WHERE tool = ?",
            "DELETE FROM test_builds WHERE tool = ?",
            "DELETE FROM test_passes WHERE tool = ?",
            "DELETE FROM image_layers WHERE tool = ?",
            "DELETE FROM images WHERE tool = ?",
        ] {
            work.run(query(delete).bind(id.to_string())).await?;
        }
        work.commit().await
    }
}
