//! Tokens on SQLite.

use crate::{
    columns::{plain, text, time, time_if_any, word},
    fault::is_duplicate,
    open::Sqlite,
    users::user,
    words::Word as _,
};
use async_trait::async_trait;
use model::{Action, Actor, Timestamp, TokenId, TokenScope, UserId};
use sqlx::{query, sqlite::SqliteRow};
use std::time::Duration;
use store::{Conflict, Identity, NewToken, StoreError, Token, TokenHash, Tokens};

/// A use is noted again after this long, so that reading does not become writing.
const NOTE_USE_EVERY: Duration = Duration::from_mins(1);

fn scope(row: &SqliteRow) -> Result<TokenScope, StoreError> {
    let tool: Option<&str> = plain(row, "tool")?;
    Ok(if tool.is_some() { TokenScope::Tool(text(row, "tool")?) } else { TokenScope::All })
}

fn token(row: &SqliteRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: text(row, "id")?,
        user: text(row, "user")?,
        kind: word(row, "kind")?,
        scope: scope(row)?,
        label: plain(row, "label")?,
        created_at: time(row, "created_at")?,
        expires_at: time_if_any(row, "expires_at")?,
        used_at: time_if_any(row, "used_at")?,
    })
}

/// Of a row with the user's columns, and `token` and `tool` of the token.
pub(crate) fn identity(row: &SqliteRow) -> Result<Identity, StoreError> {
    Ok(Identity { user: user(row)?, token: text(row, "token")?, scope: scope(row)? })
}

impl Sqlite {
    async fn note_use(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("UPDATE tokens SET used_at = ? WHERE id = ?").bind(now.0).bind(id.to_string()))
            .await?;
        work.commit().await
    }
}

#[async_trait]
impl Tokens for Sqlite {
    async fn add_token(&self, new: &NewToken, by: &Actor) -> Result<Token, StoreError> {
        let mut work = self.write().await?;
        work.one("user", query("SELECT 1 FROM users WHERE id = ?").bind(new.user.to_string())).await?;
        let tool = match new.scope {
            TokenScope::All => None,
            TokenScope::Tool(tool) => Some(tool),
        };
        if let Some(tool) = tool {
            work.need_tool(tool).await?;
        }
        let token = Token {
            id: TokenId::new(),
            user: new.user,
            kind: new.kind,
            scope: new.scope,
            label: new.label.clone(),
            created_at: Timestamp::now(),
            expires_at: new.expires_at,
            used_at: None,
        };
        let row = query(
            "INSERT INTO tokens (id, hash, user, kind, tool, label, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(token.id.to_string())
        .bind(new.hash.0.as_slice())
        .bind(token.user.to_string())
        .bind(token.kind.word())
        .bind(tool.map(|tool| tool.to_string()))
        .bind(&token.label)
        .bind(token.created_at.0)
        .bind(token.expires_at.map(|at| at.0));
        work.run(row)
            .await
            .map_err(|error| if is_duplicate(&error) { Conflict::TokenExists.into() } else { error })?;
        let target = format!("made token {}", token.id);
        work.audit(&by.to_string(), Action::ManageTokens.as_str(), tool, &target).await?;
        work.commit().await?;
        Ok(token)
    }

    async fn identify(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Identity>, StoreError> {
        let found = query(
            "SELECT users.*, tokens.id AS token, tokens.tool, tokens.used_at
             FROM tokens JOIN users ON users.id = tokens.user
             WHERE tokens.hash = ? AND tokens.revoked_at IS NULL
               AND (tokens.expires_at IS NULL OR tokens.expires_at > ?)",
        )
        .bind(hash.0.as_slice())
        .bind(now.0);
        let Some(row) = self.first(found).await? else { return Ok(None) };
        let identity = identity(&row)?;
        let noted = time_if_any(&row, "used_at")?;
        if noted.is_none_or(|noted| now.since(noted) >= NOTE_USE_EVERY)
            && let Err(error) = self.note_use(identity.token, now).await
        {
            tracing::warn!(%error, "the use of a token was not noted");
        }
        Ok(Some(identity))
    }

    async fn tokens_of(&self, user: UserId) -> Result<Vec<Token>, StoreError> {
        let found = query("SELECT * FROM tokens WHERE user = ? AND revoked_at IS NULL ORDER BY id DESC");
        self.all(found.bind(user.to_string())).await?.iter().map(token).collect()
    }

    async fn revoke_token(&self, token: TokenId, by: &Actor) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let revoke = query("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")
            .bind(Timestamp::now().0)
            .bind(token.to_string());
        if work.run(revoke).await? == 0 {
            return Err(StoreError::NotFound("token"));
        }
        let target = format!("revoked token {token}");
        work.audit(&by.to_string(), Action::ManageTokens.as_str(), None, &target).await?;
        work.commit().await
    }
}
