//! How much storage a tool uses and may use.

use crate::{App, problems};
use model::{Action, Actor, Problem};
use store::Usage;

impl App {
    /// By kind, and the limit.
    pub async fn usage(&self, actor: &Actor, tool: &str) -> Result<Usage, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadTool, tool).await?;
        self.store.usage(tool.id).await.map_err(|error| problems::store("looking at the quota", &error))
    }

    /// What tools without a quota of their own may use from now on. For the platform's start.
    pub async fn set_default_quota(&self, bytes: u64) -> Result<(), Problem> {
        let set = self.store.set_default_quota(bytes).await;
        set.map_err(|error| problems::store("setting the quota", &error))
    }

    /// What the tool may use; `None`: what the platform is set to. Less than it uses now removes nothing: it only
    /// cannot grow.
    pub async fn set_quota(&self, actor: &Actor, tool: &str, bytes: Option<u64>) -> Result<Usage, Problem> {
        let (tool, _) = self.allow_on(actor, Action::SetQuota, tool).await?;
        let failed = |error| problems::store("setting the quota", &error);
        self.store.set_quota(tool.id, bytes, actor).await.map_err(failed)?;
        self.store.usage(tool.id).await.map_err(failed)
    }
}
