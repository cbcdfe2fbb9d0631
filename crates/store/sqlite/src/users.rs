//! Users on SQLite.

use crate::{
    columns::{plain, text, time},
    fault::is_duplicate,
    open::Sqlite,
    work::Work,
};
use async_trait::async_trait;
use model::{Actor, Timestamp, UserId};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, StoreError, User, Users};

pub(crate) fn user(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: text(row, "id")?,
        name: plain(row, "name")?,
        operator: plain(row, "operator")?,
        created_at: time(row, "created_at")?,
    })
}

async fn insert(work: &mut Work, name: &str, operator: bool) -> Result<User, StoreError> {
    let user = User { id: UserId::new(), name: name.to_owned(), operator, created_at: Timestamp::now() };
    let row = query("INSERT INTO users (id, name, operator, created_at) VALUES (?, ?, ?, ?)")
        .bind(user.id.to_string())
        .bind(name)
        .bind(operator)
        .bind(user.created_at.0);
    work.run(row).await?;
    Ok(user)
}

#[async_trait]
impl Users for Sqlite {
    async fn ensure_operator(&self, name: &str) -> Result<User, StoreError> {
        let mut work = self.write().await?;
        work.run(query("UPDATE users SET operator = 1 WHERE name = ?").bind(name)).await?;
        let found = work.first(query("SELECT * FROM users WHERE name = ?").bind(name)).await?;
        let operator = match found {
            Some(row) => user(&row)?,
            None => insert(&mut work, name, true).await?,
        };
        work.commit().await?;
        Ok(operator)
    }

    async fn create_user(&self, name: &str, by: &Actor) -> Result<User, StoreError> {
        let mut work = self.write().await?;
        let user = insert(&mut work, name, false).await.map_err(|error| {
            if is_duplicate(&error) { Conflict::UserNameTaken(name.to_owned()).into() } else { error }
        })?;
        work.audit(&by.to_string(), "user.create", None, &format!("user {name}")).await?;
        work.commit().await?;
        Ok(user)
    }

    async fn user(&self, id: UserId) -> Result<User, StoreError> {
        user(&self.one("user", query("SELECT * FROM users WHERE id = ?").bind(id.to_string())).await?)
    }

    async fn user_by_name(&self, name: &str) -> Result<User, StoreError> {
        user(&self.one("user", query("SELECT * FROM users WHERE name = ?").bind(name)).await?)
    }

    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.all(query("SELECT * FROM users ORDER BY name")).await?.iter().map(user).collect()
    }
}
