//! People and robots that may sign in.

use crate::StoreError;
use async_trait::async_trait;
use model::{Actor, Timestamp, UserId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// Unique; for people.
    pub name: String,
    /// Runs the platform.
    pub operator: bool,
    pub created_at: Timestamp,
}

#[async_trait]
pub trait Users: Send + Sync {
    /// The operator of that name, made if there is no user of that name yet; an existing user becomes operator.
    async fn ensure_operator(&self, name: &str) -> Result<User, StoreError>;

    /// # Errors
    /// `UserNameTaken`.
    async fn create_user(&self, name: &str, by: &Actor) -> Result<User, StoreError>;

    async fn user(&self, id: UserId) -> Result<User, StoreError>;

    async fn user_by_name(&self, name: &str) -> Result<User, StoreError>;

    /// All, by name.
    async fn users(&self) -> Result<Vec<User>, StoreError>;
}
