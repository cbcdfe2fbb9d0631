//! Between plan and build: the source's own tests, in a sandbox like a build's and over what a build for tests (CNB
//! execution environment `test`) installs. Red means that nothing is built for release.
//!
//! A build for tests that makes new layers ends before the tests; its layers are kept and the tests run in a second
//! sandbox, so that what is kept is never what tests left ([`lifecycle::testing`]).

mod environment;
mod outcome;
mod reuse;
mod said;
mod words;

use crate::{
    Line,
    build::{self, Names, scratch},
    layers::room,
    line::StationError,
    plan,
    step_log::StepLog,
};
use cnb::label::lifecycle::CacheMetadata;
use lifecycle::{export::Previous, restore, testing};
use model::{LogStream, run::StepKind};
use pipeline::{Plan, Tests};
use sandbox::request::{Ended, SandboxSpec, State};
use serde_json::{Value, json};
use store::{Conflict, Run, StoreError, Tool};

/// Said of a tree without tests.
const NO_TESTS: &str =
    "no tests here: unittest's go into tests/test_*.py, and pytest's, with `pytest` in requirements-dev.txt";

/// What the test step of a planned run comes to when there is nothing to do for it: it is done with the plan.
pub(crate) fn nothing_to_do(planned: &Value) -> Result<Option<Value>, StationError> {
    let plan = plan::of(planned)?;
    Ok(match &plan.tests {
        Some(_) if planned["skip_tests"] == true => {
            Some(json!({ "line": format!("skipped: the commit's message says {}", plan::SKIP_TESTS) }))
        }
        Some(_) => None,
        None if plan.tests_off => Some(json!({ "line": "not run: project.toml says `test = false`" })),
        None => Some(json!({ "line": NO_TESTS })),
    })
}

/// Tests a run's source.
pub(crate) async fn test(
    line: &Line,
    run: &Run,
    tool: &Tool,
    planned: &Value,
) -> Result<Value, StationError> {
    let plan = plan::of(planned)?;
    let Some(tests) = plan.tests.clone() else { return Ok(json!({ "line": NO_TESTS })) };
    let names = names(run)?;
    let stream = LogStream::Step { run: run.number, step: StepKind::Test };
    let log_path = line.log_path(run.tool, &stream)?;
    let length = || std::fs::metadata(&log_path).map_or(0, |metadata| metadata.len());
    // Rows before this one belong to an earlier attempt.
    let mut began_at = length();
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Test)?;
    // The last attempt's sandbox, when serve was restarted meanwhile: it goes on, or has ended.
    let found = line.runtime.list().await?.into_iter().find(|row| row.id == names.sandbox);
    let recipe = build::reuse::recipe(line, &plan, planned)?;
    if found.is_none()
        && let Some(outputs) = reuse::passed_already(line, run, recipe.as_ref(), &mut log).await?
    {
        return Ok(outputs);
    }
    let mut previous = previous(line, run).await?;
    match found.map(|row| row.state) {
        Some(State::Running | State::Ended) => {
            began_at = 0;
            log.say("the platform was restarted; the tests went on meanwhile");
        }
        made => {
            if made.is_some() {
                // Made but never started: nothing of it is worth keeping.
                build::clear(line, &names).await;
            }
            room::wait(line, &mut log).await?;
            start(line, run, tool, &names, &plan, &tests, &mut previous, true).await?;
        }
    }
    let mut ended = line.runtime.ended(&names.sandbox).await?;
    if made_layers(&ended) {
        let kept = keep(line, run, &names, previous, &mut log).await;
        build::clear(line, &names).await;
        let mut previous = kept?;
        began_at = length();
        start(line, run, tool, &names, &plan, &tests, &mut previous, false).await?;
        ended = line.runtime.ended(&names.sandbox).await?;
    }
    let words = words::since(log_path, began_at).await;
    build::clear(line, &names).await;
    let outputs = outcome::judge(line, run, &plan, &tests, &ended, words?).await?;
    if let Some(recipe) = &recipe {
        line.store.remember_pass(run.tool, recipe, run.id).await?;
    }
    log.say(outputs["line"].as_str().unwrap_or_default());
    Ok(outputs)
}

/// Whether the tests of these outputs ran in this run, so that what they were given is what its build wants.
pub(crate) fn has_run(outputs: &Value) -> bool {
    outputs["ran"] == true
}

/// The layers that the last build for tests of this branch left.
pub(crate) async fn kept(line: &Line, run: &Run) -> Result<Option<CacheMetadata>, StationError> {
    let memory = line.store.last_test_build(run.tool, &run.ref_name).await?;
    // A memory of an older version of this program is no error: everything is made again.
    Ok(memory.and_then(|memory| serde_json::from_value(memory).ok()))
}

/// Ends and removes everything of a run's tests.
pub(crate) async fn clean(line: &Line, run: &Run) {
    if let Ok(names) = names(run) {
        build::clear(line, &names).await;
    }
}

fn names(run: &Run) -> Result<Names, StationError> {
    Names::from(["test", "testsource", "testrestore"], run)
}

/// What the last build for tests left over what the last build left.
async fn previous(line: &Line, run: &Run) -> Result<Option<Previous>, StationError> {
    let built = build::previous(line, run).await?;
    Ok(match kept(line, run).await? {
        Some(kept) => Some(restore::with_newer(built, &kept, testing::EXEC_ENV)),
        None => built,
    })
}

fn made_layers(ended: &Ended) -> bool {
    ended.killed_by.is_none() && ended.status == i32::from(testing::MADE)
}

/// Builds for tests and runs them; when `first`, only if the build makes no new layers.
#[expect(clippy::too_many_arguments, reason = "one sandbox is made of all of these")]
async fn start(
    line: &Line,
    run: &Run,
    tool: &Tool,
    names: &Names,
    plan: &Plan,
    tests: &Tests,
    previous: &mut Option<Previous>,
    first: bool,
) -> Result<(), StationError> {
    let layers = build::hold_previous(line, names, previous).await?;
    let stream = LogStream::Step { run: run.number, step: StepKind::Test };
    let made = async {
        let mut files = scratch::variables("env", &environment::of_build(plan));
        files.extend(scratch::variables(testing::ENVIRONMENT, &environment::of_tests(tool, run, plan)));
        // Both to their end: what one leaves behind is removed when nobody writes to it any more.
        let (source, auxiliary) = tokio::join!(
            scratch::source(line, run, &names.source),
            scratch::auxiliary(line, &names.auxiliary, previous.as_ref(), files),
        );
        source.and(auxiliary)?;
        let spec = spec(build::spec(line, tool, names, layers), tests, first);
        line.runtime.run(&spec, line.log_file(run.tool, &stream)?).await?;
        Ok(())
    };
    let made = made.await;
    if made.is_err() {
        build::clear(line, names).await;
    }
    made
}

/// A build's sandbox that ends with the tests.
fn spec(mut spec: SandboxSpec, tests: &Tests, first: bool) -> SandboxSpec {
    // Its author's shell, inside the sandbox; no shell of ours ever sees the text.
    let argv = ["/cnb/lifecycle/lifecycle", "test", "--", "bash", "-c", tests.command.text.as_str()];
    spec.argv = argv.map(str::to_owned).to_vec();
    spec.env.retain(|(name, _)| name != "CNB_PLATFORM_API");
    let seconds = tests.timeout_seconds.to_string();
    let mut set = |name: &str, value: &str| spec.env.push((name.to_owned(), value.to_owned()));
    set("CNB_PLATFORM_API", "0.15");
    set("CNB_EXEC_ENV", testing::EXEC_ENV);
    set(testing::SECONDS, &seconds);
    if first {
        set(testing::STOP_WHEN_MADE, "1");
    }
    // The tests' own limit is watched inside; this one is for what cannot be ended there.
    spec.limits.wall_seconds = spec.limits.wall_seconds.map(|wall| wall + u64::from(tests.timeout_seconds));
    spec
}

/// Publishes the layers that a build for tests made; gives what the next one starts from.
async fn keep(
    line: &Line,
    run: &Run,
    names: &Names,
    previous: Option<Previous>,
    log: &mut StepLog,
) -> Result<Option<Previous>, StationError> {
    let request = build::request(line, run, previous);
    for _ in 0..build::EXPORTS {
        let kept = line.runtime.keep_layers(&names.sandbox, &request).await?;
        let layers = kept.layers.iter().map(|row| (row.diff_id, row.blob, row.blob_bytes));
        if !build::hold(line, names, layers).await? {
            continue;
        }
        let metadata = serde_json::to_value(&kept.next).map_err(|error| {
            StationError::Inconsistent(format!("what a build for tests left cannot be written: {error}"))
        })?;
        let ids: Vec<_> = kept.layers.iter().map(|layer| layer.diff_id).collect();
        match line.store.remember_test_build(run.tool, &run.ref_name, &metadata, &ids).await {
            // It only makes the next tests faster.
            Err(StoreError::Conflict(Conflict::QuotaExceeded { usage, .. })) => {
                log.say(&format!("what the tests need is not kept for the next time: the tool uses {usage}"));
                return Ok(request.previous);
            }
            remembered => remembered?,
        }
        let previous = restore::with_newer(request.previous, &kept.next, testing::EXEC_ENV);
        return Ok(Some(previous));
    }
    Err(StationError::Inconsistent("layers of a build for tests were taken away again and again".to_owned()))
}
