//! The router's table, made anew from the rows whenever something changed. Nothing is remembered only here.

use crate::{Settings, line::StationError, replicas};
use model::ToolId;
use router::{Backend, Control, Drained, Route, State, Table};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use store::{ReplicaState, Store, Wanted};
use tokio::sync::Mutex;

/// Tells the router. One table at a time, each newer than the last, also across restarts.
pub struct Routes {
    control: Control,
    /// Where the router keeps its table.
    kept: PathBuf,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    generation: u64,
    table: Option<Table>,
    /// Tools that do not stay up, as the reconciler sees it.
    failed: BTreeSet<ToolId>,
}

impl Routes {
    /// `kept`: where the router keeps its table.
    pub fn new(control: Control, kept: PathBuf) -> Self {
        Self { control, kept, last: Mutex::default() }
    }

    /// Remembers whether a tool stays up; seen with the next publication.
    pub async fn set_failed(&self, tool: ToolId, failed: bool) {
        let mut last = self.last.lock().await;
        if failed {
            last.failed.insert(tool);
        } else {
            last.failed.remove(&tool);
        }
    }

    /// Returns once the router answers by the present rows. `switching`: a release that is to be current, before its
    /// row says so.
    ///
    /// # Errors
    /// When rows cannot be read or the router stays away.
    pub async fn publish(
        &self,
        store: &dyn Store,
        settings: &Settings,
        switching: Option<(ToolId, u64)>,
    ) -> Result<(), StationError> {
        let mut last = self.last.lock().await;
        let mut table = table(store, settings, switching, &last.failed).await?;
        if last.table.as_ref().is_some_and(|old| old.routes == table.routes) {
            return Ok(());
        }
        if last.table.is_none() {
            last.generation = last.generation.max(kept_generation(&self.kept));
        }
        // The clock keeps numbers rising over a restart of serve; the counter, which goes on from what the router has,
        // over a clock that goes back.
        let clock = u64::try_from(model::Timestamp::now().0).unwrap_or(0);
        table.generation = clock.max(last.generation + 1);
        let applied = self.control.apply(&table).await;
        applied
            .map_err(|error| StationError::Inconsistent(format!("the route was not switched: {error}")))?;
        last.generation = table.generation;
        last.table = Some(table);
        Ok(())
    }

    /// Requests, downloads and tunnels under way to a copy now.
    ///
    /// # Errors
    /// When the router stays away.
    pub async fn open(&self, copy: SocketAddr) -> Result<u64, StationError> {
        let open = self.control.open(copy).await;
        open.map_err(|error| StationError::Inconsistent(format!("a copy's requests are not known: {error}")))
    }

    /// Waits until nothing is under way to a copy that the router's table names no more, and cuts what is left at the
    /// deadline. A copy is ended after that.
    ///
    /// # Errors
    /// When the table still leads to it, or the router stays away.
    pub async fn drain(&self, copy: SocketAddr, deadline: Duration) -> Result<Drained, StationError> {
        let drained = self.control.drain(copy, deadline).await;
        drained.map_err(|error| StationError::Inconsistent(format!("a copy was not drained: {error}")))
    }
}

/// The number of the table that the router has; 0 where there is none that can be read, which it then has not either.
fn kept_generation(path: &Path) -> u64 {
    let table = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Table>(&bytes).ok());
    table.map_or(0, |table| table.generation)
}

async fn table(
    store: &dyn Store,
    settings: &Settings,
    switching: Option<(ToolId, u64)>,
    failed: &BTreeSet<ToolId>,
) -> Result<Table, StationError> {
    let (replicas, mut current) = replicas::seen(store).await?;
    current.extend(switching);
    let mut table = Table { platform_hosts: vec![settings.domain.clone()], ..Table::default() };
    for tool in store.tools().await? {
        let release = current.get(&tool.id).copied();
        let backends: Vec<Backend> = replicas
            .iter()
            .filter(|replica| replica.tool == tool.id && Some(replica.release) == release)
            .filter(|replica| replica.state == ReplicaState::Healthy)
            .filter_map(|replica| {
                Some(Backend { release: replica.release, address: replica.address.as_ref()?.parse().ok()? })
            })
            .collect();
        let state = match (tool.wanted, release) {
            (_, None) => State::Empty,
            (Wanted::Stopped, Some(_)) => State::Stopped,
            (Wanted::Running, Some(_)) if !backends.is_empty() => State::Serving,
            (Wanted::Running, Some(_)) if failed.contains(&tool.id) => State::Failed,
            (Wanted::Running, Some(_)) => State::Starting,
        };
        let backends = if state == State::Serving { backends } else { Vec::new() };
        let host = format!("{}.{}", tool.name, settings.domain);
        table.routes.push(Route { host, tool: tool.name.to_string(), tool_id: tool.id, state, backends });
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that went back while serve was restarted, as after a reboot, must not make tables of it that the router
    /// takes for old ones.
    #[test]
    fn numbers_go_on_from_the_table_that_the_router_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.json");
        assert_eq!(kept_generation(&path), 0);
        let table = Table { generation: u64::MAX / 2, ..Table::default() };
        fs::write(&path, serde_json::to_vec(&table).unwrap()).unwrap();
        assert_eq!(kept_generation(&path), u64::MAX / 2);
        fs::write(&path, "{").unwrap();
        assert_eq!(kept_generation(&path), 0);
    }
}
