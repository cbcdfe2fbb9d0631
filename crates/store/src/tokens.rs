//! What a client shows to prove who it is. Only hashes are kept.

use crate::{StoreError, User};
use async_trait::async_trait;
use model::{Actor, Timestamp, TokenId, TokenScope, UserId};

/// SHA-256 of a token's text. Tokens are 32 random bytes or more, so no slow hash is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// How a token came to be; the middle part of its text `wl_<kind>_<random>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Made at first start for the operator.
    Operator,
    /// Made by somebody for themselves.
    Personal,
}

#[derive(Clone, Debug)]
pub struct NewToken {
    pub hash: TokenHash,
    pub user: UserId,
    pub kind: TokenKind,
    pub scope: TokenScope,
    /// What its owner calls it: `laptop`.
    pub label: String,
    /// `None`: until revoked.
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub user: UserId,
    pub kind: TokenKind,
    pub scope: TokenScope,
    pub label: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// To the minute: see [`Tokens::identify`].
    pub used_at: Option<Timestamp>,
}

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: User,
    pub token: TokenId,
    pub scope: TokenScope,
}

impl Identity {
    /// As the policy table wants it.
    pub fn actor(&self) -> Actor {
        Actor::User { id: self.user.id, token: self.token, scope: self.scope, operator: self.user.operator }
    }
}

#[async_trait]
pub trait Tokens: Send + Sync {
    /// # Errors
    /// `TokenExists` for the same hash; `NotFound("user")`, `NotFound("tool")`.
    async fn add_token(&self, token: &NewToken, by: &Actor) -> Result<Token, StoreError>;

    /// Whom this token stands for; `None` for unknown, revoked, expired, and for a token of a deleted tool.
    /// Notes the use at most once a minute, and not at all when that write fails.
    async fn identify(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Identity>, StoreError>;

    /// Not revoked ones, newest first.
    async fn tokens_of(&self, user: UserId) -> Result<Vec<Token>, StoreError>;

    /// # Errors
    /// `NotFound("token")`, also when it is revoked already.
    async fn revoke_token(&self, token: TokenId, by: &Actor) -> Result<(), StoreError>;
}
