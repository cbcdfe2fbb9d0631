//! The copies of processes that were started, so that a restarted platform finds them again.

use crate::StoreError;
use async_trait::async_trait;
use model::{EnvironmentName, ProcessType, ReplicaId, Timestamp, ToolId};

/// What the platform last knew of a replica. Whether its sandbox lives is the helper's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Its sandbox was asked for.
    Starting,
    /// Answered its health check.
    Healthy,
    /// Gets no new requests and is about to be ended.
    Draining,
    /// Has ended; its sandbox may still have to be removed.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub id: ReplicaId,
    pub tool: ToolId,
    pub environment: EnvironmentName,
    pub release: u64,
    pub process: ProcessType,
    /// The helper's name of its sandbox.
    pub sandbox: String,
    /// Where the router reaches it (`address:port`), once known.
    pub address: Option<String>,
    pub state: ReplicaState,
    /// [`Tool::restarts`](crate::Tool::restarts) when it was started: a copy of fewer is replaced.
    pub restarts: u64,
    pub created_at: Timestamp,
}

#[async_trait]
pub trait Replicas: Send + Sync {
    /// Before its sandbox is made.
    ///
    /// # Errors
    /// `NotFound("release")`.
    async fn add_replica(&self, replica: &Replica) -> Result<(), StoreError>;

    /// # Errors
    /// `NotFound("replica")`.
    async fn update_replica(
        &self,
        replica: ReplicaId,
        state: ReplicaState,
        address: Option<&str>,
    ) -> Result<(), StoreError>;

    /// Its sandbox is gone. Removing twice is removing once.
    async fn remove_replica(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// All, oldest first, those of deleted tools too.
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError>;
}
