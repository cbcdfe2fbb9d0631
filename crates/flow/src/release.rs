//! Third station: image to numbered release, after the release command has ended well in the new image.

use crate::{
    Line, build,
    line::StationError,
    plan,
    service::{self, Identity},
    size,
    step_log::StepLog,
};
use model::{
    LogStream, Problem, ProcessType,
    run::{Cause, StepKind},
};
use sandbox::request::{KilledBy, Kind, Network, SandboxId};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use store::{NewRelease, Release, ReleaseProcess, Run, Tool};

/// Makes a run's release.
pub(crate) async fn release(
    line: &Line,
    run: &Run,
    tool: &Tool,
    planned: &Value,
    built: &Value,
) -> Result<Value, StationError> {
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Release)?;
    let plan = plan::of(planned)?;
    let report = build::report_of(built)?;
    let mut processes = BTreeMap::new();
    for process in &report.processes {
        let Ok(kind) = process.kind.parse::<ProcessType>() else {
            log.say(&format!("note: `{}` is no process type here; it is left out", process.kind));
            continue;
        };
        let command = vec![format!("/cnb/process/{kind}")];
        processes.insert(kind, ReleaseProcess { image: report.digest, command });
    }
    if !processes.contains_key(&ProcessType::web()) {
        let problem = Problem::new(
            "release-no-web",
            422,
            "there is no web process",
            "The image defines no process of type `web`, so nothing could answer requests.",
        );
        let hint = "Add a Procfile with a line such as `web: gunicorn --bind 0.0.0.0:$PORT app:app`.";
        return Err(StationError::tool(problem.hint(hint)));
    }
    let config = json!({ "health": plan.health, "env": plan.launch_env, "web": plan.web });
    let new = NewRelease { tool: run.tool, run: run.id, processes, config };
    let release = line.store.create_release(&new).await?;
    if let Some(planned) = &plan.release {
        log.say(&format!("v{}: running the release command (from {})", release.number, planned.from));
        if let Err(error) = command(line, run, tool, &release, &planned.text).await {
            // A fault of ours is tried again, with the same release.
            if matches!(error, StationError::Told { .. }) {
                line.store.release_failed(run.tool, release.number).await?;
            }
            return Err(error);
        }
    }
    let text = format!(
        "v{} = sha256:{} ({}, {} new)",
        release.number,
        &report.digest.hex()[..12],
        size::bytes(report.total_bytes),
        size::bytes(report.new_bytes)
    );
    log.say(&text);
    Ok(json!({ "line": text, "release": release.number }))
}

/// The number that this run's release step stored.
pub(crate) fn number_of(outputs: &Value) -> Result<u64, StationError> {
    outputs["release"]
        .as_u64()
        .ok_or_else(|| StationError::Inconsistent("a stored release has no number".to_owned()))
}

/// Ends and removes the sandbox of a run's release command.
pub(crate) async fn clean(line: &Line, run: &Run) {
    let Ok(id) = sandbox_id(run) else { return };
    service::discard(line, &id).await;
}

fn sandbox_id(run: &Run) -> Result<SandboxId, StationError> {
    format!("release-{}", run.id)
        .parse()
        .map_err(|_| StationError::Inconsistent("a run's id is no name".to_owned()))
}

/// Runs the release command in the new image, with the environment of `web` (Heroku's release phase).
async fn command(
    line: &Line,
    run: &Run,
    tool: &Tool,
    release: &Release,
    text: &str,
) -> Result<(), StationError> {
    let id = sandbox_id(run)?;
    let identity = Identity { tool, release, process: ProcessType::web(), number: 1 };
    let mut spec = service::spec(line, &id, &identity).await?;
    // Its author's shell, inside the sandbox; no shell of ours ever sees the text.
    spec.argv = ["/cnb/lifecycle/launcher", "--", "bash", "-c", text].map(str::to_owned).to_vec();
    for (name, value) in &mut spec.env {
        if name == "WINDLASS_PROCESS" {
            "release.1".clone_into(value);
        }
    }
    spec.kind = Kind::Task;
    spec.limits = line.settings.task_limits;
    spec.network = Network::Tool;
    service::hold(line, &id, &spec).await?;
    let stream = LogStream::Step { run: run.number, step: StepKind::Release };
    line.runtime.run(&spec, line.log_file(run.tool, &stream)?).await?;
    let ended = line.runtime.ended(&id).await?;
    if ended.status == 0 && ended.killed_by.is_none() {
        // Its sandbox stays until the run is over: a station that runs again finds it ended, and does not run the
        // command twice.
        return Ok(());
    }
    clean(line, run).await;
    let (cause, detail) = match ended.killed_by {
        None if ended.memory_kills == 0 => (Cause::Tool, format!("It ended with status {}.", ended.status)),
        None | Some(KilledBy::Memory) => {
            let limit = spec.limits.memory_bytes;
            let cause = Cause::Limit { which: "memory".to_owned(), limit, peak: ended.memory_peak_bytes };
            (cause, format!("killed: memory {} MiB", limit / model::limits::MIB))
        }
        Some(KilledBy::Wall) => {
            let seconds = spec.limits.wall_seconds.unwrap_or(0);
            (
                Cause::Timeout { seconds },
                format!("It did not end within {}.", size::seconds(Duration::from_secs(seconds))),
            )
        }
        Some(KilledBy::Disk | KilledBy::Request | KilledBy::Platform) => {
            return Err(StationError::Inconsistent(
                "a release command was ended from outside the line".to_owned(),
            ));
        }
    };
    let problem = Problem::new("release-command", 422, "the release command failed", detail)
        .hint("Nothing was switched: what was live before still is. Its output is above.");
    Err(StationError::told(cause, problem))
}
