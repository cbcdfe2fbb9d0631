//! Running copies of processes: started, judged, ended; and the loop that goes from what is wanted to what is seen.

mod reconcile;
pub(crate) mod retire;

use crate::{
    Line,
    line::StationError,
    service::{self, Identity},
};
use model::{EnvironmentName, LogStream, ProcessType, ReplicaId, Timestamp, ToolId, limits::MIB};
use runtime::{
    RuntimeError,
    health::{self, Check, PORT, Unhealthy},
};
use sandbox::request::{Ended, KilledBy, SandboxId};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use store::{Release, Replica, ReplicaState, Store, StoreError, Tool};

pub use reconcile::keep;

/// Tools that a deploy step is working on.
#[derive(Default)]
pub struct Deploying(Mutex<HashMap<ToolId, bool>>);

/// One tool's turn, until dropped.
pub struct Turn<'a>(&'a Deploying, ToolId);

impl Deploying {
    pub(crate) fn enter(&self, tool: ToolId) -> Turn<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tool, false);
        Turn(self, tool)
    }

    /// Whether its deploy has begun to switch, from which there is no way back.
    pub(crate) fn is_committed(&self, tool: ToolId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tool).copied().unwrap_or(false)
    }

    pub(crate) fn has(&self, tool: ToolId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&tool)
    }
}

impl Turn<'_> {
    /// The switch begins.
    pub(crate) fn commit(&self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.1, true);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Why a copy is not ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    Ended(Ended),
    Unhealthy(Unhealthy),
    Runtime(RuntimeError),
}

/// All copies, and which release production runs of each tool, as of one moment: a deploy may make a copy one of
/// another release in the same moment in which that release becomes current.
pub(crate) async fn seen(store: &dyn Store) -> Result<(Vec<Replica>, HashMap<ToolId, u64>), StoreError> {
    let production = EnvironmentName::production();
    let mut before = store.replicas().await?;
    loop {
        let environments = store.environments().await?;
        let replicas = store.replicas().await?;
        let moved = replicas.iter().any(|replica| {
            before.iter().any(|other| other.id == replica.id && other.release != replica.release)
        });
        if !moved {
            let current = environments.into_iter().filter(|environment| environment.name == production);
            let current = current.map(|environment| (environment.tool, environment.current)).collect();
            return Ok((replicas, current));
        }
        before = replicas;
    }
}

/// Starts a copy of a release's web process; one that a lost attempt has started already is taken over.
pub(crate) async fn start(line: &Line, tool: &Tool, release: &Release) -> Result<Replica, StationError> {
    for replica in line.store.replicas().await? {
        let same = replica.tool == tool.id && replica.release == release.number;
        if same && replica.state == ReplicaState::Starting {
            discard(line, &replica).await;
        }
    }
    let id = ReplicaId::new();
    let sandbox = format!("web-{id}");
    let name: SandboxId =
        sandbox.parse().map_err(|_| StationError::Inconsistent("a copy's id is no name".to_owned()))?;
    let process = ProcessType::web();
    let mut replica = Replica {
        id,
        tool: tool.id,
        environment: EnvironmentName::production(),
        release: release.number,
        process: process.clone(),
        sandbox,
        address: None,
        state: ReplicaState::Starting,
        restarts: tool.restarts,
        created_at: Timestamp::now(),
    };
    line.store.add_replica(&replica).await?;
    let started = launch(line, tool, release, &name, &process).await;
    match started {
        Ok(address) => {
            replica.address = Some(SocketAddr::from((address, PORT)).to_string());
            line.store.update_replica(id, ReplicaState::Starting, replica.address.as_deref()).await?;
            Ok(replica)
        }
        Err(error) => {
            discard(line, &replica).await;
            Err(error)
        }
    }
}

async fn launch(
    line: &Line,
    tool: &Tool,
    release: &Release,
    name: &SandboxId,
    process: &ProcessType,
) -> Result<Ipv4Addr, StationError> {
    let identity = Identity { tool, release, process: process.clone(), number: 1 };
    let spec = service::spec(line, name, &identity).await?;
    service::hold(line, name, &spec).await?;
    let stream = LogStream::Process { process: process.clone(), number: 1 };
    let address = line.runtime.run(&spec, line.log_file(tool.id, &stream)?).await?;
    address.ok_or_else(|| StationError::Inconsistent("a started copy has no address".to_owned()))
}

/// Waits until a copy answers, and says so in its row.
pub(crate) async fn wait_ready(line: &Line, replica: &Replica, check: &Check) -> Result<(), NotReady> {
    let lost = |what: &str| NotReady::Runtime(RuntimeError::Away(what.to_owned()));
    let name: SandboxId = replica.sandbox.parse().map_err(|_| lost("a copy's name is none"))?;
    let address = replica.address.as_ref().and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(SocketAddr::V4(address)) = address else { return Err(lost("a copy has no address")) };
    tokio::select! {
        healthy = health::wait(*address.ip(), check) => healthy.map_err(NotReady::Unhealthy)?,
        ended = line.runtime.ended(&name) => return Err(match ended {
            Ok(ended) if matches!(ended.killed_by, Some(KilledBy::Platform | KilledBy::Request)) => {
                lost("a copy was ended from outside the line")
            }
            ended => ended.map_or_else(NotReady::Runtime, NotReady::Ended),
        }),
    }
    let row = line.store.update_replica(replica.id, ReplicaState::Healthy, replica.address.as_deref()).await;
    row.map_err(|error| lost(&error.to_string()))
}

/// Ends a copy at once, removes its sandbox and its row.
pub(crate) async fn discard(line: &Line, replica: &Replica) {
    remove(line, replica, Duration::ZERO).await;
}

/// Ends a copy in good order, removes its sandbox and its row.
async fn remove(line: &Line, replica: &Replica, grace: Duration) {
    if let Ok(name) = replica.sandbox.parse() {
        service::end(line, &name, grace).await;
    }
    if let Err(error) = line.store.remove_replica(replica.id).await {
        tracing::warn!(%error, "a copy's row could not be removed");
    }
}

/// Words for a copy that is not ready: text id, what happened, what to do.
pub(crate) async fn explain(
    line: &Line,
    sandbox: &str,
    memory_limit: u64,
    why: &NotReady,
) -> (&'static str, String, String) {
    if let (NotReady::Unhealthy(_), Ok(name)) = (why, sandbox.parse()) {
        // Its first process lives on, but those that should answer were killed.
        if line.runtime.usage(&name).await.is_ok_and(|usage| usage.memory_kills > 0) {
            return out_of_memory(memory_limit);
        }
    }
    match why {
        NotReady::Ended(ended) => explain_end(ended, memory_limit),
        NotReady::Runtime(_) => {
            ("run-platform", "The platform lost sight of it.".to_owned(), "Push again.".to_owned())
        }
        NotReady::Unhealthy(Unhealthy::Status(status)) => (
            "deploy-unhealthy",
            format!("Its health check answered {status}, not 2xx or 3xx."),
            "`windlass logs` shows what it said; the path is set in project.toml under [_.metadata.windlass.health].".to_owned(),
        ),
        NotReady::Unhealthy(Unhealthy::Silent) => (
            "deploy-silent",
            format!("It takes connections on port {PORT} but gives no answer."),
            "`windlass logs` shows what it said last.".to_owned(),
        ),
        NotReady::Unhealthy(Unhealthy::Refused) => {
            let listeners = match sandbox.parse() {
                Ok(name) => line.runtime.listeners(&name).await.unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            explain_listeners(&listeners)
        }
    }
}

fn out_of_memory(limit: u64) -> (&'static str, String, String) {
    let what = format!("killed: memory {} MiB.", limit / MIB);
    ("run-memory", what, "Use less memory, or ask the operator for more.".to_owned())
}

fn explain_end(ended: &Ended, memory_limit: u64) -> (&'static str, String, String) {
    if ended.killed_by == Some(KilledBy::Memory) || ended.memory_kills > 0 {
        return out_of_memory(memory_limit);
    }
    let what = format!("It ended with status {} before it answered.", ended.status);
    let hint = match ended.status {
        0 => {
            "A web process goes on for as long as it shall answer; the command may have gone to the background."
        }
        _ => "`windlass logs` shows its last words.",
    };
    ("deploy-ended", what, hint.to_owned())
}

/// Nothing took a connection on the port: where does it listen instead?
fn explain_listeners(listeners: &[SocketAddr]) -> (&'static str, String, String) {
    let shell =
        format!("Listen on the port that the variable PORT names ({PORT}), on all addresses: 0.0.0.0:$PORT.");
    if listeners.iter().any(|address| address.port() == PORT && address.ip().is_loopback()) {
        let what = format!(
            "It listens on 127.0.0.1:{PORT} only, where nothing outside its own sandbox can reach it."
        );
        return ("deploy-loopback-only", what, shell);
    }
    if listeners.iter().any(|address| address.port() == PORT && address.is_ipv6()) {
        let what = format!("It listens on port {PORT} for IPv6 only; requests come by IPv4.");
        return ("deploy-ipv6-only", what, shell);
    }
    match listeners.first() {
        Some(other) => (
            "deploy-wrong-port",
            format!("It listens on port {}, not on {PORT}: use $PORT.", other.port()),
            shell,
        ),
        None => ("deploy-never-listened", "It runs, but listens on no port.".to_owned(), shell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_port_a_loopback_and_silence_are_told_apart() {
        let text = |addresses: &[&str]| {
            let parsed: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            explain_listeners(&parsed).0
        };
        assert_eq!(text(&["0.0.0.0:5000"]), "deploy-wrong-port");
        assert_eq!(text(&["127.0.0.1:8000"]), "deploy-loopback-only");
        assert_eq!(text(&["[::1]:8000"]), "deploy-loopback-only");
        assert_eq!(text(&["[::]:8000"]), "deploy-ipv6-only");
        assert_eq!(text(&[]), "deploy-never-listened");
    }
}
