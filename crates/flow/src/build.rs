//! Second station: source tree to image. One sandbox without a network of its own runs the buildpacks over mounted
//! layers; a worker outside it exports what changed. Tests run in a sandbox of the same kind: [`crate::test`].

pub(crate) mod outcome;
pub(crate) mod reuse;
pub(crate) mod scratch;
mod words;

pub(crate) use reuse::is_reused;

use crate::{Line, layers::room, line::StationError, plan, size, step_log::StepLog, test};
use lifecycle::{
    export::{LayerKind, Previous, Report, Request},
    restore,
};
use model::{
    DiffId, Digest, LogStream, Problem, Timestamp,
    run::{Cause, StepKind},
};
use sandbox::request::{Kind, LayerRef, Network, SandboxId, SandboxSpec, State};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use store::{BuildMemory, Conflict, Image, ImageLayer, Layer, Run, StoreError, Tool};

/// Name and group of the user that buildpacks run as, inside the image (`CNB_USER_ID`).
const USER_ID: u32 = 1000;

/// The names of one run's sandbox and trees.
pub(crate) struct Names {
    pub(crate) sandbox: SandboxId,
    pub(crate) source: SandboxId,
    pub(crate) auxiliary: SandboxId,
    pub(crate) holder: String,
}

impl Names {
    fn of(run: &Run) -> Result<Self, StationError> {
        Self::from(["build", "source", "restore"], run)
    }

    /// The kinds of sandbox, source tree and tree of small files.
    pub(crate) fn from(kinds: [&str; 3], run: &Run) -> Result<Self, StationError> {
        let name = |kind: &str| {
            format!("{kind}-{}", run.id)
                .parse::<SandboxId>()
                .map_err(|error| StationError::Inconsistent(error.to_string()))
        };
        Ok(Self {
            sandbox: name(kinds[0])?,
            source: name(kinds[1])?,
            auxiliary: name(kinds[2])?,
            holder: format!("sandbox:{}-{}", kinds[0], run.id),
        })
    }
}

/// Builds a run's image.
pub(crate) async fn build(
    line: &Line,
    run: &Run,
    tool: &Tool,
    planned: &Value,
    tested: Option<&Value>,
) -> Result<Value, StationError> {
    let plan = plan::of(planned)?;
    let names = Names::of(run)?;
    let stream = LogStream::Step { run: run.number, step: StepKind::Build };
    // Rows before this one belong to an earlier attempt.
    let mut began_at =
        std::fs::metadata(line.log_path(run.tool, &stream)?).map_or(0, |metadata| metadata.len());
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Build)?;
    // The last attempt's sandbox, when serve was restarted meanwhile: it goes on, or has ended well.
    let found = line.runtime.list().await?.into_iter().find(|row| row.id == names.sandbox);
    let recipe = reuse::recipe(line, &plan, planned)?;
    if found.is_none()
        && let Some(outputs) = reuse::made_already(line, run, &names, recipe.as_ref(), &mut log).await?
    {
        return Ok(outputs);
    }
    let mut previous = previous(line, run).await?;
    if tested.is_some_and(test::has_run)
        && let Some(kept) = test::kept(line, run).await?
    {
        // What was just made for the tests is not made again.
        previous = Some(restore::with_newer(previous, &kept, "production"));
    }
    if previous.is_none() {
        log.say("nothing to reuse: this is the first build, or its layers are gone");
    }
    let adopted = found.as_ref().is_some_and(|row| row.state != State::Created);
    if found.is_some() && !adopted {
        // Made but never started: nothing of it is worth keeping.
        clean(line, run).await;
    }
    if adopted {
        began_at = 0;
        log.say("the platform was restarted; this build went on meanwhile");
    } else {
        room::wait(line, &mut log).await?;
        let layers = hold_previous(line, &names, &mut previous).await?;
        let made = async {
            let variables = scratch::variables("env", &plan.build_env);
            // Both to their end: what one leaves behind is removed when nobody writes to it any more.
            let (source, auxiliary) = tokio::join!(
                scratch::source(line, run, &names.source),
                scratch::auxiliary(line, &names.auxiliary, previous.as_ref(), variables),
            );
            source.and(auxiliary)?;
            let spec = spec(line, tool, &names, layers);
            line.runtime.run(&spec, line.log_file(run.tool, &stream)?).await?;
            Ok(())
        };
        if let Err(error) = made.await {
            clean(line, run).await;
            return Err(error);
        }
    }
    let ended = line.runtime.ended(&names.sandbox).await?;
    let words = words::since(line, run, began_at).await?;
    if let Some(error) = outcome::failure(line, &ended, &plan, &words.problem) {
        clean(line, run).await;
        return Err(error);
    }
    let report = export(line, run, &names, previous, &mut log).await?;
    let text = summary(words.summary, &report, Duration::from_micros(ended.wall_microseconds));
    log.say(&text);
    Ok(json!({ "line": text, "image": report.digest, "report": report, "recipe": recipe }))
}

/// The report that this run's build step stored.
pub(crate) fn report_of(outputs: &Value) -> Result<Report, StationError> {
    serde_json::from_value(outputs["report"].clone())
        .map_err(|error| StationError::Inconsistent(format!("a stored build cannot be read: {error}")))
}

/// Ends and removes everything of a run's build. Called once its end is written down and when it fails or is cancelled;
/// what cannot be removed now, the reconciler removes later: it looks for the sandbox, which therefore goes last.
pub(crate) async fn clean(line: &Line, run: &Run) {
    if let Ok(names) = Names::of(run) {
        clear(line, &names).await;
    }
}

/// Ends and removes a sandbox with its trees, and lets go of its layers.
pub(crate) async fn clear(line: &Line, names: &Names) {
    let there = line.runtime.list().await.unwrap_or_default().into_iter().any(|row| row.id == names.sandbox);
    if there && let Err(error) = line.runtime.end(&names.sandbox, Duration::ZERO).await {
        tracing::warn!(%error, "a build could not be ended");
    }
    for tree in [&names.source, &names.auxiliary] {
        if let Err(error) = line.runtime.remove_scratch(tree).await {
            tracing::warn!(%error, "a build's tree could not be removed");
        }
    }
    if let Err(error) = line.store.release_layers(&names.holder).await {
        tracing::warn!(%error, "a build's layers could not be released");
    }
    if there && let Err(error) = line.runtime.remove(&names.sandbox).await {
        tracing::warn!(%error, "a build's sandbox could not be removed");
    }
}

/// The layers to mount, held: of build image, builder and the build before. When one of these is gone, there was none.
pub(crate) async fn hold_previous(
    line: &Line,
    names: &Names,
    previous: &mut Option<Previous>,
) -> Result<Vec<DiffId>, StationError> {
    let mut layers = line.base.build_layers.clone();
    layers.push(line.base.builder);
    let mut with_restored = layers.clone();
    with_restored.extend(previous.iter().flat_map(restore::mounted_layers));
    // Also those that are only named: the export may take one of them over unseen.
    let mut needed = with_restored.clone();
    needed.extend(previous.iter().flat_map(restore::named_layers));
    match line.store.hold_layers(&names.holder, &needed).await {
        Ok(()) => layers = with_restored,
        Err(StoreError::Conflict(_)) => {
            *previous = None;
            line.store.hold_layers(&names.holder, &layers).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(layers)
}

pub(crate) async fn previous(line: &Line, run: &Run) -> Result<Option<Previous>, StationError> {
    let memory = line.store.last_build(run.tool, &run.ref_name).await?;
    // A memory of an older version of this program is no error: the build is a first one again.
    Ok(memory.and_then(|memory| serde_json::from_value(memory.metadata).ok()))
}

/// A sandbox in which buildpacks run.
pub(crate) fn spec(line: &Line, tool: &Tool, names: &Names, layers: Vec<DiffId>) -> SandboxSpec {
    let mut refs: Vec<LayerRef> = layers.into_iter().map(LayerRef::Published).collect();
    refs.push(LayerRef::Scratch(names.source.clone()));
    refs.push(LayerRef::Scratch(names.auxiliary.clone()));
    let env = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/home/cnb"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TMPDIR", "/tmp"),
        ("CNB_PLATFORM_API", "0.14"),
        ("CNB_APP_DIR", "/workspace"),
        ("CNB_LAYERS_DIR", "/layers"),
        ("CNB_PLATFORM_DIR", "/platform"),
        ("CNB_BUILDPACKS_DIR", "/cnb/buildpacks"),
        ("CNB_ORDER_PATH", "/cnb/order.toml"),
        ("CNB_USER_ID", "1000"),
        ("CNB_GROUP_ID", "1000"),
        ("CNB_TARGET_OS", "linux"),
        ("CNB_TARGET_ARCH", "amd64"),
        ("CNB_TARGET_DISTRO_NAME", "debian"),
        ("CNB_TARGET_DISTRO_VERSION", "13"),
    ];
    SandboxSpec {
        id: names.sandbox.clone(),
        kind: Kind::Build,
        range: tool.range,
        layers: refs,
        argv: vec!["/cnb/lifecycle/lifecycle".to_owned(), "detect-and-build".to_owned()],
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        cwd: "/workspace".to_owned(),
        user_id: USER_ID,
        group_id: USER_ID,
        limits: line.settings.build_limits,
        network: Network::Egress(line.settings.egress.clone()),
        ca_bundle: line.settings.ca_bundle,
    }
}

pub(crate) fn request(line: &Line, run: &Run, previous: Option<Previous>) -> Request {
    Request {
        layers_only: false,
        run_image: line.base.run.clone(),
        previous,
        app_dir: "/workspace".to_owned(),
        user_id: USER_ID,
        group_id: USER_ID,
        default_process: None,
        env: Vec::new(),
        labels: BTreeMap::new(),
        project: Some(cnb::project_metadata::ProjectMetadata::git(&run.commit, &run.ref_name)),
    }
}

/// Times that an export is done again when the collector took a layer that it had found in place.
pub(crate) const EXPORTS: u32 = 3;

/// The image in the layer store, with its rows.
async fn export(
    line: &Line,
    run: &Run,
    names: &Names,
    previous: Option<Previous>,
    log: &mut StepLog,
) -> Result<Report, StationError> {
    let request = request(line, run, previous);
    for _ in 0..EXPORTS {
        let report = line.runtime.export(&names.sandbox, &request).await?;
        let new = report.layers.iter().map(|row| (row.diff_id, row.blob, row.blob_bytes));
        let cached = report.cache_layers.iter().map(|row| (row.diff_id, row.blob, row.blob_bytes));
        if hold(line, names, new.chain(cached)).await? {
            keep(line, run, &report, log).await?;
            return Ok(report);
        }
    }
    Err(StationError::Inconsistent("layers of an export were taken away again and again".to_owned()))
}

/// Rows for the layers that lie in the layer store now, held for this build. False: one was taken away meanwhile.
pub(crate) async fn hold(
    line: &Line,
    names: &Names,
    layers: impl Iterator<Item = (DiffId, Digest, u64)>,
) -> Result<bool, StationError> {
    let _naming = line.keeping.naming.lock().await;
    let trees = ::layers::Store::open(&line.paths)?;
    let mut rows = Vec::new();
    for (diff_id, blob, blob_bytes) in layers {
        let Some(published) = trees.published(&diff_id)? else { return Ok(false) };
        rows.push(Layer { diff_id, blob, blob_bytes, tree_bytes: published.tree_bytes });
    }
    line.store.add_layers(&rows, &names.holder).await?;
    // A blob that was there and that nothing named may have gone until this moment; from now on none does.
    for row in rows.iter().filter(|row| !line.paths.blob(&row.blob).exists()) {
        let order = ::layers::Order::Mend { diff_id: row.diff_id, blob: row.blob, bytes_per_second: 0 };
        line.runtime.maintain(&order).await?;
    }
    Ok(true)
}

/// Rows for the image, and what the next build starts from.
async fn keep(line: &Line, run: &Run, report: &Report, log: &mut StepLog) -> Result<(), StationError> {
    let base = line.base.run.layers.iter().map(|layer| (layer.diff_id, layer.blob, layer.blob_bytes));
    let own = report.layers.iter().map(|layer| (layer.diff_id, layer.blob, layer.blob_bytes));
    let layers =
        base.chain(own).map(|(diff_id, blob, size_bytes)| ImageLayer { diff_id, blob, size_bytes }).collect();
    let image = Image {
        digest: report.digest,
        tool: run.tool,
        run: run.id,
        config: report.config,
        layers,
        created_at: Timestamp::now(),
    };
    line.store.put_image(&image).await.map_err(full)?;
    let metadata = serde_json::to_value(&report.next).map_err(|error| {
        StationError::Inconsistent(format!("a build's memory cannot be written: {error}"))
    })?;
    let cache: Vec<DiffId> = report.cache_layers.iter().map(|layer| layer.diff_id).collect();
    let memory = BuildMemory { image: report.digest, metadata };
    match line.store.remember_build(run.tool, &run.ref_name, &memory, &cache).await {
        // A cache only makes the next build faster.
        Err(StoreError::Conflict(Conflict::QuotaExceeded { usage, .. })) => {
            log.say(&format!(
                "what this build would keep for the next one does not fit: the tool uses {usage}"
            ));
            Ok(line.store.remember_build(run.tool, &run.ref_name, &memory, &[]).await?)
        }
        remembered => Ok(remembered?),
    }
}

/// An image that does not fit is the tool's to make room for.
fn full(error: StoreError) -> StationError {
    match error {
        StoreError::Conflict(conflict @ Conflict::QuotaExceeded { .. }) => {
            let problem = Problem::new("quota-storage", 507, "the image does not fit", conflict.to_string());
            let hint = "`windlass quota` shows what takes how much. Delete images under import/ that are no longer \
                        needed, make this one smaller, or ask an operator for more.";
            StationError::told(Cause::Refused, problem.hint(hint))
        }
        error => error.into(),
    }
}

/// `python 3.13 reused · pip 9 packages reused · app 41 kB   0.3 s`: the buildpacks' own words, then what is new.
fn summary(said: Vec<String>, report: &Report, took: Duration) -> String {
    let mut parts = said;
    let app: u64 =
        report.layers.iter().filter(|layer| layer.kind == LayerKind::App).map(|l| l.blob_bytes).sum();
    let same = report.layers.iter().all(|layer| layer.reused);
    parts.push(if same { "nothing changed".to_owned() } else { format!("app {}", size::bytes(app)) });
    format!("{}   {}", parts.join(" · "), size::seconds(took))
}
