//! One process of a release as a sandbox: its layers, its environment, its limits.

use crate::{Line, line::StationError};
use model::{DiffId, Limits, Problem, ProcessType, limits::MIB, run::Cause};
use pipeline::{Health, Web};
use runtime::health::{Check, PORT};
use sandbox::request::{Kind, LayerRef, Network, SandboxId, SandboxSpec};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, time::Duration};
use store::{Conflict, Release, StoreError, Tool};

/// Which process of which release, as it is told to itself.
pub(crate) struct Identity<'a> {
    pub tool: &'a Tool,
    pub release: &'a Release,
    pub process: ProcessType,
    /// Copies count from 1: `web.1`.
    pub number: u32,
}

/// The parts of a release's config that starting needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    health: Health,
    env: Vec<(String, String)>,
    web: Option<Web>,
}

/// Of an OCI image configuration: the environment (image specification, config.md).
#[derive(Deserialize)]
struct ImageConfig {
    config: Option<ImageProcess>,
}

#[derive(Deserialize)]
struct ImageProcess {
    #[serde(rename = "Env", default)]
    env: Vec<String>,
}

fn config(release: &Release) -> Result<Config, StationError> {
    serde_json::from_value(release.config.clone()).map_err(|error| {
        StationError::Inconsistent(format!("v{} has no readable config: {error}", release.number))
    })
}

/// How a release's web process is judged ready.
pub(crate) fn health(release: &Release) -> Result<Check, StationError> {
    let health = config(release)?.health;
    Ok(Check { path: health.path, timeout: Duration::from_secs(u64::from(health.timeout_seconds)) })
}

/// What one process may use: what the tree asks for counts up to what the operator gives.
pub(crate) fn limits(line: &Line, release: &Release, process: &ProcessType) -> Result<Limits, StationError> {
    let mut limits = line.settings.service_limits;
    if let Some(web) = config(release)?.web.filter(|_| *process == ProcessType::web()) {
        limits.memory_bytes =
            web.memory_bytes.unwrap_or(limits.memory_bytes).min(limits.memory_bytes).max(32 * MIB);
        limits.cpu_millis = web.cpu_millis.unwrap_or(limits.cpu_millis).min(limits.cpu_millis).max(50);
    }
    Ok(limits)
}

/// The sandbox of one process.
pub(crate) async fn spec(
    line: &Line,
    id: &SandboxId,
    identity: &Identity<'_>,
) -> Result<SandboxSpec, StationError> {
    let Identity { tool, release, process, number } = identity;
    let found = release.processes.get(process);
    let found =
        found.ok_or_else(|| StationError::Inconsistent(format!("v{} has no {process}", release.number)))?;
    let image = line.store.image(tool.id, &found.image).await?;
    let config = config(release)?;
    let limits = limits(line, release, process)?;
    let mut env: BTreeMap<String, String> = image_env(line, &image.config)?;
    env.extend(config.env);
    let workers = (limits.memory_bytes / (256 * MIB)).max(1);
    let ours = [
        ("PORT", PORT.to_string()),
        ("HOME", "/workspace".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("WINDLASS_TOOL", tool.name.to_string()),
        ("WINDLASS_ENVIRONMENT", "production".to_owned()),
        ("WINDLASS_RELEASE", format!("v{}", release.number)),
        ("WINDLASS_COMMIT", release.commit.clone()),
        ("WINDLASS_PROCESS", format!("{process}.{number}")),
        ("WINDLASS_URL", line.settings.tool_url(&tool.name)),
    ];
    env.entry("WEB_CONCURRENCY".to_owned()).or_insert_with(|| workers.to_string());
    env.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    Ok(SandboxSpec {
        id: id.clone(),
        kind: Kind::Service,
        range: tool.range,
        layers: image.layers.iter().map(|layer| LayerRef::Published(layer.diff_id)).collect(),
        argv: found.command.clone(),
        env: env.into_iter().collect(),
        cwd: "/workspace".to_owned(),
        user_id: 1000,
        group_id: 1000,
        limits,
        network: Network::Tool,
        ca_bundle: false,
    })
}

fn image_env(line: &Line, config: &model::Digest) -> Result<BTreeMap<String, String>, StationError> {
    let bytes = fs::read(line.paths.blob(config))?;
    let image: ImageConfig = serde_json::from_slice(&bytes).map_err(|error| {
        StationError::Inconsistent(format!("image config {config} cannot be read: {error}"))
    })?;
    let env = image.config.map(|config| config.env).unwrap_or_default();
    Ok(env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect())
}

/// Keeps a sandbox's layers in the store while it may run.
pub(crate) async fn hold(line: &Line, id: &SandboxId, spec: &SandboxSpec) -> Result<(), StationError> {
    let layers: Vec<DiffId> = spec
        .layers
        .iter()
        .filter_map(|layer| match layer {
            LayerRef::Published(diff_id) => Some(*diff_id),
            LayerRef::Scratch(_) => None,
        })
        .collect();
    match line.store.hold_layers(&format!("sandbox:{id}"), &layers).await {
        Err(StoreError::Conflict(Conflict::LayerMissing(layer))) => {
            let detail = format!("Its layer {layer} was damaged on disk and could not be repaired.");
            let problem =
                Problem::new("release-damaged", 500, "this release cannot be started any more", detail)
                    .hint("This is not your code's fault. Push again: an empty commit builds it anew.");
            Err(StationError::told(Cause::Platform, problem))
        }
        held => Ok(held?),
    }
}

/// Ends at once and removes a sandbox, if it is there, and lets go of its layers. What fails is left to the
/// reconciler, which removes what nobody wants.
pub(crate) async fn discard(line: &Line, id: &SandboxId) {
    end(line, id, Duration::ZERO).await;
}

/// Ends with a grace and removes a sandbox, if it is there.
pub(crate) async fn end(line: &Line, id: &SandboxId, grace: Duration) {
    let there = line.runtime.list().await.unwrap_or_default().into_iter().any(|row| row.id == *id);
    if there {
        if let Err(error) = line.runtime.end(id, grace).await {
            tracing::warn!(%error, %id, "a sandbox could not be ended");
        }
        if let Err(error) = line.runtime.remove(id).await {
            tracing::warn!(%error, %id, "a sandbox could not be removed");
        }
    }
    if let Err(error) = line.store.release_layers(&format!("sandbox:{id}")).await {
        tracing::warn!(%error, %id, "a sandbox's layers could not be released");
    }
}
