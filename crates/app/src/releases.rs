//! Releases: what was, is or could be live.

use crate::{App, problems, runs::MAX_ROWS};
use model::{Action, Actor, EnvironmentName, Problem, Timestamp};
use store::Release;

/// A release as people see it.
#[derive(Clone, Debug)]
pub struct ReleaseView {
    pub release: Release,
    /// The number of the run that made it.
    pub run: u64,
    /// Whether production serves it.
    pub current: bool,
    /// When it last became live; `None` when it never did, or too long ago to be among the last deployments.
    pub deployed: Option<Timestamp>,
}

impl App {
    /// Newest first; only numbers below `before` when given.
    pub async fn releases(
        &self,
        actor: &Actor,
        tool: &str,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<ReleaseView>, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadReleases, tool).await?;
        let failed = |error| problems::store("listing releases", &error);
        let production = EnvironmentName::production();
        let current = self.store.environment(tool.id, &production).await.map_err(failed)?;
        let deployments = self.store.deployments(tool.id, &production, MAX_ROWS).await.map_err(failed)?;
        let releases =
            self.store.releases_of(tool.id, limit.clamp(1, MAX_ROWS), before).await.map_err(failed)?;
        let mut views = Vec::new();
        for release in releases {
            let deployed = deployments.iter().find(|deployment| deployment.release == release.number);
            views.push(ReleaseView {
                run: self.run_number(release.run).await?,
                current: current.as_ref().is_some_and(|environment| environment.current == release.number),
                deployed: deployed.map(|deployment| deployment.at),
                release,
            });
        }
        Ok(views)
    }
}
