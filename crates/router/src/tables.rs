//! The present table: looked up by each request, replaced as a whole, kept on disk for the next start.

use crate::{
    table::{Backend, Route, State, Table},
    underway::{Passage, Underway},
};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use thiserror::Error;
use uuid::Uuid;

/// Where a host name leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Platform,
    Tool(Arc<Route>),
    Unknown,
}

/// What a request for a tool's host finds.
pub(crate) enum Choice {
    /// Counted as under way from the moment of the choice: whoever drains a backend that the table names no more
    /// sees every request that chose it before.
    Backend(Backend, Passage),
    /// None that was not tried.
    Nobody,
}

/// Why a table was not taken.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    #[error("table {offered} is older than the present one, {present}")]
    Old { offered: u64, present: u64 },
    #[error("the host name `{0}` stands twice in the table")]
    Twice(String),
    #[error("the table cannot be kept at {path}", path = .path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub(crate) struct Tables {
    path: PathBuf,
    /// The domain leads to the platform whatever the table says: so also before there is one.
    domain: String,
    present: RwLock<Arc<Hosts>>,
    pub(crate) underway: Underway,
    /// Held while a table is replaced.
    replacing: Mutex<()>,
}

#[derive(Default)]
struct Hosts {
    generation: u64,
    platform: HashSet<String>,
    tools: HashMap<String, Arc<Route>>,
}

impl Tables {
    /// Reads what the last router kept. A damaged file is said and passed over: serve sends the table again.
    pub(crate) fn load(path: PathBuf, domain: &str) -> Self {
        let table = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Table>(&bytes)
                .inspect_err(
                    |error| tracing::error!(path = %path.display(), %error, "the kept table is damaged"),
                )
                .unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Table::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the kept table cannot be read");
                Table::default()
            }
        };
        let hosts = Hosts::new(table).unwrap_or_default();
        let present = RwLock::new(Arc::new(hosts));
        Self {
            path,
            domain: domain.to_ascii_lowercase(),
            present,
            underway: Underway::default(),
            replacing: Mutex::default(),
        }
    }

    pub(crate) fn find(&self, host: &str) -> Target {
        let hosts = Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner));
        if host == self.domain || hosts.platform.contains(host) {
            return Target::Platform;
        }
        hosts.tools.get(host).map_or(Target::Unknown, |route| Target::Tool(Arc::clone(route)))
    }

    /// One of a host's present backends that was not `tried`; `turn` spreads requests over them.
    pub(crate) fn choose(&self, host: &str, tried: &[SocketAddr], turn: usize) -> Choice {
        // Held until the request is counted: no table comes between.
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = present.tools.get(host) else { return Choice::Nobody };
        if route.state != State::Serving {
            return Choice::Nobody;
        }
        let left = || route.backends.iter().filter(|backend| !tried.contains(&backend.address));
        let Some(number) = turn.checked_rem(left().count()) else { return Choice::Nobody };
        left()
            .nth(number)
            .map_or(Choice::Nobody, |backend| Choice::Backend(*backend, self.underway.enter(backend.address)))
    }

    /// Whether new requests may go to an address.
    pub(crate) fn names(&self, address: SocketAddr) -> bool {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.tools.values().any(|route| route.backends.iter().any(|backend| backend.address == address))
    }

    /// Keeps a table on disk, then answers by it.
    pub(crate) fn replace(&self, table: &Table) -> Result<u64, TableError> {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner).generation;
        let offered = table.generation;
        if offered < present {
            return Err(TableError::Old { offered, present });
        }
        let hosts = Hosts::new(table.clone())?;
        keep(&self.path, table).map_err(|source| TableError::Disk { path: self.path.clone(), source })?;
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
        Ok(offered)
    }
}

impl Hosts {
    fn new(table: Table) -> Result<Self, TableError> {
        let mut hosts = Self { generation: table.generation, ..Self::default() };
        hosts.platform.extend(table.platform_hosts);
        for route in table.routes {
            if let Some(before) = hosts.tools.insert(route.host.clone(), Arc::new(route)) {
                return Err(TableError::Twice(before.host.clone()));
            }
        }
        Ok(hosts)
    }
}

/// Replaces the file by rename: a crash leaves the old one or the new one.
fn keep(path: &Path, table: &Table) -> io::Result<()> {
    // Two routers may write the same table at once.
    let new = path.with_extension(format!("{}.new", Uuid::now_v7().simple()));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ToolId;

    fn table(generation: u64, hosts: &[&str]) -> Table {
        let route = |host: &&str| Route {
            host: (*host).to_owned(),
            tool: "wordcount".to_owned(),
            tool_id: ToolId::new(),
            state: State::Starting,
            backends: Vec::new(),
        };
        Table {
            generation,
            platform_hosts: vec!["tools.example".to_owned()],
            routes: hosts.iter().map(route).collect(),
        }
    }

    #[test]
    fn a_table_outlives_the_router() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("table.json");
        let tables = Tables::load(path.clone(), "localhost");
        assert!(matches!(tables.find("localhost"), Target::Platform));
        tables.replace(&table(7, &["wordcount.localhost"])).unwrap();
        let again = Tables::load(path.clone(), "localhost");
        assert!(matches!(again.find("wordcount.localhost"), Target::Tool(_)));
        assert!(matches!(again.find("tools.example"), Target::Platform));
        assert!(matches!(again.find("other.localhost"), Target::Unknown));
        assert!(matches!(again.replace(&table(6, &[])), Err(TableError::Old { offered: 6, present: 7 })));

        fs::write(&path, b"{\"generation\":").unwrap();
        assert!(matches!(Tables::load(path, "localhost").find("wordcount.localhost"), Target::Unknown));
    }

    #[test]
    fn a_host_name_leads_to_one_tool_only() {
        let place = tempfile::tempdir().unwrap();
        let tables = Tables::load(place.path().join("table.json"), "localhost");
        let refused = tables.replace(&table(1, &["a.localhost", "a.localhost"]));
        assert!(matches!(refused, Err(TableError::Twice(host)) if host == "a.localhost"));
    }
}
