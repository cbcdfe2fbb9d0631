//! What tests leave: the layers that the next build for tests of the same branch starts from, and which sources passed.

use crate::StoreError;
use async_trait::async_trait;
use model::{DiffId, Digest, RunId, ToolId};
use serde_json::Value;

/// Passes of one tool that are kept; of older ones the tests run again.
pub const KEPT_PASSES: u32 = 50;

#[async_trait]
pub trait TestBuilds: Send + Sync {
    /// What the next build for tests of this ref starts from; `metadata` is as the exporter wrote it. `layers` are held
    /// until the next call for this ref.
    ///
    /// # Errors
    /// `LayerMissing`, `QuotaExceeded`, `NotFound("tool")`.
    async fn remember_test_build(
        &self,
        tool: ToolId,
        ref_name: &str,
        metadata: &Value,
        layers: &[DiffId],
    ) -> Result<(), StoreError>;

    /// Of this ref; else the newest of any ref of the tool.
    async fn last_test_build(&self, tool: ToolId, ref_name: &str) -> Result<Option<Value>, StoreError>;

    /// The tests of this run passed; `recipe` names everything that decided about it.
    ///
    /// # Errors
    /// `NotFound("tool")`, `NotFound("run")`.
    async fn remember_pass(&self, tool: ToolId, recipe: &Digest, run: RunId) -> Result<(), StoreError>;

    /// The run in which the same tests of the same source passed, on whichever branch.
    async fn pass_of(&self, tool: ToolId, recipe: &Digest) -> Result<Option<RunId>, StoreError>;
}
