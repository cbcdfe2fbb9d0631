//! Members on SQLite.

use crate::{
    columns::{plain, time, word},
    fault::is_duplicate,
    open::Sqlite,
    users::user,
    words::Word as _,
    work::Work,
};
use async_trait::async_trait;
use model::{Action, Actor, Role, Timestamp, ToolId, UserId};
use sqlx::query;
use store::{Conflict, Member, Members, StoreError};

async fn name_of(work: &mut Work, user: UserId) -> Result<String, StoreError> {
    let row = work.one("user", query("SELECT name FROM users WHERE id = ?").bind(user.to_string())).await?;
    plain(&row, "name")
}

#[async_trait]
impl Members for Sqlite {
    async fn add_member(&self, tool: ToolId, user: UserId, role: Role, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(tool).await?;
        let name = name_of(&mut work, user).await?;
        let add = query("INSERT INTO members (tool, user, role, since) VALUES (?, ?, ?, ?)")
            .bind(tool.to_string())
            .bind(user.to_string())
            .bind(role.word())
            .bind(Timestamp::now().0);
        work.run(add)
            .await
            .map_err(|error| if is_duplicate(&error) { Conflict::AlreadyMember.into() } else { error })?;
        let target = format!("added {name} as {}", role.word());
        work.audit(&by.to_string(), Action::ManageMembers.as_str(), Some(tool), &target).await?;
        work.commit().await
    }

    async fn remove_member(&self, tool: ToolId, user: UserId, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let remove = query("DELETE FROM members WHERE tool = ? AND user = ?")
            .bind(tool.to_string())
            .bind(user.to_string());
        if work.run(remove).await? == 0 {
            return Err(StoreError::NotFound("member"));
        }
        let owner = query("SELECT 1 FROM members WHERE tool = ? AND role = ?")
            .bind(tool.to_string())
            .bind(Role::Owner.word());
        // The transaction is dropped: the member stays.
        work.first(owner).await?.ok_or(Conflict::LastOwner)?;
        let target = format!("removed {}", name_of(&mut work, user).await?);
        work.audit(&by.to_string(), Action::ManageMembers.as_str(), Some(tool), &target).await?;
        work.commit().await
    }

    async fn members(&self, tool: ToolId) -> Result<Vec<Member>, StoreError> {
        let found = query(
            "SELECT users.*, members.role, members.since FROM members JOIN users ON users.id = members.user
             WHERE members.tool = ? ORDER BY users.name",
        )
        .bind(tool.to_string());
        let rows = self.all(found).await?;
        rows.iter()
            .map(|row| Ok(Member { user: user(row)?, role: word(row, "role")?, since: time(row, "since")? }))
            .collect()
    }

    async fn role_of(&self, tool: ToolId, user: UserId) -> Result<Option<Role>, StoreError> {
        let found = query("SELECT role FROM members WHERE tool = ? AND user = ?")
            .bind(tool.to_string())
            .bind(user.to_string());
        self.first(found).await?.map(|row| word(&row, "role")).transpose()
    }
}
