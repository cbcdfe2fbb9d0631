//! Releases: what was, is or could be live.

use crate::{App, problems, runs::MAX_ROWS};
use model::{Action, Actor, EnvironmentName, Problem, Timestamp, UserId};
use std::collections::HashMap;
use store::{Deployment, Release};

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

/// One entry of production's history: a release became live.
#[derive(Clone, Debug)]
pub struct DeploymentView {
    pub deployment: Deployment,
    /// What was live before; `None` for the first, or when that is too long ago.
    pub from: Option<u64>,
    /// Who pushed or rolled back.
    pub by: String,
}

/// Releases, and what was live when.
#[derive(Clone, Debug)]
pub struct ReleasesView {
    /// Newest first.
    pub releases: Vec<ReleaseView>,
    /// Newest first, as many as releases were asked for.
    pub history: Vec<DeploymentView>,
}

impl App {
    /// Only numbers below `before` when given.
    pub async fn releases(
        &self,
        actor: &Actor,
        tool: &str,
        limit: u32,
        before: Option<u64>,
    ) -> Result<ReleasesView, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadReleases, tool).await?;
        let failed = |error| problems::store("listing releases", &error);
        let production = EnvironmentName::production();
        let limit = limit.clamp(1, MAX_ROWS);
        let current = self.store.environment(tool.id, &production).await.map_err(failed)?;
        let deployments = self.store.deployments(tool.id, &production, MAX_ROWS).await.map_err(failed)?;
        let mut releases = Vec::new();
        for release in self.store.releases_of(tool.id, limit, before).await.map_err(failed)? {
            let deployed = deployments.iter().find(|deployment| deployment.release == release.number);
            releases.push(ReleaseView {
                run: self.run_number(release.run).await?,
                current: current.as_ref().is_some_and(|environment| environment.current == release.number),
                deployed: deployed.map(|deployment| deployment.at),
                release,
            });
        }
        let mut names: HashMap<UserId, String> = HashMap::new();
        let mut history = Vec::new();
        for (index, deployment) in deployments.iter().enumerate().take(limit as usize) {
            let by = match names.get(&deployment.by) {
                Some(name) => name.clone(),
                None => self.user_name(deployment.by).await?,
            };
            names.insert(deployment.by, by.clone());
            let from = deployments.get(index + 1).map(|older| older.release);
            history.push(DeploymentView { deployment: deployment.clone(), from, by });
        }
        Ok(ReleasesView { releases, history })
    }
}
